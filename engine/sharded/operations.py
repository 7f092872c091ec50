"""Operations on the manifest: adding a shard, replacing one, sharing the cells out anew.

What changes is written to new directories while the old ones stay as they are; a new manifest, in one step, takes the
collection from the old ones to the new ones; then the old ones are deleted. Whoever dies before leaves new directories
that no manifest names: the next operation deletes them. Writers wait meanwhile. Readers of the old manifest have its
shards open and go on with them until their next call.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ramet.engine.collection import Collection
from ramet.engine.errors import ArgumentError
from ramet.engine.sharded import journal, moving
from ramet.engine.sharded.adding import projection_of
from ramet.engine.sharded.cells import SharedCells
from ramet.engine.sharded.hosts import LocalHost
from ramet.engine.sharded.manifest import (
    Manifest,
    ShardEntry,
    new_identity,
    read_cells,
    read_manifest,
    write_cells,
    write_manifest,
)
from ramet.engine.sharded.opened import ShardedStore, Shards
from ramet.engine.sharded.shard import Made, Shard
from ramet.storage.backup import backup as copy_store
from ramet.storage.errors import CorruptionError, ExistsError, FormatError, MissingError, translated
from ramet.storage.lock import WriterLock
from ramet.storage.paths import check_parent, check_path, is_taken, sync_directory, temporary_beside
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store

I64 = npt.NDArray[np.int64]

TIMEOUT_S = 60.0
MOST_SHARDS = 10_000

_DAMAGE = (MissingError, CorruptionError, FormatError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an operation did."""

    generation: int
    """Of the manifest now."""
    n_moved: int
    """Records that are in another shard now."""
    shards: tuple[ShardEntry, ...]
    unchecked: tuple[str, ...] = ()
    """Shards that could not be opened: whether a record of the new one is in them, too, `verify` tells later."""


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[Manifest]:
    """Keep writers and other operations out, and clean up after those that died."""
    read_manifest(path)
    lock = WriterLock(path, timeout_s)
    try:
        manifest = read_manifest(path)
        sweep(path, manifest)
        yield manifest
    finally:
        lock.release()


@contextmanager
def opened(path: Path, manifest: Manifest, timeout_s: float) -> Iterator[Shards]:
    """All shards of a manifest, for the time of an operation; moves of records that were begun are ended first."""
    cells = SharedCells(manifest.settings, read_cells(path, manifest))
    host = LocalHost(path, manifest)
    try:
        journal.finish(path, manifest, host, timeout_s)
        yield Shards(manifest, cells, host)
    finally:
        host.close()


def sweep(path: Path, manifest: Manifest) -> None:
    """Delete directories of shards that the manifest does not name."""
    named = {shard.name for shard in manifest.shards}
    for found in path.iterdir():
        is_ours = found.name.startswith("shard-") or found.name.startswith(".ramet-new-")
        if is_ours and found.is_dir() and not found.is_symlink() and found.name not in named:
            shutil.rmtree(found, ignore_errors=True)


def add_shard(path: Path, timeout_s: float = TIMEOUT_S) -> Report:
    """Add a shard, which takes its part of the cells and their records; see `rebalance`."""
    return rebalance(path, len(read_manifest(path).shards) + 1, timeout_s)


def rebalance(path: Path, n_shards: int | None = None, timeout_s: float = TIMEOUT_S) -> Report:
    """Share the cells out anew, so that shards have like numbers of records; put records where they belong.

    Shards that neither give nor take records stay as they are. The others need room for a copy until it is done.

    Parameters
    ----------
    path : Path
        Directory of the sharded collection.
    n_shards : int, optional
        As many as there are when left out.
    timeout_s : float
        How long to wait for writers.

    Raises
    ------
    ArgumentError
        More shards than cells.
    WriterBusyError, ReadOnlyError, StorageFullError
        The collection is as it was.
    """
    with locked(path, timeout_s) as manifest:
        n = len(manifest.shards) if n_shards is None else n_shards
        if n > manifest.n_cells:
            raise ArgumentError("n_shards", f"is {n}, and there are only {manifest.n_cells} cells to share out")
        with opened(path, manifest, timeout_s) as shards:
            plan = _Plan.of(shards, n)
            after, n_moved = plan.carried_out(path, timeout_s) if plan.ways else (plan.manifest(), 0)
            write_manifest(path, after)
        sweep(path, after)
    return Report(generation=after.generation, n_moved=n_moved, shards=after.shards)


