"""Units of a job on a Ray cluster. All machines reach the job's directory by the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from ramet.engine.builder import one_blas_thread
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.jobs.assigning import AssignStage
from ramet.engine.jobs.cells import CellStage
from ramet.engine.jobs.errors import JobLostError
from ramet.engine.jobs.filling import FillStage
from ramet.engine.jobs.grouping import GroupStage
from ramet.engine.jobs.rows import RowStage
from ramet.engine.jobs.splitting import ShardStage, SplitStage
from ramet.engine.jobs.stages import Stage, one_by_one
from ramet.engine.jobs.work import Work
from ramet.engine.sharded.actors import start

STAGES: dict[str, Callable[[Work], Any]] = {
    one.name: one for one in (GroupStage, CellStage, AssignStage, SplitStage, RowStage, FillStage, ShardStage)
}  # fmt: skip
"""Stages whose units may run anywhere; the others run in the process that leads the job."""

INTERRUPTS, INTERRUPT_S = 6, 2.0
"""Times that a task is asked to end before its process is killed, and seconds that it is given each time."""

RETRIES = 5
"""Times that a unit is given to another worker when its worker is lost: it left nothing, or what it left is whole."""


@lru_cache(maxsize=2)
def _prepared(path: str, name: str, begun: int) -> Stage:
    """The stage as this worker keeps it between units; ``begun``: a job of the same path begun later is another one."""
    work = Work.opened(Path(path))
    work.plan = work.plan.with_workers(1)
    stage: Stage = STAGES[name](work)
    stage.prepare()
    return stage


def run_unit(path: str, name: str, unit: int, begun: int) -> int:
    """Run one unit in a worker; one that is done already stays as it is."""
    stage = _prepared(path, name, begun)
    if not stage.is_done(unit):
        with one_blas_thread():
            stage.run(unit)
    return unit


class RayUnits:
    """Runs units as tasks; the stages that cannot be divided run here.

    Parameters
    ----------
    address : str
        "auto", or that of a cluster.
    workers : int
        Units that run at the same time.
    memory : int
        Bytes that each of their processes may take; Ray starts no more of them on a machine than fit.

    Raises
    ------
    ArgumentError
        There is no cluster at the address, or no machine with so much memory.
    MissingPackageError

    Calling it raises what a unit raises, and JobLostError when Ray itself fails.
    """

    def __init__(self, address: str, workers: int, memory: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingPackageError("ray", "ray") from error
        start(address)
        self._ray = ray
        self._workers = workers
        most = max((one["Resources"].get("memory", 0) for one in ray.nodes() if one["Alive"]), default=0)
        if memory > most:  # Ray would wait for such a machine without end
            raise ArgumentError(
                "memory",
                f"{memory / 1e6:,.0f} MB is more than Ray has on any machine ({most / 1e6:,.0f} MB); it is for each "
                "worker: give less, or start Ray with more (ray start --memory)",
            )
        options = {"num_cpus": 1, "memory": memory, "max_retries": RETRIES, "retry_exceptions": False}
        self._run = ray.remote(**options)(run_unit)

    def __call__(self, stage: Stage, units: list[int]) -> Iterable[int]:
        """Run units; gives the number of each one that is done."""
        work: Work = stage._work  # type: ignore[attr-defined]  # a stage and what runs it are one unit
        if stage.name not in STAGES:
            yield from one_by_one(stage, units)
            return
        waiting, left = list[Any](), list(units)
        begun = (work.place.path / "job.json").stat().st_mtime_ns
        try:
            while waiting or left:
                while left and len(waiting) < self._workers:
                    waiting.append(self._run.remote(str(work.place.path), stage.name, left.pop(0), begun))
                done, waiting = self._ray.wait(waiting, num_returns=1)
                yield from self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise cause_of(error, work.place.path) from error
        except self._ray.exceptions.RayError as error:
            raise JobLostError(work.place.path, _first_line(error)) from error
        finally:
            self._end(waiting)

    def _end(self, waiting: list[Any]) -> None:
        """Cancel tasks, and wait until none of them writes any more: the job's lock is given free after this.

        An interrupt can be lost, in a task that is just about to begin: it is sent again, and at last the process is
        killed, which a unit survives as any other kill.
        """
        with suppress(self._ray.exceptions.RayError):
            for attempt in count():
                if not waiting:
                    return
                for one in waiting:
                    self._ray.cancel(one, force=attempt >= INTERRUPTS)
                _, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=INTERRUPT_S)


def cause_of(error: Any, path: Path) -> BaseException:
    """What went wrong inside a task, as if it had been in this process: a `RayTaskError` holds it.

    Parameters
    ----------
    error : ray.exceptions.RayTaskError
    path : Path
        The job's directory.
    """
    cause = error.cause
    if isinstance(cause, Exception) and not type(cause).__module__.startswith("ray."):
        return cause
    return JobLostError(path, _first_line(cause))


def _first_line(error: object) -> str:
    """The kind of an error of Ray, and the first line of its text: what follows are tracebacks."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
