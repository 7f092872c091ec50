"""Requests as bytes, ready to be sent, and the rows in the answers to them."""

import io
import json
from collections.abc import Iterable, Sequence

import numpy as np

JSON = "application/json"
NPY = "application/x-npy"
BATCH = 64
"""Queries of one request, where several are asked at once."""


def request(path: str, body: bytes, content: str = JSON) -> bytes:
    """Return a whole POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def npy(vectors: np.ndarray) -> bytes:
    """Return an .npy file as bytes."""
    file = io.BytesIO()
    np.save(file, vectors)
    return file.getvalue()


def single_json(collection: str, queries: np.ndarray, k: int) -> list[bytes]:
    """One query a request, as JSON."""
    path = f"/v1/collections/{collection}/query"
    return [request(path, _body({"vector": floats(query), "k": k})) for query in queries]


def single_binary(collection: str, queries: np.ndarray, k: int) -> list[bytes]:
    """One query a request, as bytes: a batch of one."""
    return [_batch(collection, query[None, :], k) for query in queries]


def batches(collection: str, queries: np.ndarray, k: int, size: int = BATCH) -> list[bytes]:
    """`size` queries a request, as bytes; queries that are left over go without."""
    size = min(size, len(queries))
    return [_batch(collection, queries[at : at + size], k) for at in range(0, len(queries) - size + 1, size)]


def _batch(collection: str, queries: np.ndarray, k: int) -> bytes:
    return request(f"/v1/collections/{collection}/query/batch", npy(queries) + _body({"k": k}), NPY)


def chroma_single(collection: str, queries: np.ndarray, k: int) -> list[bytes]:
    """One query a request for Chroma, as JSON; `collection` is the id that it gave."""
    path = f"{CHROMA_COLLECTIONS}/{collection}/query"
    rest = {"n_results": k, "include": ["distances"]}
    return [request(path, _body({"query_embeddings": [floats(query)], **rest})) for query in queries]


CHROMA_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def floats(vector: np.ndarray) -> list[float]:
    """Return float32 numbers with no more digits than they have, as a careful client writes them."""
    return [float(str(value)) for value in vector]


def _body(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def ramet_rows(answers: Iterable[bytes], k: int) -> np.ndarray:
    """Return the ids of the hits as row numbers, (n_queries, k) int64, -1 for "nothing"."""
    found: list[list[str]] = []
    for answer in answers:
        said = json.loads(answer) if answer else {"hits": []}
        every = said["results"] if "results" in said else [said]
        found += [[hit["id"] for hit in one["hits"]] for one in every]
    return _padded(found, k)


def chroma_rows(answers: Iterable[bytes], k: int) -> np.ndarray:
    """Return the same of Chroma's answers."""
    return _padded([json.loads(answer)["ids"][0] if answer else [] for answer in answers], k)


def _padded(found: Sequence[Sequence[str]], k: int) -> np.ndarray:
    rows = np.full((len(found), k), -1, np.int64)
    for line, ids in enumerate(found):
        rows[line, : len(ids)] = [int(name) for name in ids]
    return rows
