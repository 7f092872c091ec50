"""Build a collection from arrays: cluster, assign, write, measure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ramet.engine.calibrate import measure
from ramet.engine.contents import Content, Contents
from ramet.engine.curve import DEFAULT_RECALL, RecallCurve
from ramet.engine.curves import OWN, to_meta
from ramet.engine.errors import NotEmptyError
from ramet.engine.hits import BuildReport
from ramet.engine.navigation import NAVIGATOR, pack_navigator
from ramet.engine.searcher import Searcher
from ramet.engine.settings import Settings
from ramet.engine.text.analysis import Analyzer
from ramet.index.assign import Assignment, ClosureConfig
from ramet.index.build import make_lists
from ramet.index.clustering import ClusterConfig
from ramet.index.codes import encode_rows
from ramet.index.navigate import Navigator
from ramet.index.source import ArraySource
from ramet.index.tree import Tree
from ramet.storage.format import COPY, ROW_MASK
from ramet.storage.store import Store
from ramet.storage.writer import Writer

Progress = Callable[[str, float], None]
Vectors = npt.NDArray[Any]

HELD_OUT_MOST, HELD_OUT_LEAST = 400, 200
"""Queries kept out of the clustering to measure recall with."""
HELD_OUT_BUDGET = 1e8
"""Distances that the exact search of the held-out queries may take."""
HELD_OUT_FROM = 2000
"""Records from which a collection has a measured curve; smaller ones read all lists."""
CELLS_AT_A_TIME = 2048
"""Posting lists composed in memory at a time."""
ROWS_AT_A_TIME = 65_536
"""Records whose documents are words in memory at a time."""


@dataclass(slots=True)
class _Clock:
    """Progress and seconds of the stages."""

    progress: Progress | None
    _before: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    started: float = field(default_factory=time.perf_counter)

    def mark(self, stage: str, done: float) -> None:
        """Report a stage; its seconds run from the end of the one before."""
        now = time.perf_counter()
        if stage not in self.seconds:
            self._before = now if self.seconds else self.started
        self.seconds[stage] = now - self._before
        if self.progress is not None:
            self.progress(stage, done)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report the start and the end of a stage."""
        self.mark(name, 0.0)
        yield
        self.mark(name, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Choices of one build, checked."""

    tenant: str
    cluster: ClusterConfig
    closure: ClosureConfig
    navigation: str
    n_threads: int


_blas = threading.Lock()
_blas_users = 0
_blas_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any build runs.

    A build has threads of its own, and its results must not depend on how BLAS cuts a product. The limit is one for the
    whole process, so overlapping builds share it.
    """
    global _blas_users, _blas_limit
    with _blas:
        if _blas_users == 0:
            _blas_limit = threadpool_limits(1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()


def held_out(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Input positions of the held-out queries; empty for small inputs."""
    if n < HELD_OUT_FROM:
        return np.empty(0, np.int64)
    size = int(min(HELD_OUT_MOST, max(HELD_OUT_LEAST, HELD_OUT_BUDGET / n)))
    return np.sort(np.random.default_rng([seed, 4]).choice(n, size=size, replace=False))


def build(
    store: Store,
    settings: Settings,
    vectors: Vectors,
    ids: list[str],
    content: Content,
    analyzer: Analyzer,
    options: BuildOptions,
    progress: Progress | None,
) -> BuildReport:
    """Fill an empty collection.

    Everything becomes visible in one commit; after an error or a kill before it the collection is as empty as before.
    The recall curve is measured on the committed lists and stored in a second, small commit. What is stopped between
    the two is a sound collection without a curve: queries with a recall target then read every list, until
    `Collection.calibrate` measures one.

    Raises
    ------
    NotEmptyError
        The collection has records.
    StorageError
        Busy, full, read-only or damaged files.
    """
    clock = _Clock(progress)
    start = time.perf_counter()
    queries = held_out(len(vectors), options.cluster.seed)
    with store.write() as writer:
        if writer.n_rows:
            raise NotEmptyError(
                f"collection {store.path.name!r} has {writer.n_live} records, and build() fills only an empty one: add "
                "records with upsert(); when all of them were deleted, compact() first"
            )
        with ThreadPoolExecutor(options.n_threads) as pool, one_blas_thread():
            tree, assignment = _make_lists(settings, vectors, queries, options, pool, clock)
        with clock.stage("write"):
            order = _write(writer, settings, vectors, ids, options, tree, assignment)
            _write_contents(writer, analyzer, content, order, options)
    with clock.stage("measure"):
        curve = _measure(store, settings, vectors, queries, order, options)
    return BuildReport(
        n_records=len(vectors),
        n_lists=len(tree.leaves),
        n_replicas=float(assignment.counts.mean()),
        seconds=time.perf_counter() - start,
        stages=clock.seconds,
        curve=curve.table(),
        nprobe=curve.nprobe_for(DEFAULT_RECALL, 10),
        n_bytes=sum(file.stat().st_size for file in store.path.iterdir() if file.is_file()),
    )


def _make_lists(
    settings: Settings,
    vectors: Vectors,
    queries: npt.NDArray[np.int64],
    options: BuildOptions,
    pool: Executor,
    clock: _Clock,
) -> tuple[Tree, Assignment]:
    """Cells from all but the held-out rows; lists of all rows."""
    source = ArraySource(vectors, unit=settings.metric.unit)
    rows = np.delete(np.arange(len(vectors), dtype=np.int64), queries)
    return make_lists(source, rows, options.cluster, options.closure, pool, clock.mark)


def _write(
    writer: Writer,
    settings: Settings,
    vectors: Vectors,
    ids: list[str],
    options: BuildOptions,
    tree: Tree,
    assignment: Assignment,
) -> npt.NDArray[np.int64]:
    """Write everything; returns the input position of each row.

    Rows are numbered in the order of their nearest cell: what a query reranks together lies together in the file.
    """
    order = np.argsort(assignment.home, kind="stable")
    tenant = writer.ensure_tenant(options.tenant)
    numbers = np.arange(len(tree.parents), dtype=np.uint32)
    payload = np.ascontiguousarray(tree.centroids).view(np.uint8).reshape(len(numbers), -1)
    writer.put_cells(numbers, tree.parents, tree.levels, payload)
    for cell, children in tree.children():
        writer.put_children(cell, children)
    sorted_vectors = vectors[order]
    apart = sorted_vectors.view(np.uint8).reshape(len(order), -1) if settings.codes == "sq8" else None
    writer.append_rows(tenant, [ids[i] for i in order.tolist()], apart)
    counts = assignment.counts[order]
    taken = np.arange(assignment.cells.shape[1])[None, :] < counts[:, None]
    rows, ranks = np.nonzero(taken)
    positions = assignment.cells[order[rows], ranks]
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    writer.put_homes(0, tenant, tenant, starts, (positions + tree.first_leaf).astype(np.uint32))
    by_cell = np.argsort(positions, kind="stable")
    entries = rows.astype(np.uint32) | np.where(ranks > 0, np.uint32(COPY), np.uint32(0))
    _write_lists(writer, settings, sorted_vectors, tenant, tree, positions[by_cell], entries[by_cell])
    leaves = np.arange(tree.first_leaf, len(numbers), dtype=np.uint32)
    writer.put_blob(NAVIGATOR.format(tenant=tenant), pack_navigator(leaves, _navigator(tree, settings, options)))
    return order


def _write_contents(
    writer: Writer, analyzer: Analyzer, content: Content, order: npt.NDArray[np.int64], options: BuildOptions
) -> None:
    """Documents, metadata, and what finds them; ``order``: input position of each row."""
    contents = Contents(writer, analyzer)
    tenant = writer.ensure_tenant(options.tenant)
    for first in range(0, len(order), ROWS_AT_A_TIME):
        part = order[first : first + ROWS_AT_A_TIME]
        contents.store(first, len(part), content.taken(part.tolist()))
        contents.enter(tenant, np.arange(first, first + len(part)))


def _navigator(tree: Tree, settings: Settings, options: BuildOptions) -> Navigator:
    """Navigator of the posting cells, of the kind asked for."""
    if options.navigation == "hnsw":
        from ramet.index.navigate_hnsw import HnswNavigator  # faiss takes 80 ms to import

        return HnswNavigator.build(tree.leaves, settings.metric.number)
    return tree.navigator


def _write_lists(
    writer: Writer,
    settings: Settings,
    vectors: Vectors,
    tenant: int,
    tree: Tree,
    positions: npt.NDArray[np.int32],
    entries: npt.NDArray[np.uint32],
) -> None:
    """Posting lists of all cells, some at a time; ``positions`` (ascending) and ``entries`` are (cell, row) pairs."""
    n_lists = len(tree.leaves)
    bounds = np.searchsorted(positions, np.arange(n_lists + 1)).astype(np.int64)
    for first in range(0, n_lists, CELLS_AT_A_TIME):
        last = min(first + CELLS_AT_A_TIME, n_lists)
        mine = entries[bounds[first] : bounds[last]]
        factors, codes = encode_rows(vectors[mine & np.uint32(ROW_MASK)], settings.kind, settings.metric.unit)
        cells = np.arange(tree.first_leaf + first, tree.first_leaf + last, dtype=np.uint32)
        starts = bounds[first : last + 1] - bounds[first]
        writer.write_lists(tenant, cells, starts, mine, factors, codes)


def _measure(
    store: Store,
    settings: Settings,
    vectors: Vectors,
    queries: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    options: BuildOptions,
) -> RecallCurve:
    """Measure the recall curve and store it."""
    with store.read() as snapshot:
        member = snapshot.member_named(options.tenant)
        assert member is not None, "the tenant was just committed"
        searcher = Searcher(snapshot, settings, member)
        points: list[tuple[int, int, float, float]] = []
        if len(queries):
            rows = np.empty(len(order), np.int64)
            rows[order] = np.arange(len(order))
            block = np.ascontiguousarray(vectors[queries], dtype=np.float32)
            points = measure(searcher, block, own_rows=rows[queries], n_threads=options.n_threads)
    curve = RecallCurve(points, searcher.n_lists)
    with store.write() as writer:
        writer.set_meta(OWN.format(tenant=member.number), to_meta(curve))
        writer.touch(member.number)
    return curve
