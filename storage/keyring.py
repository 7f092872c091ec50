"""The keyring: what a server knows of its API keys, in one LMDB file of the database directory.

``DIR/.ramet/keys.mdb`` is made with the first key, for its owner only (mode 0600). Its unnamed database holds

=======  =======  ===========================================================
table    key      value
=======  =======  ===========================================================
META     name     checksum u64 of key and JSON, JSON: ``kind``, ``format_version``
KEYS     id       checksum u64 of key and JSON, JSON: what the engine says about the key
=======  =======  ===========================================================

with checksums xxh3_64. Entries come rarely and are asked for with every request. Therefore no LMDB environment stays
open: reading looks at the transaction numbers in the two meta pages, and only when they say something new is the file
opened, read whole and closed. Nothing of LMDB's is there for a forked child to inherit; a fork that comes while the
file is open waits for its end.

A file that disappears is an empty keyring to this room. What that means for a server is decided in the engine.
"""

import errno
import json
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lmdb

from ramet.storage import lmdbfile
from ramet.storage.errors import CorruptionError, DuplicateIdError, FormatError, MissingError, StorageError, translated
from ramet.storage.format import checksum
from ramet.storage.paths import sync_directory

FOLDER, KEYRING = ".ramet", "keys.mdb"
FORMAT_VERSION = 1
KIND = "ramet keyring"

# Address space, not bytes on disk: half a million keys.
MAP_BYTES = 1 << 28

# How long another file at the path may go unnoticed, in seconds. What is committed to the open one is seen at once.
LOOK_S = 0.05

# Attempts to read a file that others exchange or write without LMDB's lock meanwhile.
READ_ATTEMPTS = 100

_META, _KEYS = b"\x01", b"\x02"
_SUM = struct.Struct("<Q")
_TXN = _SUM.unpack_from
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}

# Held while the file is open in LMDB, which refuses to open it twice in one process. A fork waits for it.
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """All keys as one transaction left them. Immutable: the same object as long as nothing was committed."""

    txn: int
    """The transaction; -1 when there is no keyring."""
    entries: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """Id of a key -> what the engine wrote about it."""


NOTHING = Contents(-1, MappingProxyType({}))


