"""One open collection directory: environment, open files and the newest decoded state.

A process holds one `Core` per directory (see `registry`), because LMDB refuses to open a file twice in one process.
The registry closes it when the last store, snapshot and writer is gone.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import numpy as np
import numpy.typing as npt

from ramet.storage import catalog, lmdbfile
from ramet.storage.durability import SyncPoints, recover
from ramet.storage.errors import (
    CorruptionError,
    MissingError,
    StorageError,
    replaced,
    translated,
)
from ramet.storage.format import (
    CATALOG,
    HEADER_USED,
    PAGE_BYTES,
    POSTINGS,
    ROWS,
    VECTORS,
    ListLayout,
    check_byte_order,
    check_header,
)
from ramet.storage.lock import WriterLock
from ramet.storage.mapping import Mapping
from ramet.storage.paths import check_path

# How long opening a catalog that looks too short waits for the writer that may be about to lengthen it.
SHORT_CATALOG_WAIT_S = 1.0

if TYPE_CHECKING:
    from ramet.storage.transaction import WriteTransaction


class State:
    """What one committed transaction says, decoded, with the mappings that reach everything in it. Immutable."""

    __slots__ = (
        "has_documents",
        "has_long_ids",
        "has_metadata",
        "has_tokens",
        "header",
        "mappings",
        "slots",
        "superseded",
        "txn_id",
        "vectors",
    )

    def __init__(self, txn: Any, header: catalog.Header, mappings: dict[str, Mapping], vector_bytes: int) -> None:
        self.txn_id: int = txn.id()
        self.header = header
        self.superseded = catalog.is_superseded(txn)
        self.has_long_ids = not catalog.range_is_empty(txn, catalog.LONG_IDS)
        self.has_documents = not catalog.range_is_empty(txn, catalog.DOCUMENTS)
        self.has_metadata = not catalog.range_is_empty(txn, catalog.METADATA)
        self.has_tokens = not catalog.range_is_empty(txn, catalog.TOKENS)
        self.mappings = mappings
        self.slots = _rows_view(mappings[ROWS], header.n_rows, header.id_width)
        self.vectors = _rows_view(mappings[VECTORS], header.n_rows, vector_bytes) if VECTORS in mappings else None


def _rows_view(mapping: Mapping, n_rows: int, stride: int) -> npt.NDArray[Any]:
    """Return committed rows as a read-only array of opaque items, shape (n_rows,), itemsize `stride`."""
    if not n_rows or not stride:
        return np.empty(0, dtype=f"V{max(stride, 1)}")
    return mapping.bytes(PAGE_BYTES, n_rows * stride).view(f"V{stride}")


def committed_ends(header: catalog.Header, vector_bytes: int) -> dict[str, int]:
    """Return the committed bytes of each data file."""
    ends = {POSTINGS: header.end_page * PAGE_BYTES, ROWS: PAGE_BYTES + header.n_rows * header.id_width}
    if vector_bytes:
        ends[VECTORS] = PAGE_BYTES + header.n_rows * vector_bytes
    return ends


class Core:
    """The shared inside of all stores on one directory.

    Attributes
    ----------
    barrier : bool
        A fork is under way, or this process is a child forked after the core was made: `Store` has to ask for
        `usable_core` before it begins a transaction.
    handles : int
        Stores on this core; changed by the registry only.
    reading : set
        A token for each open snapshot, and for each that is about to begin.
    writer : WriteTransaction or None
        The writer at work in this process.
    closed : bool
        Closed, or being closed by `registry.close_unused`: whoever entered itself into `reading` or `writer` and then
        finds this set has to go away again.
    key : tuple of int
        Device and inode of the open catalog.
    collection : bytes
        Random name of the collection, which a compaction keeps.
    state : State or None
        Newest state decoded so far.
    sync_points : SyncPoints or None
        What a power loss may take; None when every commit waits for the disk.
    """

    def __init__(self, path: Path) -> None:
        check_byte_order(path)
        self.path = path
        self.barrier = False
        self.forked = False
        self.closed = False
        self.key = (0, 0)
        self.handles = 0
        self.reading: set[Any] = set()
        self.writer: WriteTransaction | None = None
        self.state: State | None = None
        self.lock = threading.RLock()
        self.fds: dict[str, int] = {}
        self.env: Any = None
        self.sync_points: SyncPoints | None = None
        try:
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, (lmdb.Error, OSError)):
                raise translated(error, path / CATALOG) from error
            raise

    def _open(self) -> None:
        self.fds[CATALOG] = open_file(self.path / CATALOG)
        opened = os.fstat(self.fds[CATALOG])
        self.key = (opened.st_dev, opened.st_ino)
        recover(self.path)
        check_catalog_size(self.fds[CATALOG], self.path / CATALOG)
        self.read_only, lock = _rights(self.path)
        self.env = catalog.open_environment(self.path, readonly=self.read_only, lock=lock)
        with self.env.begin() as txn:
            self.settings = catalog.read_settings(txn, self.path)
            header = catalog.read_header(txn, self.path)
        if self.settings.get("durability") == "batch" and not self.read_only:
            self.sync_points = SyncPoints()
            self.env.close()  # LMDB has to know from the start that a commit does not wait for the disk
            self.env = catalog.open_environment(self.path, sync=False)
        self.collection = header.collection
        self.vector_bytes: int = self.settings["vector_bytes"]
        self.cell_bytes: int = self.settings["cell_bytes"]
        self.layout = ListLayout(n_factors=self.settings["n_factors"], code_bytes=self.settings["code_bytes"])
        for name in committed_ends(header, self.vector_bytes):
            self.fds[name] = open_file(self.path / name)
            check_header(self.path / name, name, os.pread(self.fds[name], HEADER_USED, 0), header.collection)
        self.check_current()  # LMDB opened the catalog by its path, too
        with self.env.begin() as txn:
            self.refreshed(txn)

    def is_current(self) -> bool:
        """Tell whether the catalog at the path is still the file that is open here; costs one stat(2)."""
        try:
            found = os.stat(f"{self.path}/{CATALOG}")  # a Path would take as long as the call
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.key

    def check_current(self) -> None:
        """Raise `MissingError` when somebody deleted or replaced the directory since it was opened."""
        if not self.is_current():
            raise replaced(self.path)

    def is_superseded(self) -> bool:
        """Tell whether the newest state says that a compaction has put another directory in the place of this one."""
        try:
            with self.env.begin() as txn:
                return catalog.is_superseded(txn)
        except lmdb.Error:
            return False  # then it counts as replaced by somebody else

    def refreshed(self, txn: Any) -> State:
        """Decode the state that `txn` sees and remember it when it is the newest.

        Raises
        ------
        CorruptionError
            A data file is shorter than committed, or the counters make no sense.
        """
        header = catalog.read_header(txn, self.path)
        ends = committed_ends(header, self.vector_bytes)
        with self.lock:
            known = self.state
            # A transaction older than the known state takes nothing from it: a state reaches its own past only.
            mappings = {} if known is None or known.txn_id > txn.id() else dict(known.mappings)
            for name, end in ends.items():
                size = os.fstat(self.fds[name]).st_size
                if size < end:
                    raise CorruptionError(self.path / name, "end of file", f"{end} committed bytes", f"{size} bytes")
                if name not in mappings or mappings[name].length < end:
                    mappings[name] = Mapping(self.fds[name], self.path / name, size)
            state = State(txn, header, mappings, self.vector_bytes)
            if known is None or state.txn_id > known.txn_id:
                self.state = state
                if self.sync_points is not None:
                    self.sync_points.note(state.txn_id)
        return state

    def close(self) -> None:
        """Close the environment and the files. Nobody may use the core or anything made by it afterwards."""
        self.closed = True
        if self.sync_points is not None:
            self.sync_points.drop()
        if self.env is not None:
            self.env.close()
            self.env = None
        while self.fds:
            os.close(self.fds.popitem()[1])


def open_file(path: Path) -> int:
    """Open a data file for reading.

    Raises
    ------
    CorruptionError
        It is missing.
    AccessError
        It may not be read.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CorruptionError(path, "the whole file", "a file", "none") from error
    except OSError as error:
        raise translated(error, path) from error


