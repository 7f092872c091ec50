"""Chroma's own HTTP client, in a Python environment of its own, because its dependencies are not to be mixed with ours.

Run as a script by `bench.chroma`; talks in lines of JSON. Imports nothing of this project.
"""

import json
import sys
import time
from typing import Any

import chromadb  # type: ignore[import-not-found]
import numpy as np
from chromadb.config import Settings  # type: ignore[import-not-found]

MARK = "@@result "  # as in bench/child.py
M = 16
EF_CONSTRUCTION = 200


class Client:
    """Collections of one server."""

    def __init__(self, port: int) -> None:
        settings = Settings(anonymized_telemetry=False)
        self._client = chromadb.HttpClient(host="127.0.0.1", port=port, settings=settings)

    def ingest(self, job: dict[str, Any]) -> dict[str, Any]:
        """Put ``base`` (.npy) into a new collection ``name``, ``size`` a call, and ask one query; ids are row numbers.

        ``drop``: the collection is deleted again.
        """
        vectors, size = np.load(job["base"]), job["size"]
        graph = {"space": job["metric"], "ef_construction": EF_CONSTRUCTION, "max_neighbors": M}
        docs = self._client.create_collection(job["name"], configuration={"hnsw": graph}, embedding_function=None)
        cpu, begun, calls = time.process_time(), time.perf_counter(), []
        for start in range(0, len(vectors), size):
            stop = min(start + size, len(vectors))
            since = time.perf_counter()
            docs.add(ids=[str(row) for row in range(start, stop)], embeddings=vectors[start:stop])
            calls.append(time.perf_counter() - since)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        since = time.perf_counter()
        docs.query(query_embeddings=[vectors[0]], n_results=10, include=["distances"])
        first = time.perf_counter() - since
        n_records = docs.count()
        if job["drop"]:
            self._client.delete_collection(job["name"])
        return {
            "seconds": seconds,
            "slowest_call_s": max(calls),
            "client_cpu_s": cpu,
            "first_query_s": first,
            "records": n_records,
        }

    def effort(self, job: dict[str, Any]) -> dict[str, Any]:
        """Set ef of searches, which takes effect when the server starts anew."""
        docs = self._client.get_collection(job["name"], embedding_function=None)
        docs.modify(configuration={"hnsw": {"ef_search": job["ef"]}})
        return {}

    def id(self, job: dict[str, Any]) -> dict[str, Any]:
        """Tell the id by which requests name a collection."""
        return {"id": str(self._client.get_collection(job["name"], embedding_function=None).id)}


def main() -> None:
    """Do what the lines of the input say until it ends."""
    client = Client(int(sys.argv[1]))
    for line in sys.stdin:
        job = json.loads(line)
        print(MARK + json.dumps(getattr(client, job["do"])(job)), flush=True)


if __name__ == "__main__":
    main()
