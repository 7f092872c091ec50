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
from ramet.storage.core import Core, check_directory, committed_ends
from ramet.storage.durability import SYNCED, recover
from ramet.storage.errors import CorruptionError, FormatError, StorageError, StorageFullError, replaced, translated
from ramet.storage.evidence import Evidence
from ramet.storage.findings import Findings, Problem, VerifyReport
from ramet.storage.format import CATALOG, HEADER_USED, MAGIC, VECTORS, ListLayout, check_header
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store
from ramet.storage.verify_entries import check_content, check_entries
from ramet.storage.verify_fields import check_fields
from ramet.storage.verify_lists import check_lists
from ramet.storage.verify_rows import check_rows
from ramet.storage.verify_terms import check_terms

__all__ = ["Problem", "VerifyReport", "verify", "verify_path"]

# Attempts to copy the catalog between two commits of a busy writer.
ATTEMPTS = 100

_ADVICE = "make room there, or set TMPDIR to a directory with more of it"


def verify(store: Store) -> VerifyReport:
    """Check the newest committed state of an open collection: every page, checksum and cross-reference.

    Time and memory grow with the collection: about 10 s per million rows, most of it for the catalog's structure. The
    directory for temporary files needs room for a copy of the catalog.

    Raises
    ------
    MissingError
        Somebody deleted or replaced the directory since it was opened.
    StorageFullError
        No room for the copy.
    """
    for _ in range(ATTEMPTS):
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
                    _check_headers(findings)
                if not _was_compacted(snapshot.core):
                    return findings.report()
    raise _too_fast(store.path)


def _was_compacted(core: Core) -> bool:
    """Tell whether a compaction has exchanged the files: then those read by path since then are others."""
    return not core.is_current() and core.is_superseded()


def _too_fast(path: Path) -> StorageError:
    return StorageError(f"{path} changes too fast to be copied; verify it while less is written")


def verify_path(path: Path) -> VerifyReport:
    """Check a collection directory that may refuse to open, or that nobody dares to open.

    Raises
    ------
    MissingError
        There is no collection at the path.
    AccessError
        The files may not be read.
    StorageFullError
        No room for a copy of the catalog.
    """
    path = Path(path).absolute()
    check_directory(path)
    findings = Findings(path=path)
    try:
        recover(path)  # what is newer than the last sync point is no damage after a restart of the machine
    except (CorruptionError, FormatError) as error:
        findings.add_error(error, SYNCED)
    with _private_directory() as directory:
        copy = directory / CATALOG
        txn = _unpinned_copy(findings, path, copy)
        if txn is None or not _structure_is_sound(findings, copy):
            _check_headers(findings)
            return findings.report()
        try:
            with Store.open(path) as store, store.read() as snapshot:
                same = snapshot.txn_id == txn
                if same:
                    _check_state(findings, copy)
                    same = not _was_compacted(snapshot.core)
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
    try:
        private = tempfile.TemporaryDirectory(prefix="ramet-verify-")
    except FileNotFoundError as error:  # none of them can be written, or each is full
        raise StorageError(f"verify found no place for a copy of the catalog: {error}; {_ADVICE}") from error
    except OSError as error:
        raise _not_copied(error, Path(tempfile.gettempdir()), Path(tempfile.gettempdir())) from error
    with private as directory:
        yield Path(directory)


def _not_copied(error: OSError, source: Path, temporary: Path) -> StorageError:
    """Return the error for a catalog that could not be copied into the directory for temporary files."""
    wrong = translated(error, source)
    if isinstance(wrong, StorageFullError):  # which reading does not say
        return StorageFullError(temporary, f"verify puts a copy of the catalog there: {error}", _ADVICE)
    return wrong


def _pinned_copy(store: Store, copy: Path) -> Snapshot:
    """Copy the catalog as the returned snapshot sees it."""
    for _ in range(ATTEMPTS):
        snapshot = store.read()
        try:
            if not snapshot.core.is_current() and not snapshot.core.is_superseded():
                raise replaced(store.path)  # everything below reads by path
            if lmdbfile.copy_pinned(store.path / CATALOG, copy, snapshot.txn_id) is not None:
                return snapshot
        except OSError as error:
            snapshot.close()
            raise _not_copied(error, store.path / CATALOG, copy.parent.parent) from error
        except BaseException:
            snapshot.close()
            raise
        snapshot.close()
    raise _too_fast(store.path)


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
        raise _not_copied(error, path / CATALOG, copy.parent.parent) from error
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
            layout = ListLayout(n_factors=settings["n_factors"], code_bytes=settings["code_bytes"])
            with _checked_files(findings, header.collection) as fds:
                evidence = Evidence(
                    path=findings.path,
                    txn=txn,
                    header=header,
                    settings=settings,
                    layout=layout,
                    fds=fds,
                    findings=findings,
                )
                _check_all(evidence)
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
    owners, viewers = check_lists(evidence, tenants)
    numbers, rows = check_rows(evidence, tenants, owners, viewers)
    check_content(evidence, rows)
    check_fields(evidence, numbers, rows)
    check_terms(evidence, tenants)


def _check_headers(findings: Findings) -> None:
    """Check the header page of every data file when nothing else can be checked."""
    with _checked_files(findings, None):
        pass


@contextmanager
def _checked_files(findings: Findings, collection: bytes | None) -> Iterator[dict[str, int]]:
    """Check the header page of every data file; yield those that can be read at all, open, by name."""
    fds: dict[str, int] = {}
    try:
        for name in MAGIC:
            _check_header(findings, name, collection, fds)
        yield fds
    finally:
        for fd in fds.values():
            os.close(fd)


def _check_header(findings: Findings, name: str, collection: bytes | None, fds: dict[str, int]) -> None:
    """Open one data file into `fds` and check its header page."""
    path = findings.path
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
