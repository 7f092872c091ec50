"""The tree that a build makes: root, groups of cells, posting cells in file order, and their navigator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.navigate import GroupNavigator, flat_navigator, group_centres, group_navigator, home_groups
from ramet.index.source import FloatArray

ROOT = 0
NO_PARENT = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Cells numbered so that number order is file order: the root, then groups, then posting cells."""

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

    @property
    def centres(self) -> FloatArray:
        """Centres of the groups of posting cells; the root's centroid when there are no groups."""
        return self.centroids[1 : self.first_leaf] if self.first_leaf > 1 else self.centroids[:1]

    @property
    def groups(self) -> npt.NDArray[np.int32]:
        """Group of each posting cell: position in ``centres``."""
        if self.first_leaf <= 1:
            return np.zeros(len(self.leaves), np.int32)
        return (self.parents[self.first_leaf :].astype(np.int64) - 1).astype(np.int32)


def plant(centroids: FloatArray, seed: int) -> Tree:
    """Order posting cells, group them, and make the navigator.

    Parameters
    ----------
    centroids : float32 array (n, dim)
        Posting cells in any order.
    seed : int
        For the grouping.
    """
    root = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)[None]
    if len(centroids) == 1:
        return _tree([], centroids, 0, flat_navigator(centroids), np.zeros(1, np.int64))
    if len(centroids) <= defaults.FLAT_CELLS:
        order = file_order(centroids, np.zeros(len(centroids), np.int32), root)
        leaves = np.ascontiguousarray(centroids[order])
        return _tree([np.full(len(leaves), ROOT)], np.concatenate([root, leaves]), 1, flat_navigator(leaves), order)
    centres = group_centres(centroids, seed)
    groups = home_groups(centroids, centres)
    order = file_order(centroids, groups, centres)
    leaves = np.ascontiguousarray(centroids[order])
    parents = [np.full(len(centres), ROOT), 1 + groups[order]]
    cells = np.concatenate([root, centres, leaves])
    return _tree(parents, cells, 1 + len(centres), group_navigator(leaves, centres, groups[order]), order)


def _tree(
    parents: list[npt.NDArray[np.signedinteger]],
    cells: FloatArray,
    first_leaf: int,
    navigator: GroupNavigator,
    order: npt.NDArray[np.int64],
) -> Tree:
    """Put the parts of the levels below the root together."""
    levels = [np.full(len(part), level + 1) for level, part in enumerate(parents)]
    return Tree(
        parents=np.concatenate([[NO_PARENT], *parents]).astype(np.uint32),
        levels=np.concatenate([[0], *levels]).astype(np.uint32),
        centroids=cells,
        first_leaf=first_leaf,
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
