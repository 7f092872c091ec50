"""A consistent copy of a live collection."""

import os
import shutil
from pathlib import Path

import lmdb

from ramet.storage.core import committed_ends
from ramet.storage.errors import CorruptionError, ExistsError, translated
from ramet.storage.format import CATALOG, WRITER_LOCK
from ramet.storage.lmdbfile import copy_range
from ramet.storage.paths import check_parent, check_path, is_taken, sync_directory, temporary_beside
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store


def backup(store: Store, target: Path) -> None:
    """Copy a collection as it is at this moment into a new directory, while readers and a writer go on.

    A snapshot is held meanwhile, so nothing that the copy refers to is overwritten. The copy appears whole or not at
    all, is on the disk when this returns, and is opened once to see that it opens. Bytes are copied as they are:
    `verify` on the copy tells whether they are sound.

    Parameters
    ----------
    store : Store
    target : Path
        Directory that does not exist yet or is empty; its parents are made as needed.

    Raises
    ------
    ExistsError
        Something is there already.
    CorruptionError
        A file of the collection is shorter than what was committed.
    AccessError, StorageFullError
    """
    target = Path(target).absolute()
    check_path(target)
    if is_taken(target):
        raise ExistsError(target)
    temporary = temporary_beside(target)
    try:
        check_parent(target)
        temporary.mkdir()
        with store.read() as snapshot:
            _copy(snapshot, temporary)
            superseded = snapshot.is_superseded
        sync_directory(temporary)
        with Store.open(temporary) as copy:
            if superseded:  # that is about the original
                copy.write().commit()
        _rename(temporary, target)
        sync_directory(target.parent)
    except (OSError, lmdb.Error) as error:
        raise translated(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)
    except OSError as error:
        if is_taken(target):
            raise ExistsError(target) from error  # somebody else was faster
        raise


def _copy(snapshot: Snapshot, directory: Path) -> None:
    """Write the files of a collection into a new directory and sync them."""
    core = snapshot.core
    snapshot.copy_catalog(directory / CATALOG)
    for name, end in committed_ends(snapshot.header, core.vector_bytes).items():
        with open(directory / name, "xb") as copy:
            # From the file that is open: another collection may be at the path by now.
            done = copy_range(core.fds[name], copy.fileno(), end)
            if done < end:
                raise CorruptionError(core.path / name, "end of file", f"{end} committed bytes", f"{done} bytes")
            os.fsync(copy.fileno())
    with open(directory / CATALOG, "rb+") as copied:
        os.fsync(copied.fileno())
    (directory / WRITER_LOCK).touch()