class _Known:
    """What was read last, and the file, whose meta pages tell whether it is still the newest.

    They are read and not mapped: a file that somebody cuts off, as `cp` does with what it overwrites, would end the
    process. A descriptor, unlike a handle of LMDB's, may be inherited by a child.
    """

    __slots__ = ("_fd", "_mark", "_place", "contents")

    def __init__(self, fd: int, path: Path, found: os.stat_result, contents: Contents) -> None:
        self._fd = -1
        first, second = (page.slot * page.page_bytes + lmdbfile.TXN_AT for page in lmdbfile.read_metas(fd, path))
        self._place = (second - first + _SUM.size, first)
        self._mark = _mark_of(found)
        self.contents = contents
        self._fd = os.dup(fd)

    def is_at(self, found: os.stat_result) -> bool:
        """Tell whether the file at the path is the one that was read, and was not written by others than LMDB."""
        return _mark_of(found) == self._mark

    def is_newest(self) -> bool:
        """Tell whether nothing was committed to the file since it was read."""
        metas, txn = os.pread(self._fd, *self._place), self.contents.txn
        if len(metas) < self._place[0]:
            return False
        return bool(_TXN(metas)[0] <= txn and _TXN(metas, len(metas) - _SUM.size)[0] <= txn)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _mark_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Keyring:
    """The keyring of a database directory. Any number of them, threads and processes may use one file at once.

    Parameters
    ----------
    directory : Path
        The database directory. Nothing is made before the first key.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory.absolute() / FOLDER / KEYRING
        self._place = os.fspath(self.path)
        self._known: _Known | None = None
        self._looked = 0.0

    def contents(self) -> Contents:
        """Return all keys as they are now, whoever committed last; costs two microseconds when nothing changed.

        A file that was deleted, or put in the place of the one that was read, is noticed within `LOOK_S`.

        Raises
        ------
        CorruptionError, FormatError
            The file is damaged, foreign or of another format version.
        AccessError
            It may not be read.
        """
        known, now = self._known, time.monotonic()
        try:
            if known is not None and now - self._looked < LOOK_S and known.is_newest():
                return known.contents
            found = os.stat(self._place)
            if known is not None and known.is_at(found) and known.is_newest():
                self._looked = now
                return known.contents
            return self._read()
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        except (lmdb.Error, OSError) as error:
            raise translated(error, self.path) from error

    def _read(self) -> Contents:
        with _lock:
            for _ in range(READ_ATTEMPTS):
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    found = os.fstat(fd)
                    contents = _read_whole(fd, self.path)
                    if contents is not None:
                        self._known, self._looked = _Known(fd, self.path, found, contents), 0.0
                        return contents
                finally:
                    os.close(fd)
        raise StorageError(f"{self.path} is exchanged again and again while it is read; try again later")

    def insert(self, key: str, entry: Mapping[str, Any]) -> None:
        """Write a new key; it is on the disk when this returns. Makes the file when it is the first one.

        Raises
        ------
        DuplicateIdError
            There is a key of that id.
        StorageFullError, AccessError, CorruptionError, FormatError
        """

        def work(txn: Any) -> None:
            if not txn.put(_KEYS + key.encode(), _summed(_KEYS + key.encode(), entry), overwrite=False):
                raise DuplicateIdError([key], 1)

        self._write(work, create=True)

    def change(self, key: str, edit: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Replace what is written about a key by what `edit` makes of it, in one transaction; return that.

        Raises
        ------
        MissingError
            There is no key of that id, or no keyring.
        StorageFullError, AccessError, CorruptionError, FormatError
        """
        name = _KEYS + key.encode()

        def work(txn: Any) -> Mapping[str, Any]:
            value = txn.get(name)
            if value is None:
                raise MissingError(f"{self.path} has no key {key!r}")
            entry = edit(_unsummed(name, value, self.path))
            txn.delete(name)  # a smaller value in the place of a larger one looks like damage, see `catalog`
            txn.put(name, _summed(name, entry))
            return entry

        found: Mapping[str, Any] = self._write(work, create=False)
        return found

    def _write(self, work: Callable[[Any], Any], *, create: bool) -> Any:
        try:
            with _lock:
                if create and not self.path.exists():
                    _create(self.path)
                fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    return _written(fd, self.path, work)
                finally:
                    os.close(fd)
        except FileNotFoundError as error:
            raise MissingError(f"there is no keyring at {self.path}; create a key first") from error
        except (lmdb.Error, OSError) as error:
            raise translated(error, self.path) from error


def _open(path: Path, *, readonly: bool, lock: bool = True) -> lmdb.Environment:
    return lmdb.open(
        str(path), subdir=False, map_size=MAP_BYTES, readonly=readonly, lock=lock, create=not readonly, mode=0o600,
        lib_version=0, readahead=False,
    )  # fmt: skip


def _create(path: Path) -> None:
    """Make an empty keyring, which appears whole or not at all; somebody else may be faster."""
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    temporary = path.with_name(f".new-{secrets.token_hex(8)}.mdb")
    try:
        with _open(temporary, readonly=False, lock=False) as environment, environment.begin(write=True) as txn:
            for name, value in (("kind", KIND), ("format_version", FORMAT_VERSION)):
                txn.put(_META + name.encode(), _summed(_META + name.encode(), value))
        with suppress(FileExistsError):
            os.link(temporary, path)  # unlike a rename, it replaces nothing
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)


