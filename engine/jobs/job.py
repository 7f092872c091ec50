"""Build jobs: from files of any size to a collection, with bounded memory, in stages that can be resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ramet.engine.builder import one_blas_thread
from ramet.engine.errors import ArgumentError, CollectionExistsError
from ramet.engine.jobs.cells import CellStage, RefineStage
from ramet.engine.jobs.dropping import DropStage
from ramet.engine.jobs.errors import JobExistsError, JobMismatchError, JobRunningError
from ramet.engine.jobs.grouping import GroupStage
from ramet.engine.jobs.inputs.blocks import InputFile
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import Peak, Plan
from ramet.engine.jobs.planting import PlantStage
from ramet.engine.jobs.publishing import gather_shards, publish
from ramet.engine.jobs.reading import ReadStage
from ramet.engine.jobs.report import JobReport, report_of, write_report
from ramet.engine.jobs.shard_job import stages_from_cuts
from ramet.engine.jobs.splitting import ShardStage, SplitStage
from ramet.engine.jobs.stages import Told, on, run_stage
from ramet.engine.jobs.texts import Texts
from ramet.engine.jobs.work import Work
from ramet.storage.errors import WriterBusyError
from ramet.storage.format import checksum
from ramet.storage.lock import WriterLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a job is to do, checked."""

    files: Sequence[InputFile]
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
    if task.out.exists():
        raise CollectionExistsError(f"{task.out} exists already; choose another place, or delete it first")
    if path.exists() and not resume:
        raise JobExistsError(path)
    with _begun(path, task) as work:
        _run(work, task, told)
        if task.shards is not None:
            gather_shards(work)
        report = report_of(work)
        write_report(report, task.out)
        publish(work, task.out)
    shutil.rmtree(path)
    return report


@contextmanager
def _begun(path: Path, task: Task) -> Iterator[Work]:
    """The job's directory, made or opened, and nobody else's while this lasts."""
    place = Place(path)
    try:
        lock = WriterLock(path, 0.0)
    except WriterBusyError as error:
        raise JobRunningError(path) from error
    try:
        asked = _described(task)
        if place.has("job.json"):
            known = place.get_json("job.json")
            for name in ("inputs", "decided", "on_error", "texts", "shards"):
                if known[name] != asked[name]:
                    raise JobMismatchError(path, f"{name} {known[name]}, and not {asked[name]}")
        else:
            place.put_json("job.json", asked)
        yield Work(place, Plan.from_json(place.get_json("job.json")["plan"]).with_workers(task.plan.workers))
    finally:
        lock.release()


def _described(task: Task) -> dict[str, Any]:
    """The job as its directory remembers it."""
    decided = {name: entry for name, entry in task.plan.to_json().items() if name not in ("memory", "workers")}
    inputs = described_inputs(task)
    named = repr(([(Path(one["path"]).name, one["bytes"]) for one in inputs], decided, task.texts.facts)).encode()
    return {
        "inputs": inputs, "decided": decided, "plan": task.plan.to_json(), "on_error": task.on_error,
        "texts": task.texts.facts, "shards": task.shards, "created_with": _release(),
        "collection": f"{checksum(named):016x}{checksum(b'2', named):016x}",
    }  # fmt: skip


def described_inputs(task: Task) -> list[dict[str, Any]]:
    """Path, format, bytes and rows of every file."""
    return [
        {"path": str(file.path.absolute()), "format": file.format, "bytes": file.n_bytes, "rows": file.n_rows}
        for file in task.files
    ]


def _release() -> str:
    try:
        return version("ramet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _run(work: Work, task: Task, told: Told) -> None:
    """All stages."""
    workers = work.plan.workers
    if task.ray is not None:
        from ramet.engine.jobs.ray_units import RayUnits  # which takes ray, a heavy package
    with ThreadPoolExecutor(workers, "ramet-job") as pool, one_blas_thread(), Peak() as peak:
        units = on(pool) if task.ray is None else RayUnits(task.ray, workers)
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
            if work.place.has("read.json") and work.n_read == 0:
                raise ArgumentError(
                    "inputs", "have no record that can be taken; the reasons stand in read.json of the job"
                )
