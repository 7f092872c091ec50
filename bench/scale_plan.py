"""What a billion vectors would take, from what jobs of growing size took: the arithmetic of ``docs/scale.md``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]
Lines = Sequence[Line]

TARGET_ROWS = 1_000_000_000
SHARD_MEMORY = 8_000_000_000
"""Bytes of the job of one shard in the plan."""
CELL_SHARE = 0.5
"""Of a job's memory, what its cells may take: the rest is for blocks of rows, and small blocks are slow."""
MOST_ROWS = 2**31 - 1
"""Of one collection or shard: a row number has 31 bits."""
MACHINES, CORES = 16, 16
"""The cluster of the plan."""

WHOLE = ("read", "ids", "group", "cells", "refine", "plant", "split")
"""Stages that go over all records; `split` only in sharded jobs. All others are those of a shard."""
LEADING = ("read", "ids", "plant", "refine")
"""Stages that stay in the process that leads a job on Ray; only refine uses its threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage in all sizes and in the plan."""

    name: str
    us: tuple[float, ...]
    """Microseconds a record in each size."""
    exponent: float
    """Of the growth of the time a record between the last two sizes; never below 0."""
    planned_rows: int
    """All records, or those of a shard."""
    planned_us: float

    @property
    def planned_s(self) -> float:
        """Seconds for a billion records on as many cores as were measured."""
        return self.planned_us * TARGET_ROWS / 1e6


def slope(jobs: Lines, values: Sequence[float]) -> tuple[float, float]:
    """Return the line through the two largest sizes: value at no rows, and value a record."""
    rows = [job["rows"] for job in jobs]
    if len(rows) < 2:
        return 0.0, values[-1] / rows[-1]
    a_record = (values[-1] - values[-2]) / (rows[-1] - rows[-2])
    return values[-1] - a_record * rows[-1], a_record


def at(line: tuple[float, float], rows: float) -> float:
    """Return the value of a line at so many rows."""
    return line[0] + line[1] * rows


def cells_line(jobs: Lines) -> tuple[float, float]:
    """Return the least memory of a job: bytes at no rows, and bytes a record."""
    return slope(jobs, [job["planned"]["least_memory"] for job in jobs])


def shard_rows(jobs: Lines, memory: float) -> int:
    """Return the most records of a shard whose job has so much memory."""
    return int(min(MOST_ROWS, CELL_SHARE * memory / cells_line(jobs)[1]))


def n_shards(jobs: Lines, memory: float) -> int:
    """Return how many shards a billion records are."""
    return math.ceil(TARGET_ROWS / shard_rows(jobs, memory))


def stages(jobs: Lines, split_us: float | None) -> list[Stage]:
    """Return all stages of a sharded job over a billion records.

    Parameters
    ----------
    jobs : Lines
        Lines of kind ``job``, by size.
    split_us : float, optional
        Microseconds a record of the stage `split`, where it was measured.
    """
    of_shard = TARGET_ROWS // n_shards(jobs, SHARD_MEMORY)
    out = []
    for name in jobs[-1]["stages"]:
        us = tuple(1e6 * job["stages"].get(name, 0.0) / job["rows"] for job in jobs)
        out.append(_stage(name, us, jobs, TARGET_ROWS if name in WHOLE else of_shard))
    if split_us is not None:
        out.append(_stage("split", (split_us,), jobs, TARGET_ROWS))
    return sorted(out, key=lambda stage: (stage.name not in WHOLE, _order(stage.name)))


def _order(name: str) -> int:
    return WHOLE.index(name) if name in WHOLE else len(WHOLE)


def _stage(name: str, us: tuple[float, ...], jobs: Lines, planned_rows: int) -> Stage:
    exponent = 0.0
    if len(us) > 1 and us[-1] > 0 and us[-2] > 0:
        exponent = max(0.0, math.log(us[-1] / us[-2]) / math.log(jobs[-1]["rows"] / jobs[-2]["rows"]))
    planned = us[-1] * max(1.0, planned_rows / jobs[-1]["rows"]) ** exponent
    return Stage(name=name, us=us, exponent=exponent, planned_rows=planned_rows, planned_us=planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of a job over a billion records."""

    two_cores: float
    leading: float
    """On the cluster, of what stays in one process."""
    blocks: float
    """On the cluster, of tasks that are blocks of rows."""
    shards: float
    """On the cluster, of tasks that are shards, each on one core."""

    @property
    def cluster(self) -> float:
        """On the cluster, in all."""
        return self.leading + self.blocks + self.shards


def times(of: Sequence[Stage], cores: int, efficiency: float, shards: int) -> Times:
    """Return the time on as many cores as were measured, and on the cluster of the plan."""
    every = MACHINES * CORES
    one_shard = sum(stage.planned_s for stage in of if stage.name not in WHOLE) * cores / shards
    alone = sum(stage.planned_s for stage in of if stage.name in LEADING and stage.name != "refine")
    refine = sum(stage.planned_s for stage in of if stage.name == "refine") * cores / CORES
    blocks = sum(stage.planned_s for stage in of if stage.name in WHOLE and stage.name not in LEADING)
    return Times(
        two_cores=sum(stage.planned_s for stage in of),
        leading=alone + refine,
        blocks=blocks * cores / (every * efficiency),
        shards=one_shard * math.ceil(shards / every) / efficiency,
    )
