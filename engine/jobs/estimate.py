"""What a job would take, from its inputs and its plan alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from ramet.engine.errors import ArgumentError
from ramet.engine.jobs.describing import described_inputs
from ramet.engine.jobs.job import Task
from ramet.engine.jobs.plan import taken_bytes

COPIES = 1.9
"""Lists that hold a record, on average, as measured on embeddings with two copies at most."""

SECONDS_A_VECTOR, SECONDS_A_VALUE = 30e-6, 0.4e-6
"""Time of two workers for each record, and for each of its dimensions (``docs/scale.md``)."""

TEMPORARY = 2.3
"""Temporary files, as a multiple of the vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What a build job would do and take; figures of time and disk are estimates."""

    inputs: list[dict[str, Any]]
    """Path, format, bytes and rows of every file."""
    n_records: int | None
    """None: not known before the inputs are read; nothing is estimated then."""
    dim: int
    metric: str
    dtype: str
    codes: str
    n_lists: int
    memory: int
    """Bytes that the job may take."""
    least_memory: int
    """Bytes without which it would not begin."""
    collection_bytes: int
    temporary_bytes: int
    free_bytes: int
    """Of the file system that the collection will be on."""
    seconds: float
    workers: int
    shards_together: int | None
    """Shards that are built side by side; None: the collection is in one piece."""
    fits: bool
    """The memory is enough, and the disk has room."""


def estimated(task: Task) -> JobPlan:
    """The plan of a job."""
    plan, settings = task.plan, task.plan.settings
    rows = [file.n_rows for file in task.files]
    known = not any(n is None for n in rows) and all("vectors" in file.has for file in task.files)
    n = sum(n or 0 for n in rows) if known else 0
    stored = settings.to_storage()
    copy_bytes = stored["code_bytes"] + 4 * stored["n_factors"] + 4
    collection = n * int(COPIES * copy_bytes + stored["vector_bytes"] + 120) + plan.n_cells(n) * 2 * 4 * settings.dim
    temporary = int(n * settings.vector_bytes * TEMPORARY)
    at = next(parent for parent in task.out.parents if parent.exists())
    free = shutil.disk_usage(at).free
    least = taken_bytes() + plan.fixed_bytes(n) + plan.least_units_bytes()
    return JobPlan(
        inputs=described_inputs(task.files),
        n_records=n if known else None,
        dim=settings.dim,
        metric=settings.metric_name,
        dtype=settings.dtype_name,
        codes=settings.codes,
        n_lists=plan.n_cells(n),
        memory=plan.memory,
        least_memory=least,
        collection_bytes=collection,
        temporary_bytes=temporary,
        free_bytes=free,
        seconds=n * (SECONDS_A_VECTOR + SECONDS_A_VALUE * settings.dim) * 2 / plan.workers,
        workers=plan.workers,
        shards_together=_together(task, n),
        fits=least <= plan.memory and collection + temporary <= free,
    )


def _together(task: Task, n_rows: int) -> int | None:
    """Shards side by side, as far as it can be told before their sizes are known."""
    if task.shards is None:
        return None
    n_shards = min(task.shards, max(1, n_rows))
    if task.ray is not None:
        return min(task.plan.workers, n_shards)
    return task.plan.together(-(-n_rows // n_shards), n_shards)


def refuse_small_disk(task: Task) -> None:
    """Refuse a job that cannot end for lack of room, before anything is written.

    Raises
    ------
    ArgumentError
    """
    found = estimated(task)
    needed = found.collection_bytes + found.temporary_bytes
    if found.n_records and needed > found.free_bytes:
        raise ArgumentError(
            "out",
            f"the job needs about {needed / 1e9:,.1f} GB of disk and {found.free_bytes / 1e9:,.1f} GB are free in "
            f"{task.out.parent}; free some, or choose another place",
        )
