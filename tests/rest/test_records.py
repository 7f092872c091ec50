"""Records over HTTP: stored, read, counted, deleted and granted."""

import numpy as np
import orjson
import pytest
from fastapi.exceptions import RequestValidationError

from ramet.api.rest import bodies
from ramet.api.rest.wire import NPY, npy, read_npy

DIM = 8


@pytest.fixture
def books(client):
    answer = client.post("/v1/collections", json={"name": "books", "dim": DIM})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/collections/books"
    return "/v1/collections/books"


def vectors(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def ok(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_json_in_and_out(client, books):
    rows = vectors(3)
    body = {
        "ids": ["a", "b", "c/d?e#1"],
        "vectors": [*rows[:2].tolist(), None],
        "documents": ["rivers", None, "mountains"],
        "metadata": [
            {"year": 1999, "when": {"$date": "2024-01-31T12:00:00Z"}, "much": {"$float": "inf"}},
            None,
            {"tags": ["x", "y"], "ok": True, "gone": None, "half": 0.5},
        ],
    }
    assert ok(client.post(f"{books}/records", json=body)) == {"inserted": 3, "replaced": 0, "skipped": 0}
    assert ok(client.post(f"{books}/records", json=body)) == {"inserted": 0, "replaced": 3, "skipped": 0}
    assert ok(client.post(f"{books}/records", json={**body, "on_conflict": "skip"}))["skipped"] == 3
    refused(client.post(f"{books}/records", json={**body, "on_conflict": "error"}), 409, "conflict")

    found = ok(client.get(f"{books}/records", params={"include": "documents,metadata,vectors"}))
    assert found["cursor"] is None
    by_id = {one["id"]: one for one in found["records"]}
    assert by_id["a"]["metadata"] == body["metadata"][0]
    assert by_id["c/d?e#1"]["metadata"] == {"tags": ["x", "y"], "ok": True, "half": 0.5}
    assert by_id["b"] == {
        "id": "b", "tenant": "default", "vector": by_id["b"]["vector"], "document": None, "metadata": None
    }  # fmt: skip
    np.testing.assert_array_equal(np.array(by_id["a"]["vector"], np.float32), rows[0])
    assert by_id["c/d?e#1"]["vector"] is None
    one = ok(client.get(f"{books}/records/c%2Fd%3Fe%231"))
    assert one == {"id": "c/d?e#1", "tenant": "default", "document": "mountains", "metadata": one["metadata"]}
    refused(client.get(f"{books}/records/nobody"), 404, "unknown_id")


def test_pages_and_filters(client, books):
    ids = [f"r{i:03d}" for i in range(25)]
    days = [{"n": i, "day": {"$date": f"2024-01-{i + 1:02}"}} for i in range(25)]
    ok(client.post(f"{books}/records", json={"ids": ids, "vectors": vectors(25).tolist(), "metadata": days}))
    seen, cursor = [], None
    while True:
        page = ok(client.get(f"{books}/records", params={"limit": 7, **({"cursor": cursor} if cursor else {})}))
        seen += [one["id"] for one in page["records"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == ids
    late = {"day": {"$gte": {"$date": "2024-01-20"}}}
    found = ok(client.post(f"{books}/records/get", json={"where": late, "include": []}))
    assert found["records"] == [{"id": one, "tenant": "default"} for one in ids[19:]]
    found = ok(client.get(f"{books}/records", params={"where": orjson.dumps({"n": {"$lt": 2}}).decode()}))
    assert [one["id"] for one in found["records"]] == ids[:2]
    assert ok(client.post(f"{books}/records/count", json={"where": late})) == {"count": 6}
    assert ok(client.post(f"{books}/records/count")) == {"count": 25}
    assert ok(client.post(f"{books}/records/count", json={"tenant": "nobody"})) == {"count": 0}
    assert ok(client.post(f"{books}/records/delete", json={"ids": ["r000", "nobody"]})) == {"deleted": 1}
    assert ok(client.post(f"{books}/records/delete", json={"where": late})) == {"deleted": 6}
    refused(client.post(f"{books}/records/delete", json={"where": {}}), 400, "invalid_argument")
    refused(client.post(f"{books}/records/delete", json={}), 400, "invalid_argument")
    refused(client.get(f"{books}/records", params={"where": "{"}), 400, "invalid_argument")
    refused(client.get(f"{books}/records", params={"cursor": "!"}), 400, "invalid_argument")
    refused(client.post(f"{books}/records/get", json={"ids": ["a"], "limit": 3}), 400, "invalid_argument")


def test_bytes_in_and_out(client, books):
    rows = vectors(5)
    body = npy(rows) + orjson.dumps({"ids": list("abcde"), "tenant": list("xxyyx")})
    answer = client.post(f"{books}/records", content=body, headers={"Content-Type": NPY})
    assert ok(answer) == {"inserted": 5, "replaced": 0, "skipped": 0}
    asked = {"ids": list("eab"), "tenant": "x"}
    answer = client.post(f"{books}/records/get", json=asked, headers={"Accept": NPY})
    assert answer.status_code == 200 and answer.headers["content-type"] == NPY
    found, rest = read_npy(answer.content, 100)
    assert found.tobytes() == rows[[4, 0, 1]].tobytes()
    records = orjson.loads(rest)["records"]
    assert [(one["id"], one["has_vector"], "vector" in one) for one in records] == [
        (name, True, False) for name in "eab"
    ]
    refused(client.post(f"{books}/records", content=b"nothing", headers={"Content-Type": NPY}), 400, "invalid_argument")
    refused(
        client.post(f"{books}/records", content=npy(rows) + b"{", headers={"Content-Type": NPY}), 422, "invalid_request"
    )
    refused(
        client.post(f"{books}/records", content=b"x", headers={"Content-Type": "text/plain"}), 415,
        "unsupported_media_type",
    )  # fmt: skip


def test_grants(client, books):
    ok(client.post(f"{books}/records", json={"ids": ["a", "b"], "vectors": vectors(2).tolist(), "tenant": "x"}))
    assert ok(client.post(f"{books}/records/grant", json={"ids": ["a"], "to": ["y", "z"], "tenant": "x"})) == {
        "granted": 2
    }
    assert ok(client.post(f"{books}/records/count", json={"tenant": "y"})) == {"count": 1}
    refused(client.post(f"{books}/records/delete", json={"ids": ["a"], "tenant": "y"}), 403, "not_owner")
    refused(client.post(f"{books}/records/grant", json={"ids": ["q"], "to": "y", "tenant": "x"}), 404, "unknown_id")
    refused(client.post(f"{books}/records/grant", json={"ids": ["q"], "to": "y", "tenant": "q"}), 404, "unknown_tenant")
    assert ok(client.post(f"{books}/records/revoke", json={"ids": ["a"], "to": "y", "tenant": "x"})) == {"revoked": 1}
    assert ok(client.post(f"{books}/records/count", json={"tenant": "y"})) == {"count": 0}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"vectors": [[1.0] * (DIM + 1)] * 2}, 400, "invalid_argument"),
        ({"vectors": [[1.0] * DIM, [1.0]]}, 400, "invalid_argument"),
        ({"vectors": [[1.0] * DIM]}, 400, "invalid_argument"),
        ({"vectors": [[0.0] * DIM] * 2}, 400, "invalid_argument"),
        ({"vectors": [["1"] * DIM] * 2}, 422, "invalid_request"),
        ({"vectors": [[True] * DIM] * 2}, 422, "invalid_request"),
        ({"vectors": [[1e300] * DIM] * 2}, 400, "invalid_argument"),
        ({"documents": ["one"]}, 400, "invalid_argument"),
        ({"metadata": [{"a": {"b": 1}}, None]}, 422, "invalid_request"),
        ({"metadata": [{"a": {"$date": "yesterday!"}}, None]}, 400, "invalid_argument"),
        ({"metadata": [{"a": 1 << 60}, None]}, 400, "invalid_argument"),
        ({"tenant": ["x"]}, 400, "invalid_argument"),
        ({"tenant": ""}, 422, "invalid_request"),
        ({"ids": ["a", "a"]}, 400, "invalid_argument"),
        ({"ids": ["a", 1]}, 422, "invalid_request"),
        ({"ids": []}, 422, "invalid_request"),
        ({"unknown": 1}, 422, "invalid_request"),
    ],
)
def test_wrong_records_are_refused_and_nothing_is_stored(client, books, change, status, code):
    body = {"ids": ["a", "b"], "vectors": vectors(2).tolist(), **change}
    refused(client.post(f"{books}/records", json=body), status, code)
    assert ok(client.post(f"{books}/records/count")) == {"count": 0}


