"""Queries over HTTP give what the engine gives."""

import asyncio

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet.api.rest.wire import NPY, npy, read_npy
from tests.rest.test_records import ok, refused

DIM = 8
N = 300


@pytest.fixture
def world(server, client):
    """A collection with records of two tenants, and the same collection as the engine has it."""
    ok(client.post("/v1/collections", json={"name": "c", "dim": DIM, "metric": "l2"}), 201)
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(N, DIM)).astype(np.float32)
    words = ["rivers", "mountains", "deserts"]
    body = {
        "ids": [f"r{i}" for i in range(N)],
        "vectors": rows.tolist(),
        "documents": [f"a book about {words[i % 3]}" for i in range(N)],
        "metadata": [{"n": i, "day": {"$date": "2024-01-31"}} for i in range(N)],
        "tenant": ["x" if i % 2 else "default" for i in range(N)],
    }
    ok(client.post("/v1/collections/c/records", json=body))
    return server.server.opened("c"), rows


def plain(hits):
    """Hits of the engine as they come in JSON."""
    found = hits.to_list()
    for hit in found:
        for field, value in hit.get("metadata", {}).items():
            if hasattr(value, "isoformat"):
                hit["metadata"][field] = {"$date": value.isoformat().replace("+00:00", "Z")}
    return found


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ({}, {}),
        ({"k": 3}, {"k": 3}),
        ({"tenant": "x"}, {"tenant": "x"}),
        ({"tenant": ["x", "default", "x"]}, {"tenant": ["x", "default"]}),
        ({"tenant": "nobody"}, {"tenant": "nobody"}),
        ({"exact": True, "include": []}, {"exact": True, "include": []}),
        ({"nprobe": 1, "include": ["documents"]}, {"nprobe": 1, "include": ["documents"]}),
        ({"recall": 0.5, "prune": 3.0}, {"recall": 0.5, "prune": 3.0}),
        ({"where": {"n": {"$lt": 50}}}, {"where": {"n": {"$lt": 50}}}),
        ({"where": {}}, {}),
        ({"text": "rivers"}, {"text": "rivers"}),
        ({"text": "rivers", "mode": "dense"}, {"text": "rivers", "mode": "dense"}),
        (
            {"text": "rivers", "fusion": "weighted", "alpha": 0.3},
            {"text": "rivers", "fusion": "weighted", "alpha": 0.3},
        ),
        ({"vector": None, "text": "mountains", "mode": "keyword"}, {"text": "mountains", "mode": "keyword"}),
    ],
)
def test_one_query(client, world, body, arguments):
    collection, rows = world
    sent = {"vector": rows[7].tolist(), **body}
    vectors = None if sent["vector"] is None else rows[7]
    found = ok(client.post("/v1/collections/c/query", json=sent))
    assert found == {"hits": plain(collection.query(vectors, **arguments))}


def test_vectors_and_explanations(client, world):
    _, rows = world
    found = ok(client.post("/v1/collections/c/query", json={"vector": rows[2].tolist(), "include": ["vectors"]}))
    assert found["hits"][0]["id"] == "r2" and "document" not in found["hits"][0]
    np.testing.assert_array_equal(np.array(found["hits"][0]["vector"], np.float32), rows[2])
    found = ok(client.post("/v1/collections/c/query", json={"vector": rows[2].tolist(), "explain": True}))
    assert found["explanation"]["n_queries"] == 1 and len(found["hits"]) == 10