def _written(fd: int, path: Path, work: Callable[[Any], Any]) -> Any:
    """Do some work in one write transaction of the file that is open as `fd`."""
    _check_file(fd, path)
    with _open(path, readonly=False) as environment:
        environment.reader_check()  # places of processes that died
        with environment.begin(write=True) as txn:
            if not _is_at(fd, path):
                raise MissingError(f"{path} was replaced while it was being written; try again")
            _check_kind(txn, path)
            _check_all(txn, path)
            result = work(txn)
        end = lmdbfile.catalog_end(fd, path)
        if os.fstat(fd).st_size < end:
            with environment.begin(write=True):  # nobody else makes the file longer meanwhile
                end = max(lmdbfile.catalog_end(fd, path), os.fstat(fd).st_size)
                os.ftruncate(fd, end)
    return result


def _read_whole(fd: int, path: Path) -> Contents | None:
    """Read all keys of the file that is open as `fd`; None when it has to be done again."""
    _check_file(fd, path)
    with _readable(path) as (environment, locked):
        before = lmdbfile.read_metas(fd, path)
        with environment.begin() as txn:
            _check_kind(txn, path)
            entries = dict(_scan(txn, path))
            contents = Contents(txn.id(), MappingProxyType(entries))
    if not _is_at(fd, path) or not (locked or lmdbfile.read_metas(fd, path) == before):
        return None
    return contents


@contextmanager
def _readable(path: Path) -> Iterator[tuple[lmdb.Environment, bool]]:
    """Open the file for reading, and tell whether writers see that somebody reads."""
    locked = True
    try:
        environment = _open(path, readonly=True)
    except (lmdb.Error, OSError) as error:
        if (getattr(error, "code", 0) or getattr(error, "errno", 0)) not in _DENIED:
            raise
        environment, locked = _open(path, readonly=True, lock=False), False  # the lock file may not be written
    with environment:
        yield environment, locked


def _check_file(fd: int, path: Path) -> None:
    """Refuse what LMDB would map and then die on: a file that is none of its own, or was cut off.

    A sound file may be shorter than its meta page says when its writer died at the end of a commit.
    """
    end, size = lmdbfile.catalog_end(fd, path), os.fstat(fd).st_size
    if size < end and os.fstat(fd).st_size < end and lmdbfile.structure_problems(path):
        raise CorruptionError(path, "end of file", f"{end} committed bytes", f"{size} bytes")


def _is_at(fd: int, path: Path) -> bool:
    """Tell whether the file at a path, which LMDB opened, is the one that is open as `fd`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _check_kind(txn: Any, path: Path) -> None:
    found = {}
    for name in ("kind", "format_version"):
        value = txn.get(_META + name.encode())
        found[name] = None if value is None else _unsummed(_META + name.encode(), value, path)
    if found["kind"] != KIND:
        raise FormatError(path, "a keyring of Ramet", "an LMDB file without its entries")
    if found["format_version"] != FORMAT_VERSION:
        raise FormatError(path, f"format version {FORMAT_VERSION}", f"format version {found['format_version']}")


def _check_all(txn: Any, path: Path) -> None:
    """See that every entry is what was written: a damaged file is not written to."""
    for _ in _scan(txn, path):
        pass


def _scan(txn: Any, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    cursor = txn.cursor()
    if not cursor.set_range(_KEYS):
        return
    for name, value in cursor.iternext():
        if name[:1] != _KEYS:
            return
        entry = _unsummed(name, value, path)
        if not isinstance(entry, dict):
            raise CorruptionError(path, f"key {name[1:]!r}", "a JSON object", type(entry).__name__)
        yield name[1:].decode(), MappingProxyType(entry)


def _summed(name: bytes, entry: Any) -> bytes:
    content = json.dumps(dict(entry) if isinstance(entry, Mapping) else entry, ensure_ascii=False).encode()
    return _SUM.pack(checksum(name, content)) + content


def _unsummed(name: bytes, value: bytes, path: Path) -> Any:
    """Decode an entry. Its content, which holds the hash of a secret, is never part of an error."""
    content = value[_SUM.size :]
    if len(value) < _SUM.size or _SUM.pack(checksum(name, content)) != value[: _SUM.size]:
        raise CorruptionError(
            path, f"entry {name[1:]!r} of table {name[0]}", "content that matches its checksum", "not"
        )
    return json.loads(content)


def _before_fork() -> None:
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
