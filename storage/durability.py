"""What a power loss may take: nothing that was committed, or what was committed after the last sync point.

A collection with the durability "batch" does not wait for the disk at every commit. At a *sync point* all files are
made durable, and then `synced.meta` names the state: it holds the meta page with which LMDB finds it. Until the next
sync point nothing that this state refers to is overwritten, because the process that writes holds a read transaction
on it. A process that did not make the last sync point itself makes one before it changes anything: whoever held that
transaction may be dead.

After a restart of the machine, which the kernel's boot id tells, the catalog's meta pages may refer to pages that never
came to the disk. Then opening puts the state in `synced.meta` back.
"""

import os
import struct
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from ramet.storage import lmdbfile
from ramet.storage.errors import (
    AccessError,
    CorruptionError,
    FormatError,
    ReadOnlyError,
    StorageError,
    replaced,
    translated,
)
from ramet.storage.format import CATALOG, FORMAT_VERSION, checksum
from ramet.storage.lock import WriterLock

if TYPE_CHECKING:
    from ramet.storage.core import Core

SYNCED = "synced.meta"

# Commits that a power loss may take are at most this old when the next commit comes, in seconds.
SYNC_INTERVAL_S = 1.0

# How long opening waits for whoever is putting the state back already.
RECOVER_WAIT_S = 10.0

_MAGIC = b"RAMETSYN"
_HEAD = struct.Struct("<8sI16sQI")  # magic, format version, boot id, transaction, bytes of the meta page that follows
_SUM = struct.Struct("<Q")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPoint:
    """Content of `synced.meta`."""

    boot: bytes
    """Id of the boot of the machine that wrote it, 16 bytes."""
    txn: int
    """Transaction of the state."""
    page: bytes
    """LMDB's meta page of the state."""

    def packed(self) -> bytes:
        """Return the bytes of the file."""
        head = _HEAD.pack(_MAGIC, FORMAT_VERSION, self.boot, self.txn, len(self.page))
        return head + self.page + _SUM.pack(checksum(head, self.page))


def boot_id() -> bytes:
    """Return the 16 bytes that the kernel chose when the machine was started.

    Raises
    ------
    StorageError
        The kernel does not tell.
    """
    try:
        return uuid.UUID(Path(_BOOT_ID).read_text("ascii").strip()).bytes
    except (OSError, ValueError) as error:
        raise StorageError(f"{_BOOT_ID} cannot be read: {error}; use the durability 'commit' here") from error


def read_sync_point(path: Path) -> SyncPoint | None:
    """Read `synced.meta` of a collection directory; None when there is none.

    Raises
    ------
    CorruptionError, FormatError, AccessError
    """
    file = path / SYNCED
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise translated(error, file) from error
    if len(content) < _HEAD.size + _SUM.size or _SUM.pack(checksum(content[: -_SUM.size])) != content[-_SUM.size :]:
        raise CorruptionError(file, "the whole file", "content that matches its checksum", f"{len(content)} bytes")
    magic, version, boot, txn, n_bytes = _HEAD.unpack_from(content)
    page = content[_HEAD.size : -_SUM.size]
    if magic != _MAGIC or version != FORMAT_VERSION or len(page) != n_bytes:
        raise FormatError(file, f"a sync point of version {FORMAT_VERSION}", f"{magic!r}, version {version}")
    return SyncPoint(boot=boot, txn=txn, page=page)


