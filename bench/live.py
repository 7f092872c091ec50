"""Collections that are written to while they are used: filled by upsert, timed call by call."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION
from bench.tenancy import name_of

DURABILITY = "commit"  # a call returns when its records are on disk
ORDER_SEED = 20_240_604
_WARM_ROWS = 3_000  # enough for lists to be split, which has kernels of its own
SETTLE_S = 120.0
"""What is not done by then is left as it is, and the results say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Writing calls one after the other."""

    begun_s: np.ndarray
    """(n,) float64: when each call began, seconds after the first one did."""
    seconds: np.ndarray
    """(n,) float64: how long each took."""
    records: np.ndarray
    """(n,) int64: records that each wrote."""

    @property
    def total_s(self) -> float:
        """From the beginning of the first call to the end of the last."""
        return float(self.begun_s[-1] + self.seconds[-1])

    @property
    def rate(self) -> float:
        """Records per second over all calls."""
        return float(self.records.sum() / self.total_s)

    def rates(self, window: int) -> np.ndarray:
        """Records per second over each `window` consecutive calls (over all, when there are fewer), (m,) float64."""
        window = min(window, len(self.seconds))
        ends = self.begun_s + self.seconds
        records = np.convolve(self.records, np.ones(window, np.int64), "valid")
        return np.asarray(records / (ends[window - 1 :] - self.begun_s[: len(ends) - window + 1]))


class Stopwatch:
    """Times calls into a `Calls`."""

    def __init__(self) -> None:
        self._begun: list[float] = []
        self._seconds: list[float] = []
        self._records: list[int] = []

    def time(self, n_records: int, call: Any, *arguments: Any, **more: Any) -> Any:
        """Do one call that writes so many records, and return what it returned."""
        begun = time.perf_counter()
        result = call(*arguments, **more)
        self._seconds.append(time.perf_counter() - begun)
        self._begun.append(begun)
        self._records.append(n_records)
        return result

    def calls(self) -> Calls:
        """What was timed."""
        begun = np.array(self._begun)
        return Calls(
            begun_s=begun - begun[0], seconds=np.array(self._seconds), records=np.array(self._records, np.int64)
        )


def batches(n: int, size: int) -> Iterator[slice]:
    """Cut ``range(n)`` into slices of `size`."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def create(database: Any, name: str, dim: int, metric: str, codes: str) -> Any:
    """Return a new collection in which every call is durable."""
    return database.create_collection(name, dim=dim, metric=metric, codes=codes, durability=DURABILITY)


def warm_up(metric: str, codes: str) -> None:
    """Compile the kernels (cached on disk) by doing everything once with a small collection."""
    vectors = np.random.default_rng(0).standard_normal((_WARM_ROWS, 32)).astype(np.float32)
    ids = [str(row) for row in range(len(vectors))]
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
        docs = create(database, "warm", 32, metric, codes)
        upsert_all(docs, vectors, ids, 1_000)
        docs.grant(ids[:10], to="other")
        docs.revoke(ids[:5], to="other")
        docs.delete(ids[: _WARM_ROWS // 2])
        docs.query(vectors[-1])
        docs.query(vectors[:100])
        docs.query(vectors[-1], exact=True)
        docs.scanned(vectors[:100], nprobe=4)


def upsert_all(
    docs: Any, vectors: np.ndarray, ids: Sequence[str], size: int, tenants: Sequence[str] | None = None
) -> Calls:
    """Put all vectors in, `size` a call, and time the calls. `tenants` names the owner of each; else the default."""
    watch = Stopwatch()
    for part in batches(len(vectors), size):
        owners = {} if tenants is None else {"tenant": list(tenants[part])}
        watch.time(part.stop - part.start, docs.upsert, list(ids[part]), vectors[part], **owners)
    return watch.calls()


def load_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: fill a collection in seeded random order; the ids are row numbers.

    ``job``: ``base`` and ``owner`` (``.npy``; no owner: one tenant), ``metric``, ``codes``, ``folder``, ``batch``.
    """
    warm_up(job["metric"], job["codes"])
    base = np.load(job["base"])
    order = np.random.default_rng(ORDER_SEED).permutation(len(base))
    ids = [str(row) for row in order]
    tenants = None if job.get("owner") is None else [name_of(owner) for owner in np.load(job["owner"])[order]]
    with ramet.connect(job["folder"], create=True) as database:
        docs = create(database, COLLECTION, base.shape[1], job["metric"], job["codes"])
        calls = upsert_all(docs, base[order], ids, job["batch"], tenants)
        settled = settle(docs)
    return {
        "load_s": calls.total_s,
        "slowest_call_s": float(calls.seconds.max()),
        **settled,
        "disk_mb": disk_bytes(Path(job["folder"])) / 1e6,
    }


def settle(docs: Any) -> dict[str, Any]:
    """Let a collection go on with rebalancing that waits; return ``maintain_s`` and ``maintain_done``."""
    begun = time.perf_counter()
    done = bool(docs.maintain(SETTLE_S))
    return {"maintain_s": time.perf_counter() - begun, "maintain_done": done}


def timed(call: Any, *arguments: Any) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun
