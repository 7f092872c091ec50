"""Stage *split*: for a sharded collection, every row goes to the shard of its nearest cell.

The leaves are cut into as many stretches as there are shards, each with like numbers of rows. A shard is then built as
a collection of its own, from the rows that this stage left for it, so shards can be built side by side.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from threading import Event, Semaphore
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.grouped import Grouped, Stretch
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import MOST_ROWS, too_large_shard
from ramet.engine.jobs.planting import Planted
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import I64, Work, in_working_space, parts_of
from ramet.engine.sharded.operations import cut
from ramet.index.nearby import assign_around
from ramet.index.tree import in_order

LEAVES_TOGETHER = 64
"""Leaves whose rows a shard reads together, at most."""

EDGES_A_SHARD = 8
"""Stretches of such leaves that a shard has at least, where there are so many leaves: it begins and ends with one."""

FOLDER = "split"


class SplitStage(Stage):
    """Units are stretches of groups."""

    name = FOLDER

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Load what all units share."""
        _ = self.planted.around, self.planted.near, self.stretches, self.leaves_together

    @cached_property
    def planted(self) -> Planted:
        """The tree over all rows."""
        return Planted(self._work)

    @cached_property
    def grouped(self) -> Grouped:
        """The rows by group."""
        return Grouped(self._work)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Records of each unit."""
        return self.grouped.stretches(self._work.kept_rows("split"))

    @cached_property
    def leaves_together(self) -> int:
        """Leaves whose rows a shard reads together; the same as long as the job lasts."""
        place, name = self._work.place, "kept/leaves_together"
        if not place.has(name):
            n_leaves = len(self.planted.parents) - self.planted.first_leaf
            place.put_json(name, leaves_together(n_leaves, self._work.job["shards"]))
        return int(place.get_json(name))

    def n_units(self) -> int:
        """Stretches."""
        return len(self.stretches)

    def is_done(self, unit: int) -> bool:
        """Whether the rows of a stretch are sorted by leaf."""
        return self._work.place.has(f"{FOLDER}/{unit:06d}.counts")

    def weight(self, unit: int) -> int:
        """Records of a stretch."""
        return self.stretches[unit].b - self.stretches[unit].a

    def run(self, unit: int) -> None:
        """Sort the rows of a stretch by their nearest leaf."""
        work, stretch = self._work, self.stretches[unit]
        keys, vectors = self.grouped.keys(stretch), self.grouped.vectors(stretch)
        points = in_working_space(vectors, work.plan.settings.metric.unit)
        leaves, groups = np.empty(len(points), np.int64), self.grouped.groups(stretch)
        for part in parts_of(groups):
            around = self.planted.around[int(groups[part[0]])]
            leaves[part] = assign_around(points[part], around, self.planted.leaves, self.planted.near, 1)[0][:, 0]
        order = np.lexsort((keys["row"], leaves))
        n_leaves = len(self.planted.parents) - self.planted.first_leaf
        work.place.put_array(f"{FOLDER}/{unit:06d}.keys", keys[order])
        work.place.put_array(f"{FOLDER}/{unit:06d}.vecs", vectors[order])
        counts = np.bincount(leaves, minlength=n_leaves)
        work.place.put_array(f"{FOLDER}/{unit:06d}.leaves", counts.astype("<u4"))
        groups = np.add.reduceat(counts, np.arange(0, n_leaves, self.leaves_together))
        work.place.put_array(f"{FOLDER}/{unit:06d}.counts", groups.astype("<i8"))

    def finish(self) -> None:
        """Say which leaves, and so which rows, each shard has, and begin its job."""
        work, leaves = self._work, self.planted.centroids[self.planted.first_leaf :]
        rows = np.zeros(len(leaves), np.int64)
        for unit in range(self.n_units()):
            rows += work.place.get_array(f"{FOLDER}/{unit:06d}.leaves", np.uint32)
        together = self.leaves_together
        edges = shard_edges(rows, work.job["shards"], together)
        largest = max(int(rows[first:last].sum()) for first, last in pairwise(edges))
        if largest > MOST_ROWS:
            raise too_large_shard(largest)
        for shard, (first, last) in enumerate(pairwise(edges)):
            groups = first // together, -(-last // together)
            _begin(work, shard, leaves[first:last], {"folder": FOLDER, "groups": groups, "files": self.n_units()})
        work.place.put_json("shards.json", [[int(a), int(b)] for a, b in pairwise(edges)])

    def clean(self) -> None:
        """The rows by group are not needed any more."""
        self._work.place.drop("group")


def leaves_together(n_leaves: int, n_shards: int) -> int:
    """Leaves whose rows are read together: fewer of few, so that edges can be near to where they should be."""
    return max(1, min(LEAVES_TOGETHER, n_leaves // (EDGES_A_SHARD * n_shards)))


def shard_edges(rows: I64, n_shards: int, together: int) -> list[int]:
    """First leaf of each shard and the number of leaves: whole stretches, with like numbers of rows.

    There are fewer shards than asked for when there are not as many stretches of leaves that have rows.
    """
    blocks = np.add.reduceat(rows, np.arange(0, len(rows), together))
    edges = cut(blocks, min(n_shards, len(blocks)))
    ends = np.concatenate([[0], np.cumsum(blocks)])[edges]
    some = np.flatnonzero(np.diff(ends))  # no shard is without rows
    return [0, *(int(edge) * together for edge in edges[some[1:]]), len(rows)]


def name_of(shard: int) -> str:
    """Folder of a shard."""
    return f"shard-{shard:04d}"


def _begin(work: Work, shard: int, leaves: npt.NDArray[np.float32], part: dict[str, Any]) -> None:
    """Leave what the job of a shard begins with: its tree, and where its rows are."""
    place = Place(work.place.path / name_of(shard))
    tree = in_order(leaves, work.plan.cluster.seed)
    place.put_array("tree/parents", tree.parents)
    place.put_array("tree/levels", tree.levels)
    place.put_array("tree/vecs", tree.centroids)
    place.put_bytes("tree/navigator", tree.navigator.to_bytes())
    place.put_json("tree/first_leaf", tree.first_leaf)
    collection = f"{int(work.job['collection'], 16) ^ (shard + 1):032x}"
    place.put_json("job.json", {**work.job, "collection": collection, "part": part})


class ShardStage(Stage):
    """Units are shards; each is a job of its own, whose stages leave their units behind."""

    name = "shards"

    def __init__(self, work: Work) -> None:
        self._work = work
        self.stopped = Event()
        """Set when the job is to stop: a shard is left after the unit that is running."""

    def prepare(self) -> None:
        """See how many shards there is memory for."""
        _ = self._room

    @cached_property
    def _together(self) -> int:
        """Shards that are built side by side; in a worker of Ray, which has one thread, one."""
        return self._work.plan.together(max(self.weight(unit) for unit in range(self.n_units())), self.n_units())

    @cached_property
    def _room(self) -> Semaphore:
        return Semaphore(self._together)

    @cached_property
    def _edges(self) -> list[list[int]]:
        found: list[list[int]] = self._work.place.get_json("shards.json")
        return found

    def n_units(self) -> int:
        """Shards."""
        return len(self._edges)

    def is_done(self, unit: int) -> bool:
        """Whether a shard is built."""
        return self._work.place.has(f"{name_of(unit)}/built")

    def weight(self, unit: int) -> int:
        """Rows of a shard."""
        return Work.opened(self._work.place.path / name_of(unit)).n_rows

    def run(self, unit: int) -> None:
        """Build a shard, from where it is."""
        from ramet.engine.jobs.shard_job import run_shard  # which runs stages, as this is one

        plan = self._work.plan.with_workers(1).with_share(self._together)
        with self._room:
            run_shard(self._work.place.path / name_of(unit), plan, self.stopped)

    def clean(self) -> None:
        """The shards have their rows."""
        self._work.place.drop(FOLDER)
