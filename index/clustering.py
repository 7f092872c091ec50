"""Hierarchical balanced clustering with global refinement: vectors -> cells.

Three steps (SPANN 3.2.1; the refinement is ours, measured in ``docs/index.md``):

1. *Groups*: balanced k-means of a sample into about ``sqrt(n / list_size)`` groups.
2. *Cells*: balanced k-means inside each group, into cells of about ``list_size`` vectors.
3. *Refinement*: Lloyd steps over the whole set. Membership by tree path is bad near group borders, so each vector
   is compared with the cells of its own group and of the groups nearest to it, as one matrix product a group.
   Cells that outgrow the limit are split, cells that starve are dropped; both happen between steps.

Work is cut into fixed items whose results do not depend on the thread that ran them, and sums are taken in row
order, so the same seed gives the same cells whatever the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.kernels.cluster import add_points, group_rows, nearest_centre
from ramet.index.ppp import partition
from ramet.index.source import FloatArray, RowArray, VectorSource

T = TypeVar("T")
R = TypeVar("R")
LabelArray = npt.NDArray[np.int32]
Progress = Callable[[float], None]

TILE_ROWS = 256
"""Points of a product in `assign_steadily`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """How to cluster."""

    list_size: int = defaults.LIST_SIZE
    """Vectors a cell should hold; lists are longer by the closure copies."""
    fan_out: int | str | None = None
    """Groups at the root; None: about 2 sqrt(n / list_size); "auto": as many, inside the natural clusters that PPP
    finds (``ramet.index.ppp``)."""
    lloyd_steps: int = defaults.LLOYD_STEPS
    """Refinement steps over the whole set."""
    seed: int = 0

    @property
    def limit(self) -> int:
        """Vectors from which a cell is split between refinement steps."""
        return defaults.LIMIT_FACTOR * self.list_size

    @property
    def bound(self) -> int:
        """Most rows of a finished list, copies included, unless they are identical."""
        return defaults.BOUND_FACTOR * self.list_size


