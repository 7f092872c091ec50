"""Stage *group*: rows sorted into groups of neighbours, so that later stages read neighbours together.

A sample makes the centres of the groups, in two levels when they are many: rows then look for their group among about
``2 sqrt(groups)`` centres. Each unit sorts one block of records by group. What a group holds is a slice of every
unit's file.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.errors import JobDamagedError
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.truth import keep_queries
from ramet.engine.jobs.work import KEY, Work, in_working_space
from ramet.index import defaults
from ramet.index.clustering import assign, assign_steadily, kmeans, root_groups
from ramet.index.source import ArraySource, FloatArray

FLAT_GROUPS = 512
"""Up to so many groups their centres are compared one by one."""

HEAD = "group/centres"


class Groups:
    """Centres of groups, below super-centres when there are many.

    Parameters
    ----------
    centres : float32 array (n_groups, dim)
    starts : int64 array (n_super + 1,)
        First group of each super-centre.
    supers : float32 array (n_super, dim)
    """

    def __init__(self, centres: FloatArray, starts: npt.NDArray[np.int64], supers: FloatArray) -> None:
        self.centres = centres
        self.starts = starts
        self.supers = supers

    def of(self, points: FloatArray) -> npt.NDArray[np.int32]:
        """Group of each point, int32 (n,)."""
        if len(self.supers) == 1:
            return assign_steadily(points, self.centres)
        above = assign_steadily(points, self.supers)
        labels = np.empty(len(points), np.int32)
        for number in np.unique(above).tolist():
            mine = np.flatnonzero(above == number)
            a, b = int(self.starts[number]), int(self.starts[number + 1])
            labels[mine] = a + assign_steadily(points[mine], self.centres[a:b])
        return labels


def make_groups(work: Work) -> None:
    """Make the centres from a sample, once."""
    if work.place.has(f"{HEAD}.json"):
        return
    plan, config = work.plan, work.plan.cluster
    n_groups = plan.n_groups(work.n_rows)
    sample = sampled(work, plan.sample_rows(work.n_rows))
    if n_groups <= FLAT_GROUPS or config.fan_out is not None:
        source = ArraySource(sample, unit=False)
        centres = root_groups(source, np.arange(len(sample)), n_groups, config)
        groups = Groups(centres, np.array([0, len(centres)]), np.zeros((1, sample.shape[1]), np.float32))
    else:
        groups = _two_levels(sample, n_groups, config.seed)
    work.place.put_array(f"{HEAD}.vecs", groups.centres)
    work.place.put_array(f"{HEAD}.supers", groups.supers)
    work.place.put_json(f"{HEAD}.json", groups.starts.tolist())


def _two_levels(sample: FloatArray, n_groups: int, seed: int) -> Groups:
    """Groups below about as many super-centres as each of these has groups."""
    rng = np.random.default_rng([seed, 6])
    n_super = round(math.sqrt(n_groups))
    few = sample[np.sort(rng.choice(len(sample), min(len(sample), n_super * defaults.SAMPLE_PER_GROUP), replace=False))]
    supers = kmeans(few, n_super, rng, steps=defaults.ROOT_STEPS)
    above, _ = assign(sample, supers)
    parts = []
    for number in range(len(supers)):
        mine = sample[above == number]
        share = max(1, round(n_groups * len(mine) / len(sample)))
        below = np.random.default_rng([seed, 7, number])
        parts.append(kmeans(mine, share, below, steps=defaults.ROOT_STEPS) if len(mine) else supers[number][None])
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Groups(np.concatenate(parts), starts.astype(np.int64), supers)


def sampled(work: Work, size: int) -> FloatArray:
    """Vectors of some records, in working space; the same ones whatever the blocks are."""
    rows = drawn(work.n_read, min(size, work.n_read), np.random.default_rng([work.plan.cluster.seed, 0]))
    out = np.empty((len(rows), work.plan.settings.dim), np.float32)
    for number, places, local in work.by_block(rows):
        out[places] = in_working_space(
            work.vectors_of_block(work.blocks[number])[local], work.plan.settings.metric.unit
        )
    return out


def drawn(n: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """``size`` of the numbers below ``n``, rising: one of each of as many stretches of like length.

    `Generator.choice` without replacement takes 8 bytes for each of the n.
    """
    edges = np.arange(size + 1) * n // size if size else np.zeros(1, np.int64)
    found: npt.NDArray[np.int64] = rng.integers(edges[:-1], edges[1:])
    return found


class GroupStage(Stage):
    """Units are blocks of records."""

    name = "group"

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Choose the queries for the measurement, and make the centres of the groups."""
        keep_queries(self._work)
        make_groups(self._work)
        _ = self.groups

    @cached_property
    def groups(self) -> Groups:
        """The centres of the groups."""
        return load_groups(self._work)

    def n_units(self) -> int:
        """Blocks."""
        return len(self._work.blocks)

    def is_done(self, unit: int) -> bool:
        """Whether a block is sorted."""
        return self._work.place.has(f"group/{unit:06d}.counts")

    def weight(self, unit: int) -> int:
        """Records of a block."""
        return self._work.blocks[unit].n

    def run(self, unit: int) -> None:
        """Sort a block by group; what was read of it is not needed any more then."""
        work, block = self._work, self._work.blocks[unit]
        vectors = work.vectors_of_block(block)
        rows = block.first_row + np.arange(block.n)
        keys = np.zeros(block.n, KEY)
        keys["row"] = rows
        keys["tenant"] = tenants_of(work, block.name, block.n)
        labels = self.groups.of(in_working_space(vectors, work.plan.settings.metric.unit))
        kept = np.flatnonzero(~np.isin(rows, work.dropped)) if len(work.dropped) else np.arange(block.n)
        order = kept[np.argsort(labels[kept], kind="stable")]
        counts = np.bincount(labels[kept], minlength=len(self.groups.centres))
        work.place.put_array(f"group/{unit:06d}.keys", keys[order])
        work.place.put_array(f"group/{unit:06d}.vecs", vectors[order])
        work.place.put_array(f"group/{unit:06d}.counts", counts.astype("<i8"))
        work.place.drop(f"read/{block.name}.vecs")

    def clean(self) -> None:
        """Drop what was read of vectors: it stands in the groups now."""
        for block in self._work.blocks:
            self._work.place.drop(f"read/{block.name}.vecs")


def load_groups(work: Work) -> Groups:
    """The groups that `make_groups` made."""
    dim = work.plan.settings.dim
    return Groups(
        work.place.get_array(f"{HEAD}.vecs", np.float32).reshape(-1, dim),
        np.array(work.place.get_json(f"{HEAD}.json"), np.int64),
        work.place.get_array(f"{HEAD}.supers", np.float32).reshape(-1, dim),
    )


def tenants_of(work: Work, name: str, n: int) -> npt.NDArray[np.uint32]:
    """Number of the tenant of each record of a block.

    Raises
    ------
    JobDamagedError
        Other blocks name the tenants of their records, and this one does not.
    """
    if not work.place.has(f"read/{name}.tenants"):
        if n and work.read["has_tenants"]:
            file = work.job["inputs"][int(name[:5])]["path"]
            raise JobDamagedError(work.place.path, f"tenants of records of {file} are missing")
        return np.zeros(n, np.uint32)
    local = work.place.get_array(f"read/{name}.tenants", np.uint32)
    names = work.place.get_json(f"read/{name}.json")["tenants"]
    numbers = {tenant: number for number, tenant in enumerate(work.tenants)}
    found: npt.NDArray[np.uint32] = np.array([numbers[one] for one in names], np.uint32)[local]
    return found
