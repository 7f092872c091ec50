"""What only servers have: keys, limits, damage that is put aside. The same from both kinds of client."""

import contextlib

import numpy as np
import pytest

import ramet
from ramet.engine.keys import ALL, Keys
from ramet.storage.format import CATALOG
from tests.contract.places import Loop, Waited
from tests.rest.serving import serving

EYE = np.eye(4, dtype=np.float32)
RIGHTS = ["read", "write", "admin"]


@pytest.fixture(params=["client", "async"])
def reach(request):
    """Reach a server: ``reach(url, api_key=...)`` gives its database."""
    opened, loop = [], Loop()

    def begin(url, **options):
        options = {"retries": 0, **options}
        if request.param == "client":
            opened.append(ramet.connect(url, **options))
        else:
            opened.append(Waited(loop, loop(ramet.connect_async(url, **options))))
        return opened[-1]

    yield begin
    for db in opened:
        db.close()
    loop.close()


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(tmp_path / "data", **settings))


def test_a_key_is_for_its_tenant(start, reach):
    running = start()
    keys = Keys(running.data)
    everything, acme, reads = keys.create(ALL, RIGHTS), keys.create("acme", RIGHTS), keys.create("acme", "read")

    with pytest.raises(ramet.ServerRefusedError, match="api_key") as caught:
        reach(running.url).collections()
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")

    docs = reach(running.url, api_key=everything).create_collection("docs", 4)
    docs.upsert(["a", "b"], EYE[:2], tenant=["acme", "globex"])

    own = reach(running.url, api_key=acme).collection("docs")
    assert [(one.id, one.tenant) for one in own.get()] == [("a", "acme")]
    assert own.query(EYE[0]).ids == ["a"] and own.count() == 1 and own.tenants() == {"acme": 1}
    assert own.upsert(["c"], EYE[2:3]).n_inserted == 1 and docs.count("acme") == 2
    assert own.query(EYE, k=1, with_vectors=True)[2].ids == ["c"]
    for call in (
        lambda: own.get(tenant="globex"),
        lambda: own.query(EYE[0], tenant=["acme", "globex"]),
        lambda: own.upsert(["x"], EYE[:1], tenant="globex"),
        lambda: own.grant(["a"], to="globex"),
        lambda: own.drop_tenant("globex"),
        lambda: own.stats(),
        lambda: own.compact(),
    ):
        with pytest.raises(ramet.ServerRefusedError) as caught:
            call()
        assert (caught.value.status, caught.value.code) == (403, "tenant_forbidden")

    readers = reach(running.url, api_key=reads).collection("docs")
    assert readers.count() == 2
    with pytest.raises(ramet.ServerRefusedError, match="right") as caught:
        readers.delete(["a"])
    assert caught.value.code == "right_missing"

    keys.revoke(acme)
    with pytest.raises(ramet.ServerRefusedError) as caught:
        own.count()
    assert caught.value.code == "unauthorized"


def test_a_large_call_fits_through_small_limits(start, reach):
    docs = reach(start(max_body_mb=0.05).url).create_collection("docs", 4, "l2")
    vectors = np.random.default_rng(0).normal(size=(3_000, 4)).astype(np.float32)
    ids = [f"{i:06}" for i in range(3_000)]
    assert docs.upsert(ids, vectors, metadata=[{"n": i} for i in range(3_000)]).n_inserted == 3_000
    assert np.stack([one.vector for one in docs.get()]).tobytes() == vectors.tobytes()
    with pytest.raises(ramet.ServerRefusedError) as caught:
        docs.upsert(["large"], EYE[:1], documents=["x" * 100_000])
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


def test_requests_are_limited(start, reach):
    running = start()
    key = Keys(running.data).create(ALL, RIGHTS, requests_per_minute=5)
    db = reach(running.url, api_key=key)
    with pytest.raises(ramet.ServerRefusedError) as caught:
        for _ in range(20):
            db.collections()
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    assert caught.value.retry_after_s > 0


def test_what_is_too_much_is_named(start, reach):
    docs = reach(start(max_k=5).url).create_collection("docs", 4)
    docs.upsert(["a"], EYE[:1])
    for query in (EYE[0], EYE):
        with pytest.raises(ramet.ArgumentError, match="5") as caught:
            docs.query(query, k=6)
        assert caught.value.argument == "k"


def test_a_damaged_collection_is_put_aside(start, reach):
    running = start()
    db = reach(running.url)
    db.create_collection("sound", 4).upsert(["a"], EYE[:1])
    (running.data / "broken").mkdir()
    (running.data / "broken" / CATALOG).write_bytes(b"\0" * 8192)
    assert db.collections() == ["broken", "sound"]
    with pytest.raises(ramet.CorruptionError):
        db.collection("broken")
    assert not db.verify("broken").ok
    assert db.collection("sound").count() == 1


def test_backups_by_name(start, reach):
    running = start()
    db = reach(running.url)
    docs = db.create_collection("docs", 4)
    docs.upsert(["a"], EYE[:1])
    assert docs.backup("monday") is None
    assert [(one["name"], one["collection"]) for one in db.backups()] == [("monday", "docs")]
    with ramet.connect(running.data / ".backups" / "monday") as copy:
        assert copy.collection("docs").count() == 1
    with pytest.raises(ramet.StorageError):
        docs.backup("monday")
    for name in ("../up", "", 3):
        with pytest.raises(ramet.ArgumentError, match="^name: "):
            docs.backup(name)