def check_catalog_size(fd: int, path: Path) -> None:
    """Refuse a truncated LMDB file, which LMDB itself would map and then die on.

    Raises
    ------
    CorruptionError
        Shorter than its newest meta page says. The meta page is read first: a live writer only makes the file longer.
    """
    end = lmdbfile.catalog_end(fd, path)
    if os.fstat(fd).st_size < end:
        _settle_short_catalog(fd, path)


def _settle_short_catalog(fd: int, path: Path) -> None:
    """Tell a truncated catalog from one whose writer died between its commit and `lmdbfile.extend_to_end`."""
    lock: WriterLock | None = None
    with suppress(StorageError):  # busy, or no right to it, or no locks here: reading needs none
        lock = WriterLock(path.parent, SHORT_CATALOG_WAIT_S)
    try:
        end, size = lmdbfile.catalog_end(fd, path), os.fstat(fd).st_size
        if size >= end:
            return  # a live writer has just done it
        if lmdbfile.structure_problems(path):
            raise CorruptionError(path, "end of file", f"{end} committed bytes", f"{size} bytes")
        if lock is not None:
            lmdbfile.extend_to_end(fd, path)
    finally:
        if lock is not None:
            lock.release()


def _rights(path: Path) -> tuple[bool, bool]:
    """Return (read-only, LMDB's lock file can be used) for a collection directory."""
    read_only = not os.access(path / CATALOG, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    try:
        os.close(os.open(f"{path / CATALOG}-lock", os.O_RDWR | os.O_CLOEXEC | (0 if read_only else os.O_CREAT), 0o644))
    except OSError:
        return True, False  # without the lock file two writers could not see each other's readers
    return read_only, True


def check_directory(path: Path) -> tuple[int, int]:
    """Return (device, inode) of the catalog in a collection directory.

    Raises
    ------
    MissingError
        No directory there, or no catalog in it.
    AccessError
        The directory may not be looked into.
    StorageError
        No directory can have that path.
    """
    check_path(path)
    try:
        found = os.stat(path / CATALOG)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"there is no collection at {path}; create it, or check the path") from error
    except OSError as error:
        raise translated(error, path) from error
    return found.st_dev, found.st_ino
