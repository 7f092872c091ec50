"""Collections, tenants and backups over HTTP."""

import numpy as np
import pytest

import ramet
from tests.rest.test_records import ok, refused

DIM = 4


@pytest.fixture
def filled(client):
    ok(client.post("/v1/collections", json={"name": "c", "dim": DIM, "metric": "l2"}), 201)
    body = {"ids": list("abc"), "vectors": np.eye(3, DIM).tolist(), "tenant": ["x", "x", "y"]}
    ok(client.post("/v1/collections/c/records", json=body))
    return "/v1/collections/c"


def test_make_list_describe_delete(client):
    made = ok(client.post("/v1/collections", json={"name": "a.b-c_1", "dim": 3, "dtype": "int8", "metric": "ip"}), 201)
    assert made == {
        "name": "a.b-c_1", "status": "ok", "detail": None, "dim": 3, "metric": "ip", "dtype": "int8", "codes": "none",
        "language": "en", "durability": "commit", "embedder": None, "records": 0,
    }  # fmt: skip
    assert ok(client.get("/v1/collections")) == {"collections": [made]}
    assert ok(client.get("/v1/collections/a.b-c_1")) == made
    refused(client.post("/v1/collections", json={"name": "a.b-c_1", "dim": 3}), 409, "collection_exists")
    same = {"name": "a.b-c_1", "dim": 3, "dtype": "int8", "metric": "ip", "exist_ok": True}
    assert ok(client.post("/v1/collections", json=same)) == made
    refused(client.post("/v1/collections", json={**same, "dim": 4}), 409, "collection_exists")
    refused(client.post("/v1/collections", json={"name": "no-dim"}), 400, "invalid_argument")
    for name in ("", ".hidden", "../x", "a/b", "a\n", "ä", "x" * 129):
        refused(client.post("/v1/collections", json={"name": name, "dim": 3}), 422, "invalid_request")
    ok(client.delete("/v1/collections/a.b-c_1"), 204)
    refused(client.delete("/v1/collections/a.b-c_1"), 404, "unknown_collection")
    assert ok(client.get("/v1/collections")) == {"collections": []}


def test_what_keeps_a_collection_in_order(client, filled):
    assert ok(client.post(f"{filled}/verify"))["ok"] is True
    assert ok(client.post(f"{filled}/maintain", json={"seconds": 0.1})) == {"done": True}
    assert ok(client.post(f"{filled}/maintain")) == {"done": True}
    ok(client.post(f"{filled}/flush"), 204)
    found = ok(client.post(f"{filled}/compact"))
    assert found["bytes_before"] > 0 and found["bytes_after"] > 0
    vectors = np.random.default_rng(0).normal(size=(20, DIM)).tolist()
    curve = ok(client.post(f"{filled}/calibrate", json={"vectors": vectors, "tenant": "x"}))["curve"]
    assert all(set(one) == {"k", "nprobe", "recall"} for one in curve)
    refused(client.post(f"{filled}/calibrate", json={"vectors": vectors}), 400, "invalid_argument")
    stats = ok(client.get(f"{filled}/stats"))
    assert stats["records"] == 3 and set(stats["tenants"]) == {"x", "y"}
    assert set(ok(client.get(f"{filled}/stats", params={"tenant": "y"}))["tenants"]) == {"y"}
    refused(client.get(f"{filled}/stats", params={"tenant": "z"}), 404, "unknown_tenant")


def test_tenants(client, filled):
    tenants = {"tenants": [{"name": "x", "records": 2}, {"name": "y", "records": 1}]}
    assert ok(client.get(f"{filled}/tenants")) == tenants
    found = ok(client.get(f"{filled}/tenants/x"))
    assert (found["name"], found["records"], found["stats"]["records"]) == ("x", 2, 2)
    refused(client.get(f"{filled}/tenants/z"), 404, "unknown_tenant")
    assert ok(client.delete(f"{filled}/tenants/x")) == {"deleted": 2}
    refused(client.delete(f"{filled}/tenants/x"), 404, "unknown_tenant")
    assert ok(client.get(f"{filled}/tenants")) == {"tenants": [{"name": "y", "records": 1}]}


def test_backups(server, client, filled):
    assert ok(client.get("/v1/backups")) == {"backups": []}
    made = ok(client.post(f"{filled}/backups", json={"name": "monday"}), 201)
    assert (made["name"], made["collection"]) == ("monday", "c") and made["bytes"] > 0
    refused(client.post(f"{filled}/backups", json={"name": "monday"}), 409, "exists")
    assert ok(client.get("/v1/backups")) == {"backups": [made]}
    assert [one["name"] for one in ok(client.get("/v1/collections"))["collections"]] == ["c"]
    with ramet.connect(server.data / ".backups" / "monday", create=False) as db:
        assert db["c"].count() == 3


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../out", "a/b", "/etc", ".deleted", "a\0b", "a\n", "%2e%2e", "x" * 129]
)
def test_backups_stay_in_their_directory(server, client, filled, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    refused(client.post(f"{filled}/backups", json={"name": name}), 422, "invalid_request")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_among_the_backups_leads_nowhere(server, client, filled, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    backups = server.data / ".backups"
    backups.mkdir()
    (backups / "monday").symlink_to(outside)
    refused(client.post(f"{filled}/backups", json={"name": "monday"}), 400, "invalid_argument")
    assert list(outside.iterdir()) == [] and ok(client.get("/v1/backups")) == {"backups": []}


def test_a_damaged_collection_is_shown_and_the_others_serve(start, tmp_path):
    data = tmp_path / "data"
    with ramet.connect(data) as db:
        for name in ("good", "bad"):
            db.create_collection(name, DIM).upsert(["a"], np.ones((1, DIM)))
    for file in (data / "bad").iterdir():
        if file.name.startswith("rows"):
            file.write_bytes(b"")
    with start(data).client() as client:
        found = {one["name"]: one for one in ok(client.get("/v1/collections"))["collections"]}
        assert found["good"]["status"] == "ok" and found["good"]["records"] == 1
        assert found["bad"]["status"] == "quarantined" and found["bad"]["records"] is None and found["bad"]["detail"]
        query = {"vector": [1.0] * DIM}
        refused(client.post("/v1/collections/bad/query", json=query), 503, "collection_quarantined")
        assert len(ok(client.post("/v1/collections/good/query", json=query))["hits"]) == 1
        assert ok(client.post("/v1/collections/bad/verify"))["ok"] is False
        ok(client.delete("/v1/collections/bad"), 204)


def test_backups_beside_something_foreign(server, client):
    ok(client.post("/v1/collections", json={"name": "c", "dim": 2}), 201)
    ok(client.post("/v1/collections/c/backups", json={"name": "monday"}), 201)
    foreign = server.server.settings.backups / "c2"
    server.server.database.collection("c").backup(foreign)  # a collection where directories of backups are
    found = ok(client.get("/v1/backups"))["backups"]
    assert [one["name"] for one in found] == ["monday"]
