"""From vectors to lists: cluster, plant the tree, assign, and hold every list to its bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from ramet.index import defaults
from ramet.index.assign import Assignment, ClosureConfig, assign_all, trim
from ramet.index.clustering import ClusterConfig, assign, cluster, kmeans
from ramet.index.source import FloatArray, RowArray, VectorSource
from ramet.index.tree import Tree, plant

StageProgress = Callable[[str, float], None]


def make_lists(
    source: VectorSource,
    rows: RowArray,
    clustering: ClusterConfig,
    closure: ClosureConfig,
    pool: Executor | None = None,
    progress: StageProgress | None = None,
) -> tuple[Tree, Assignment]:
    """Tree and closure assignment of all vectors of a source.

    Parameters
    ----------
    source : VectorSource
    rows : int64 array (m,)
        Rows that the centroids are made from, ascending; all rows of the source are assigned.
    clustering, closure : configuration
    pool : Executor, optional
        Threads; the result does not depend on how many.
    progress : callable, optional
        ``progress(stage, fraction)`` for the stages "cluster" and "assign".

    Returns
    -------
    Tree, Assignment
        No list holds more than ``clustering.bound`` rows, unless more than that are identical.
    """
    tell = progress or (lambda stage, done: None)
    centroids = cluster(source, rows, clustering, pool, lambda done: tell("cluster", done))
    tree = plant(centroids, clustering.seed)
    tell("assign", 0.0)
    assignment = assign_all(source, tree, closure, pool)
    grown, assignment = split_overfull(source, tree.leaves, assignment, clustering)
    if len(grown) > len(tree.leaves):
        tree = plant(grown, clustering.seed)
        assignment = renumbered(assignment, tree.order)
    tell("assign", 1.0)
    return tree, trim(assignment, len(tree.leaves), clustering.bound)


def split_overfull(
    source: VectorSource, centroids: FloatArray, assignment: Assignment, config: ClusterConfig
) -> tuple[FloatArray, Assignment]:
    """Split cells that are the nearest one of more rows than the bound allows; their rows go to the nearest part.

    The final assignment differs a little from the last refinement step, so a few cells may end up over the bound. The
    first part keeps the cell's number. Cells of identical vectors stay as they are.
    """
    cells = assignment.cells.copy()
    parts, n_cells = [centroids.copy()], len(centroids)
    held = np.arange(cells.shape[1])[None, :] < assignment.counts[:, None]
    for cell in np.flatnonzero(np.bincount(assignment.home, minlength=len(centroids)) > config.bound):
        rows, ranks = np.nonzero((assignment.cells == cell) & held)
        points = source.take(rows)
        centres = balanced_parts(points[ranks == 0], config, seed=int(cell))
        if len(centres) < 2:
            continue
        labels, _ = assign(points, centres)
        numbers = np.concatenate([[cell], np.arange(n_cells, n_cells + len(centres) - 1)])
        cells[rows, ranks] = numbers[labels]
        parts[0][cell] = centres[0]
        parts.append(centres[1:])
        n_cells += len(centres) - 1
    return np.concatenate(parts), Assignment(cells=cells, counts=assignment.counts)


def balanced_parts(points: FloatArray, config: ClusterConfig, seed: int) -> FloatArray:
    """Centres that cut the points into parts of at most ``config.bound``; one when the points are identical."""
    if (points == points[0]).all():
        return points[:1]
    rng = np.random.default_rng([config.seed, 5, seed, len(points)])
    k = max(2, math.ceil(len(points) / config.list_size))
    for _ in range(defaults.SPLIT_ROUNDS):
        centres = np.unique(kmeans(points, k, rng, steps=defaults.CELL_STEPS), axis=0)
        labels, _ = assign(points, centres)
        if np.bincount(labels).max() <= config.bound or len(np.unique(points, axis=0)) <= k:
            break
        k *= 2
    return centres


def renumbered(assignment: Assignment, order: RowArray) -> Assignment:
    """The assignment after cell ``order[i]`` has become cell ``i``."""
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Assignment(cells=place[assignment.cells], counts=assignment.counts)
