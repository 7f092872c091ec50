"""Errors of the storage room.

::

    RametError
    └── StorageError
        ├── CorruptionError      bytes on disk are not what was committed
        ├── FormatError          not a Ramet file, or one of another format version
        ├── MissingError         no such collection directory, or no such entry
        ├── ExistsError          something is already there
        ├── WriterBusyError      another writer holds the collection (transient: try again)
        ├── ReadOnlyError        the files may be read but not written
        ├── AccessError          the operating system refuses access to a path
        ├── StorageFullError     no room: disk, quota or a limit of the format
        ├── DuplicateIdError     an id that is to be appended exists already
        ├── ReadLimitError       more would be read than the caller has allowed
        ├── ClosedError          the store, snapshot or writer was closed before
        └── ForkError            an object of the parent process was used in a forked child

A message says what happened, to which object, and what to do next. The details are attributes too, and every error
survives pickling, so it can cross a process pool.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb

from ramet._error import RametError


def _rebuild(cls: type["StorageError"], message: str, details: dict[str, Any]) -> "StorageError":
    """Make an error again from what `StorageError.__reduce__` took apart."""
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(details)
    return error


class StorageError(RametError):
    """Base of everything that the storage room raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.__dict__)


class CorruptionError(StorageError):
    """Bytes on disk are not what was committed: restore the collection from a backup or build it again.

    Parameters
    ----------
    file : str or Path
        The damaged file.
    where : str
        Place inside it: page, row block, (tenant, cell), key.
    expected, found : object
        What was committed, and what is there.
    """

    def __init__(self, file: str | Path, where: str, expected: object, found: object) -> None:
        super().__init__(
            f"{file} is damaged at {where}: expected {expected}, found {found}; "
            "run verify to see the extent of the damage, then restore a backup or build the collection again"
        )
        self.file = str(file)
        self.where = where
        self.expected = expected
        self.found = found


class FormatError(StorageError):
    """A file is not of Ramet, not of this collection, or of a format version that this release does not know.

    Parameters
    ----------
    file : str or Path
        The file that was refused.
    expected, found : object
        What this release reads, and what the file says it is.
    """

    def __init__(self, file: str | Path, expected: object, found: object) -> None:
        super().__init__(
            f"{file} was refused: expected {expected}, found {found}; "
            "open it with the release of Ramet that wrote it, or take the foreign file out of the directory"
        )
        self.file = str(file)
        self.expected = expected
        self.found = found


class MissingError(StorageError):
    """There is no collection directory at the path, or no entry of that name in it."""


class ExistsError(StorageError):
    """The path that should be created is there already."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path} exists already and is not empty; open it, or choose another path")
        self.path = str(path)


class WriterBusyError(StorageError):
    """Another thread or process is writing to the collection. Transient: the same call may succeed later.

    Parameters
    ----------
    path : str or Path
        Collection directory.
    pid : int or None
        Process that holds the writer's lock, as far as known.
    timeout_s : float
        How long the caller waited, in seconds.
    """

    def __init__(self, path: str | Path, pid: int | None, timeout_s: float) -> None:
        holder = "another writer" if pid is None else f"process {pid}"
        super().__init__(
            f"{path} is being written by {holder}, and was still after {timeout_s:g} s; "
            "try again later or with a longer time-out"
        )
        self.path = str(path)
        self.pid = pid
        self.timeout_s = timeout_s


class ReadOnlyError(StorageError):
    """The collection was opened read-only because its files may not be written."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(
            f"{path} is open read-only, because its files or its directory may not be written; "
            "give write permission to this user and open it again"
        )
        self.path = str(path)


class AccessError(StorageError):
    """The operating system refuses access to a path."""

    def __init__(self, path: str | Path, reason: object) -> None:
        super().__init__(f"{path} cannot be used: {reason}; check its owner and permissions")
        self.path = str(path)


class StorageFullError(StorageError):
    """No room: disk, quota, address space or a limit of the format. The last committed state is untouched."""

    def __init__(
        self,
        path: str | Path,
        reason: object,
        advice: str = "nothing of this transaction was kept: make room and write again",
    ) -> None:
        super().__init__(f"no room for {path}: {reason}; {advice}")
        self.path = str(path)


class DuplicateIdError(StorageError):
    """Ids that were to be appended exist already, or twice in one call. `ids` holds at most 10 of them."""

    def __init__(self, ids: Sequence[str], n_duplicates: int) -> None:
        self.ids = list(ids[:10])
        self.n_duplicates = n_duplicates
        shown = ", ".join(repr(name) for name in self.ids)
        super().__init__(f"{n_duplicates} ids exist already: {shown}; use other ids or replace the records")


class ReadLimitError(StorageError):
    """More would be read of documents, metadata and vectors than the caller has allowed.

    Parameters
    ----------
    most : int
        Bytes that are allowed.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"documents, metadata and vectors of more than {most:,} bytes; ask for fewer or less of them")


class ClosedError(StorageError):
    """The store, snapshot or writer was closed before."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is closed; open it again")


class ForkError(StorageError):
    """An object made before a fork was used in the child process."""


def replaced(path: Path) -> MissingError:
    """Return the error for a collection whose directory somebody deleted or replaced while it was open here."""
    return MissingError(f"collection {path.name!r} ({path}) was deleted or replaced while it was open; open it again")


SYSTEM_ERRORS = (OSError, lmdb.Error)
"""What `translated` makes storage errors of."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_SUCH_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EILSEQ}


# A disk with less room than this counts as full when LMDB reports a failed write.
_LITTLE_ROOM_BYTES = 1 << 20


def _no_room(path: str | Path) -> bool:
    """Tell whether the disk under a path is full: LMDB reports a write that was cut short by that as EIO."""
    try:
        room = os.statvfs(path)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _LITTLE_ROOM_BYTES


def translated(error: Exception, path: str | Path) -> StorageError:
    """Return the storage error for an error of the operating system or of LMDB.

    Parameters
    ----------
    error : Exception
        An `OSError` or `lmdb.Error`; a `StorageError` is returned as it is.
    path : str or Path
        File or directory that was in use.
    """
    if isinstance(error, StorageError):
        return error
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    full = code in _FULL or (code == errno.EIO and isinstance(error, lmdb.Error) and _no_room(path))
    if full or isinstance(error, (lmdb.MapFullError, lmdb.DiskError, lmdb.TxnFullError)):
        return StorageFullError(path, error)
    if code in _DENIED:
        return AccessError(path, error)
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError)):
        return CorruptionError(path, "an LMDB page", "a sound page", error)
    if isinstance(error, (lmdb.InvalidError, lmdb.VersionMismatchError)):
        return FormatError(path, "an LMDB 0.9 catalog", error)
    if isinstance(error, lmdb.ReadersFullError):
        return StorageError(f"{path} has too many snapshots open at once; close some of them ({error})")
    if code in _NO_SUCH_NAME and isinstance(error, OSError):
        return StorageError(f"{path} cannot be used: {error}; choose another path")
    return StorageError(f"{path}: {error}; close the collection and open it again")
