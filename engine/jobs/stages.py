"""Running the stages of a job: units that are not done yet, on threads or one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
    in_order: bool = False

    def prepare(self) -> None:
        """What comes before the first unit; done again when the job is resumed."""
        return

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
        return

    def clean(self) -> None:
        """Drop what no later stage needs; may be done twice, and without `prepare`."""
        return


@runtime_checkable
class Speaking(Protocol):
    """A stage that tells of its units while they run."""

    heard: Callable[[int, int | None], None]
    """Called with a unit and what of it is behind it, from any thread."""


class Stopped(Exception):
    """A unit was left in the middle, as the job is to stop: what it has written stays."""


Units = Callable[[Stage, list[int]], Iterable[int]]
"""Runs some units of a stage; gives the number of each one that is done."""


def one_by_one(stage: Stage, units: list[int]) -> Iterable[int]:
    """Run units on this thread."""
    for unit in units:
        stage.run(unit)
        yield unit


def on(pool: Executor) -> Units:
    """Run units on the threads of a pool.

    After an error or Ctrl-C it waits for those that run: long ones look at the event ``stopped`` of their stage.
    """

    def run(stage: Stage, units: list[int]) -> Iterable[int]:
        waiting = {pool.submit(stage.run, unit): unit for unit in units}
        try:
            while waiting:
                for one in wait(waiting, return_when=FIRST_COMPLETED).done:
                    one.result()
                    yield waiting.pop(one)
        finally:
            if waiting:
                getattr(stage, "stopped", threading.Event()).set()
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
    left = [unit for unit in range(stage.n_units()) if not stage.is_done(unit)]
    count = _Count(stage, left, told, began)
    count.tell()
    for unit in (one_by_one if stage.in_order else units)(stage, left):
        count.heard(unit, None)
    stage.finish()
    records = count.total or count.done
    work.place.put_json(marker, {"seconds": count.seconds, "records": records, "peak_bytes": peak.take()})
    stage.clean()
    count.tell(finished=True)


class _Count:
    """How far a stage is.

    Parameters
    ----------
    stage : Stage
        When it is `Speaking`, and the weight of one of its units is not known (0), neither is the total.
    left : list of int
        Units that are not done.
    told : callable
    began : float
        When the stage began, of `time.perf_counter`.
    """

    def __init__(self, stage: Stage, left: list[int], told: Told, began: float) -> None:
        self._name, self._told = stage.name, told
        self._began = began
        self._lock = threading.Lock()
        self._weights = [stage.weight(unit) for unit in range(stage.n_units())]
        speaks = isinstance(stage, Speaking)
        if not speaks and not any(self._weights):
            self._weights = [1] * len(self._weights)
        self.total = 0 if speaks and not all(self._weights) else sum(self._weights)
        self._behind = list(self._weights)
        for unit in left:
            self._behind[unit] = 0
        if isinstance(stage, Speaking):
            stage.heard = self.heard

    @property
    def done(self) -> int:
        """Records behind the stage."""
        return sum(self._behind)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began

    def heard(self, unit: int, n: int | None) -> None:
        """So much of a unit is behind it; None: all."""
        with self._lock:
            self._behind[unit] = max(self._behind[unit], self._weights[unit] if n is None else n)
            self.tell()

    def tell(self, finished: bool = False) -> None:
        """Say how far it is."""
        self._told(
            JobEvent(stage=self._name, done=self.done, total=self.total, seconds=self.seconds, finished=finished)
        )
