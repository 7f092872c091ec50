"""From vectors to lists: cluster, plant the tree, assign, and hold every list to its bound."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.assign import Assignment, ClosureConfig, assign_all, trim
from ramet.index.clustering import ClusterConfig, cluster, kmeans
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
    assignment = assign_all(source, tree.leaves, tree.navigator, closure, pool)
    for _ in range(defaults.SPLIT_ROUNDS):
        grown = split_overfull(source, tree.leaves, assignment, clustering)
        if len(grown) == len(tree.leaves):
            break
        tree = plant(grown, clustering.seed)
        assignment = assign_all(source, tree.leaves, tree.navigator, closure, pool)
    tell("assign", 1.0)
    return tree, trim(assignment, len(tree.leaves), clustering.bound)


def split_overfull(
    source: VectorSource, centroids: FloatArray, assignment: Assignment, config: ClusterConfig
) -> FloatArray:
    """Centroids with those of overfull cells replaced by several; the same centroids when none is.

    The final assignment differs a little from the last refinement step, so a cell may end up over the bound.
    """
    counts = np.bincount(assignment.home, minlength=len(centroids))
    parts: list[FloatArray] = [centroids]
    keep: npt.NDArray[np.bool_] = np.ones(len(centroids), np.bool_)
    for cell in np.flatnonzero(counts > config.bound):
        mine = np.flatnonzero(assignment.home == cell)
        rng = np.random.default_rng([config.seed, 5, int(mine[0]), len(mine)])
        k = max(2, round(len(mine) / config.list_size))
        points = source.take(mine)
        centres = np.unique(
            kmeans(points, k, rng, steps=defaults.CELL_STEPS, balance=defaults.BALANCE),
            axis=0,
        )
        if len(centres) > 1 and (points != points[0]).any():
            keep[cell] = False
            parts.append(centres)
    parts[0] = centroids[keep]
    return np.concatenate(parts)
