"""Texts over HTTP, and what keys may do with data."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest

import ramet
from ramet.api.rest.wire import ARROW
from ramet.engine.keys import ALL, Keys
from tests.engine.word_hash import WordHash
from tests.rest.test_records import ok, refused

TEXTS = ["Rivers carry water to the sea.", "Mountains carry snow.", "Deserts are dry."]


@pytest.fixture
def docs(server):
    return server.server.database.create_collection("docs", embedder=WordHash())


def test_texts_are_added_found_and_deleted(client, docs):
    body = {"texts": TEXTS, "ids": ["r", "m", "d"], "metadata": [{"n": i} for i in range(3)]}
    found = ok(client.post("/v1/collections/docs/texts", json=body))
    assert {**found, "tokens": 0} == {
        "ids": ["r", "m", "d"], "documents": 3, "skipped": 0, "chunks": 3, "replaced": 0, "tokens": 0
    }  # fmt: skip
    assert found["tokens"] > 0
    assert ok(client.post("/v1/collections/docs/texts", json=body))["replaced"] == 3
    assert ok(client.post("/v1/collections/docs/texts", json={**body, "on_conflict": "skip"}))["skipped"] == 3
    refused(client.post("/v1/collections/docs/texts", json={**body, "on_conflict": "error"}), 409, "conflict")
    refused(client.post("/v1/collections/docs/texts", json={**body, "ids": ["r"]}), 400, "invalid_argument")
    for mode in ("dense", "keyword", "hybrid"):
        hits = ok(client.post("/v1/collections/docs/query", json={"text": "rivers", "mode": mode, "k": 1}))["hits"]
        assert hits[0]["id"] == "r" and hits[0]["document"] == TEXTS[0] and hits[0]["metadata"]["n"] == 0
    both = {"texts": ["rivers", "snow"], "k": 1}
    results = ok(client.post("/v1/collections/docs/query/batch", json=both))["results"]
    assert [one["hits"][0]["id"] for one in results] == ["r", "m"]
    assert ok(client.post("/v1/collections/docs/texts/delete", json={"ids": ["r", "q"]})) == {"deleted": 1}
    assert ok(client.post("/v1/collections/docs/records/count")) == {"count": 2}


def test_records_are_embedded_when_they_come_without_vectors(client, docs):
    body = {"ids": ["a", "b"], "documents": [TEXTS[0], None]}
    assert ok(client.post("/v1/collections/docs/records", json=body))["inserted"] == 2
    found = ok(client.post("/v1/collections/docs/records/get", json={"include": ["vectors"]}))["records"]
    assert [one["vector"] is None for one in found] == [False, True]


def test_vectors_made_here_bind_the_collection_to_the_model(server, client):
    database = server.server.database
    docs = database.create_collection("bound", embedder=WordHash())
    ok(client.post("/v1/collections/bound/records", json={"ids": ["a"], "documents": [TEXTS[0]]}))
    assert docs.stats()["model"] == WordHash().identity
    np.testing.assert_array_equal(docs.get(["a"])[0].vector, WordHash().embed_documents(TEXTS[:1])[0])
    other = database.create_collection("other", embedder=WordHash("other"))
    ok(client.post("/v1/collections/other/records", json={"ids": ["a"], "documents": [None]}))
    assert other.stats()["model"] is None  # nothing was embedded
    with ramet.connect(server.data) as elsewhere:
        elsewhere.collection("other", embedder=WordHash()).upsert(["b"], documents=[TEXTS[1]])
    said = refused(
        client.post("/v1/collections/other/records", json={"ids": ["c"], "documents": [TEXTS[2]]}),
        409,
        "model_mismatch",
    )
    assert WordHash().identity in said["detail"]
    assert [one.id for one in other.get()] == ["a", "b"]


def test_embedding_keeps_no_writer_waiting(start):
    """While one request's documents are embedded, others write to the same collection."""
    begun, go = threading.Event(), threading.Event()

    class Slow(WordHash):
        def embed_documents(self, texts):
            begun.set()
            assert go.wait(60)
            return super().embed_documents(texts)

    running = start(threads=2)
    docs = running.server.database.create_collection("docs", embedder=Slow())
    path, with_vector = "/v1/collections/docs/records", {"ids": ["v"], "vectors": [[1.0] * 16]}
    with running.client() as client, ThreadPoolExecutor(1) as other:
        adding = other.submit(client.post, path, json={"ids": ["t"], "documents": TEXTS[:1]})
        assert begun.wait(60)
        ok(client.post(path, json=with_vector, timeout=10))
        assert [one.id for one in docs.get()] == ["v"]
        go.set()
        ok(adding.result())
    assert [one.id for one in docs.get()] == ["t", "v"]


