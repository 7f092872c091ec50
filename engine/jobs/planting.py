"""Stages *plant* and *cut*: the tree over the posting cells, and the posting lists of every tenant."""

from __future__ import annotations

import threading
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ramet.engine.curves import ALL_LISTS
from ramet.engine.jobs.cells import load_cells
from ramet.engine.jobs.grouped import Grouped
from ramet.engine.jobs.grouping import load_groups
from ramet.engine.jobs.lists import CellTree, Cut
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import I64, Work, in_working_space
from ramet.index.kernels import plan as plans
from ramet.index.navigate import GroupNavigator, navigator_over
from ramet.index.nearby import cells_around, neighbours
from ramet.index.source import FloatArray
from ramet.index.tree import plant

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

KEPT_BYTES = 32 << 20
"""Centroids of tenants' cells that are kept between units."""


class PlantStage(Stage):
    """One unit."""

    name = "plant"
    in_order = True

    def __init__(self, work: Work) -> None:
        self._work = work

    def n_units(self) -> int:
        """The tree."""
        return 1

    def is_done(self, unit: int) -> bool:
        """Whether the tree is there."""
        return self._work.place.has("tree/first_leaf")

    def weight(self, unit: int) -> int:
        """Cells cost, and not records."""
        return 0

    def run(self, unit: int) -> None:
        """Plant the tree over the cells of the last step."""
        work = self._work
        steps = work.plan.cluster.lloyd_steps
        last = next(step for step in range(steps + 8, -1, -1) if work.place.has(f"refine/{step}.groups"))
        centroids, groups = load_cells(work, last)
        tree = plant(centroids, work.plan.cluster.seed)
        del centroids
        groups = groups[tree.order]
        work.place.put_array("tree/groups", groups)
        work.place.put_array("tree/near", neighbours(tree.leaves, tree.navigator))
        work.place.put_array("tree/parents", tree.parents)
        work.place.put_array("tree/levels", tree.levels)
        work.place.put_array("tree/vecs", tree.centroids)
        work.place.put_bytes("tree/navigator", tree.navigator.to_bytes())
        work.place.put_json("tree/first_leaf", tree.first_leaf)

    def clean(self) -> None:
        """The cells stand in the tree now."""
        self._work.place.drop("refine")


