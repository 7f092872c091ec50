"""What belongs to one open sharded collection: its manifest, its cells and its shards, renewed when they change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from ramet.engine.sharded import journal
from ramet.engine.sharded.cells import SharedCells
from ramet.engine.sharded.hosts import Host, LocalHost
from ramet.engine.sharded.manifest import MANIFEST, Manifest, read_cells, read_manifest
from ramet.storage.errors import ClosedError, CorruptionError, MissingError, replaced
from ramet.storage.lock import WriterLock

Hosting = Callable[[Path, Manifest, Any], Host]
"""Makes the host of a generation, from the path, the manifest, and the host of the generation before (or None)."""

ATTEMPTS = 5
"""How often a manifest is read again when its shards are replaced meanwhile."""


@dataclass(frozen=True, slots=True)
class Shards:
    """One generation of a sharded collection, open."""

    manifest: Manifest
    cells: SharedCells
    host: Host

    def leads_to(self, manifest: Manifest) -> bool:
        """Tell whether a manifest can be a later one of this collection, and not of one that was made in its place.

        The same job makes a collection of the same identity again. It has other cells, or begins with an earlier
        generation, or shards of names that are open here are other directories.
        """
        known = self.manifest
        if (known.identity, known.cells_sum) != (manifest.identity, manifest.cells_sum):
            return False
        both = {shard.name for shard in known.shards} & {shard.name for shard in manifest.shards}
        return known.generation <= manifest.generation and both <= self.host.current(both)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """The same read of every shard."""
        return self.host.call([(i, method, arguments) for i in range(len(self.host))])


@dataclass(frozen=True, slots=True)
class _Seen:
    """A generation, and the signature of the manifest that it was opened by: one is never seen without the other."""

    signature: tuple[int, int, int] | None
    shards: Shards


class ShardedStore:
    """Keeps the newest generation open. Threads may share it.

    Parameters
    ----------
    path : Path
        Directory of the collection.
    hosting : callable
        Makes the host of a generation.

    Raises
    ------
    MissingError
        There is no sharded collection.
    StorageError
        A file or a shard is damaged or missing.
    """

    def __init__(self, path: Path, hosting: Hosting = LocalHost) -> None:
        self.path = path
        self._hosting = hosting
        self._lock = threading.Lock()
        self._current: _Seen | None = None
        self._closed = False
        self.now()

    def now(self) -> Shards:
        """The newest generation; costs one stat(2) when nothing has changed.

        When the collection was deleted, that which was open.

        Raises
        ------
        ClosedError
        StorageError
            As when it was opened.
        """
        if self._closed:
            raise ClosedError(f"collection {self.path.name!r} ({self.path})")
        seen, current = _signature(self.path), self._current
        if current is None or seen not in (None, current.signature):
            current = self._renewed(seen)
        return current.shards

    def _renewed(self, seen: tuple[int, int, int] | None) -> _Seen:
        with self._lock:
            if self._closed:
                raise ClosedError(f"collection {self.path.name!r} ({self.path})")
            if self._current is None or seen != self._current.signature:
                self._current = self._loaded()
            return self._current

    def _loaded(self) -> _Seen:
        for attempt in range(ATTEMPTS):
            seen, manifest = _signature(self.path), read_manifest(self.path)
            before = None if self._current is None else self._current.shards
            try:
                is_other = before is None or before.manifest.identity != manifest.identity
                host = self._hosting(self.path, manifest, None if is_other or before is None else before.host)
                if before is not None and before.manifest.cells_sum == manifest.cells_sum:
                    cells = before.cells
                else:
                    cells = SharedCells(manifest.settings, read_cells(self.path, manifest))
            except CorruptionError:
                if seen == _signature(self.path) or attempt == ATTEMPTS - 1:
                    raise
            else:
                return _Seen(seen, Shards(manifest, cells, host))
        raise AssertionError("unreachable")

    @contextmanager
    def writing(self, timeout_s: float) -> Iterator[tuple[Shards, float]]:
        """Keep other writers out; yields the newest generation and the seconds that are left of the time-out.

        Raises
        ------
        WriterBusyError, ReadOnlyError
        MissingError
            Somebody deleted the collection.
        """
        begun = monotonic()
        self.now()
        if _signature(self.path) is None:
            raise replaced(self.path)
        lock = WriterLock(self.path, timeout_s)
        try:
            left_s = max(0.0, timeout_s - (monotonic() - begun))
            shards = self._of_manifest()
            journal.finish(self.path, shards.manifest, shards.host, left_s)
            yield shards, left_s
        finally:
            lock.release()

    def _of_manifest(self) -> Shards:
        """The generation that the manifest names now; the caller keeps those out who would change it."""
        shards = self.now()
        if read_manifest(self.path) != shards.manifest:
            shards = self._renewed(None).shards
        return shards

    def is_current(self) -> bool:
        """Tell whether the collection at the path is still the one that is open here."""
        current = self._current
        if self._closed or current is None:
            return False
        seen = _signature(self.path)
        if seen is None or seen == current.signature:
            return seen is not None
        try:
            return current.shards.leads_to(read_manifest(self.path))
        except MissingError:
            return False

    def close(self) -> None:
        """Let the shards go."""
        with self._lock:
            self._closed = True
            current, self._current = self._current, None
        if current is not None:
            current.shards.host.close()


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes with every new manifest; None when there is none."""
    try:
        found = os.stat(path / MANIFEST)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
