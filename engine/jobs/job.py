"""Build jobs: from files of any size to a collection, with bounded memory, in stages that can be resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ramet.engine.builder import one_blas_thread
from ramet.engine.errors import ArgumentError, CollectionExistsError
from ramet.engine.jobs.cells import CellStage, RefineStage
from ramet.engine.jobs.describing import described, going_on, nothing_in
from ramet.engine.jobs.dropping import DropStage
from ramet.engine.jobs.ending import is_over, publish, sweep
from ramet.engine.jobs.errors import JobExistsError, JobOwnerError, JobRunningError, told_with_advice
from ramet.engine.jobs.grouping import GroupStage
from ramet.engine.jobs.inputs.blocks import InputFile, InputOptions
from ramet.engine.jobs.place import Place, is_own, make_own
from ramet.engine.jobs.plan import Peak, Plan
from ramet.engine.jobs.planting import PlantStage
from ramet.engine.jobs.publishing import gather_shards
from ramet.engine.jobs.reading import ReadStage
from ramet.engine.jobs.report import JobReport, read_report, report_of, write_report
from ramet.engine.jobs.shard_job import stages_from_cuts
from ramet.engine.jobs.splitting import ShardStage, SplitStage
from ramet.engine.jobs.stages import Told, on, run_stage
from ramet.engine.jobs.texts import Texts
from ramet.engine.jobs.work import Work
from ramet.storage.errors import WriterBusyError
from ramet.storage.lock import WriterLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a job is to do, checked."""

    files: Sequence[InputFile]
    columns: InputOptions
    """How the files are read."""
    out: Path
    """The collection to make."""
    plan: Plan
    on_error: str
    texts: Texts
    """What makes vectors of texts; nothing where the input has vectors."""
    shards: int | None = None
    """Of a sharded collection; None: a collection in one piece."""
    ray: str | None = None
    """Where units run: "auto", or the address of a Ray cluster; None: on threads of this process."""


def place_beside(out: Path) -> Path:
    """Directory of the job that makes a collection."""
    return out.with_name(f".build-{out.name}")


def run_job(task: Task, *, resume: bool, told: Told) -> JobReport:
    """Run a job from where it is to its end.

    Raises
    ------
    JobExistsError
        A job for this collection was begun, and ``resume`` is false.
    JobMismatchError
        It was begun with something else.
    JobOwnerError
        The job's directory belongs to another user.
    JobRunningError
        Another process works at it.
    RejectedRecordError
        A record cannot be taken, and ``on_error`` is "fail".
    CollectionExistsError
        There is a collection already.
    StorageError
        The disk is full, or files may not be written. The job can be resumed.
    """
    path = place_beside(task.out)
    with told_with_advice(path):
        if os.path.lexists(path) and not is_own(path):
            raise JobOwnerError(path)
        if is_over(path):  # and was stopped while it removed itself
            sweep(path)
            if resume and task.out.exists():
                return read_report(task.out)
        if task.out.exists():
            raise CollectionExistsError(f"{task.out} exists already; choose another place, or delete it first")
        with _begun(path, task, resume) as work:
            _run(work, task, told)
            if task.shards is not None:
                gather_shards(work)
            report = report_of(work)
            write_report(report, task.out)
            publish(work.place, task.out)
    return report


@contextmanager
def _begun(path: Path, task: Task, resume: bool) -> Iterator[Work]:
    """The job's directory, made or opened, and nobody else's while this lasts."""
    make_own(path)
    place = Place(path)
    try:
        lock = WriterLock(path, 0.0)
    except WriterBusyError as error:
        raise JobRunningError(path) from error
    try:
        asked = described(task)
        if place.has("job.json"):
            if not resume:
                raise JobExistsError(path)
            asked = going_on(place, asked)
        else:  # what is there is left of a job that was removed, but not to its end
            place.wipe()
        place.put_json("job.json", asked)
        yield Work(place, task.plan)
    finally:
        lock.release()


def _run(work: Work, task: Task, told: Told) -> None:
    """All stages."""
    workers = work.plan.workers
    if task.ray is not None:
        from ramet.engine.jobs.ray_units import RayUnits  # which takes ray, a heavy package
    with ThreadPoolExecutor(workers, "ramet-job") as pool, one_blas_thread(), Peak() as peak:
        units = on(pool) if task.ray is None else RayUnits(task.ray, workers, work.plan.memory)
        stages: list[Callable[[], Any]] = [
            lambda: ReadStage(work, task.files, task.on_error == "skip", task.texts),
            lambda: DropStage(work, task.on_error == "skip"),
            lambda: GroupStage(work),
            lambda: CellStage(work),
            lambda: RefineStage(work, pool),
            lambda: PlantStage(work),
        ]
        if task.shards is None:
            stages += stages_from_cuts(work, task.texts.facts.get("model"))
        else:
            stages += [lambda: SplitStage(work), lambda: ShardStage(work)]
        for made in stages:
            run_stage(work, made(), units, told, peak)
            if work.n_read == 0:
                problem = nothing_in(work.read)
                work.place.drop("job.json")  # first: should this be stopped, the rest is not taken for a job
                shutil.rmtree(work.place.path)
                raise ArgumentError("inputs", problem)
