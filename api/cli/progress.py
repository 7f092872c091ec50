"""Progress on stderr: bars fed by `Collection.build(progress=)`, and a count of embedded texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ramet.api.cli.output import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class StageBars:
    """One bar per stage, made when the stage is first reported; the one before is then complete."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        """Show that `fraction` (0 to 1) of `stage` is done."""
        if self._progress is None:  # not before: an error before the first stage is to stand alone on stderr
            self._progress = new_progress()
            self._progress.start()
        if stage != self._stage:
            self._fill()
            self._stage, self._task = stage, self._progress.add_task(stage, total=1.0)
        assert self._task is not None
        self._progress.update(self._task, completed=min(fraction, 1.0))

    def finish(self) -> None:
        """Fill the bar of the last stage and leave all bars on the screen."""
        self._fill()
        if self._progress is not None:
            self._progress.stop()

    def remove(self) -> None:
        """Take the bars off the screen: a stage that failed is not complete, and only the error is to be read."""
        if self._progress is not None:
            self._progress.live.transient = True
            self._progress.live.stop()  # Progress.stop() would print an empty line where stderr is not a terminal

    def _fill(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=1.0)


def new_progress() -> Progress:
    """Make the display of the bars, on stderr."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True))


@contextmanager
def stage_bars(shown: bool) -> Iterator[Callable[[str, float], None] | None]:
    """Show bars on stderr while the block runs; yields None, which reports nothing, when not `shown`."""
    if not shown:
        yield None
        return
    bars = StageBars()
    try:
        yield bars
    except BaseException:  # Ctrl-C too
        bars.remove()
        raise
    bars.finish()


@contextmanager
def text_counter(shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Count on stderr, while the block runs, the texts that an embedder reports; yields None when not `shown`."""
    if not shown:
        yield None
        return
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("embed"), TextColumn("{task.completed:,.0f} chunks"), TimeElapsedColumn())
    progress = Progress(*columns, console=console(stderr=True), transient=True)
    task: TaskID | None = None
    before = 0  # of the calls that are over: an embedder counts each call from nothing

    def count(done: int, total: int) -> None:
        nonlocal task, before
        if task is None:  # not before: an error before the first batch is to stand alone on stderr
            task = progress.add_task("embed", total=None)
            progress.start()
        progress.update(task, completed=before + done)
        before += total if done == total else 0

    try:
        yield count
    finally:
        if task is not None:
            progress.live.stop()  # Progress.stop() would print an empty line where stderr is not a terminal
