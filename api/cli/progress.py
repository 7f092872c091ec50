"""A progress bar fed by `Collection.build(progress=)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ramet.api.cli.output import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class StageBars:
    """One bar per stage, made when the stage is first reported; the one before is then complete."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        """Show that `fraction` (0 to 1) of `stage` is done."""
        if stage != self._stage:
            self.finish()
            self._stage, self._task = stage, self._progress.add_task(stage, total=1.0)
        assert self._task is not None
        self._progress.update(self._task, completed=min(fraction, 1.0))

    def finish(self) -> None:
        """Fill the bar of the last stage."""
        if self._task is not None:
            self._progress.update(self._task, completed=1.0)


@contextmanager
def stage_bars(shown: bool) -> Iterator[Callable[[str, float], None] | None]:
    """Show bars on stderr while the block runs; yields None, which reports nothing, when not `shown`."""
    if not shown:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        bars = StageBars(progress)
        yield bars
        bars.finish()  # not after an exception: a stage that failed is not complete
