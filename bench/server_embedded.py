"""The same collection without a server: batches of queries in a process of its own."""

import sys
import time
from typing import Any

import numpy as np

from bench import child
from bench.peers.ramet import COLLECTION, id_rows

WARM_QUERIES = 100


def embedded_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: for each message, search all ``queries`` (.npy) at once, so many ``times``, on all threads.

    Replies with the seconds of each time, those of all cores, and the rows found.
    """
    import ramet

    queries, k = np.load(job["queries"]), job["k"]
    with ramet.connect(job["folder"]) as database:
        docs: Any = database.collection(COLLECTION)
        child.reply("ready")
        for line in sys.stdin:
            child.reply(_batches(docs, queries, k, int(line)))
    return {}


def _batches(docs: Any, queries: np.ndarray, k: int, times: int) -> dict[str, Any]:
    docs.query(queries[:WARM_QUERIES], k)
    seconds, rows = [], np.empty((0, k), np.int64)
    cpu = time.process_time()
    for _ in range(times):
        begun = time.perf_counter()
        found = docs.query(queries, k)
        answer = found.ids, found.distances
        seconds.append(time.perf_counter() - begun)
        rows = id_rows(answer[0])
    return {"seconds": seconds, "cpu_s": time.process_time() - cpu, "rows": rows.tolist()}
