"""The tree that a build makes: root, groups of cells, posting cells in file order, and their navigator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.assign import file_order
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

    @property
    def leaves(self) -> FloatArray:
        """Centroids of the posting cells, in file order."""
        return self.centroids[self.first_leaf :]


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
        return _tree([], centroids, 0, flat_navigator(centroids))
    if len(centroids) <= defaults.FLAT_CELLS:
        order = file_order(centroids, np.zeros(len(centroids), np.int32), root)
        leaves = np.ascontiguousarray(centroids[order])
        return _tree([np.full(len(leaves), ROOT)], np.concatenate([root, leaves]), 1, flat_navigator(leaves))
    centres = group_centres(centroids, seed)
    groups = home_groups(centroids, centres)
    order = file_order(centroids, groups, centres)
    leaves = np.ascontiguousarray(centroids[order])
    parents = [np.full(len(centres), ROOT), 1 + groups[order]]
    cells = np.concatenate([root, centres, leaves])
    return _tree(parents, cells, 1 + len(centres), group_navigator(leaves, centres, groups[order]))


def _tree(
    parents: list[npt.NDArray[np.signedinteger]], cells: FloatArray, first_leaf: int, navigator: GroupNavigator
) -> Tree:
    """Put the parts of the levels below the root together."""
    levels = [np.full(len(part), level + 1) for level, part in enumerate(parents)]
    return Tree(
        parents=np.concatenate([[NO_PARENT], *parents]).astype(np.uint32),
        levels=np.concatenate([[0], *levels]).astype(np.uint32),
        centroids=cells,
        first_leaf=first_leaf,
        navigator=navigator,
    )
