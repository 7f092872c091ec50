"""How large an answer may be, whatever is asked for."""

import numpy as np
import pytest

import ramet
from tests.rest.test_records import ok, refused

DIM = 4
N = 40
BYTES = 1 << 16


@pytest.fixture
def large(start):
    """A server whose answers have a MiB; its collection has records with documents of 64 KiB each."""
    running = start(max_answer_mb=1)
    collection = ramet.connect(running.data).create_collection("c", dim=DIM, metric="l2")
    rows = np.arange(DIM * N, dtype=np.float32).reshape(N, DIM)
    ids = [f"r{i:02}" for i in range(N)]
    collection.upsert(ids, rows, documents=["x" * BYTES] * N, metadata=[{"n": i} for i in range(N)])
    return running, rows, ids


@pytest.fixture
def client(large):
    with large[0].client() as found:
        yield found


def test_a_page_ends_where_it_becomes_too_large(client, large):
    seen, cursor = [], None
    while True:
        asked = {"limit": 100, "include": "documents", **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/collections/c/records", params=asked)
        assert len(answer.content) < 2 << 20
        page = ok(answer)
        seen += [one["id"] for one in page["records"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == large[2]
    found = ok(client.post("/v1/collections/c/records/get", json={"where": {"n": {"$gte": 0}}}))
    assert 0 < len(found["records"]) < N and found["cursor"]
    assert len(ok(client.get("/v1/collections/c/records", params={"include": "metadata"}))["records"]) == N


def test_the_same_id_again_and_again(client):
    body = {"ids": ["r01"] * 10_000}
    refused(client.post("/v1/collections/c/records/get", json=body), 400, "answer_too_large")
    assert len(ok(client.post("/v1/collections/c/records/get", json={**body, "include": []}))["records"]) == 10_000


@pytest.mark.parametrize("rest", [{}, {"where": {"n": {"$gte": 0}}}, {"text": "x", "mode": "hybrid"}])
def test_hits(client, large, rest):
    query = {"vector": large[1][3].tolist(), "k": 30, **rest}
    refused(client.post("/v1/collections/c/query", json=query), 400, "answer_too_large")
    ok(client.post("/v1/collections/c/query", json={**query, "k": 3}))
    each = {"queries": [{**query, "k": 3}] * 10}
    refused(client.post("/v1/collections/c/query/batch", json=each), 400, "answer_too_large")
    each = {"queries": [{**query, "k": 3, "include": ["metadata"]}] * 10}
    assert len(ok(client.post("/v1/collections/c/query/batch", json=each))["results"]) == 10


def test_hits_of_all_queries_together(client, large):
    body = {"vectors": large[1][:1].tolist() * 101, "k": 1000, "include": []}
    assert (
        "100000" in refused(client.post("/v1/collections/c/query/batch", json=body), 400, "invalid_argument")["detail"]
    )
    each = {"queries": [{"vector": large[1][0].tolist(), "k": 1000, "include": []}] * 101}
    refused(client.post("/v1/collections/c/query/batch", json=each), 400, "invalid_argument")
    body["vectors"].pop()
    assert len(ok(client.post("/v1/collections/c/query/batch", json=body))["results"]) == 100


def test_vectors_count_as_well(client, large):
    body = {"vectors": large[1][:1].tolist() * 1000, "k": 40, "include": ["vectors"]}
    ok(client.post("/v1/collections/c/query/batch", json=body))
    body["k"] = 100
    ok(client.post("/v1/collections/c/query/batch", json=body))  # there are 40 of 16 bytes
    wide = {"name": "wide", "dim": 1024, "metric": "l2"}
    ok(client.post("/v1/collections", json=wide), 201)
    ok(client.post("/v1/collections/wide/records", json={"ids": ["a"], "vectors": [[1.0] * 1024]}))
    body = {"vectors": [[1.0] * 1024] * 500, "k": 1, "include": ["vectors"]}
    refused(client.post("/v1/collections/wide/query/batch", json=body), 400, "answer_too_large")


def test_the_client_asks_for_less_at_a_time(large):
    running, rows, ids = large
    with ramet.connect(running.url) as database:
        collection = database.collection("c")
        assert [one.id for one in collection.get(ids, include=["documents"])] == ids
        assert [one.id for one in collection.get(include=["documents"])] == ids
        hits = collection.query(rows, k=3)
        assert [found[0] for found in hits.ids] == ids and len(hits.documents) == N


def test_selections_and_answers(client, large):
    """What may answer a question is bounded, before a language model is asked."""
    question = {"question": "Where are rivers?", "budget": 100_000, "mode": "keyword"}
    chat = {
        "model": "c",
        "messages": [{"role": "user", "content": "Where are rivers?"}],
        "budget": 100_000,
        "mode": "keyword",
    }
    collection = ramet.connect(large[0].data).collection("c")
    collection.upsert([f"w{i}" for i in range(20)], documents=[f"rivers {i} " + "y " * (BYTES // 2) for i in range(20)])
    asked = {"/v1/collections/c/select": question, "/v1/collections/c/answer": question, "/v1/chat/completions": chat}
    for path, body in asked.items():
        assert "chunks" in refused(client.post(path, json=body), 400, "answer_too_large")["detail"]
        if "select" not in path:
            refused(client.post(path, json={**body, "stream": True}), 400, "answer_too_large")
    collection.delete([f"w{i}" for i in range(3, 20)])
    for path, body in asked.items():
        answer = client.post(path, json=body)
        ok(answer)
        assert len(answer.content) < 2 << 20
