"""Putting one directory in the place of another, and cleaning up after whoever died while doing so.

Linux exchanges two directories in one step, so that there is always one of them at the path. File systems that cannot
do that get two renames with nothing at the path in between; `restored` undoes the first when the second never came.

A directory that is to take a place has a name made from the name of that place. Whoever fills it, and whoever empties
the one that was taken out, holds the writer's lock inside, so a directory whose lock is free is left over.
"""

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ramet.storage.errors import StorageError
from ramet.storage.format import CATALOG, checksum
from ramet.storage.lock import WriterLock
from ramet.storage.paths import TEMPORARY_PREFIX, sync_directory

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

# What renameat2(2) says where the kernel or the file system cannot exchange.
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}

# End of the name of a directory that was taken out of its place in the first of two steps.
ASIDE = ".aside"

# How long opening waits for the second step of an exchange that seems to be under way.
RESTORE_WAIT_S = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


def place_of(path: Path) -> Path:
    """Return the directory itself when a path leads to it by links: that is what has to be exchanged."""
    return Path(os.path.realpath(path))


def candidate_beside(place: Path) -> Path:
    """Return a new name for a directory that is to take a place."""
    return place.parent / f"{_prefix(place)}{secrets.token_hex(4)}"


def _prefix(place: Path) -> str:
    return f"{TEMPORARY_PREFIX}{checksum(os.fsencode(place.name)):016x}-"


def _candidates(place: Path) -> Iterator[Path]:
    """Yield the directories that were to take a place, or were taken out of it."""
    prefix = _prefix(place)
    with os.scandir(place.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    for name in names:
        yield place.parent / name


def exchange(new: Path, place: Path) -> None:
    """Put the directory `new` in the place of another one, which takes the name of `new`.

    Raises
    ------
    OSError
        Nothing has changed.
    """
    exchanging = getattr(_libc, "renameat2", None)
    code = errno.ENOSYS
    if exchanging is not None:
        if exchanging(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(place), _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
    if code not in _NO_EXCHANGE:
        raise OSError(code, os.strerror(code), str(place))
    _exchange_in_steps(new, place)


def _exchange_in_steps(new: Path, place: Path) -> None:
    aside = new.with_name(new.name + ASIDE)
    os.rename(place, aside)
    try:
        os.rename(new, place)
    except BaseException:
        os.rename(aside, place)
        raise
    os.rename(aside, new)


def restored(path: Path) -> bool:
    """Put a directory back that was taken out of its place when the one that was to take it never came.

    Returns
    -------
    bool
        There is a collection at the path now: put back, or brought by the process that was at it.
    """
    place = place_of(path)
    with suppress(OSError):
        for aside in _candidates(place):
            if aside.name.endswith(ASIDE):
                with suppress(StorageError):  # it is gone again, or may not be written
                    _put_back(aside, place)
    return os.path.exists(place / CATALOG)


def _put_back(aside: Path, place: Path) -> None:
    lock = WriterLock(aside, RESTORE_WAIT_S)  # whoever is at it holds the lock
    try:
        if not os.path.lexists(place):
            os.rename(aside, place)
            sync_directory(place.parent)
    finally:
        lock.release()


def sweep(place: Path) -> None:
    """Delete what compactions of a collection left that died. The caller holds the lock of the directory in place."""
    for left in _candidates(place):
        if not left.is_dir() or left.is_symlink():
            continue
        with suppress(StorageError):  # somebody is at work there
            lock = WriterLock(left, 0.0)
            try:
                shutil.rmtree(left, ignore_errors=True)
            finally:
                lock.release()
