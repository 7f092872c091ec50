"""Where the shards are: in this process, or (`ramet.engine.sharded.actors`) in others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ramet.engine.sharded.manifest import MANIFEST, Manifest
from ramet.engine.sharded.shard import Shard
from ramet.storage.errors import CorruptionError, MissingError

Call = tuple[int, str, tuple[Any, ...]]
"""Position of a shard, name of a method of `Shard`, its arguments."""


class Host(Protocol):
    """Reaches the shards of one generation by their positions in the manifest."""

    def __len__(self) -> int:
        """Number of shards."""
        ...

    def current(self, names: Iterable[str]) -> set[str]:
        """Which of some shards are open, and their directories still those, and not others of the same name."""
        ...

    def call(self, calls: Sequence[Call], *, again: bool = True) -> list[Any]:
        """Results of calls, in their order.

        The first error is raised, after all calls have ended. ``again``: they change nothing, and may be repeated when
        a shard was lost.
        """
        ...

    def close(self) -> None:
        """Let the shards go."""
        ...


class LocalHost:
    """Shards in this process, called one after the other: each uses all threads that a call is given.

    Parameters
    ----------
    path : Path
        Of the sharded collection.
    manifest : Manifest
    before : LocalHost, optional
        Of an older generation, whose open shards are taken over where their directories are still the same.
    """

    def __init__(self, path: Path, manifest: Manifest, before: LocalHost | None = None) -> None:
        names = [entry.name for entry in manifest.shards]
        known = {} if before is None else {name: before.shards[name] for name in before.current(names)}
        self.shards: dict[str, Shard] = {}
        for entry in manifest.shards:
            found = known.get(entry.name)
            self.shards[entry.name] = open_shard(path, entry.name) if found is None else found
        self._order = list(self.shards.values())

    def __len__(self) -> int:
        return len(self._order)

    def current(self, names: Iterable[str]) -> set[str]:
        """Which of some shards are open and still at the path."""
        return {name for name in names if name in self.shards and self.shards[name].is_current()}

    def call(self, calls: Sequence[Call], *, again: bool = True) -> list[Any]:
        """Results of calls, in their order."""
        return [getattr(self._order[i], method)(*arguments) for i, method, arguments in calls]

    def close(self) -> None:
        """Close the shards."""
        for shard in self._order:
            shard.close()


def open_shard(path: Path, name: str) -> Shard:
    """Open a shard of the collection at a path.

    Raises
    ------
    CorruptionError
        There is none.
    StorageError
        As `Store.open`.
    """
    try:
        return Shard(path / name)
    except MissingError as error:
        expected, found = f"a collection in the directory {name}", "none"
        raise CorruptionError(path / MANIFEST, f"shard {name!r}", expected, found) from error