def test_limits_of_the_settings(start):
    with start(max_batch=3, max_k=5, max_queries=2).client() as client:
        ok(client.post("/v1/collections", json={"name": "c", "dim": DIM}), 201)
        body = {"ids": list("abcd"), "vectors": vectors(4).tolist()}
        refused(client.post("/v1/collections/c/records", json=body), 400, "invalid_argument")
        content = npy(vectors(4)) + orjson.dumps({"ids": list("abcd")})
        refused(
            client.post("/v1/collections/c/records", content=content, headers={"Content-Type": NPY}), 400,
            "invalid_argument",
        )  # fmt: skip
        query = {"vector": vectors(1)[0].tolist(), "k": 6}
        refused(client.post("/v1/collections/c/query", json=query), 400, "invalid_argument")
        each = {"queries": [{**query, "k": 1}] * 3}
        refused(client.post("/v1/collections/c/query/batch", json=each), 400, "invalid_argument")
        each = {"vectors": vectors(3).tolist()}
        refused(client.post("/v1/collections/c/query/batch", json=each), 400, "invalid_argument")


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["a"], "vectors": [["x"] * 5_000]},
        {"ids": ["a"] * 100, "vectors": [["x"]] * 100},
        {"ids": [1] * 5_000},
        {"ids": ["a"], "documents": [1] * 5_000},
        {"ids": ["a"], "metadata": [{"tags": [1] * 5_000}]},
        {"ids": ["a"], "metadata": [1] * 5_000},
        {"ids": ["a"], "tenant": [1] * 5_000},
        {"ids": ["a"], **{f"more{i}": 1 for i in range(5_000)}},
    ],
)
def test_a_flood_of_mistakes_is_one(client, books, body, monkeypatch):
    counted = []
    monkeypatch.setattr(bodies, "RequestValidationError", lambda found: counted.append(len(found)) or Made(found))
    refused(client.post(f"{books}/records", json=body), 422, "invalid_request")
    assert counted[0] <= 20


