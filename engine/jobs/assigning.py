"""Stage *assign*: every row finds its list, and the lists that get a copy; the rows of a unit are sorted by list."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.grouped import Grouped, Stretch
from ramet.engine.jobs.planting import Planted
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import NO_COPY, Work, assigned_dtype, in_working_space, parts_of
from ramet.index.assign import assign_points
from ramet.index.nearby import assign_around
from ramet.index.source import FloatArray


class AssignStage(Stage):
    """Units are stretches of groups."""

    name = "assign"

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Load what all units share, before they run side by side."""
        _ = self.planted.cells, self.planted.cuts, self.planted.centroids, self.stretches
        _ = (self.planted.around, self.planted.near) if self.planted.walks else self.planted.navigator

    @cached_property
    def planted(self) -> Planted:
        """The tree and the lists."""
        return Planted(self._work)

    @cached_property
    def grouped(self) -> Grouped:
        """The rows by group."""
        return Grouped(self._work)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Records of each unit."""
        return self.grouped.stretches(self._work.kept_rows("assign"))

    def n_units(self) -> int:
        """Stretches."""
        return len(self.stretches)

    def is_done(self, unit: int) -> bool:
        """Whether the records of a stretch have their lists."""
        return self._work.place.has(f"assign/{unit:06d}.counts")

    def weight(self, unit: int) -> int:
        """Records of a stretch."""
        return self.stretches[unit].b - self.stretches[unit].a

    def run(self, unit: int) -> None:
        """Assign the records of a stretch, and sort them by list."""
        work, planted, stretch = self._work, self.planted, self.stretches[unit]
        keys, vectors = self.grouped.keys(stretch), self.grouped.vectors(stretch)
        out = np.zeros(len(keys), assigned_dtype(work.plan.closure.replicas))
        out["row"], out["copies"] = keys["row"], NO_COPY
        points = in_working_space(vectors, work.plan.settings.metric.unit)
        if planted.walks:
            self._walk(self.grouped.groups(stretch), points, out)
        else:
            for part in parts_of(keys["tenant"]):
                self._assign(int(keys["tenant"][part[0]]), part, points, out)
        del points
        n_lists = len(planted.cells)
        homes = np.bincount(out["list"], minlength=n_lists)
        copies = out["copies"][out["copies"] != NO_COPY]
        order = np.lexsort((out["row"], out["list"]))
        work.place.put_array(f"assign/{unit:06d}.keys", out[order])
        work.place.put_array(f"assign/{unit:06d}.vecs", vectors[order])
        both = np.stack([homes, np.bincount(copies, minlength=n_lists)])
        work.place.put_array(f"assign/{unit:06d}.counts", both.astype("<u4"))

    def _walk(self, groups: npt.NDArray[np.int64], points: FloatArray, out: npt.NDArray[np.void]) -> None:
        """Lists of records whose tenant has the leaves: from cells around their groups, by neighbours."""
        planted = self.planted
        for part in parts_of(groups):
            around = planted.around[int(groups[part[0]])]
            found = assign_around(points[part], around, planted.leaves, planted.near, planted.replicas(0))
            _put(out, part, 0, *found)

    def _assign(self, tenant: int, part: npt.NDArray[np.int64], points: FloatArray, out: npt.NDArray[np.void]) -> None:
        """Lists of the records of one tenant."""
        centroids, navigator = self.planted.points(tenant)
        alive = np.ones(len(centroids), np.uint32)
        most, first = self.planted.replicas(tenant), self.planted.cuts[tenant].first_list
        mine = points if len(part) == len(points) else points[part]  # all of one tenant: already in order
        _put(out, part, first, *assign_points(mine, navigator, centroids, alive, most, None))

    def finish(self) -> None:
        """Remember how many units there were."""
        self._work.place.put_json("assign/units", self.n_units())

    def clean(self) -> None:
        """The rows by group are not needed any more."""
        self._work.place.drop("group")


def _put(
    out: npt.NDArray[np.void],
    part: npt.NDArray[np.int64],
    first: int,
    cells: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int32],
) -> None:
    """Enter the lists of some records: the cells are numbered from the list ``first`` on."""
    out["list"][part] = first + cells[:, 0]
    for rank in range(1, cells.shape[1]):
        has = counts > rank
        out["copies"][part[has], rank - 1] = first + cells[has, rank]