def run(pool: Executor | None, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results of ``work`` in the order of ``items``, on the pool's threads or on this one."""
    return list(map(work, items) if pool is None else pool.map(work, items))


def product_blocks(points: FloatArray, centres: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Inner products of points and centres, a block of points at a time; yields (slice of points, products).

    One buffer serves all blocks: a fresh one costs more in page faults than the product in arithmetic.
    """
    n, k = len(points), len(centres)
    block = max(16, defaults.BLOCK_PRODUCTS // k)
    buffer = np.empty((min(block, n), k), np.float32)
    turned = np.ascontiguousarray(centres.T)
    for first in range(0, n, block):
        part = slice(first, min(first + block, n))
        yield part, np.matmul(points[part], turned, out=buffer[: part.stop - first])


def assign(
    points: FloatArray, centres: FloatArray, penalties: FloatArray | None = None
) -> tuple[LabelArray, FloatArray]:
    """Nearest centre of each point by one matrix product a block.

    Parameters
    ----------
    points : float32 array (n, dim)
    centres : float32 array (k, dim)
    penalties : float32 array (k,), optional
        Added to the squared distances to each centre.

    Returns
    -------
    labels : int32 array (n,)
    squares : float32 array (n,)
        Squared distances to the chosen centres, without penalty.
    """
    n = len(points)
    labels, gains = np.empty(n, np.int32), np.empty(n, np.float32)
    offsets = (0.5 * np.einsum("ij,ij->i", centres, centres)).astype(np.float32)
    if penalties is not None:
        offsets += np.float32(0.5) * penalties
    for part, products in product_blocks(points, centres):
        nearest_centre(products, offsets, labels[part], gains[part])
    squares = np.einsum("ij,ij->i", points, points) - 2 * gains
    if penalties is not None:
        squares -= penalties[labels]
    return labels, np.maximum(squares, 0.0, dtype=np.float32)


def assign_steadily(points: FloatArray, centres: FloatArray) -> LabelArray:
    """Nearest centre of each point, int32 (n,): the same for a point whatever other points there are.

    The last bits of a matrix product depend on its shape, so all products here have one shape. For work that is cut by
    the memory that there is, and whose result is not to depend on that.
    """
    labels, tile = np.empty(len(points), np.int32), np.zeros((TILE_ROWS, points.shape[1]), np.float32)
    for first in range(0, len(points), TILE_ROWS):
        part = points[first : first + TILE_ROWS]
        tile[: len(part)] = part
        labels[first : first + TILE_ROWS] = assign(tile, centres)[0][: len(part)]
    return labels


def means(points: FloatArray, labels: LabelArray, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sums and counts of the points of each label."""
    sums, counts = np.zeros((k, points.shape[1])), np.zeros(k, np.int64)
    add_points(points, labels, sums, counts)
    return sums, counts


def kmeans(points: FloatArray, k: int, rng: np.random.Generator, *, steps: int) -> FloatArray:
    """Balanced k-means.

    x goes to the cluster with the least ``d(x, c_j)^2 + p_j``. After each step the price p_j of a cluster rises with
    its excess over n / k and falls with its lack, as in an auction, in units of the mean squared distance. (SPTAG adds
    ``lambda * count_j`` of the step before: at float scales that hardly balances or swings from step to step; on GloVe
    it left a median of 5 and a maximum of 1,650 members.) Empty clusters restart inside the largest ones.

    Returns
    -------
    float32 array (k', dim), k' <= k
        Centres of the clusters that are not empty.
    """
    n, k = len(points), min(k, len(points))
    centres = points[np.sort(rng.choice(n, size=k, replace=False))].copy()
    prices = np.zeros(k, np.float32)
    for step in range(steps):
        labels, squares = assign(points, centres, prices)
        sums, counts = means(points, labels, k)
        filled = counts > 0
        centres[filled] = (sums[filled] / counts[filled, None]).astype(np.float32)
        excess = np.minimum(counts * (k / n), defaults.MOST_EXCESS) - 1
        prices += (defaults.BALANCE * float(squares.mean()) * excess).astype(np.float32)
        if step + 1 < steps:
            _restart(points, labels, counts, centres, prices)
    return centres[filled]


def _restart(
    points: FloatArray, labels: LabelArray, counts: npt.NDArray[np.int64], centres: FloatArray, prices: FloatArray
) -> None:
    """Put the centre of each empty cluster on a member of one of the largest clusters; arrays are mutated."""
    empty = np.flatnonzero(counts == 0)
    for cell, large in zip(empty, np.argsort(-counts, kind="stable"), strict=False):
        members = np.flatnonzero(labels == large)
        if len(members) > 1:
            centres[cell], prices[cell] = points[members[len(members) // 2]], prices[large]


def group_count(n: int, config: ClusterConfig) -> int:
    """Fan-out at the root."""
    if isinstance(config.fan_out, int):
        return max(1, min(config.fan_out, n))
    return max(1, round(defaults.GROUPS_FACTOR * math.sqrt(n / config.list_size)))


def root_groups(source: VectorSource, rows: RowArray, k: int, config: ClusterConfig) -> FloatArray:
    """Centres of the root's groups, from a sample.

    With ``fan_out="auto"``, PPP finds the natural clusters of the sample first, and each of them gets its share of the
    groups: groups do not straddle clusters that are really apart.
    """
    rng = np.random.default_rng([config.seed, 0])
    size = min(len(rows), max(defaults.SAMPLE_PER_GROUP * k, defaults.SAMPLE_MIN))
    points = source.take(rows[np.sort(rng.choice(len(rows), size=size, replace=False))])
    parts = [points]
    if config.fan_out == "auto":
        found = partition(points)
        parts = [points[found.labels == label] for label in range(found.k)]
    shares = [max(1, round(k * len(part) / size)) for part in parts]
    return np.concatenate(
        [kmeans(part, share, rng, steps=defaults.ROOT_STEPS) for part, share in zip(parts, shares, strict=True)]
    )


def blocks(rows: RowArray) -> list[RowArray]:
    """Fixed pieces of ``rows``."""
    return [rows[i : i + defaults.BLOCK_ROWS] for i in range(0, len(rows), defaults.BLOCK_ROWS)]


def split_members(labels: LabelArray, k: int) -> list[RowArray]:
    """Positions of each label, ascending."""
    starts, order = np.empty(k + 1, np.int64), np.empty(len(labels), np.int64)
    group_rows(labels, k, starts, order)
    return [order[starts[j] : starts[j + 1]] for j in range(k)]


def initial_cells(
    source: VectorSource, rows: RowArray, config: ClusterConfig, pool: Executor | None
) -> tuple[FloatArray, LabelArray, LabelArray]:
    """Groups, then cells inside each: centroids, the group of each cell, the group of each row."""
    centres = root_groups(source, rows, group_count(len(rows), config), config)
    labels = np.concatenate(run(pool, lambda part: assign(source.take(part), centres)[0], blocks(rows)))
    members = split_members(labels, len(centres))

    def cells_of(group: int) -> FloatArray:
        mine = rows[members[group]]
        k = max(1, round(len(mine) / config.list_size))
        if len(mine) == 0:
            return np.empty((0, source.dim), np.float32)
        rng = np.random.default_rng([config.seed, 1, group])
        return kmeans(source.take(mine), k, rng, steps=defaults.CELL_STEPS)

    parts = run(pool, cells_of, range(len(centres)))
    groups = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    return np.concatenate(parts), groups, labels


def near_groups(centroids: FloatArray, groups: LabelArray, n_groups: int, n_near: int) -> list[RowArray]:
    """For each group the cells of it and of the groups nearest to it, ``n_near`` groups in all."""
    sums, counts = means(centroids, groups, n_groups)
    centres = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    half[counts == 0] = np.inf
    order = np.argsort(half[None, :] - centres @ centres.T, axis=1, kind="stable")[:, :n_near]
    members = split_members(groups, n_groups)
    return [np.sort(np.concatenate([members[g] for g in near])) for near in order]


@dataclass(slots=True)
class _Step:
    """What one refinement step found."""

    labels: LabelArray
    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def lloyd_step(
    source: VectorSource,
    rows: RowArray,
    centroids: FloatArray,
    groups: LabelArray,
    owner: LabelArray,
    n_groups: int,
    pool: Executor | None,
) -> _Step:
    """Assign every row to the nearest cell near its group; ``owner``: group of each row now."""
    near = near_groups(centroids, groups, n_groups, defaults.NEAR_GROUPS)
    members = split_members(owner, n_groups)
    labels = np.zeros(len(rows), np.int32)
    sums, counts = np.zeros(centroids.shape), np.zeros(len(centroids), np.int64)

    def work(group: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        mine, cells = members[group], near[group]
        local, local_counts = np.zeros((len(cells), source.dim)), np.zeros(len(cells), np.int64)
        for part in blocks(mine):
            points = source.take(rows[part])
            found, _ = assign(points, centroids[cells])
            add_points(points, found, local, local_counts)
            labels[part] = cells[found]
        return local, local_counts

    for group, (local, local_counts) in enumerate(run(pool, work, range(n_groups))):
        sums[near[group]] += local
        counts[near[group]] += local_counts
    return _Step(labels, sums, counts)


def rebalance(
    source: VectorSource, rows: RowArray, step: _Step, groups: LabelArray, config: ClusterConfig, *, drop: bool
) -> tuple[FloatArray, LabelArray, LabelArray, bool]:
    """New centroids: means; cells over the limit split into several, starving cells dropped.

    Returns
    -------
    centroids, groups, owner, changed
        ``owner``: the group of each row.
    """
    floor = max(1, config.list_size // defaults.STARVE_DIVISOR) if drop else 1
    keep = step.counts >= floor
    if not keep.any():
        keep[np.argmax(step.counts)] = True
    large = np.flatnonzero(step.counts > config.limit)
    keep[large] = False
    centroids = [(step.sums[keep] / step.counts[keep, None]).astype(np.float32)]
    new_groups = [groups[keep]]
    order, starts = np.empty(len(rows), np.int64), np.empty(len(groups) + 1, np.int64)
    group_rows(step.labels, len(groups), starts, order)
    for cell in large:
        mine = order[starts[cell] : starts[cell + 1]]
        rng = np.random.default_rng([config.seed, 2, int(mine[0]), len(mine)])
        k = max(2, round(len(mine) / config.list_size))
        parts = kmeans(source.take(rows[mine]), k, rng, steps=defaults.CELL_STEPS)
        centroids.append(np.unique(parts, axis=0))
        new_groups.append(np.full(len(centroids[-1]), groups[cell], np.int32))
    split = sum(len(part) for part in centroids[1:]) > len(large)
    return np.concatenate(centroids), np.concatenate(new_groups), groups[step.labels], split


def cluster(
    source: VectorSource,
    rows: RowArray,
    config: ClusterConfig,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> FloatArray:
    """Centroids of the cells of ``rows``.

    Parameters
    ----------
    source : VectorSource
    rows : int64 array (n,)
        Rows that take part, ascending; n >= 1.
    config : ClusterConfig
    pool : Executor, optional
        Threads; the result does not depend on how many.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    float32 array (n_cells, dim)
        Cells hold about ``config.list_size`` vectors each; ``build.make_lists`` keeps them to ``config.bound``.
    """
    tell = progress or (lambda _: None)
    if len(rows) <= config.list_size:
        sums = source.take(rows).astype(np.float64).sum(axis=0)
        return np.asarray(sums / len(rows), np.float32)[None]
    centroids, groups, owner = initial_cells(source, rows, config, pool)
    n_groups = int(owner.max()) + 1  # for good: a group whose cells were all dropped may still own rows
    tell(0.3)
    for number in range(config.lloyd_steps + defaults.SETTLE_STEPS):
        step = lloyd_step(source, rows, centroids, groups, owner, n_groups, pool)
        settling = number >= config.lloyd_steps
        if settling and not (step.counts > config.limit).any():
            break
        centroids, groups, owner, split = rebalance(source, rows, step, groups, config, drop=not settling)
        tell(min(1.0, 0.3 + 0.7 * (number + 1) / config.lloyd_steps))
        if settling and not split:
            break
    return centroids
