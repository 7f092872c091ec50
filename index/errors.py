"""Errors of the index room.

::

    RametError
      IndexRoomError
        BrokenNavigatorError     stored navigation data does not parse
"""

from __future__ import annotations

from ramet._error import RametError


class IndexRoomError(RametError):
    """Base of the errors that the index raises itself; arguments are checked by the engine."""


class BrokenNavigatorError(IndexRoomError):
    """Stored navigation data does not parse: the catalog is damaged, or was written by another version."""
