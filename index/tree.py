"""The tree that a build makes: inner cells in binary splits, posting cells in file order, and their navigator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.kernels.bisect import bisect
from ramet.index.navigate import (
    GroupNavigator,
    flat_navigator,
    group_centres,
    group_navigator,
    home_groups,
    navigator_over,
)
from ramet.index.source import FloatArray

ROOT = 0
NO_PARENT = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Cells numbered so that number order is file order: the root, then inner cells, then posting cells.

    Every inner cell has two children with nearly the same number of posting cells below them. So a tenant with few
    records finds a cut of a few cells, whatever its size.
    """

    parents: npt.NDArray[np.uint32]
    """Parent of each cell; ``NO_PARENT`` for the root."""
    levels: npt.NDArray[np.uint32]
    """Depth of each cell; 0 for the root."""
    centroids: FloatArray
    """(n_cells, dim), all cells."""
    first_leaf: int
    """Number of the first posting cell; all cells from it on are posting cells. 0: the root is the only one."""
    navigator: GroupNavigator
    """Over the posting cells; position = number - first_leaf."""
    order: npt.NDArray[np.int64]
    """Which of the given centroids each posting cell is."""

    @property
    def leaves(self) -> FloatArray:
        """Centroids of the posting cells, in file order."""
        return self.centroids[self.first_leaf :]

    def children(self) -> list[tuple[int, npt.NDArray[np.uint32]]]:
        """Return (cell, its children) for every inner cell."""
        order = 1 + np.argsort(self.parents[1:], kind="stable")
        pairs = order.reshape(-1, 2).astype(np.uint32)
        return list(zip(self.parents[pairs[:, 0]].tolist(), pairs, strict=True))


def plant(centroids: FloatArray, seed: int) -> Tree:
    """Order posting cells, make the tree above them, and their navigator.

    Parameters
    ----------
    centroids : float32 array (n, dim)
        Posting cells in any order.
    seed : int
        For the grouping.
    """
    if len(centroids) == 1:
        return _tree(centroids, flat_navigator(centroids), np.zeros(1, np.int64))
    if len(centroids) <= defaults.FLAT_CELLS:
        order = chain(centroids)
        leaves = np.ascontiguousarray(centroids[order])
        return _tree(leaves, flat_navigator(leaves), order)
    centres = group_centres(centroids, seed)
    groups = home_groups(centroids, centres)
    order = file_order(centroids, groups, centres)
    leaves = np.ascontiguousarray(centroids[order])
    return _tree(leaves, group_navigator(leaves, centres, groups[order]), order)


def in_order(centroids: FloatArray, seed: int) -> Tree:
    """The tree of posting cells that are in file order already, as those of a stretch of a larger tree are.

    Parameters
    ----------
    centroids : float32 array (n, dim)
    seed : int
        For the grouping.
    """
    return _tree(centroids, navigator_over(centroids, seed), np.arange(len(centroids)))


def _tree(leaves: FloatArray, navigator: GroupNavigator, order: npt.NDArray[np.int64]) -> Tree:
    """Bisect the posting cells and put the parts together."""
    n = len(leaves)
    parents, levels = np.full(2 * n - 1, NO_PARENT, np.uint32), np.zeros(2 * n - 1, np.uint32)
    inner = np.empty((n - 1, leaves.shape[1]), np.float32)
    if n > 1:
        bisect(leaves, parents, levels, inner)
    return Tree(
        parents=parents,
        levels=levels,
        centroids=np.concatenate([inner, leaves]),
        first_leaf=n - 1,
        navigator=navigator,
        order=order,
    )


def chain(points: FloatArray) -> npt.NDArray[np.int64]:
    """Order of points by a greedy walk to the nearest unvisited neighbour, from the one farthest from the mean."""
    n = len(points)
    norms = np.einsum("ij,ij->i", points, points)
    centre = points.mean(axis=0)
    at = int(np.argmax(norms - 2 * points @ centre))
    order = np.empty(n, np.int64)
    unseen = np.zeros(n, np.float32)
    for i in range(n):
        order[i] = at
        unseen[at] = np.inf
        at = int(np.argmin(norms - 2 * (points @ points[at]) + unseen))
    return order


def file_order(centroids: FloatArray, groups: npt.NDArray[np.int32], centres: FloatArray) -> npt.NDArray[np.int64]:
    """Order of cells in the file: group by group along a chain of groups, and along a chain inside each.

    Neighbours in space become neighbours in the file, so that the probes of a cold query merge into fewer reads.
    """
    parts = []
    for group in chain(centres):
        mine = np.flatnonzero(groups == group)
        if len(mine):
            parts.append(mine[chain(centroids[mine])])
    return np.concatenate(parts)