def _write_sync_point(path: Path, key: tuple[int, int], point: SyncPoint) -> None:
    """Write `synced.meta` into the directory whose catalog has this device and inode, in one durable step."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.stat(CATALOG, dir_fd=directory)
        if (found.st_dev, found.st_ino) != key:
            raise replaced(path)  # never name a state to a directory that does not hold it
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(f"{SYNCED}.new", flags, 0o644, dir_fd=directory)
        try:
            os.pwrite(file, point.packed(), 0)
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(f"{SYNCED}.new", SYNCED, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)


def recover(path: Path) -> None:
    """Put the state of the last sync point back when the machine was restarted since, and something newer is there.

    Costs a look for a file when there never was a sync point. Nobody has the collection open when something has to be
    put back: whoever opened it since the restart has done it.

    Raises
    ------
    AccessError
        That is to be done, and the files may not be written.
    CorruptionError, FormatError
        `synced.meta` is damaged, or the catalog does not hold the state.
    WriterBusyError
    """
    if not _is_left_behind(path):
        return
    try:
        lock = WriterLock(path, RECOVER_WAIT_S)
    except ReadOnlyError as error:
        reason = "it has to be put back to its last sync point after a restart of the machine, by a user who may write"
        raise AccessError(path, reason) from error
    try:
        point = read_sync_point(path)
        if point is not None and _is_left_behind(path):
            _put_back(path, point)
    except OSError as error:
        raise translated(error, path / CATALOG) from error
    finally:
        lock.release()


def _is_left_behind(path: Path) -> bool:
    """Tell whether a state that may never have come to the disk is the newest one in the catalog."""
    point = read_sync_point(path)
    if point is None or point.boot == boot_id():
        return False
    try:
        with open(path / CATALOG, "rb") as file:
            return not lmdbfile.is_newest(file.fileno(), path / CATALOG, point.txn, point.page)
    except FileNotFoundError:
        return False  # opening says what is missing
    except OSError as error:
        raise translated(error, path / CATALOG) from error
    except (CorruptionError, FormatError):
        return True  # meta pages that make no sense are what is to be replaced


def _put_back(path: Path, point: SyncPoint) -> None:
    with open(path / CATALOG, "rb+") as file:
        lmdbfile.write_metas(file.fileno(), point.page, point.txn)
        end, size = lmdbfile.catalog_end(file.fileno(), path / CATALOG), os.fstat(file.fileno()).st_size
        if size < end:
            raise CorruptionError(path / CATALOG, "end of file", f"{end} synced bytes", f"{size} bytes")
        os.fsync(file.fileno())
        found = os.fstat(file.fileno())
    fresh = SyncPoint(boot=boot_id(), txn=point.txn, page=point.page)
    _write_sync_point(path, (found.st_dev, found.st_ino), fresh)


class SyncPoints:
    """The sync points that this process makes in a collection. Every method but `note` needs the writer's lock.

    While commits are not synced, a read transaction pins the last sync point: LMDB's pages and extents of the posting
    file that it refers to are not given out again. It need not outlive the next sync point, and may be dropped early:
    a process without one makes a sync point before it changes anything.

    Attributes
    ----------
    synced : int
        Transaction of the last one, -1 before the first.
    committed : int
        Newest transaction that this process committed, or found covered when it began.
    behind : bool
        Something that this process committed may not be on the disk.
    """

    def __init__(self) -> None:
        self.synced = -1
        self.committed = -1
        self.behind = False
        self._made_at = 0.0
        self._pin: Any = None

    def begin(self, core: "Core") -> None:
        """See that what is written from now on overwrites nothing of the last sync point."""
        pin = core.env.begin()
        newest: int = pin.id()
        if self._pin is not None and newest == self.committed:
            pin.abort()  # nobody else wrote since
            return
        try:
            if newest != self.synced:  # somebody else wrote, and may not live any more
                self._make(core, newest)
        except BaseException:
            pin.abort()
            raise
        with core.lock:  # so that `note` does not take the new one for the old one
            self.drop()
            self._pin, self.committed = pin, newest

    def committing(self, txn: int) -> None:
        """Take note of the transaction that is about to be committed."""
        self.committed, self.behind = txn, True

    def failed(self) -> None:
        """Take note that nobody knows whether the last commit took place."""
        self.drop()

    def due(self) -> bool:
        """Tell whether the last sync point is so long ago that another one has to be made."""
        return time.monotonic() - self._made_at > SYNC_INTERVAL_S

    def make(self, core: "Core") -> None:
        """Make everything that was committed durable. Waits for the disk."""
        with core.env.begin() as txn:
            newest: int = txn.id()
            if newest != self.synced:
                self._make(core, newest)
        with core.lock:
            self.drop()

    def _make(self, core: "Core", newest: int) -> None:
        lmdbfile.extend_to_end(core.fds[CATALOG], core.path / CATALOG)  # its writer may have died before
        for fd in core.fds.values():
            os.fdatasync(fd)  # what other processes wrote, too
        page = lmdbfile.meta_page(core.fds[CATALOG], core.path / CATALOG, newest)
        _write_sync_point(core.path, core.key, SyncPoint(boot=boot_id(), txn=newest, page=page))
        self.synced, self.behind, self._made_at = newest, False, time.monotonic()

    def note(self, newest: int) -> None:
        """Take note of a state that a reader sees. When it is another process's, that one has synced ours before.

        The caller holds the core's lock.
        """
        if newest > self.committed:
            self.behind = False
            self.drop()

    def drop(self) -> None:
        """Pin nothing any more."""
        pin, self._pin = self._pin, None
        if pin is not None:
            with suppress(lmdb.Error):  # its environment is closed
                pin.abort()
