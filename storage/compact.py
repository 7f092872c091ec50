"""Writing a collection anew with only what lives: no deleted row, no free page, rows numbered densely.

The new directory is built beside the old one under the writer's lock, and put in its place in one step. Readers go
on meanwhile. What tells them without a look at the path for every read is the last commit of the old directory: it
says that the directory is superseded, and from then on a reader compares its files with those at the path.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt

from ramet.storage.compact_catalog import write_collection
from ramet.storage.compact_files import Source
from ramet.storage.errors import StorageError, translated
from ramet.storage.format import WRITER_LOCK
from ramet.storage.lock import WriterLock
from ramet.storage.paths import sync_directory
from ramet.storage.renumber import CellOrder, numbered
from ramet.storage.store import DEFAULT_TIMEOUT_S, Store
from ramet.storage.swap import candidate_beside, exchange, place_of, sweep
from ramet.storage.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did."""

    n_bytes_before: int
    """Bytes of all files before."""
    n_bytes_after: int
    """Bytes of all files afterwards."""
    n_rows_before: int
    """Row numbers in use before."""
    n_rows_after: int
    """Row numbers in use afterwards: one for each record."""


def compact(
    store: Store, *, cell_order: npt.NDArray[np.uint32] | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
) -> CompactReport:
    """Write a collection anew: what was deleted is gone from its files, lists lie side by side, rows are dense.

    Rows get new numbers: by owner, then by the place of the owner's nearest cell in `cell_order`, then as they were;
    rows in no list come last. Tenants and cells keep theirs. Posting lists follow each other by tenant and
    `cell_order`, without free places. Snapshots that are open stay as they are; the next read of every store, in any
    process, sees the new files. A crash at any instant leaves the old collection or the new one, whole.

    Time grows with the collection, memory with the number of rows (about 30 bytes each). The disk needs room for the
    new files beside the old ones, whose own room is free again once every process that has them open has read anew.
    Files in the directory that are not Ramet's are not taken over.

    Parameters
    ----------
    store : Store
    cell_order : array of uint32, or None
        Cells in the order in which their lists are to lie; those that are not named come behind, by number.
    timeout_s : float
        How long to wait for another writer, in seconds.

    Raises
    ------
    ValueError
        A cell is named twice.
    WriterBusyError, ReadOnlyError, MissingError
        As `Store.write`.
    CorruptionError
        Something does not match its checksum. The collection is as it was.
    StorageFullError
        No room for the new files. The collection is as it was.
    AccessError
        The parent directory may not be written.
    """
    order = CellOrder(cell_order)
    writer = store.write(timeout_s)
    path = store.path
    try:
        with store.read() as snapshot:
            path = snapshot.core.path
            numbering = numbered(snapshot.transaction, snapshot.header, path, order)
            source = Source(snapshot=snapshot, numbering=numbering, order=order)
            report = _compacted(source, writer, place_of(path))
    except (OSError, lmdb.Error) as error:
        raise translated(error, path) from error
    finally:
        writer.abort()
        with suppress(StorageError):
            _settle(store)
    return report


def _settle(store: Store) -> None:
    """Go over to the new directory, or take the note back that a failed compaction left in the old one."""
    if store.is_current():
        with store.read() as snapshot:
            superseded = snapshot.is_superseded
        if superseded:
            store.write().commit()


def _compacted(source: Source, writer: Writer, place: Path) -> CompactReport:
    """Build the new directory and put it in the place of the old one."""
    sweep(place)
    new = candidate_beside(place)
    lock: WriterLock | None = None
    try:
        new.mkdir()
        # Held until the new directory is in its place for good: nobody commits to what a power loss could undo, and
        # nobody takes it for left over.
        lock = WriterLock(new, 0.0)
        # Odd, since a compact copy of LMDB has its state in the second meta page.
        txn = (source.snapshot.txn_id + 2) | 1
        write_collection(source, new, txn)
        _check(new, source, txn)
        _take_over_rights(place, new)
        sync_directory(new)
        report = CompactReport(
            n_bytes_before=_n_bytes(place),
            n_bytes_after=_n_bytes(new),
            n_rows_before=source.snapshot.n_rows,
            n_rows_after=len(source.numbering.old),
        )

        def swap() -> None:
            source.snapshot.core.check_current()
            exchange(new, place)
            sync_directory(place.parent)

        writer.supersede(swap)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # the new directory when it failed, else the old one
        if lock is not None:
            lock.release()
    return report


def _check(new: Path, source: Source, txn: int) -> None:
    """Open what was written, and see that it is what was meant."""
    with Store.open(new) as store, store.read() as snapshot:
        found = (snapshot.txn_id, snapshot.n_rows, snapshot.n_live, snapshot.is_superseded)
        wanted = (txn, len(source.numbering.old), source.snapshot.n_live, False)
        if found != wanted:
            raise StorageError(f"{new} should hold {wanted} and holds {found}; nothing was changed, try again")


def _take_over_rights(old: Path, new: Path) -> None:
    """Give a directory and its files the owners and modes that those of another one have."""
    pairs = [(old, new), *((old / name, new / name) for name in os.listdir(new))]
    for old_file, new_file in pairs:
        with suppress(FileNotFoundError):  # this one had no lock file of LMDB yet
            like = os.stat(old_file)
            for uid, gid in ((like.st_uid, -1), (-1, like.st_gid)):
                with suppress(PermissionError):  # only root gives files away, and others to groups of theirs
                    os.chown(new_file, uid, gid)
            os.chmod(new_file, like.st_mode & 0o7777)


def _n_bytes(directory: Path) -> int:
    """Bytes of the files in a directory; those that only lock do not count."""
    with os.scandir(directory) as entries:
        return sum(
            entry.stat().st_size for entry in entries if entry.name != WRITER_LOCK and not entry.name.endswith("-lock")
        )
