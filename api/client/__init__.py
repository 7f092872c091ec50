"""A collection on a server, asked as if it were in this process: ``ramet.connect("http://host:8000")``."""
