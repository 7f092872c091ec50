"""Processes of build jobs that are watched: their events, their temporary files, and their end."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import child
from bench.job_child import NAME

POLL_S = 0.002


class Process:
    """A child that runs a job, with a file of its events. A context manager, which the child does not outlive.

    Parameters
    ----------
    kind : str
        Key of `child.JOBS`.
    job : Mapping[str, Any]
        Its arguments.
    """

    def __init__(self, kind: str, job: Mapping[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ramet-bench-events-")
        self._events = Path(self._folder.name) / "events"
        self._events.touch()
        self._read, self._waited, self.events = 0, 0, list[dict[str, Any]]()
        """What was told so far, as of the last look; times count from the start of the process."""
        self._out, self._errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self._ended = 0.0
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            child.command_of(kind, {**job, "events": str(self._events)}), cwd=child.ROOT, env=child.clean_environment(),
            stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._errors,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for file in (self._out, self._errors):
            file.close()
        self._folder.cleanup()

    def running(self) -> bool:
        """Whether the child lives."""
        return self._process.poll() is None

    def age(self) -> float:
        """Seconds since the child was started."""
        return time.monotonic() - self.began

    def last_seen(self) -> float:
        """Age of the child at its end."""
        return self._ended

    def alive_after(self, seconds: float) -> bool:
        """Wait; return whether the child still lives."""
        try:
            self._process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return True
        self._over()
        return False

    def kill(self) -> bool:
        """End the child with SIGKILL; return whether that ended it, and not it itself."""
        self._process.kill()
        return self._over() == -signal.SIGKILL

    def _over(self) -> int:
        status = self._process.wait()
        self._ended = self._ended or self.age()
        return status

    def look(self) -> None:
        """Take the events that were told since the last look."""
        content = self._events.read_bytes()[self._read :]
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        found = [json.loads(line) for line in whole.splitlines()]
        for event in found:
            event["at"] -= self.began
        self.events += found

    def until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Wait for the next event that is such; None when the child ends before."""
        while True:
            alive = self.running()
            self.look()
            while self._waited < len(self.events):
                event = self.events[self._waited]
                self._waited += 1
                if reached(event):
                    return event
            if not alive:
                self._over()
                return None
            time.sleep(POLL_S)

    def result(self) -> dict[str, Any]:
        """Wait for the end and return what the job returned.

        Raises
        ------
        RuntimeError
            When the child failed.
        """
        status = self._over()
        self.look()
        for file in (self._out, self._errors):
            file.seek(0)
        return child.result_in(self._out.read(), self._errors.read(), status)


class Sampler:
    """Looks at a job's directory again and again. A context manager.

    Parameters
    ----------
    folder : Path
        Database of the collection that is built.
    also : Callable[[], None]
        Called each time as well.
    every_s : float
        Seconds between two looks.
    """

    def __init__(self, folder: Path, also: Callable[[], None], every_s: float = 0.25) -> None:
        self._folder, self._also, self._every_s = folder, also, every_s
        self.most_temporary = 0
        """Most bytes on disk of the job's directory, the collection under construction not counted."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.most_temporary = max(self.most_temporary, temporary_bytes(self._folder / f".build-{NAME}"))
            self._also()


def temporary_bytes(folder: Path) -> int:
    """Return the bytes on disk under a job's directory, less those of the collection (and shards) it is making."""
    total = 0
    for path in _files_in(folder):
        if "out" in path.relative_to(folder).parts[:2]:
            continue
        try:
            found = path.stat()
        except FileNotFoundError:  # gone since it was listed
            continue
        total += found.st_blocks * 512 if path.is_file() else 0
    return total


def _files_in(folder: Path) -> Iterator[Path]:
    """Everything below a folder from which things go while they are listed."""
    for top, _, names in os.walk(folder):  # passes over what is gone
        yield from (Path(top) / name for name in names)
