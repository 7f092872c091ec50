"""Shards in other processes: an actor of Ray for each, on whichever machine of the cluster has room.

All machines reach the collection's directory by the same path. An actor that is lost is started again by Ray, and what
was only read is asked again.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ramet._error import RametError
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.sharded.hosts import Call, open_shard
from ramet.engine.sharded.manifest import Manifest
from ramet.storage.errors import StorageError

try:
    import ray
    from ray.exceptions import RayActorError
except ImportError as error:
    raise MissingPackageError("ray", "ray") from error

AT_A_TIME = 4
"""Calls that an actor carries out at the same time, on threads of its own."""

ATTEMPTS, PAUSE_S = 20, 0.5
"""How often, and how long after each other, a shard that was lost is asked again: it takes some seconds to start."""


def start(address: object) -> None:
    """Connect this process to a Ray cluster, unless it is connected to one.

    "auto" is the cluster that runs on this machine, or one that is started on it and ends with this process.

    Raises
    ------
    ArgumentError
        There is no cluster at the address.
    """
    if not isinstance(address, str) or not address:
        raise ArgumentError("ray", f'is {address!r}; pass "auto" or the address of a cluster')
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        if address != "auto":
            raise _no_cluster(address, error) from error
        ray.init(log_to_driver=False, include_dashboard=False)
    except ValueError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ArgumentError:
    return ArgumentError("ray", f"{address!r} is no running cluster ({error}); start one with: ray start")


class Server:
    """What an actor runs. Calls and results are bytes: arrays that Ray itself hands over cannot be written to."""

    def __init__(self, path: str, name: str) -> None:
        self._shard = open_shard(Path(path), name)

    def call(self, content: bytes) -> bytes:
        """Carry out a call; an error of ours is a result, so that the caller can raise it as it is."""
        method, arguments = pickle.loads(content)
        try:
            found = getattr(self._shard, method)(*arguments)
        except RametError as error:
            found = _Raised(error)
        return pickle.dumps(found)


class _Raised:
    """An error on its way."""

    def __init__(self, error: RametError) -> None:
        self.error = error


class RayHost:
    """Shards behind actors, called at the same time.

    Parameters
    ----------
    path : Path
        Of the sharded collection.
    manifest : Manifest
    before : RayHost, optional
        Of an older generation, whose actors are taken over where the directories of their shards are still the same.
        Those of shards that are no more end with the last use.
    """

    def __init__(self, path: Path, manifest: Manifest, before: RayHost | None = None) -> None:
        names = [entry.name for entry in manifest.shards]
        known = {} if before is None else {name: before.actors[name] for name in before.current(names)}
        self.actors: dict[str, Any] = {}
        serving = ray.remote(Server)
        options = {"max_restarts": -1, "max_concurrency": AT_A_TIME, "scheduling_strategy": "SPREAD"}
        for entry in manifest.shards:
            found = known.get(entry.name)
            self.actors[entry.name] = (
                serving.options(**options).remote(str(path), entry.name) if found is None else found
            )
        self._names = list(self.actors)
        # A shard that cannot be opened has to be known now, and as the error that it is.
        for name in self._names:
            if name not in known:
                open_shard(path, name).close()

    def __len__(self) -> int:
        return len(self._names)

    def current(self, names: Iterable[str]) -> set[str]:
        """Which of some shards are open and still at the path, as their actors see it."""
        wanted = set(names)
        mine = [i for i, name in enumerate(self._names) if name in wanted]
        found = self.call([(i, "is_current", ()) for i in mine])
        return {self._names[i] for i, one in zip(mine, found, strict=True) if one}

    def call(self, calls: Sequence[Call], *, again: bool = True) -> list[Any]:
        """Results of calls, in their order."""
        begun = [self._begin(call) for call in calls]
        found, errors = [], []
        for call, reference in zip(calls, begun, strict=True):
            try:
                found.append(self._result(call, reference, again))
            except RametError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return found

    def _begin(self, call: Call) -> Any:
        shard, method, arguments = call
        return self.actors[self._names[shard]].call.remote(pickle.dumps((method, arguments)))

    def _result(self, call: Call, reference: Any, again: bool) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                found = pickle.loads(ray.get(reference))
            except RayActorError as error:
                name = self._names[call[0]]
                if not again:
                    raise StorageError(
                        f"the process of shard {name} was lost while it wrote, and nobody knows what it committed; "
                        "write the same records again"
                    ) from error
                if attempt == ATTEMPTS - 1:
                    raise StorageError(f"shard {name} cannot be reached: {error}") from error
                time.sleep(PAUSE_S)
                reference = self._begin(call)
            else:
                if isinstance(found, _Raised):
                    raise found.error
                return found
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the actors."""
        for actor in self.actors.values():
            with suppress(Exception):  # Ray may have been shut down before
                ray.kill(actor)
        self.actors = {}
