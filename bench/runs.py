"""Build contenders, measure them, and turn what was measured into lines: shared by ``ann`` and ``scale``."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import building, cold, measure, memory, peers, records, summary
from bench import truth as exact
from bench.datasets import Dataset
from bench.peers.base import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One data set under one metric, ready to be indexed and judged."""

    dataset: Dataset
    metric: str
    arrays: building.Arrays
    truth: exact.Truth

    @classmethod
    def of(cls, dataset: Dataset, metric: str) -> "Task":
        """Find (or take from the cache) the exact neighbours, and lay out the arrays for child processes."""
        truth = exact.of_dataset(dataset, metric)
        return cls(dataset=dataset, metric=metric, arrays=building.prepare(dataset, metric), truth=truth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A contender's saved index of one task."""

    task: Task
    name: str
    report: dict[str, Any]
    queries: Path
    """``.npy`` file of the queries in the form this contender wants."""

    @property
    def folder(self) -> Path:
        """Where the index was saved."""
        return Path(self.report["folder"])

    def entry(self) -> measure.Entry:
        """Open the index in this process."""
        return measure.Entry(
            contender=building.opened(self.name, self.folder, self.task.metric, self.task.dataset.base.shape[1]),
            queries=np.load(self.queries),
            dataset=self.task.dataset,
            metric=self.task.metric,
            truth=self.task.truth,
        )


def build(task: Task, name: str, threads: int, work: Path, *, reuse: bool = False) -> Built:
    """Build one contender in a child process (see `building.build`), and say so."""
    report = building.build(name, task.arrays, task.metric, threads, work, reuse=reuse)
    reused = " (in an earlier run)" if report["build_reused"] else ""
    print(f"  {name}: built in {report['build_s']:.1f} s{reused}, {report['disk_mb']:.0f} MB on disk", flush=True)
    queries = task.arrays.queries(task.metric, peers.make(name).unit_vectors)
    return Built(task=task, name=name, report=report, queries=queries)


def hot(built: list[Built], *, k: int, rounds: int, threads: int) -> list[list[measure.Timing]]:
    """Open all indexes in this process and measure them interleaved; one list of timings per index."""
    entries = [one.entry() for one in built]
    try:
        return measure.run(entries, k=k, rounds=rounds, threads=threads)
    finally:
        for entry in entries:
            entry.contender.close()


def hot_lines(one: Built, timings: list[measure.Timing]) -> list[records.Line]:
    """Return one line per timing, after measuring the memory of the open index in processes of its own."""
    setting = asdict(_at_target(timings))
    needed = memory.of_open_index(one.name, one.folder, one.task.metric, one.queries, setting)
    return [
        records.Line(
            contender=one.name,
            setting=timing.setting.label,
            swept=timing.setting.swept,
            recall=timing.recall,
            recall_batch=timing.recall_batch,
            p50_us=timing.p50_us,
            p99_us=timing.p99_us,
            qps=timing.qps,
            **_build_fields(one.report),
            **needed,
        )
        for timing in timings
    ]


def _at_target(timings: list[measure.Timing]) -> Setting:
    """Return the cheapest swept setting with recall 0.95, else the last: what the memory is measured with."""
    swept = [timing for timing in timings if timing.setting.swept]
    good = [timing for timing in swept if timing.recall >= summary.TARGETS[0]]
    return (good or swept[-1:] or timings)[0].setting


def cold_lines(one: Built, *, k: int, rounds: int) -> list[records.Line]:
    """Measure one index with its files dropped from the page cache before every query."""
    task = one.task
    settings = cold.settings_within(one.name, one.folder, one.queries, task.dataset, task.metric, task.truth, k=k)
    timings = cold.run(one.name, one.folder, task.metric, one.queries, settings, k=k, rounds=rounds)
    build_fields = _build_fields(one.report)
    build_fields["facts"] = {**build_fields["facts"], "read_ahead_kib": cold.read_ahead_kib(one.folder)}
    return [
        records.Line(
            contender=one.name,
            setting=timing.setting.label,
            swept=timing.setting.swept,
            recall=timing.recall,
            p50_us=timing.p50_us,
            p99_us=timing.p99_us,
            qps=None,
            open_mb=None,
            prefetch=timing.prefetch,
            residual=timing.residual,
            worst_residual=timing.worst_residual,
            read_kib=timing.read_kib,
            **build_fields,
        )
        for timing in timings
    ]


def _build_fields(report: dict[str, Any]) -> dict[str, Any]:
    kept = ("build_s", "save_s", "peak_mb", "peak_added_mb", "disk_mb", "build_reused", "facts")
    return {name: report[name] for name in kept}


def header(command: str, task: Task, *, mode: str, threads: int, k: int, rounds: int, n_queries: int) -> records.Run:
    """Return what all lines of one run share."""
    counts = {"threads": threads, "k": k, "rounds": rounds, "n_queries": n_queries}
    return header_of(command, task.dataset, task.metric, mode=mode, **counts)


def header_of(command: str, dataset: Dataset, metric: str, *, mode: str = "hot", **counts: Any) -> records.Run:
    """Return the same without a `Task`; `counts` are ``threads``, ``k``, ``rounds`` and ``n_queries``."""
    return records.Run(
        command=command,
        dataset=dataset.name,
        rows=len(dataset.base),
        full=dataset.full,
        dim=dataset.base.shape[1],
        metric=metric,
        mode=mode,
        **counts,
    )