class Made(RequestValidationError):
    """An error of a body that a test has counted."""


def test_other_types_than_json_are_refused(client, books):
    for end in ("get", "delete", "grant", "revoke"):
        answer = client.post(f"{books}/records/{end}", content=b"x", headers={"Content-Type": "text/plain"})
        refused(answer, 415, "unsupported_media_type")


def test_the_address_has_nothing_to_say_beside_a_body_that_can(client, books):
    body = {"ids": ["a"], "vectors": vectors(1).tolist()}
    for asked in ({"tenant": "x"}, {"on_conflict": "error"}):
        found = refused(client.post(f"{books}/records", params=asked, json=body), 400, "invalid_argument")
        assert found["argument"] in asked


def test_a_slash_too_much_is_nothing(client):
    refused(client.get("/v1/collections/"), 404, "not_found")


def test_what_does_not_exist(client):
    refused(client.get("/v1/collections/none"), 404, "unknown_collection")
    refused(client.post("/v1/collections/none/records", json={"ids": ["a"]}), 404, "unknown_collection")
    refused(client.post("/v1/collections/none/query", json={"vector": [1.0]}), 404, "unknown_collection")
    refused(client.get("/v1/collections/%2e%2e/records"), 422, "invalid_request")
    refused(client.post("/v1/collections/a%20b/query", json={"vector": [1.0]}), 422, "invalid_request")


def test_a_body_without_a_type_is_refused(client):
    """A page of others may send such a one to any server."""
    ok(client.post("/v1/collections", json={"name": "c", "dim": 2}), 201)
    for path in ("records", "query", "query/batch", "records/delete"):
        answer = client.post(f"/v1/collections/c/{path}", content=b'{"ids": ["a"], "vector": [1, 2]}')
        assert answer.status_code in {415, 422} and (answer.status_code == 415 or path == "records/delete")


def test_a_write_that_was_committed_in_part_says_so(server, client, monkeypatch):
    """Somebody else takes the collection behind the first of three transactions, and keeps it."""
    monkeypatch.setattr("ramet.engine.live.CHUNK", 4)
    monkeypatch.setattr("ramet.api.rest.commits.WAIT_S", 0.05)
    docs = server.server.database.create_collection("docs", 2)
    holding, settled = [], docs._live._remeasure.after

    def taken_over(*arguments, **options):
        settled(*arguments, **options)
        holding.append(docs._store.write())

    docs._live._remeasure.after = taken_over
    body = {"ids": list("abcdefghij"), "vectors": [[1.0, 0.0]] * 10}
    said = refused(client.post("/v1/collections/docs/records", json=body), 503, "writer_busy")
    assert said["partly_done"] is True and said["detail"].endswith("had committed before stays")
    assert docs.count() == 4
    docs._live._remeasure.after = settled
    said = refused(client.post("/v1/collections/docs/records", json=body), 503, "writer_busy")
    assert "partly_done" not in said and "committed" not in said["detail"]
    holding[0].abort()
    assert ok(client.post("/v1/collections/docs/records", json=body))["replaced"] == 4
