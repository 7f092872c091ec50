"""Records put into a server by Ramet's client, in a process of its own; the twin of `bench/chroma_client.py`."""

import json
import sys
import time
from typing import Any

import numpy as np

from bench import child
from bench.live import DURABILITY, Stopwatch, batches


def ingest_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: do the messages that come, each as `ingested`, on the server at ``url``."""
    import ramet

    with ramet.connect(job["url"], api_key=None) as database:
        for line in sys.stdin:
            child.reply(ingested(database, json.loads(line)))
    return {}


def ingested(database: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Put ``base`` (.npy) into a new collection ``name``, ``size`` a call, every call durable, and ask one query.

    Ids are row numbers. ``drop``: the collection is deleted again.
    """
    vectors = np.load(job["base"])
    docs = database.create_collection(job["name"], dim=vectors.shape[1], metric=job["metric"], durability=DURABILITY)
    watch, cpu = Stopwatch(), time.process_time()
    for part in batches(len(vectors), job["size"]):
        ids = [str(row) for row in range(part.start, part.stop)]
        watch.time(len(ids), docs.upsert, ids, vectors[part])
    calls, cpu = watch.calls(), time.process_time() - cpu
    begun = time.perf_counter()
    docs.query(vectors[0], 10)
    first = time.perf_counter() - begun
    n_records = docs.count()
    if job["drop"]:
        database.delete_collection(job["name"])
    return {
        "seconds": calls.total_s,
        "slowest_call_s": float(calls.seconds.max()),
        "client_cpu_s": cpu,
        "first_query_s": first,
        "records": n_records,
    }
