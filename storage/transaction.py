"""The life of a write transaction: data files first, made durable, then the LMDB commit that refers to them."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb

from ramet.storage import catalog, lmdbfile, tenants
from ramet.storage.core import Core, committed_ends
from ramet.storage.datafile import DataFile
from ramet.storage.errors import (
    ClosedError,
    CorruptionError,
    ForkError,
    MissingError,
    StorageError,
    WriterBusyError,
    translated,
)
from ramet.storage.extents import Allocator
from ramet.storage.format import CATALOG, ListLayout
from ramet.storage.lock import WriterLock
from ramet.storage.mapping import Mapping
from ramet.storage.reader import CatalogReader
from ramet.storage.registry import close_unused, open_cores

# How long closing waits for a writer that may be just about to make a sync point.
SYNC_REST_WAIT_S = 1.0


class WriteTransaction(CatalogReader):
    """The life of a write transaction, without the operations that `Writer` adds.

    It takes the writer's lock, then LMDB's, and keeps the counters, and which lists of which tenants changed, until the
    commit.
    """

    def __init__(self, core: Core, timeout_s: float) -> None:
        self._core = core
        self._pid = os.getpid()
        self._txn: Any = None
        self._failed: BaseException | None = None
        self._committing = False
        self._swap: Callable[[], None] | None = None
        self._files: dict[str, DataFile] = {}
        self._mappings: dict[str, Mapping] = {}
        core.check_current()  # no lock file in somebody else's directory
        self._lock = WriterLock(core.path, timeout_s)
        core.writer = self
        try:
            self._begin()
        except BaseException:
            self.abort()
            raise

    def _begin(self) -> None:
        core = self._core
        if core.closed:  # by another thread, before it could see this writer
            raise ClosedError(f"collection {core.path.name!r} ({core.path})")
        try:
            if core.sync_points is not None:
                core.check_current()
                core.sync_points.begin(core)
            self._txn = core.env.begin(write=True)
            self._before = self._header = catalog.read_header(self._txn, core.path)
            self._open_files()
            if catalog.is_superseded(self._txn):  # by a compaction that died: this directory is still the current one
                self._txn.delete(catalog.META + catalog.SUPERSEDED.encode())
        except (lmdb.Error, OSError) as error:
            raise translated(error, core.path) from error
        self._allocator = Allocator(core.env, self._txn, self._header.end_page)
        self._changed: dict[int, set[int]] = {}
        self._moved: dict[int, set[int]] = {}

    def _open_files(self) -> None:
        """Open the data files by their paths, once sure that they belong to the catalog that is open."""
        core, opened = self._core, dict[str, DataFile]()
        try:
            for name in committed_ends(self._header, core.vector_bytes):
                try:
                    opened[name] = DataFile(core.path / name)
                except FileNotFoundError as error:
                    core.check_current()
                    raise CorruptionError(core.path / name, "the whole file", "a file", "none") from error
            core.check_current()  # only now: a directory replaced before the files were opened is noticed
            for name, end in committed_ends(self._header, core.vector_bytes).items():
                opened[name].check_owner(self._header.collection)
                opened[name].check_size(end)
        except BaseException:
            for file in opened.values():
                file.close()
            raise
        self._files = opened  # from here on an abort may cut them

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            return  # the parent entered this block before a fork: the transaction is the parent's
        if kind is None:
            self.commit()
        else:
            self.abort()

    def __del__(self) -> None:
        if getattr(self, "_lock", None) is not None and self._pid == os.getpid():
            self.abort()

    def commit(self) -> None:
        """Make everything durable and visible, and end the writer.

        Raises
        ------
        StorageFullError
            No room; the last committed state is untouched.
        StorageError
            An earlier step failed, so there is nothing sound to commit.
        """
        txn = self._reading()
        if self._failed is not None:
            self.abort()
            raise StorageError(f"an earlier step of this writer failed and was rolled back: {self._failed}")
        try:
            self._save_counters(txn)
            self._allocator.save()
            self._finish(txn)
            lmdbfile.extend_to_end(self._core.fds[CATALOG], self._core.path / CATALOG)
            if self._swap is not None:
                self._swap()
            elif self._core.sync_points is not None and (self._core.sync_points.due() or not self._core.handles):
                self.sync()
        except (lmdb.Error, OSError) as error:
            raise translated(error, self._core.path) from error
        finally:
            self.abort()

    def _finish(self, txn: Any) -> None:
        points = self._core.sync_points
        if points is None:
            for file in self._files.values():
                file.sync()
        else:
            points.committing(txn.id())
        # From here on the outcome is LMDB's: nothing may be cut off the files, even when it reports an error.
        self._committing = True
        try:
            txn.commit()
        except BaseException:
            if points is not None:
                points.failed()
            raise
        self._txn = None

    def sync(self) -> None:
        """Make a sync point of what was committed, when commits of this collection do not wait for the disk."""
        if self._core.sync_points is not None:
            try:
                self._core.sync_points.make(self._core)
            except (lmdb.Error, OSError) as error:
                raise translated(error, self._core.path) from error

    def supersede(self, swap: Callable[[], None]) -> None:
        """Commit that another directory takes the place of this one, and let it do so before the lock is given free.

        Readers of this directory look at its path from then on; see `Store.read`.
        """
        with self._step(CATALOG) as txn:
            catalog.put_json(txn, catalog.SUPERSEDED, True)
        self._swap = swap
        self.commit()

    def abort(self) -> None:
        """Roll everything back and end the writer. Does nothing when it has ended."""
        txn, self._txn = self._txn, None
        if txn is not None:
            txn.abort()
        if self._files and not self._committing and hasattr(self, "_before"):
            ends = committed_ends(self._before, self._core.vector_bytes)
            for name, file in self._files.items():
                with suppress(OSError):
                    file.cut(ends[name])
        while self._files:
            self._files.popitem()[1].close()
        if self._core.writer is self:
            self._core.writer = None
        self._lock.release()
        if not self._core.handles:
            close_unused(self._core)

    def abandon(self) -> None:
        """Close the files that a forked child inherited; everything else is the parent's."""
        while self._files:
            self._files.popitem()[1].close()
        self._lock.abandon()

    def _save_counters(self, txn: Any) -> None:
        self._header = replace(self._header, end_page=self._allocator.end_page)
        catalog.write_header(txn, self._header, self._before)
        for number, cells in self._changed.items():
            member = self.member(number)
            if member is not None:
                moved = sorted(self._moved.get(number, ()))
                self._put_member(txn, tenants.write_log(txn, member, sorted(cells), moved, txn.id()))

    def _put_member(self, txn: Any, member: tenants.Member) -> None:
        """Store what the catalog keeps of a tenant."""
        key = catalog.MEMBERS + catalog.U32_KEY.pack(member.number)
        catalog.put_summed(txn, key, tenants.encode_member(member))

    @property
    def touched(self) -> set[int]:
        """Numbers of the tenants that this transaction has changed so far."""
        return set(self._changed)

    def touch(self, tenant: int, moved: Iterable[int] = ()) -> None:
        """Let readers look at a tenant again after this transaction, though none of its lists may have changed.

        Parameters
        ----------
        tenant : int
        moved : iterable of int
            Cells of the tenant whose payload this transaction replaced.
        """
        self._touch(tenant)
        self._moved.setdefault(tenant, set()).update(moved)

    def _touch(self, tenant: int, cells: Iterable[int] = ()) -> None:
        """Take note that a tenant changes, and which of its lists."""
        self._changed.setdefault(tenant, set()).update(cells)

    @contextmanager
    def _step(self, file: str) -> Iterator[Any]:
        """Yield the transaction for a change whose arguments are checked; a failure in it is for good."""
        txn = self._reading()
        if self._failed is not None:
            raise StorageError(f"an earlier step of this writer failed, roll it back: {self._failed}")
        try:
            yield txn
        except (lmdb.Error, OSError) as error:
            self._failed = translated(error, self._core.path / file)
            raise self._failed from error
        except BaseException as error:
            self._failed = error
            raise

    def _reading(self) -> Any:
        if self._pid != os.getpid():
            raise ForkError("this writer belongs to the parent process; begin another one with Store.write() here")
        if self._txn is None:
            raise ClosedError("this writer")
        return self._txn

    def _place(self) -> tuple[Path, ListLayout, int, int]:
        core = self._core
        return core.path, core.layout, self._allocator.end_page, core.cell_bytes

    @property
    def path(self) -> Path:
        """The collection directory."""
        return self._core.path

    @property
    def txn_id(self) -> int:
        """Number of this transaction: what `Member.changed` says of the tenants that it changes."""
        number: int = self._reading().id()
        return number

    @property
    def n_rows(self) -> int:
        """Row numbers given out so far, this writer's included."""
        return self._header.n_rows

    @property
    def n_live(self) -> int:
        """Records that exist, this writer's included."""
        return self._header.n_live

    @property
    def end_page(self) -> int:
        """Pages of postings.bin in use, this writer's included."""
        return self._allocator.end_page

    def mapping(self, name: str, end: int) -> Mapping:
        """Return a mapping of a data file that reaches `end`, what this writer wrote included."""
        known = self._mappings.get(name)
        if known is None:
            state = self._core.state
            known = None if state is None else state.mappings.get(name)
        if known is None or known.length < end:
            known = Mapping(self._core.fds[name], self._core.path / name, end)
        self._mappings[name] = known
        return known


def sync_rest(core: Core) -> None:
    """Make a sync point when this process committed something after the last one, before it lets go of a core.

    Raises
    ------
    StorageError
        The disk reports an error.
    """
    points = core.sync_points
    if points is None or not points.behind or core.forked or core.closed or core.writer is not None:
        return  # a writer at work makes one when it finds that no store is left
    # Whoever writes now has made one before its first change; a directory that is gone needs none.
    with suppress(WriterBusyError, MissingError, ClosedError):
        writer = WriteTransaction(core, SYNC_REST_WAIT_S)
        try:
            writer.sync()
        finally:
            writer.abort()


def _sync_at_exit() -> None:
    for core in open_cores():
        with suppress(StorageError):
            sync_rest(core)


atexit.register(_sync_at_exit)
