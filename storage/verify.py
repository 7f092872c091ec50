"""Everything that can be wrong with a collection, looked for without trusting anything in it.

The catalog is copied, the copy's structure is walked byte by byte, and only then does LMDB get to read the copy. The
data files are read and not mapped. So no damage ends the process, and a verification can run beside a writer: it
holds a snapshot of the state that it looks at.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from ramet.storage import catalog, lmdbfile
from ramet.storage.core import check_directory, committed_ends
from ramet.storage.errors import CorruptionError, StorageError, translated
from ramet.storage.evidence import Evidence
from ramet.storage.findings import Findings, Problem, VerifyReport
from ramet.storage.format import CATALOG, HEADER_USED, MAGIC, VECTORS, ListLayout, check_header
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store
from ramet.storage.verify_entries import check_entries
from ramet.storage.verify_lists import check_lists
from ramet.storage.verify_rows import check_rows

__all__ = ["Problem", "VerifyReport", "verify", "verify_path"]

# Attempts to copy the catalog between two commits of a busy writer.
ATTEMPTS = 100


def verify(store: Store) -> VerifyReport:
    """Check the newest committed state of an open collection: every page, checksum and cross-reference.

    Time and memory grow with the collection: about 10 s per million rows, most of it for the catalog's structure.
    """
    findings = Findings(path=store.path)
    with _private_directory() as directory:
        try:
            snapshot = _pinned_copy(store, directory / CATALOG)
        except CorruptionError:
            return verify_path(store.path)  # a file is too short for a snapshot: look at what there is
        with snapshot:
            if _structure_is_sound(findings, directory / CATALOG):
                _check_state(findings, directory / CATALOG)
            else:
                _check_headers(findings, findings.path, None)
    return findings.report()


def verify_path(path: Path) -> VerifyReport:
    """Check a collection directory that may refuse to open, or that nobody dares to open.

    Raises
    ------
    MissingError
        There is no collection at the path.
    AccessError
        The files may not be read.
    """
    path = Path(path).absolute()
    check_directory(path)
    findings = Findings(path=path)
    with _private_directory() as directory:
        copy = directory / CATALOG
        txn = _unpinned_copy(findings, path, copy)
        if txn is None or not _structure_is_sound(findings, copy):
            _check_headers(findings, path, None)
            return findings.report()
        try:
            with Store.open(path) as store, store.read() as snapshot:
                same = snapshot.txn_id == txn
                if same:
                    _check_state(findings, copy)
        except StorageError as error:
            findings.add_error(error, CATALOG)
            _check_state(findings, copy)
            return findings.report()
    # A commit in between makes the copy useless: its lists may have been overwritten.
    return findings.report() if same else _verified(path)


def _verified(path: Path) -> VerifyReport:
    with Store.open(path) as store:
        return verify(store)


@contextmanager
def _private_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ramet-verify-") as directory:
        yield Path(directory)


def _pinned_copy(store: Store, copy: Path) -> Snapshot:
    """Copy the catalog as the returned snapshot sees it."""
    for _ in range(ATTEMPTS):
        snapshot = store.read()
        try:
            if lmdbfile.copy_pinned(store.path / CATALOG, copy, snapshot.txn_id) is not None:
                return snapshot
        except OSError as error:
            snapshot.close()
            raise translated(error, copy) from error
        except BaseException:
            snapshot.close()
            raise
        snapshot.close()
    raise StorageError(f"{store.path} changes too fast to be copied; verify it while less is written")


def _unpinned_copy(findings: Findings, path: Path, copy: Path) -> int | None:
    """Copy the newest state of a catalog that may not be safe to open; return its transaction, or note what is wrong.

    LMDB leaves the pages of a state alone for one commit more, so a copy counts when no second one came in between.
    """
    try:
        for _ in range(ATTEMPTS):
            txn = lmdbfile.copy_pinned(path / CATALOG, copy, None)
            if txn is not None and lmdbfile.newest_txn(path / CATALOG) <= txn + 1:
                return txn
        findings.add(CATALOG, "file", "changes too fast to be copied; verify it while less is written")
    except StorageError as error:
        findings.add_error(error, CATALOG)
    except OSError as error:
        raise translated(error, path / CATALOG) from error
    return None


def _structure_is_sound(findings: Findings, copy: Path) -> bool:
    """Walk the copied catalog page by page; LMDB may only read it when nothing was found."""
    problems = lmdbfile.structure_problems(copy)
    for problem in problems:
        findings.add(CATALOG, "structure", problem)
    return not problems


def _check_state(findings: Findings, copy: Path) -> None:
    """Check a state by its copied catalog, whose structure is sound, and the data files beside the original."""
    findings.count("catalog_bytes", copy.stat().st_size)
    environment = lmdb.open(str(copy), subdir=False, readonly=True, lock=False, max_readers=1, lib_version=0)
    try:
        with environment.begin() as txn:
            settings = catalog.read_settings(txn, findings.path)
            header = catalog.read_header(txn, findings.path)
            fds = _check_headers(findings, findings.path, header.collection)
            layout = ListLayout(n_factors=settings["n_factors"], code_bytes=settings["code_bytes"])
            evidence = Evidence(
                path=findings.path,
                txn=txn,
                header=header,
                settings=settings,
                layout=layout,
                fds=fds,
                findings=findings,
            )
            try:
                _check_all(evidence)
            finally:
                for fd in fds.values():
                    os.close(fd)
    except StorageError as error:
        findings.add_error(error, CATALOG)
    finally:
        environment.close()


def _check_all(evidence: Evidence) -> None:
    for name, end in committed_ends(evidence.header, evidence.settings["vector_bytes"]).items():
        size = os.fstat(evidence.fds[name]).st_size if name in evidence.fds else 0
        if size < end:
            evidence.findings.add(name, "end of file", f"expected {end} committed bytes, found {size}")
    tenants = check_entries(evidence)
    owners = check_lists(evidence, tenants)
    check_rows(evidence, tenants, owners)


def _check_headers(findings: Findings, path: Path, collection: bytes | None) -> dict[str, int]:
    """Check the header page of every data file; return open files, by name, that can be read at all."""
    fds: dict[str, int] = {}
    for name in MAGIC:
        try:
            fds[name] = os.open(path / name, os.O_RDONLY | os.O_CLOEXEC)
            check_header(path / name, name, os.pread(fds[name], HEADER_USED, 0), collection)
        except StorageError as error:
            findings.add_error(error, name)
        except FileNotFoundError:
            if name != VECTORS:  # whether there has to be one, the catalog says: its size is compared then
                findings.add_error(CorruptionError(path / name, "the whole file", "a file", "none"), name)
        except OSError as error:
            findings.add_error(translated(error, path / name), name)
        findings.count("files", 1)
    return fds
