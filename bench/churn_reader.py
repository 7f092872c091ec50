"""The process that queries while another one writes: it times every query and checks what must never come back.

Both processes map one file, the `Board`. The writer notes there when each delete and each insert *returned*; the reader
looks, for every row it is given, whether its delete had returned before the query began. Both read the same clock
(``CLOCK_MONOTONIC``, one for the whole machine).
"""

import gc
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from bench import child
from bench.datasets import save_atomically
from bench.peers.ramet import COLLECTION

KINDS = ("held-out", "deleted", "inserted")
"""What a query's vector is: 0 a held-out query, the only kind whose latency counts; 1 the vector of a record deleted a
moment ago, which is where a record that comes back would be found; 2 that of a record inserted a moment ago, which must
be found."""
EVERY = 16
"""Of so many queries one is of kind 1 and one of kind 2."""
RECENT = 2_000
SEED = 20_240_605


class Board:
    """When each row was deleted and inserted, on a page that processes share; 0 where it was not."""

    def __init__(self, path: Path, n_rows: int) -> None:
        if not path.exists():
            with path.open("wb") as file:
                file.truncate((4 + 2 * n_rows) * 8)
        numbers = np.memmap(path, np.int64, "r+", shape=(4 + 2 * n_rows,))
        self._state = numbers[:4]
        self.deleted_ns = numbers[4 : 4 + n_rows]
        self.inserted_ns = numbers[4 + n_rows :]

    @property
    def stopped(self) -> bool:
        """Whether the reader should end."""
        return bool(self._state[0])

    def stop(self) -> None:
        """Ask the reader to end."""
        self._state[0] = 1

    @property
    def n_deleted(self) -> int:
        """Deletes so far, in the order that both sides know."""
        return int(self._state[1])

    @property
    def n_inserted(self) -> int:
        """Inserts so far, in the order that both sides know."""
        return int(self._state[2])

    def note_deleted(self, rows: np.ndarray) -> None:
        """Say that these rows' delete has returned."""
        self.deleted_ns[rows] = time.monotonic_ns()
        self._state[1] += len(rows)

    def note_inserted(self, rows: np.ndarray) -> None:
        """Say that these rows' insert has returned."""
        self.inserted_ns[rows] = time.monotonic_ns()
        self._state[2] += len(rows)


class Reader:
    """The loop and what it has seen."""

    def __init__(self, docs: Any, board: Board, vectors: np.ndarray, orders: dict[str, np.ndarray], k: int) -> None:
        self._docs, self._board, self._vectors, self._orders, self._k = docs, board, vectors, orders, k
        self._metric = docs.metric
        self._rng = np.random.default_rng(SEED)
        self.begun_ns, self.took_ns, self.kind = array("q"), array("q"), array("b")
        self.returned = 0
        self.missed = 0
        self.short = 0

    def pick(self, number: int, queries: list[np.ndarray]) -> tuple[int, int, np.ndarray]:
        """Return the kind of the next query, its row (-1: none) and its vector."""
        turn, board = number % EVERY, self._board
        done = {1: board.n_deleted, 2: board.n_inserted}.get(turn, 0)
        if done:
            order = self._orders[KINDS[turn]]
            row = int(order[done - 1 - self._rng.integers(0, min(done, RECENT))])
            return turn, row, self._vectors[row]
        return 0, -1, queries[number % len(queries)]

    def ask(self, number: int, queries: list[np.ndarray]) -> None:
        """Do one query."""
        kind, row, vector = self.pick(number, queries)
        clock = time.monotonic_ns
        begun = clock()
        found = self._docs.query(vector, self._k)
        ids = found.ids
        self.took_ns.append(clock() - begun)
        self.begun_ns.append(begun)
        self.kind.append(kind)
        rows = np.array([int(name) for name in ids], np.int64)
        deleted = self._board.deleted_ns[rows]
        self.returned += int(((deleted > 0) & (deleted < begun)).sum())
        self.short += len(rows) < self._k
        if kind == 2 and row not in rows:
            self.missed += not self._displaced(vector, found.distances)

    def _displaced(self, vector: np.ndarray, distances: np.ndarray) -> bool:
        """Whether a record may be missing from its own answer: k others are identical (``ip``: or longer)."""
        if self._metric == "ip":
            return True
        scale = 1.0 if self._metric == "cosine" else float(np.square(vector.astype(np.float64)).sum())
        return len(distances) == self._k and float(distances[-1]) <= 1e-5 * scale


def reader_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: query until the board says stop, then save every latency.

    ``job``: ``folder`` (database), ``board`` and ``n_rows``, ``vectors`` and ``queries`` (``.npy``), ``orders``
    (``.npz`` with the order of deletes and inserts), ``k``, ``pause_s`` (sleep after each query), ``out`` (``.npy``,
    (n, 3) int64: begun_ns, took_ns, kind).
    """
    import ramet

    board = Board(Path(job["board"]), job["n_rows"])
    queries = list(np.load(job["queries"]))
    vectors = np.load(job["vectors"], mmap_mode="r")
    with np.load(job["orders"]) as saved:
        orders = dict(saved)
    with ramet.connect(job["folder"]) as database:
        reader = Reader(database.collection(COLLECTION), board, vectors, orders, job["k"])
        for number in range(200):  # loads the kernels and the files; not kept
            reader.ask(number, queries)
        del reader.begun_ns[:], reader.took_ns[:], reader.kind[:]
        child.reply("ready")
        gc.collect()
        gc.disable()
        number = 0
        while not board.stopped:
            reader.ask(number, queries)
            number += 1
            if job["pause_s"]:
                time.sleep(job["pause_s"])
    columns = (reader.begun_ns, reader.took_ns, reader.kind)
    save_atomically(Path(job["out"]), np.stack([np.array(column, np.int64) for column in columns], axis=1))
    return {"n_queries": number, "returned": reader.returned, "missed": reader.missed, "short": reader.short}