class CutStage(Stage):
    """One unit: the posting cells of every tenant."""

    name = "cut"
    in_order = True

    def __init__(self, work: Work) -> None:
        self._work = work

    @cached_property
    def grouped(self) -> Grouped:
        """The rows by group."""
        return Grouped(self._work)

    def n_units(self) -> int:
        """All tenants."""
        return 1

    def is_done(self, unit: int) -> bool:
        """Whether the cuts are there."""
        return self._work.place.has("tree/cuts")

    def weight(self, unit: int) -> int:
        """Records counted: those of one tenant need not be."""
        return self._work.n_rows if len(self._work.tenants) > 1 else 0

    def run(self, unit: int) -> None:
        """Cut the tree for every tenant; one that is alone has the leaves."""
        work, planted = self._work, Planted(self._work)
        leaves = np.arange(planted.first_leaf, len(planted.parents), dtype=np.uint32)
        if len(work.tenants) == 1:
            cuts = [leaves]
        else:
            tree, cuts = CellTree(planted.parents, planted.levels), []
            for cells, counts in self._counted(planted):
                cuts.append(tree.cut(cells, counts))
        work.place.put_array("tree/cells", np.concatenate(cuts).astype("<u4"))
        work.place.put_json("tree/cuts", [len(cut) for cut in cuts])

    def _counted(self, planted: Planted) -> list[tuple[I64, I64]]:
        """For each tenant the leaves nearest to its rows, and how many rows that are."""
        work, parts = self._work, [np.empty((0, 2), np.int64)]
        navigator, unit = planted.navigator, work.plan.settings.metric.unit
        for stretch in self.grouped.stretches(work.block_rows):
            owners = self.grouped.keys(stretch)["tenant"].astype(np.int64)
            points = in_working_space(self.grouped.vectors(stretch), unit)
            keys: U64 = navigator.nearest(points, 1, plans.L2)[:, 0]
            leaf = planted.first_leaf + (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
            found, counts = np.unique(owners << 32 | leaf, return_counts=True)
            parts.append(np.stack([found, counts], axis=1))
            if len(parts) > 64:
                parts = [_summed(np.concatenate(parts))]
        table = _summed(np.concatenate(parts))
        owner_of = table[:, 0] >> 32
        bounds = np.searchsorted(owner_of, np.arange(len(work.tenants) + 1))
        return [(table[a:b, 0] & 0xFFFFFFFF, table[a:b, 1]) for a, b in pairwise(bounds.tolist())]


def _summed(table: I64) -> I64:
    """Counts of equal pairs added up; pairs rise."""
    pairs, place = np.unique(table[:, 0], return_inverse=True)
    return np.stack([pairs, np.bincount(place, weights=table[:, 1]).astype(np.int64)], axis=1)


class Planted:
    """The tree and the lists, as the stage left them.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._kept: dict[int, tuple[FloatArray, GroupNavigator]] = {}
        self._n_kept = 0

    @cached_property
    def parents(self) -> U32:
        """Parent of each cell."""
        return self._work.place.get_array("tree/parents", np.uint32)

    @cached_property
    def levels(self) -> U32:
        """Depth of each cell."""
        return self._work.place.get_array("tree/levels", np.uint32)

    @cached_property
    def centroids(self) -> FloatArray:
        """Of all cells, (n, dim)."""
        return self._work.place.get_array("tree/vecs", np.float32).reshape(-1, self._work.plan.settings.dim)

    @cached_property
    def first_leaf(self) -> int:
        """Number of the first leaf."""
        return int(self._work.place.get_json("tree/first_leaf"))

    @cached_property
    def near(self) -> npt.NDArray[np.int32]:
        """Leaves nearest to each leaf, by position."""
        flat = self._work.place.mapped_array("tree/near", np.int32)
        return flat.reshape(len(self.parents) - self.first_leaf, -1)

    @cached_property
    def around(self) -> list[I64]:
        """Leaves around each group of rows, by position."""
        groups = self._work.place.get_array("tree/groups", np.int32)
        return cells_around(load_groups(self._work).centres, self.leaves, groups)

    @property
    def leaves(self) -> FloatArray:
        """Centroids of the leaves."""
        return self.centroids[self.first_leaf :]

    @cached_property
    def navigator(self) -> GroupNavigator:
        """Over the leaves."""
        return GroupNavigator.from_bytes((self._work.place.path / "tree/navigator").read_bytes())

    @cached_property
    def cells(self) -> U32:
        """Cell of each list; the lists of a tenant follow each other."""
        return self._work.place.get_array("tree/cells", np.uint32)

    @cached_property
    def cuts(self) -> list[Cut]:
        """Lists of each tenant."""
        out, first = list[Cut](), 0
        for n in self._work.place.get_json("tree/cuts"):
            out.append(Cut(cells=self.cells[first : first + n], first_list=first))
            first += n
        return out

    @property
    def owners(self) -> U32:
        """Tenant of each list."""
        sizes = [len(cut.cells) for cut in self.cuts]
        return np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)

    def is_all_leaves(self, tenant: int) -> bool:
        """Whether a tenant has the leaves, so that the tree's own navigator is its."""
        cut = self.cuts[tenant].cells
        return len(cut) == len(self.parents) - self.first_leaf and int(cut[0]) == self.first_leaf

    @cached_property
    def walks(self) -> bool:
        """Whether rows find their lists from the cells around their groups: one tenant, and no shard."""
        return self._work.part is None and len(self._work.tenants) == 1

    def replicas(self, tenant: int) -> int:
        """Most lists that hold a record of a tenant."""
        if len(self._work.tenants) == 1:
            return self._work.plan.closure.replicas
        return self._work.plan.closure.replicas if len(self.cuts[tenant].cells) > ALL_LISTS else 1

    def points(self, tenant: int) -> tuple[FloatArray, GroupNavigator]:
        """Centroids of a tenant's cells, and its navigator over them."""
        if self.is_all_leaves(tenant):
            return self.leaves, self.navigator
        with self._lock:
            found = self._kept.get(tenant)
            if found is None:
                centroids = np.ascontiguousarray(self.centroids[self.cuts[tenant].cells])
                found = self._kept[tenant] = centroids, navigator_over(centroids)
                self._n_kept += found[0].nbytes
                if self._n_kept > KEPT_BYTES:
                    self._kept, self._n_kept = {tenant: found}, found[0].nbytes
        return found
