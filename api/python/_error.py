"""Root of the exception tree; the one module every room may import."""


class RametError(Exception):
    """Base of every error that Ramet raises on purpose.

    Attributes
    ----------
    partly_done : bool
        Of a write in several transactions: some are known to be committed, and stay.
    """

    partly_done: bool = False
