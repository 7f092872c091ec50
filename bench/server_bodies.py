"""The same records as bytes and as JSON: what the form of a body costs, both ways.

Four calls: an upsert of new records into an empty collection, whose index is made; the same upsert again, which
replaces every record by itself, durably; the same where all records are there and are to be left alone
(``on_conflict: skip``), which is read, checked and looked up, and written nowhere; and reading them.
JSON is written and read once by orjson, with no more digits than float32 has, which is the best that a client can do,
and once by Python's own `json` from lists, which is what most do.
"""

import http.client
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench import cpu_clock, live
from bench.server_process import HOST, Serving, emptied, ramet_server
from bench.server_requests import JSON, NPY, npy

N, DIM = 1_000, 384
SEED = 20_240_607
ROUNDS = 20
NEW_EVERY = 4
"""Rounds in which new records are put in: one in so many, as it takes longer than all the others."""
_KEPT = "kept"
_NEW = "new"

CALLS: dict[str, dict[str, Any]] = {
    "upsert, new": {},
    "upsert, replaced": {},
    "upsert, skipped": {"on_conflict": "skip"},
    "get": {},
}
"""What is measured, and what the upsert says beside the records."""

Encode = Callable[[np.ndarray, dict[str, Any]], bytes]


def _bytes(vectors: np.ndarray, rest: dict[str, Any]) -> bytes:
    return npy(vectors) + orjson.dumps(rest)


def _orjson(vectors: np.ndarray, rest: dict[str, Any]) -> bytes:
    return orjson.dumps({**rest, "vectors": vectors}, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(vectors: np.ndarray, rest: dict[str, Any]) -> bytes:
    return json.dumps({**rest, "vectors": vectors.tolist()}).encode()


FORMS: dict[str, tuple[str, Encode]] = {"binary": (NPY, _bytes), "json": (JSON, _orjson), "json, slow": (JSON, _json)}


def _vectors(form: str, answer: bytes) -> np.ndarray:
    """Return the vectors of the records in an answer."""
    if form == "binary":
        file = io.BytesIO(answer)
        array = np.load(file)
        orjson.loads(answer[file.tell() :])
        return array
    read = orjson.loads if form == "json" else json.loads
    return np.array([one["vector"] for one in read(answer)["records"]], np.float32)


class Client:
    """One kept connection, and the times of each call on it."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(HOST, server.port, timeout=120)
        self._connection.connect()

    def post(self, path: str, body: bytes, content: str, accept: str = JSON) -> tuple[float, float, bytes]:
        """Send a body; return the seconds until all of the answer is there, those of the server's CPU, and the answer.

        Raises
        ------
        RuntimeError
            When the answer is not a good one.
        """
        cpu, begun = cpu_clock.seconds(self._server.pid), time.perf_counter()
        self._connection.request("POST", path, body, {"Content-Type": content, "Accept": accept})
        response = self._connection.getresponse()
        answer = response.read()
        took = time.perf_counter() - begun
        if response.status >= 300:
            raise RuntimeError(f"POST {path}: {response.status} {answer[:300]!r}")
        return took, cpu_clock.seconds(self._server.pid) - cpu, answer

    def delete(self, path: str) -> None:
        """Delete something."""
        self._connection.request("DELETE", path)
        self._connection.getresponse().read()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure(work: Path, rounds: int = ROUNDS, n: int = N, dim: int = DIM) -> list[dict[str, Any]]:
    """Do every call in every form, in turns; return a line for each."""
    vectors = np.random.default_rng(SEED).standard_normal((n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    took: dict[tuple[str, str], list[dict[str, float]]] = {(call, form): [] for call in CALLS for form in FORMS}
    live.warm_up("cosine", "sq8")
    with ramet_server(emptied(work / "bodies"), work / "bodies.log") as server:
        client = Client(server)
        _create(client, _KEPT, dim)
        _upsert(client, "binary", _KEPT, vectors, {})
        for number in range(-1, rounds):
            for call, form in took:
                if call != "upsert, new" or number % NEW_EVERY == 0:
                    figures = _call(client, call, form, vectors)
                    if number >= 0:  # the first round is not counted
                        took[call, form].append(figures)
            if number % NEW_EVERY == 0:
                print(f"  round {number + 1} of {rounds}", flush=True)
        client.close()
    return [_line(call, form, runs, n, dim) for (call, form), runs in took.items()]


def _call(client: Client, call: str, form: str, vectors: np.ndarray) -> dict[str, float]:
    if call == "get":
        return _get(client, form, vectors)
    if call != "upsert, new":
        return _upsert(client, form, _KEPT, vectors, CALLS[call])
    _create(client, _NEW, vectors.shape[1])
    figures = _upsert(client, form, _NEW, vectors, CALLS[call])
    client.delete(f"/v1/collections/{_NEW}")
    return figures


def _create(client: Client, name: str, dim: int) -> None:
    body = {"name": name, "dim": dim, "metric": "cosine", "durability": live.DURABILITY}
    client.post("/v1/collections", orjson.dumps(body), JSON)


def _upsert(client: Client, form: str, name: str, vectors: np.ndarray, more: dict[str, Any]) -> dict[str, float]:
    content, encode = FORMS[form]
    begun = time.perf_counter()
    body = encode(vectors, {"ids": [str(row) for row in range(len(vectors))], **more})
    encoded = time.perf_counter() - begun
    took, cpu, _ = client.post(f"/v1/collections/{name}/records", body, content)
    return {"client_s": encoded, "call_s": took, "server_cpu_s": cpu, "bytes": len(body)}


def _get(client: Client, form: str, vectors: np.ndarray) -> dict[str, float]:
    body = orjson.dumps({"ids": [str(row) for row in range(len(vectors))], "include": ["vectors"]})
    accept = FORMS[form][0]
    took, cpu, answer = client.post(f"/v1/collections/{_KEPT}/records/get", body, JSON, accept)
    begun = time.perf_counter()
    found = _vectors(form, answer)
    decoded = time.perf_counter() - begun
    if not np.array_equal(found, vectors):
        raise RuntimeError(f"records read as {form} have other vectors than those that were stored")
    return {"client_s": decoded, "call_s": took, "server_cpu_s": cpu, "bytes": len(answer)}


def _line(call: str, form: str, runs: list[dict[str, float]], n: int, dim: int) -> dict[str, Any]:
    """Medians of the rounds: `seconds` is all that a client waits, its own writing or reading of the body included."""
    medians = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
    whole = [run["client_s"] + run["call_s"] for run in runs]
    return {
        # made here, from no data set
        "dataset": "gaussian",
        "rows": n,
        "dim": dim,
        "full": True,
        "k": 0,
        "n_queries": 0,
        "rounds": len(runs),
        "call": call,
        "form": form,
        "seconds": float(np.median(whole)),
        "seconds_of_rounds": whole,
        **medians,
    }
