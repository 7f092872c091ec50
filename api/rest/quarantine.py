"""Collections that could not be opened: remembered, reported, and tried again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ramet.api.rest.problems import Refusal

RETRY_S = 30.0

Files = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A collection that could not be opened."""

    reason: str
    """The kind of damage, without paths."""
    files: Files
    """What the directory looked like."""
    until: float
    """When it is to be tried again, by the monotonic clock."""


class Quarantine:
    """What is damaged, so that not every request opens it again."""

    def __init__(self) -> None:
        self._damaged: dict[str, Damaged] = {}
        self._lock = threading.Lock()

    def check(self, path: Path) -> None:
        """Refuse a collection that was found damaged, unless its files have changed or it is time to look again.

        Raises
        ------
        Refusal
        """
        known = self._damaged.get(path.name)
        if known is not None and time.monotonic() < known.until and known.files == _files(path):
            raise self.refusal(path.name, known)

    def put(self, path: Path, reason: str) -> Refusal:
        """Remember damage; returns what the request is told."""
        found = Damaged(reason, _files(path), time.monotonic() + RETRY_S)
        with self._lock:
            self._damaged[path.name] = found
        return self.refusal(path.name, found)

    def release(self, name: str) -> bool:
        """Forget a collection, which could be opened; tells whether it was here."""
        if name not in self._damaged:  # every request comes here
            return False
        with self._lock:
            return self._damaged.pop(name, None) is not None

    def reason(self, name: str) -> str | None:
        """Why a collection is here; None when it is not."""
        known = self._damaged.get(name)
        return None if known is None else known.reason

    @staticmethod
    def refusal(name: str, known: Damaged) -> Refusal:
        """What a request to a damaged collection is told."""
        return Refusal(
            "collection_quarantined",
            f"collection {name!r} cannot be served ({known.reason}); the others are. The server's log and "
            "`ramet verify` tell its operator more; damage takes a backup to restore",
        )


def _files(path: Path) -> Files:
    """Names, sizes and times of a collection's files."""
    try:
        found = [(one, one.stat()) for one in path.iterdir()]
    except OSError:
        return ()
    return tuple(sorted((one.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for one, stat in found))