def test_texts_need_an_embedder(client):
    ok(client.post("/v1/collections", json={"name": "bare", "dim": 4}), 201)
    refused(client.post("/v1/collections/bare/texts", json={"texts": ["x"]}), 400, "missing_embedder")
    refused(client.post("/v1/collections/bare/query", json={"text": "x", "mode": "hybrid"}), 400, "missing_embedder")


@pytest.fixture
def keyed(server):
    """Clients with keys, over a collection with records of tenants acme and evil."""
    collection = server.server.database.create_collection("c", 4, "l2")
    collection.upsert(["a"], np.ones((1, 4)), documents=["of acme"], tenant="acme")
    collection.upsert(["e"], np.ones((1, 4)), documents=["of evil"], tenant="evil")
    keys = Keys(server.data)
    made = {
        "acme": keys.create("acme", ["read", "write"]),
        "reader": keys.create("acme", "read"),
        "both": keys.create(["acme", "evil"], ["read", "write", "admin"]),
        "all": keys.create(ALL, ["read", "write", "admin"]),
    }
    clients = {name: server.client(key) for name, key in made.items()}
    yield clients
    for one in clients.values():
        one.close()


def test_a_key_reaches_its_tenants_only(keyed):
    acme, c = keyed["acme"], "/v1/collections/c"
    query = {"vector": [1.0] * 4}
    assert [hit["id"] for hit in ok(acme.post(f"{c}/query", json=query))["hits"]] == ["a"]
    for tenant in ("evil", "nobody", ["acme", "evil"]):
        refused(acme.post(f"{c}/query", json={**query, "tenant": tenant}), 403, "tenant_forbidden")
        refused(acme.post(f"{c}/query/batch", json={"queries": [{**query, "tenant": tenant}]}), 403, "tenant_forbidden")
        refused(acme.post(f"{c}/query/batch", json={"vectors": [[1.0] * 4], "tenant": tenant}), 403, "tenant_forbidden")
    for tenant in ("evil", "nobody", ["evil"]):
        body = {"ids": ["x"], "vectors": [[1.0] * 4], "tenant": tenant}
        refused(acme.post(f"{c}/records", json=body), 403, "tenant_forbidden")
    refused(acme.get(f"{c}/records", params={"tenant": "evil"}), 403, "tenant_forbidden")
    refused(acme.get(f"{c}/records/e", params={"tenant": "evil"}), 403, "tenant_forbidden")
    refused(acme.get(f"{c}/records/e"), 404, "unknown_id")
    refused(acme.post(f"{c}/records/grant", json={"ids": ["a"], "to": "evil"}), 403, "tenant_forbidden")
    refused(acme.post(f"{c}/records/delete", json={"ids": ["e"], "tenant": "evil"}), 403, "tenant_forbidden")
    refused(acme.get(f"{c}/tenants/evil"), 403, "tenant_forbidden")
    assert ok(acme.get(f"{c}/tenants")) == {"tenants": [{"name": "acme", "records": 1}]}
    assert ok(acme.post(f"{c}/records/count")) == {"count": 1}
    assert ok(acme.get(c))["records"] == 1
    refused(acme.get(f"{c}/stats"), 403, "tenant_forbidden")
    stats = acme.get(f"{c}/stats", params={"tenant": "acme"})
    assert set(ok(stats)["tenants"]) == {"acme"} and "evil" not in stats.text and "records" not in stats.json()
    assert "shared_curves" not in stats.json() and "shared_curves" in ok(keyed["all"].get(f"{c}/stats"))
    refused(acme.delete(f"{c}/tenants/acme"), 403, "right_missing")
    assert ok(keyed["both"].get(c))["records"] == 2
    refused(keyed["both"].post(f"{c}/records/count"), 403, "tenant_forbidden")  # it would be "default"
    assert ok(keyed["all"].post(f"{c}/records/count")) == {"count": 2}


