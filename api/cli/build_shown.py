"""What `ramet build` shows: bars or events while it runs, a plan, a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ramet.api.cli.output import console, counted, plain, print_json, size, table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ramet import JobEvent, JobPlan, JobReport

EVERY_S = 0.5
"""Seconds between two events of a stage."""

Told = Callable[["JobEvent"], None]


@contextmanager
def events(as_json: bool) -> Iterator[Told]:
    """Show how far the job is while the block runs: a JSON line each on stdout, or bars on stderr."""
    if as_json:
        yield _Lines()
        return
    bars = _Bars()
    try:
        yield bars
    except BaseException:  # Ctrl-C too
        bars.remove()
        raise
    bars.finish()


@contextmanager
def said_how_to_go_on() -> Iterator[None]:
    """Tell whoever presses Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        console(stderr=True).print("Stopped. The same command with --resume goes on from here.")
        raise


class _Lines:
    """Events as lines of JSON."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: JobEvent) -> None:
        now = monotonic()
        if event.finished or event.done == 0 or now - self._last >= EVERY_S:
            self._last = now
            _line({"event": "stage", **asdict(event)})


class _Bars:
    """A bar for each stage, with records a second and the time that is left."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._first: dict[str, int] = {}

    def __call__(self, event: JobEvent) -> None:
        if self._progress is None:  # not before: an error before the first stage is to stand alone on stderr
            self._progress = _display()
            self._progress.start()
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._progress.add_task(event.stage, total=event.total or None, rate="")
            self._first[event.stage] = event.done
        made = event.done - self._first[event.stage]
        rate = f"{made / event.seconds:,.0f}/s" if event.seconds > 0 and made > 1 else ""
        self._progress.update(self._tasks[event.stage], completed=event.done, rate=rate)
        if event.finished and event.total == 0:  # it was not known
            self._progress.update(self._tasks[event.stage], total=max(1, event.done), completed=max(1, event.done))

    def finish(self) -> None:
        """Leave the bars on the screen."""
        if self._progress is not None:
            self._progress.stop()

    def remove(self) -> None:
        """Take the bars off the screen: only the error is to be read."""
        if self._progress is not None:
            self._progress.live.transient = True
            self._progress.live.stop()  # Progress.stop() would print an empty line where stderr is not a terminal


def _display() -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<9}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]:>14}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console(stderr=True))


def _line(entry: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(plain(entry), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def shown_plan(plan: JobPlan, as_json: bool) -> None:
    """Print what a job would do and take."""
    if as_json:
        print_json(asdict(plan))
        return
    screen = console()
    rows = [[one["path"], one["format"], "?" if one["rows"] is None else f"{one['rows']:,}", size(one["bytes"])]
            for one in plan.inputs]  # fmt: skip
    screen.print(table(["input", "format", "rows", "size"], rows, numbers=["rows", "size"]))
    if plan.n_records is None:
        screen.print("How many records these inputs hold is not known before they are read, so nothing is estimated.")
        return
    screen.print(
        f"{counted(plan.n_records, 'record')} of {plan.dim} dimensions ({plan.dtype}, {plan.metric}, {plan.codes}) in "
        f"about {counted(plan.n_lists, 'posting list')}.\n"
        f"Memory: {size(plan.memory)} are allowed; the job needs at least {size(plan.least_memory)}.\n"
        f"Disk: {size(plan.collection_bytes)} for the collection, and up to {size(plan.temporary_bytes)} more while it "
        f"is built; {size(plan.free_bytes)} are free.\n"
        f"Time: about {_spelled(plan.seconds)} on {counted(plan.workers, 'worker')}, judged by jobs on two cores of a "
        "server of 2023.",
        markup=False,
    )


def _spelled(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def shown_report(out: Path, report: JobReport, as_json: bool) -> None:
    """Print what was built."""
    if as_json:
        found = report.to_dict()
        found["curve"] = [{"k": k, "nprobe": nprobe, "recall": recall} for k, nprobe, recall in report.curve]
        _line({"event": "built", "collection": str(out), **report.settings, "report": found})
        return
    screen = console()
    screen.print(
        f"Built {out}: {counted(report.n_records, 'record')} in {counted(report.n_lists, 'posting list')} "
        f"({report.n_replicas:.2f} copies of a record on average), {size(report.n_bytes)}, {report.seconds:.1f} s, "
        f"at most {size(report.peak_bytes)} of memory",
        markup=False,
    )
    if report.n_rejected:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in report.reasons.items())
        screen.print(f"Not taken: {report.n_rejected:,} ({reasons}); the report names them.", markup=False)
    if report.shards_asked not in (None, report.n_shards):
        screen.print(f"There are {report.n_shards} shards, not {report.shards_asked}: there are not enough cells.")
    if report.n_shards > 1:
        screen.print("Recall over all shards is not measured; `ramet stats` shows how many lists a query reads.")
    elif report.n_tenants == 1 and not report.curve:
        every = f"all {report.n_lists:,} lists" if report.n_lists != 1 else "the one list"
        screen.print(f"Fewer than 2,000 records: recall is not measured, and a query reads {every} (exact).")
    elif report.curve:
        screen.print(_recalls(report))
        screen.print(f"A query reads {counted(report.nprobe, 'posting list')} by default (recall 0.95).")
    screen.print(f"Report: {out}.build.html", markup=False)


def _recalls(report: JobReport) -> Any:
    """A row per number of probes, a column per k."""
    ks = sorted({k for k, _, _ in report.curve})
    recalls = {(nprobe, k): recall for k, nprobe, recall in report.curve}
    rows = (
        [str(nprobe), *(f"{recalls[nprobe, k]:.3f}" if (nprobe, k) in recalls else "" for k in ks)]
        for nprobe in sorted({nprobe for _, nprobe, _ in report.curve})
    )
    headings = ["probes", *(f"recall@{k}" for k in ks)]
    return table(headings, rows, numbers=headings, title="Recall measured on held-out records")
