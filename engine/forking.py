"""Locks that a forked child can use: one that another thread of the parent held would never be given free there."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """An object that has to be told when it finds itself in a forked child."""

    def after_fork(self) -> None:
        """Make the locks anew, and forget what a thread of the parent may have been changing."""
        ...


_known: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_after_fork(one: Forked) -> None:
    """Have ``after_fork`` called in every forked child, as long as the object lives."""
    _known.add(one)


def _tell() -> None:
    for one in list(_known):
        one.after_fork()


os.register_at_fork(after_in_child=_tell)