def cut(counts: I64, n: int) -> I64:
    """First cell of each of ``n`` shards and the number of cells, so that they have like numbers of records."""
    sums = np.cumsum(counts)
    wanted = sums[-1] * np.arange(1, n) / n
    edges = np.searchsorted(sums, wanted, side="left") + 1
    nearer = np.abs(sums[np.maximum(edges - 2, 0)] - wanted) < np.abs(sums[edges - 1] - wanted)
    edges = [int(edge) for edge in edges - (nearer & (edges > 1))]
    for i, edge in enumerate(edges):  # every shard has a cell
        low, high = (edges[i - 1] + 1 if i else 1), len(counts) - (n - 1 - i)
        edges[i] = min(max(edge, low), high)
    return np.array([0, *edges, len(counts)], np.int64)


@dataclass(slots=True)
class _Plan:
    """Which records go from which shard to which."""

    shards: Shards
    edges: I64
    ways: set[tuple[int, int]]
    """(from, to) of records that move."""
    counts: I64
    """Records of each shard afterwards."""

    @classmethod
    def of(cls, shards: Shards, n: int) -> _Plan:
        """Look at every record twice: how many a cell has decides where the cells go."""
        counts = np.zeros(len(shards.cells), np.int64)
        for _, page in _pages(shards):
            counts += np.bincount(page.cells[~page.bare], minlength=len(counts))
        plan = cls(shards, cut(counts, n), set(), np.zeros(n, np.int64))
        for source, page in _pages(shards):
            targets = plan.targets(source, page)
            plan.counts += np.bincount(targets, minlength=n)
            plan.ways |= {(source, target) for target in np.unique(targets).tolist() if target != source}
        plan.ways |= {(i, i) for i in range(n, len(shards.host))}  # what ends is a change, too
        plan.ways |= {(i, i) for i in range(len(shards.host), n)}
        return plan

    def targets(self, source: int, page: moving.Page) -> I64:
        """Position of the shard of each record; those without a vector stay where they are if that stays."""
        found = np.searchsorted(self.edges[1:], page.cells, side="right")
        n = len(self.edges) - 1
        for i in np.flatnonzero(page.bare).tolist():
            found[i] = source if source < n else zlib.crc32(page.names[i].encode()) % n
        return found.astype(np.int64)

    def manifest(self, names: dict[int, str] | None = None) -> Manifest:
        """The manifest afterwards; ``names``: of shards in new directories."""
        before, new = self.shards.manifest, names or {}
        entries = [
            ShardEntry(
                name=new[i] if i in new else before.shards[i].name,
                first_cell=int(self.edges[i]),
                last_cell=int(self.edges[i + 1]),
                records=int(self.counts[i]),
            )
            for i in range(len(self.edges) - 1)
        ]
        return before.after(entries, len(new))

    def carried_out(self, path: Path, timeout_s: float) -> tuple[Manifest, int]:
        """Make the directories that change; returns the manifest that names them, and how many records moved."""
        manifest, n = self.shards.manifest, len(self.edges) - 1
        changed = sorted({i for way in self.ways for i in way if i < n})
        names = {i: manifest.named(number) for number, i in enumerate(changed)}
        new = {i: self._copy(path, i, name) for i, name in names.items()}
        try:
            n_moved = self._moved(new, timeout_s)
            for i, shard in new.items():
                if any(source == i for source, _ in self.ways):
                    shard.compact(timeout_s)
        finally:
            for shard in new.values():
                shard.close()
        sync_directory(path)
        return self.manifest(names), n_moved

    def _copy(self, path: Path, i: int, name: str) -> Shard:
        """A new directory with the content of a shard, or with none."""
        if i < len(self.shards.host):
            copy_store(_collection(self.shards, i)._store, path / name)
        else:
            Store.create(path / name, self.shards.manifest.settings.to_storage()).close()
        return Shard(path / name)

    def _moved(self, new: dict[int, Shard], timeout_s: float) -> int:
        model = next((one for one in self.shards.ask("model") if one is not None), None)
        made, n_moved = Made(model, projection_of(self.shards)), 0
        givers = {source for source, target in self.ways if source != target}
        for source in sorted(givers):
            collection = _collection(self.shards, source)
            with collection._store.read() as snapshot:
                for page in moving.pages(snapshot, collection, self.shards.cells):
                    targets = self.targets(source, page)
                    for target in np.unique(targets[targets != source]).tolist():
                        part = page.taken(targets == target)
                        moving.carry(snapshot, collection, part, new[target], made, timeout_s)
                        if source in new:
                            new[source].delete(part.names, part.tenant, timeout_s)
                        n_moved += len(part.names)
        return n_moved


