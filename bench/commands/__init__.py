"""Subcommands of ``python -m bench``, one file each: ``register`` adds the parser, ``run`` does the work."""