def test_batches(client, world):
    collection, rows = world
    expected = [{"hits": plain(one)} for one in collection.query(rows[:5], k=4)]
    form = {"vectors": rows[:5].tolist(), "k": 4}
    assert ok(client.post("/v1/collections/c/query/batch", json=form)) == {"results": expected}
    each = {"queries": [{"vector": row.tolist(), "k": 4} for row in rows[:5]]}
    assert ok(client.post("/v1/collections/c/query/batch", json=each)) == {"results": expected}
    for rest in (b"", b'{"k": 10}'):
        answer = client.post(
            "/v1/collections/c/query/batch", content=npy(rows[:5]) + rest, headers={"Content-Type": NPY}
        )
        assert [one["hits"][:4] for one in ok(answer)["results"]] == [one["hits"] for one in expected]
    answer = client.post(
        "/v1/collections/c/query/batch", json={**form, "include": ["vectors"]}, headers={"Accept": NPY}
    )
    vectors, rest = read_npy(answer.content, 100)
    results = orjson.loads(rest)["results"]
    assert [hit["id"] for one in results for hit in one["hits"]] == [
        hit["id"] for one in expected for hit in one["hits"]
    ]
    at = [int(hit["id"][1:]) for one in results for hit in one["hits"]]
    assert vectors.tobytes() == rows[at].tobytes()
    texts = {"texts": ["rivers", "mountains"], "mode": "keyword", "k": 2, "tenant": "x"}
    expected = [{"hits": plain(collection.query(text=one, mode="keyword", k=2, tenant="x"))} for one in texts["texts"]]
    assert ok(client.post("/v1/collections/c/query/batch", json=texts)) == {"results": expected}
    mixed = {"queries": [
        {"vector": rows[0].tolist(), "k": 2, "tenant": "x"}, {"text": "rivers", "mode": "keyword", "k": 2},
        {"vector": rows[1].tolist(), "k": 2, "tenant": "x"},
        {"vector": rows[1].tolist(), "k": 2, "where": {"n": 3}, "tenant": "x", "explain": True},
    ]}  # fmt: skip
    found = ok(client.post("/v1/collections/c/query/batch", json=mixed))["results"]
    assert found[0] == {"hits": plain(collection.query(rows[0], k=2, tenant="x"))}
    assert found[1] == {"hits": plain(collection.query(text="rivers", mode="keyword", k=2))}
    assert found[2] == {"hits": plain(collection.query(rows[1], k=2, tenant="x"))}
    assert [hit["id"] for hit in found[3]["hits"]] == ["r3"] and "explanation" in found[3]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"vector": None}, 422, "invalid_request"),
        ({"vector": []}, 422, "invalid_request"),
        ({"vector": [1.0]}, 400, "invalid_argument"),
        ({"vector": ["1.0"] * DIM}, 422, "invalid_request"),
        ({"vector": [1e300] * DIM}, 400, "invalid_argument"),
        ({"vector": [1.0] * DIM, "k": 0}, 422, "invalid_request"),
        ({"vector": [1.0] * DIM, "k": 1001}, 400, "invalid_argument"),
        ({"vector": [1.0] * DIM, "k": 1.5}, 422, "invalid_request"),
        ({"vector": [1.0] * DIM, "recall": 0.9, "nprobe": 3}, 400, "invalid_argument"),
        ({"vector": [1.0] * DIM, "where": {"$nor": []}}, 400, "invalid_argument"),
        ({"vector": [1.0] * DIM, "tenant": []}, 422, "invalid_request"),
        ({"vector": [1.0] * DIM, "more": 1}, 422, "invalid_request"),
        ({"text": "rivers", "mode": "dense"}, 400, "missing_embedder"),
    ],
)
def test_wrong_queries(client, world, body, status, code):
    refused(client.post("/v1/collections/c/query", json=body), status, code)
    if status == 400 and code == "invalid_argument":
        found = refused(client.post("/v1/collections/c/query/batch", json={"queries": [body]}), status, code)
        assert found["argument"].startswith("queries[0].") or "k" in body


def test_numbers_that_json_does_not_have(client, world):
    for content in (b'{"vector": [NaN, 1, 1, 1, 1, 1, 1, 1]}', b'{"vector": [1e999, 1, 1, 1, 1, 1, 1, 1]}', b"", b"[]"):
        answer = client.post("/v1/collections/c/query", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)


def test_concurrent_queries_get_the_answers_of_single_ones(server, client, world):
    collection, rows = world
    wrong = {3: ([0.5], 400), 17: (["x"] * DIM, 422), 40: ([1e300] * DIM, 400)}

    async def asked():
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:

            async def one(i):
                vector = wrong[i][0] if i in wrong else rows[i].tolist()
                body = {"vector": vector, "k": 1 + i % 3, "tenant": "x" if i % 2 else "default"}
                return await http.post("/v1/collections/c/query", json=body)

            return await asyncio.gather(*(one(i) for i in range(120)))

    for i, answer in enumerate(asyncio.run(asked())):
        if i in wrong:
            assert answer.status_code == wrong[i][1]
        else:
            tenant = "x" if i % 2 else "default"
            assert ok(answer) == {"hits": plain(collection.query(rows[i], k=1 + i % 3, tenant=tenant))}


@settings(max_examples=30)
@given(data=st.data())
def test_a_body_of_any_json_is_answered_or_refused(data):
    """The model refuses what it does not describe, whatever it is, and never fails otherwise."""
    from fastapi.exceptions import RequestValidationError

    from ramet.api.rest.bodies import parsed
    from ramet.api.rest.models.query import Query, QueryBatch
    from ramet.api.rest.models.records import Upsert

    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
    names = st.sampled_from(
        ["vector", "vectors", "text", "texts", "queries", "k", "where", "ids", "tenant", "metadata"]
    )
    body = data.draw(st.dictionaries(names | st.text(), values) | values)
    try:
        content = orjson.dumps(body)
    except (TypeError, orjson.JSONEncodeError):
        return
    for model in (Query, QueryBatch, Upsert):
        try:
            parsed(model, content)
        except RequestValidationError:
            pass
