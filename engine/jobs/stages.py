"""Running the stages of a job: units that are not done yet, on threads or one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import dataclass
from typing import Protocol

from ramet.engine.jobs.plan import Peak
from ramet.engine.jobs.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """How far a job is."""

    stage: str
    done: int
    """Records (of stages without any: units) that are behind it."""
    total: int
    """Of the stage; 0: not known."""
    seconds: float
    """Since the stage began, or went on."""
    finished: bool = False
    """The stage is over."""


Told = Callable[[JobEvent], object]


class Stage(Protocol):
    """A list of units. Those of a stage that is not ``in_order`` may run side by side, in any order."""

    name: str

    def prepare(self) -> None:
        """What comes before the first unit; done again when the job is resumed."""
        ...

    def n_units(self) -> int:
        """Units."""
        ...

    def is_done(self, unit: int) -> bool:
        """Whether a unit has left what it makes."""
        ...

    def weight(self, unit: int) -> int:
        """Records that it looks at."""
        ...

    def run(self, unit: int) -> None:
        """Do it."""
        ...

    def finish(self) -> None:
        """What comes after the last unit; may be done twice."""
        ...

    def clean(self) -> None:
        """Drop what no later stage needs; may be done twice, and without `prepare`."""
        ...


Units = Callable[[Stage, list[int]], Iterable[int]]
"""Runs some units of a stage; gives the number of each one that is done."""


def one_by_one(stage: Stage, units: list[int]) -> Iterable[int]:
    """Run units on this thread."""
    for unit in units:
        stage.run(unit)
        yield unit


def on(pool: Executor) -> Units:
    """Run units on the threads of a pool."""

    def run(stage: Stage, units: list[int]) -> Iterable[int]:
        waiting = {pool.submit(stage.run, unit): unit for unit in units}
        try:
            while waiting:
                for one in wait(waiting, return_when=FIRST_COMPLETED).done:
                    one.result()
                    yield waiting.pop(one)
        finally:
            for one in waiting:
                one.cancel()
            wait(waiting)

    return run


def run_stage(work: Work, stage: Stage, units: Units, told: Told, peak: Peak) -> None:
    """Run what is left of a stage, unless it is over already."""
    marker = f"done/{stage.name}"
    if work.place.has(marker):
        stage.clean()
        return
    began = time.perf_counter()
    peak.take()
    stage.prepare()
    every = range(stage.n_units())
    weights = [stage.weight(unit) for unit in every]
    if not any(weights):
        weights = [1] * len(weights)
    left = [unit for unit in every if not stage.is_done(unit)]
    done, total = sum(weights) - sum(weights[unit] for unit in left), sum(weights)

    def tell(finished: bool = False) -> None:
        seconds = time.perf_counter() - began
        told(JobEvent(stage=stage.name, done=done, total=total, seconds=seconds, finished=finished))

    tell()
    for unit in (one_by_one if getattr(stage, "in_order", False) else units)(stage, left):
        done += weights[unit]
        tell()
    stage.finish()
    seconds = time.perf_counter() - began
    work.place.put_json(marker, {"seconds": seconds, "records": total, "peak_bytes": peak.take()})
    stage.clean()
    tell(finished=True)
