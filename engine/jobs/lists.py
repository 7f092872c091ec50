"""Which posting lists there will be: the cut of the tree of every tenant, and its navigator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.work import I64
from ramet.index import defaults
from ramet.index.tree import Tree

U32 = npt.NDArray[np.uint32]

FEW = defaults.MERGE_LENGTH // 4
"""Rows below which a part of a cut cell is left out; its rows go to the nearest of the other parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The posting cells of one tenant."""

    cells: U32
    """Numbers, rising."""
    first_list: int
    """Number of the list of the first of them; the others follow."""


class CellTree:
    """What a cut needs of a tree.

    Parameters
    ----------
    parents : uint32 array (n_cells,)
    levels : uint32 array (n_cells,)
    """

    def __init__(self, parents: U32, levels: U32) -> None:
        self.parents = parents.astype(np.int64)
        self.levels = levels.astype(np.int64)
        order = 1 + np.argsort(self.parents[1:], kind="stable")
        self._children = order
        counts = np.bincount(self.parents[1:], minlength=len(parents))
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    @classmethod
    def of(cls, tree: Tree) -> CellTree:
        """Of a planted tree."""
        return cls(tree.parents, tree.levels)

    def children(self, cell: int) -> list[int]:
        """Cells below a cell."""
        found: list[int] = self._children[self._starts[cell] : self._starts[cell + 1]].tolist()
        return found

    def cut(self, leaves: I64, counts: I64) -> U32:
        """Posting cells for a tenant that has so many rows nearest to each of some leaves; numbers, rising.

        From the root downwards, as long as a part has more rows than an online list is split at, so that a small
        tenant has one list and a large one those of the leaves.
        """
        if not len(leaves):
            return np.empty(0, np.uint32)
        held = self._held(leaves, counts)
        out, waiting = list[int](), [0]
        while waiting:
            cell = waiting.pop()
            below = [child for child in self.children(cell) if held.get(child, 0) >= FEW]
            if held[cell] <= defaults.SPLIT_ROWS or not below:
                out.append(cell)
            else:
                waiting += below
        return np.array(sorted(out), np.uint32)

    def _held(self, leaves: I64, counts: I64) -> dict[int, int]:
        """Rows below every cell that has any."""
        held = dict(zip(leaves.tolist(), counts.tolist(), strict=True))
        by_level: dict[int, set[int]] = {}
        for leaf in held:
            by_level.setdefault(int(self.levels[leaf]), set()).add(leaf)
        for level in range(max(by_level, default=0), 0, -1):
            for cell in sorted(by_level.get(level, ())):
                parent = int(self.parents[cell])
                held[parent] = held.get(parent, 0) + held[cell]
                by_level.setdefault(level - 1, set()).add(parent)
        return held
