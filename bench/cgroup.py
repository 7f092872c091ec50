"""A memory-capped group of processes (Linux control groups, version 1). Only the standard library is imported.

The kernel counts pages of the page cache that the group brought in as the group's, and takes them back before it kills,
so a cap binds what cannot be given back: the processes' own memory, and dirty pages until they are written.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path("/sys/fs/cgroup/memory")


class MemoryGroup:
    """A child group of this process's own, with a limit. A context manager, which removes the group at its end.

    Where there is no such control, or it may not be used, `path` is None and `why` says so.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.path: Path | None = None
        self.why = ""
        self.most_own = 0
        """Most memory of the group that was no file's, as far as `look` saw it."""

    def __enter__(self) -> Self:
        try:
            path = _own() / f"ramet-bench-{os.getpid()}-{time.monotonic_ns()}"
            path.mkdir()
            self.path = path
            (path / "memory.limit_in_bytes").write_text(str(self.limit))
        except OSError as error:
            self.why = f"no memory group: {error}"
            self._remove()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def look(self) -> None:
        """Note what the group has of its own now."""
        if self.path is not None:
            self.most_own = max(self.most_own, _field(self.path / "memory.stat", "total_rss"))

    def facts(self) -> dict[str, Any]:
        """Return ``cap`` (bytes, None without a group) and what the kernel counted; sizes in bytes.

        ``cap_most``: the highest usage, page cache included. ``cap_own``: the highest without it that was
        seen. ``cap_reached``: times that the limit was met and pages were taken back. ``cap_kills``.
        """
        if self.path is None:
            return {"cap": None, "cap_why": self.why}
        return {
            "cap": self.limit,
            "cap_counts": "own memory and page cache; the cache is given back before anything is killed",
            "cap_most": int((self.path / "memory.max_usage_in_bytes").read_text()),
            "cap_own": self.most_own,
            "cap_reached": int((self.path / "memory.failcnt").read_text()),
            "cap_kills": _field(self.path / "memory.oom_control", "oom_kill"),
        }

    def _remove(self) -> None:
        if self.path is None:
            return
        for _ in range(20):  # a process that has just ended may still be in it
            with suppress(OSError):
                self.path.rmdir()
                break
            time.sleep(0.1)
        self.path = None


def join(path: str | None) -> None:
    """Move this process into a group; nothing without a path."""
    if path is not None:
        (Path(path) / "cgroup.procs").write_text(str(os.getpid()))


def _own() -> Path:
    """Return the memory group of this process.

    Raises
    ------
    OSError
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own = ROOT / path.lstrip("/")
            return own if own.is_dir() else ROOT  # in a container the path may be that outside
    raise FileNotFoundError("no memory controller of version 1")


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, value = line.split()[:2]
        if key == name:
            return int(value)
    return 0
