"""Chroma, in a Python environment of its own, because its dependencies are not to be mixed with ours.

Run as a script by `bench.chroma`; talks in lines of JSON. Imports nothing of this project.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import chromadb  # type: ignore[import-not-found]
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient  # type: ignore[import-not-found]
from chromadb.config import Settings  # type: ignore[import-not-found]

NAME = "bench"
MARK = "@@result "  # as in bench/child.py
M = 16
EF_CONSTRUCTION = 200
BATCH = 5_000  # it refuses more than 5,461 records a call


class Worker:
    """One collection."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._client = self._connected()
        self._docs: Any = None

    def _connected(self) -> Any:
        return chromadb.PersistentClient(path=self._folder, settings=Settings(anonymized_telemetry=False))

    def load(self, job: dict[str, Any]) -> dict[str, Any]:
        """Put vectors and their metadata in: ``base`` (.npy), ``fields`` (.json: a list of objects), ``metric``."""
        vectors = np.load(job["base"])
        fields = json.loads(Path(job["fields"]).read_text())
        begun = time.perf_counter()
        self._create(job["metric"])
        for start in range(0, len(vectors), BATCH):
            stop = min(start + BATCH, len(vectors))
            ids = [str(row) for row in range(start, stop)]
            self._docs.add(ids=ids, embeddings=vectors[start:stop], metadatas=fields[start:stop])
        return {"load_s": time.perf_counter() - begun}

    def _create(self, metric: str) -> None:
        graph = {"space": metric, "ef_construction": EF_CONSTRUCTION, "max_neighbors": M}
        self._docs = self._client.create_collection(NAME, configuration={"hnsw": graph}, embedding_function=None)

    def ingest(self, job: dict[str, Any]) -> dict[str, Any]:
        """Put records in, `size` a call: ``base`` (.npy), ``records`` (.json: ids, documents, metadata; or null)."""
        vectors = np.load(job["base"])
        records = json.loads(Path(job["records"]).read_text())
        columns = {name: records[name] for name in ("documents", "metadatas") if job[name]}
        self._create("cosine")
        begun = time.perf_counter()
        for start in range(0, len(vectors), job["size"]):
            part = slice(start, min(start + job["size"], len(vectors)))
            more = {name: values[part] for name, values in columns.items()}
            self._docs.add(ids=records["ids"][part], embeddings=vectors[part], **more)
        seconds = time.perf_counter() - begun
        self._client.delete_collection(NAME)
        return {"seconds": seconds}

    def effort(self, job: dict[str, Any]) -> dict[str, Any]:
        """Set ef of searches, which takes effect when the collection is opened again."""
        self._docs = self._client.get_collection(NAME, embedding_function=None)
        self._docs.modify(configuration={"hnsw": {"ef_search": job["ef"]}})
        self._docs = self._client = None
        SharedSystemClient.clear_system_cache()
        self._client = self._connected()
        self._docs = self._client.get_collection(NAME, embedding_function=None)
        return {}

    def query(self, job: dict[str, Any]) -> dict[str, Any]:
        """Ask ``queries``, each with its own of ``wheres``, one by one, the first ``warm`` of them once before."""
        queries, wheres, k = np.array(job["queries"], np.float32), job["wheres"], job["k"]
        ask, clock = self._docs.query, time.perf_counter_ns
        for query, where in zip(queries[: job["warm"]], wheres[: job["warm"]], strict=True):
            ask(query_embeddings=[query], n_results=k, where=where, include=["distances"])
        ids, took = [], []
        for query, where in zip(queries, wheres, strict=True):
            begun = clock()
            found = ask(query_embeddings=[query], n_results=k, where=where, include=["distances"])
            took.append(clock() - begun)
            ids.append(found["ids"][0])
        return {"ids": ids, "ns": took}


def main() -> None:
    """Do what the lines of the input say until it ends."""
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        job = json.loads(line)
        print(MARK + json.dumps(getattr(worker, job["do"])(job)), flush=True)


if __name__ == "__main__":
    main()
