"""Checking a sharded collection: its manifest, its cells, every shard, and that no record is in two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from heapq import merge
from itertools import pairwise
from pathlib import Path

from ramet.engine.sharded.journal import JOURNAL
from ramet.engine.sharded.manifest import CELLS, MANIFEST, read_cells, read_manifest
from ramet.storage.errors import MissingError, StorageError
from ramet.storage.findings import Findings, VerifyReport
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store
from ramet.storage.verify import verify_path

PAGE = 4096


def verify_shards(path: Path) -> VerifyReport:
    """Check everything that can be checked, without opening the collection first; changes nothing.

    Raises
    ------
    MissingError
        There is no sharded collection at the path.
    AccessError, StorageFullError
    """
    findings = Findings(path=path)
    try:
        manifest = read_manifest(path)
    except MissingError:
        raise
    except StorageError as error:
        findings.add_error(error, MANIFEST)
        return findings.report()
    try:
        read_cells(path, manifest)
        findings.count("shared_cells", manifest.n_cells)
    except StorageError as error:
        findings.add_error(error, CELLS)
    sound = [entry.name for entry in manifest.shards if _is_sound(path, entry.name, findings)]
    findings.count("shards", len(manifest.shards))
    _check_once(path, sound, findings)
    return findings.report()


def _is_sound(path: Path, name: str, findings: Findings) -> bool:
    try:
        report = verify_path(path / name)
    except MissingError:
        findings.add(MANIFEST, f"shard {name!r}", f"there is no collection in the directory {name}")
        return False
    except StorageError as error:
        findings.add_error(error, name)
        return False
    for problem in report.problems:
        findings.add(f"{name}/{problem.file}", problem.where, problem.what)
    for kind, n in report.checked.items():
        findings.count(kind, n)
    return report.ok


def _check_once(path: Path, names: list[str], findings: Findings) -> None:
    """Look for ids that a tenant sees in two shards; those on their way from one to another are no damage."""
    stores = [(name, Store.open(path / name)) for name in names]
    moving = _moving(path)
    try:
        snapshots = [(name, store.read()) for name, store in stores]
        tenants = {tenant for _, snapshot in snapshots for tenant in snapshot.tenants()}
        for tenant in sorted(tenants):
            ids = merge(*(_ids(name, snapshot, tenant) for name, snapshot in snapshots))
            for (one, shard), (other, beside) in pairwise(ids):
                if one == other and one.decode() not in moving:
                    what = f"tenant {tenant!r} has the record {one.decode()!r} in {shard} and in {beside}"
                    findings.add(MANIFEST, "records", what)
        for _, snapshot in snapshots:
            snapshot.close()
    finally:
        for _, store in stores:
            store.close()


def _ids(shard: str, snapshot: Snapshot, tenant: str) -> Iterator[tuple[bytes, str]]:
    number, after = snapshot.tenant_number(tenant), None
    while number is not None:
        names, _ = snapshot.ids_after(number, after, PAGE)
        yield from ((name.encode(), shard) for name in names)
        if len(names) < PAGE:
            return
        after = names[-1]


def _moving(path: Path) -> set[str]:
    """Ids that are on their way: of the owner, and of everybody who sees the record."""
    try:
        return {name for _, name, _, _ in json.loads((path / JOURNAL).read_bytes())}
    except (OSError, ValueError, TypeError):
        return set()
