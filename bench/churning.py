"""Replace a whole collection, one hundredth at a time, while another process queries it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import child
from bench.churn_reader import Board
from bench.datasets import Dataset, save_atomically
from bench.peers.ramet import COLLECTION

SEED = 20_240_606


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What goes and what comes. Ids are row numbers in `vectors`."""

    vectors: np.ndarray
    """(2 n, dim) float32: the first n rows are there at the beginning, the others at the end."""
    leaving: np.ndarray
    """(n,) int64: rows below n in the order in which they are deleted."""
    arriving: np.ndarray
    """(n,) int64: rows from n on, in the order in which they are inserted."""

    @property
    def n(self) -> int:
        """Records at any time, between the steps."""
        return len(self.leaving)

    def parts(self, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to delete and rows to insert in each step."""
        return list(zip(np.array_split(self.leaving, steps), np.array_split(self.arriving, steps), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One hundredth. Times are of the machine's monotonic clock."""

    begun_ns: int
    ended_ns: int
    delete_s: float
    insert_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Churned:
    """What the two processes saw."""

    quiet: list[tuple[int, int]]
    """Begin and end, in ns, of the times without writes: before and after."""
    steps: list[Step]
    latencies: np.ndarray
    """(n, 3) int64: when a query began (ns), how long it took (ns), its kind (see `churn_reader.KINDS`)."""
    reader: dict[str, int]
    """Its counts: ``n_queries``, ``returned`` (deleted rows), ``missed`` (inserted rows), ``short`` answers."""

    def took_us(self, begun_ns: int, ended_ns: int) -> np.ndarray:
        """Latencies of held-out queries that began between the two times, in us."""
        begun, took, kind = self.latencies.T
        chosen = (begun >= begun_ns) & (begun < ended_ns) & (kind == 0)
        return np.asarray(took[chosen] / 1e3)


def exchange(base: np.ndarray, n: int) -> Exchange:
    """Draw 2 n seeded rows of `base` and the orders in which they go and come.

    Raises
    ------
    ValueError
        When there are not so many rows.
    """
    if 2 * n > len(base):
        raise ValueError(f"a collection of {n} rows and as many new ones need {2 * n}, and the set has {len(base)}")
    rng = np.random.default_rng(SEED)
    vectors = base[rng.permutation(len(base))[: 2 * n]]
    return Exchange(vectors=vectors, leaving=rng.permutation(n), arriving=n + rng.permutation(n))


def contents(data: Exchange, dataset: Dataset, which: str) -> Dataset:
    """Return the ``first`` or the ``last`` content as a data set with the same queries."""
    half = data.vectors[: data.n] if which == "first" else data.vectors[data.n :]
    return Dataset(name=dataset.name, base=half, queries=dataset.queries, metric=dataset.metric, full=dataset.full)


def run(
    folder: Path, data: Exchange, queries: np.ndarray, *, steps: int, quiet_s: float, pause_s: float, k: int
) -> Churned:
    """Churn the collection in the database `folder`, which holds the first content, with a reader beside.

    Parameters
    ----------
    folder : Path
        Database; what the two processes share goes beside it.
    data : Exchange
        What goes and what comes.
    queries : np.ndarray
        (n, dim) float32 held-out queries.
    steps : int
        Parts in which the collection is replaced.
    quiet_s : float
        Seconds without writes before and after.
    pause_s : float
        What the reader sleeps after each query.
    k : int
        Neighbours per query.
    """
    job = _job(folder, data, queries, pause_s=pause_s, k=k)
    board = Board(Path(job["board"]), len(data.vectors))
    with child.Beside("churn-reader", job) as reader:
        if (said := reader.receive()) != "ready":
            raise RuntimeError(f"the reader said {said!r}")
        quiet = [_wait(quiet_s)]
        with ramet.connect(folder) as database:
            docs: Any = database.collection(COLLECTION)
            done = [_step(docs, data.vectors, board, *part) for part in data.parts(steps)]
        quiet.append(_wait(quiet_s))
        board.stop()
        counts = reader.receive()
    return Churned(quiet=quiet, steps=done, latencies=np.load(job["out"]), reader=counts)


def _job(folder: Path, data: Exchange, queries: np.ndarray, **more: Any) -> dict[str, Any]:
    """Lay out what the reader needs."""
    shared = folder.with_name(f"{folder.name}-shared")
    shared.mkdir()
    save_atomically(shared / "vectors.npy", data.vectors)
    save_atomically(shared / "queries.npy", queries)
    np.savez(shared / "orders.npz", deleted=data.leaving, inserted=data.arriving)
    files = {"vectors": "vectors.npy", "queries": "queries.npy", "orders": "orders.npz"}
    files |= {"board": "board", "out": "latencies.npy"}
    paths = {name: str(shared / file) for name, file in files.items()}
    return {**paths, "folder": str(folder), "n_rows": len(data.vectors), **more}


def _wait(seconds: float) -> tuple[int, int]:
    begun = time.monotonic_ns()
    time.sleep(seconds)
    return begun, time.monotonic_ns()


def _step(docs: Any, vectors: np.ndarray, board: Board, leaving: np.ndarray, arriving: np.ndarray) -> Step:
    """Delete some rows and insert as many others."""
    gone, come = [str(row) for row in leaving], [str(row) for row in arriving]
    begun = time.monotonic_ns()
    n_gone = docs.delete(gone)
    deleted = time.monotonic_ns()
    board.note_deleted(leaving)
    between = time.monotonic_ns()
    docs.upsert(come, vectors[arriving])
    ended = time.monotonic_ns()
    board.note_inserted(arriving)
    if n_gone != len(gone):
        raise RuntimeError(f"delete said {n_gone} of {len(gone)} records that were there")
    return Step(begun_ns=begun, ended_ns=ended, delete_s=(deleted - begun) / 1e9, insert_s=(ended - between) / 1e9)
