"""A collection directory, opened."""

import os
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from ramet.storage import catalog
from ramet.storage.core import Core
from ramet.storage.errors import ClosedError, ExistsError, MissingError, ReadOnlyError, translated
from ramet.storage.format import (
    CATALOG,
    POSTINGS,
    ROWS,
    VECTORS,
    WRITER_LOCK,
    ListLayout,
    check_byte_order,
    check_settings,
    pack_header,
)
from ramet.storage.paths import check_parent, check_path, is_taken, sync_directory, temporary_beside
from ramet.storage.registry import acquire, registry_lock, release, successor, usable_core
from ramet.storage.snapshot import Snapshot, end_reading
from ramet.storage.transaction import sync_rest
from ramet.storage.writer import Writer

DEFAULT_TIMEOUT_S = 10.0


class Store:
    """One open collection directory. Made by `create` and `open`; a context manager; usable by many threads.

    Stores on one directory share their files within a process. After a fork, a store of the parent may be used in
    the child too (see `registry`).
    """

    def __init__(self, core: Core) -> None:
        self._core: Core | None = core
        self.path = core.path
        self.settings: dict[str, Any] = dict(core.settings)
        self.layout: ListLayout = core.layout

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> "Store":
        """Make an empty collection and open it.

        It is built in a temporary directory beside the target and renamed, so it appears whole or not at all.

        Parameters
        ----------
        path : Path
            Directory that does not exist yet or is empty; its parents are made as needed.
        settings : mapping
            Kept as JSON. Storage itself reads ``n_factors``, ``code_bytes`` (see `ListLayout`), ``cell_bytes`` (bytes
            of payload per cell), ``vector_bytes`` (bytes of a row of vectors.bin, 0 for none) and ``durability``:
            "commit" (what it is without one; a commit is on the disk when it returns) or "batch" (at the next sync
            point, see docs/durability.md).

        Raises
        ------
        ExistsError
            Something is there already.
        ValueError
            A size is missing in the settings or negative, or there is no such durability.
        AccessError, StorageFullError
        StorageError
            No directory can have that path.
        """
        path = Path(path).absolute()
        check_byte_order(path)
        check_path(path)
        checked = check_settings(settings)
        if is_taken(path):
            raise ExistsError(path)
        temporary = temporary_beside(path)
        try:
            check_parent(path)
            _build(temporary, checked)
            os.rename(temporary, path)
            sync_directory(path.parent)
        except FileExistsError as error:
            raise ExistsError(path) from error
        except (OSError, lmdb.Error) as error:
            if isinstance(error, OSError) and is_taken(path):
                raise ExistsError(path) from error  # somebody else was faster
            raise translated(error, path) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open a collection. The cost does not depend on its size, and no lock is taken that a writer might hold.

        Raises
        ------
        MissingError
            There is no collection at the path.
        FormatError
            A file is foreign or of another format version.
        CorruptionError
            A file is missing or shorter than what was committed.
        AccessError
            The files may not be read.
        StorageError
            No directory can have that path.
        """
        return cls(acquire(Path(path)))

    @property
    def read_only(self) -> bool:
        """The files may not be written; `write` raises `ReadOnlyError`."""
        return self._usable().read_only

    def _usable(self) -> Core:
        core = self._core
        if core is None:
            raise self._closed()
        if core.barrier:
            core = self._core = usable_core(core)
        return core

    def _closed(self) -> ClosedError:
        return ClosedError(f"collection {self.path.name!r} ({self.path})")

    def is_current(self) -> bool:
        """Tell whether the collection at the path is still the one that is open here; costs one stat(2).

        False when somebody deleted, moved or replaced the directory, and for a closed store. Then reads still answer
        from the files that are open, and `write` raises `MissingError`. A compaction replaces nothing in this sense:
        the store goes over to the new directory.
        """
        core = self._core
        return core is not None and (core.is_current() or self._follow(core))

    def read(self) -> Snapshot:
        """Return a snapshot of the newest committed state. Costs about a microsecond when nothing changed.

        A state that is superseded is read only when nothing else is at the path: the compaction that left the note has
        not exchanged the directories yet, or died before. Every other state needs no look at the path.

        Raises
        ------
        CorruptionError
            A data file became shorter than what was committed.
        ClosedError
            This store was closed, maybe by another thread at this moment.
        ForkError
            See `registry`.
        """
        while True:
            core = self._core
            try:
                snapshot = self._snapshot()
            except ClosedError:
                if not self._went_over(core):
                    raise
            else:
                return self._newer(snapshot) if snapshot.is_superseded else snapshot

    def _newer(self, snapshot: Snapshot) -> Snapshot:
        """Exchange a snapshot of a superseded directory for one of the directory that took its place, if one did."""
        while snapshot.is_superseded and not snapshot.core.is_current():
            core = snapshot.core
            snapshot.close()  # a fork under way waits for it, and holds the lock that following takes
            if not self._follow(core):
                return self._snapshot()
            snapshot = self.read()
        return snapshot

    def _went_over(self, core: Core | None) -> bool:
        """Tell whether another thread has gone over to a new directory, and so closed the core that was used here."""
        return self._core is not core and self._core is not None

    def _follow(self, core: Core) -> bool:
        """Go over to the directory that a compaction put in the place of this one; tell whether one did."""
        with registry_lock():  # nobody else hands over or closes meanwhile
            if self._core is not core:
                return self._went_over(core)
            fresh = successor(core)
            if fresh is None:
                return False
            self._core = fresh
            release(core)
            return True

    def _snapshot(self) -> Snapshot:
        core = self._core
        if core is None or core.barrier:
            core = self._usable()
        token, txn = object(), None
        try:
            core.reading.add(token)  # from here on nobody closes the core, unless somebody did before
            if core.closed:
                raise self._closed()
            try:
                txn = core.env.begin()
            except lmdb.Error as error:
                txn = _begin_again(core, error)
            state = core.state
            if state is None or txn.id() != state.txn_id:
                state = core.refreshed(txn)
            return Snapshot(core, token, txn, state)
        except BaseException as error:
            end_reading(core, token, txn)
            if isinstance(error, (lmdb.Error, OSError)):
                raise translated(error, self.path / CATALOG) from error
            raise

    def write(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Writer:
        """Begin to write: returns a context manager that commits on a clean exit and else rolls everything back.

        Parameters
        ----------
        timeout_s : float
            How long to wait for another writer, in seconds.

        Raises
        ------
        WriterBusyError
            Another thread or process was writing all that time.
        ReadOnlyError
            The files may not be written.
        MissingError
            Somebody deleted or replaced the directory since it was opened.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            core = self._usable()
            if core.read_only:
                raise ReadOnlyError(self.path)
            try:
                return Writer(core, max(deadline - time.monotonic(), 0.0))
            except (MissingError, ClosedError):
                if not self._follow(core):
                    raise

    def flush(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until everything that was committed, by whomever, is on the disk.

        Does nothing when every commit waits for the disk.

        Parameters
        ----------
        timeout_s : float
            How long to wait for another writer, in seconds.

        Raises
        ------
        WriterBusyError, ReadOnlyError, MissingError
            As `write`.
        StorageError
            The disk reports an error.
        """
        if self.settings.get("durability") != "batch":
            return
        writer = self.write(timeout_s)
        try:
            writer.sync()
        finally:
            writer.abort()

    def close(self) -> None:
        """Close this store. Snapshots taken from it stay valid until they are closed. May be called twice.

        What this process committed is on the disk then.
        """
        core = self._core
        try:
            if core is not None:
                sync_rest(core)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with registry_lock():
            core, self._core = self._core, None
            if core is not None and not core.forked:
                release(core)

    def __del__(self) -> None:
        if getattr(self, "_core", None) is not None:
            self.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _begin_again(core: Core, error: lmdb.Error) -> Any:
    """Begin a read transaction after a failure, once the places of dead processes have been cleared.

    The place of a spare transaction may be gone as well (seen once, after a fork in the middle of a compaction): then
    LMDB has dropped that transaction, and the next one takes a new place.
    """
    if isinstance(error, (lmdb.ReadersFullError, lmdb.BadRslotError)):
        core.env.reader_check()
        try:
            return core.env.begin()
        except lmdb.Error as again:
            error = again
    raise translated(error, core.path / CATALOG) from error


def _build(directory: Path, settings: dict[str, Any]) -> None:
    """Write the files of an empty collection into a new directory and sync them."""
    directory.mkdir()
    environment = catalog.open_environment(directory)
    try:
        with environment.begin(write=True) as txn:
            collection = catalog.write_new_meta(txn, settings, _release())
    finally:
        environment.close()
    names = [POSTINGS, ROWS, *([VECTORS] if settings["vector_bytes"] else [])]
    for name in names:
        with open(directory / name, "xb") as file:
            file.write(pack_header(name, collection))
            file.flush()
            os.fsync(file.fileno())
    (directory / WRITER_LOCK).touch()
    sync_directory(directory)


def _release() -> str:
    try:
        return version("ramet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
