"""Root of the exception tree; the one module every room may import."""


class RametError(Exception):
    """Base of every error that Ramet raises on purpose."""