def test_rights(keyed):
    c = "/v1/collections/c"
    for path, body in (
        (f"{c}/records", {"ids": ["x"]}),
        (f"{c}/records/delete", {"ids": ["a"]}),
        (f"{c}/records/grant", {"ids": ["a"], "to": "acme"}),
        (f"{c}/texts", {"texts": ["x"]}),
        (f"{c}/flush", None),
        (f"{c}/compact", None),
        (f"{c}/backups", {"name": "x"}),
        ("/v1/collections", {"name": "new", "dim": 3}),
    ):
        refused(keyed["reader"].post(path, json=body), 403, "right_missing")
    for path, body in (
        (f"{c}/compact", None),
        (f"{c}/verify", None),
        (f"{c}/maintain", None),
        (f"{c}/backups", {"name": "x"}),
        ("/v1/collections", {"name": "new", "dim": 3}),
    ):
        refused(keyed["both"].post(path, json=body), 403, "tenant_forbidden")
    refused(keyed["both"].delete(c), 403, "tenant_forbidden")
    refused(keyed["both"].get("/v1/backups"), 403, "tenant_forbidden")
    assert ok(keyed["both"].delete(f"{c}/tenants/evil")) == {"deleted": 1}
    ok(keyed["all"].delete(c), 204)


def test_arrow(client, docs, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    dim = docs.dim
    rows = np.eye(3, dim, dtype=np.float32)
    table = pyarrow.table(
        {"id": list("abc"), "vector": pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), dim), "document": TEXTS}
    )
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    body, headers = out.getvalue().to_pybytes(), {"Content-Type": ARROW}
    params = {"tenant": "t", "on_conflict": "skip"}
    for expected in ({"inserted": 3, "replaced": 0, "skipped": 0}, {"inserted": 0, "replaced": 0, "skipped": 3}):
        assert ok(client.post("/v1/collections/docs/records", content=body, headers=headers, params=params)) == expected
    found = orjson.loads(client.get("/v1/collections/docs/records/b", params={"tenant": "t"}).content)
    assert found["document"] == TEXTS[1]
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    said = refused(
        client.post("/v1/collections/docs/records", content=body, headers=headers), 415, "unsupported_media_type"
    )
    assert "ramet[arrow]" in said["detail"]


def test_texts_that_take_long_keep_nobody_from_other_work(start):
    """As many texts at work as there are threads for them, and more."""
    go = threading.Event()

    class Slow(WordHash):
        def embed_documents(self, texts):
            assert go.wait(60)
            return super().embed_documents(texts)

    running = start(threads=2)
    running.server.database.create_collection("docs", embedder=Slow())
    with running.client() as client, ThreadPoolExecutor(4) as others:
        adding = [others.submit(client.post, "/v1/collections/docs/texts", json={"texts": [f"{i}"]}) for i in range(4)]
        while running.server.texts.n_waiting < 4:
            time.sleep(0.01)
        ok(client.post("/v1/collections", json={"name": "other", "dim": 2}), 201)
        ok(client.post("/v1/collections/other/flush", timeout=10), 204)
        ok(client.delete("/v1/collections/other", timeout=10), 204)
        go.set()
        assert [ok(one.result())["documents"] for one in adding] == [1] * 4
