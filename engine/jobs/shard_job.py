"""The job of one shard: from the rows that are its own to a collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from ramet.engine.builder import one_blas_thread
from ramet.engine.jobs.assigning import AssignStage
from ramet.engine.jobs.catalog import CatalogStage
from ramet.engine.jobs.contents import ContentStage
from ramet.engine.jobs.filling import FillStage
from ramet.engine.jobs.measuring import MeasureStage
from ramet.engine.jobs.plan import Peak, Plan
from ramet.engine.jobs.planting import CutStage
from ramet.engine.jobs.rows import RowStage
from ramet.engine.jobs.stages import JobEvent, Stopped, one_by_one, run_stage
from ramet.engine.jobs.texts import Texts
from ramet.engine.jobs.work import Work


def stages_from_cuts(work: Work, identity: str | None) -> list[Callable[[], Any]]:
    """What comes after the tree: the stages of a shard, and the last ones of a collection in one piece.

    Parameters
    ----------
    work : Work
    identity : str, optional
        Of the model that made the vectors.
    """
    return [
        lambda: CutStage(work),
        lambda: AssignStage(work),
        lambda: RowStage(work),
        lambda: FillStage(work),
        lambda: CatalogStage(work),
        lambda: ContentStage(work, identity, Texts.stored(work.source)),
        lambda: MeasureStage(work),
    ]


def run_shard(path: Path, plan: Plan, stopped: Event) -> None:
    """Run the job of a shard to its end, on one thread; the shards beside it keep the other cores busy.

    Parameters
    ----------
    path : Path
        Of the shard.
    plan : Plan
        That of the whole job as it goes on now, with the shard's share of memory.
    stopped : Event
        Set when the job is to stop.

    Raises
    ------
    Stopped
        It was; the shard can be gone on with.
    """

    def told(_: JobEvent) -> None:  # called when a stage begins and after each of its units
        if stopped.is_set():
            raise Stopped

    work = Work.opened(path)
    work.plan = plan
    with one_blas_thread(), Peak() as peak:
        for made in stages_from_cuts(work, work.job["texts"].get("model")):
            run_stage(work, made(), one_by_one, told, peak)
    work.place.put_json("built", True)