def _collection(shards: Shards, i: int) -> Collection:
    host = shards.host
    assert isinstance(host, LocalHost)
    return host.shards[shards.manifest.shards[i].name].collection


def _pages(shards: Shards) -> Iterator[tuple[int, moving.Page]]:
    """All records, with the positions of their shards."""
    for i in range(len(shards.host)):
        collection = _collection(shards, i)
        with collection._store.read() as snapshot:
            for page in moving.pages(snapshot, collection, shards.cells):
                yield i, page


def replace_shard(path: Path, name: str, source: Path, timeout_s: float = TIMEOUT_S) -> Report:
    """Put a copy of an ordinary collection in the place of a shard, which may be damaged or missing.

    Parameters
    ----------
    path : Path
        Directory of the sharded collection.
    name : str
        Of the shard, as the manifest says.
    source : Path
        Directory of the collection, such as the shard in a backup. It stays as it is.
    timeout_s : float
        How long to wait for writers.

    Returns
    -------
    Report
        ``unchecked`` names shards that could not be compared with it, as they are damaged or missing, too.

    Raises
    ------
    ArgumentError
        No shard of that name; or the collection has other properties, or records that are in other shards.
    WriterBusyError, ReadOnlyError, StorageFullError
        The sharded collection is as it was.
    """
    with locked(path, timeout_s) as manifest:
        known = [shard.name for shard in manifest.shards]
        if name not in known:
            raise ArgumentError("name", f"{name!r} is no shard; there are: {', '.join(known)}")
        with Store.open(source) as store:
            fresh = Collection(store)
            if fresh._settings != manifest.settings:
                raise ArgumentError("source", f"{fresh!r} has other properties than {manifest.settings}")
            unchecked = _refuse_twice(path, manifest, name, fresh)
            new = manifest.named(0)
            copy_store(store, path / new)
            n_records = fresh.count()
        entries = [replace(one, name=new, records=n_records) if one.name == name else one for one in manifest.shards]
        after = manifest.after(entries, 1)
        write_manifest(path, after)
        sweep(path, after)
    return Report(generation=after.generation, n_moved=0, shards=after.shards, unchecked=unchecked)


def _refuse_twice(path: Path, manifest: Manifest, name: str, fresh: Collection) -> tuple[str, ...]:
    """Refuse a collection some of whose records are in other shards; names of those that cannot be looked into."""
    unchecked = []
    for entry in manifest.shards:
        if entry.name == name:
            continue
        try:
            other = Shard(path / entry.name)
        except _DAMAGE:  # as well: it is the next one to be replaced
            unchecked.append(entry.name)
            continue
        with closing(other):
            if not _refuse_shared(entry.name, other, fresh):
                unchecked.append(entry.name)
    return tuple(unchecked)


def _refuse_shared(name: str, other: Shard, fresh: Collection) -> bool:
    """Refuse a collection some of whose records are in a shard; False: the shard is damaged."""
    with fresh._store.read() as snapshot:
        for tenant, names in _all_ids(snapshot):
            try:
                (owners,) = other.owners([(tenant, names)])
            except _DAMAGE:
                return False
            twice = [one for one, owner in zip(names, owners, strict=True) if owner is not None]
            if twice:
                raise ArgumentError("source", f"has records of {tenant!r} that are in {name}: {twice[:5]}")
    return True


def _all_ids(snapshot: Snapshot) -> Iterator[tuple[str, list[str]]]:
    """Tenants and ids that they see, some thousand at a time."""
    for member in snapshot.members():
        after: str | None = None
        while True:
            names, _ = snapshot.ids_after(member.number, after, moving.PAGE)
            if not names:
                break
            after = names[-1]
            yield member.name, names


def backup(store: ShardedStore, target: Path, timeout_s: float = TIMEOUT_S) -> None:
    """Copy a sharded collection to a new directory; writers wait, so that all shards are of one moment.

    Raises
    ------
    ExistsError
        Something is there already.
    CorruptionError, AccessError, StorageFullError
    """
    check_path(target)
    if is_taken(target):
        raise ExistsError(target)
    temporary = temporary_beside(target)
    try:
        check_parent(target)
        with store.writing(timeout_s) as (shards, _):
            temporary.mkdir()
            for entry in shards.manifest.shards:
                with Store.open(store.path / entry.name) as shard:
                    copy_store(shard, temporary / entry.name)
            write_cells(temporary, shards.cells.centroids)
            write_manifest(
                temporary,
                replace(shards.manifest, identity=new_identity()),
            )
        temporary.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise translated(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
