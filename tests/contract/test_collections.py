"""Collections are made, found, described and deleted."""

import numpy as np
import pytest

import ramet


def test_a_new_place_is_empty(db):
    assert db.collections() == [] and list(db) == [] and len(db) == 0 and db


def test_a_collection_is_what_was_asked_for(db):
    made = db.create_collection("b.2", 8, "l2", np.float16, "none", language="de", durability="batch")
    again = db.collection("b.2")
    for one in (made, again):
        assert (one.name, one.dim, one.metric, one.dtype) == ("b.2", 8, "l2", "float16")
        assert (one.codes, one.durability) == ("none", "batch")
        assert "b.2" in repr(one)
    db.create_collection("a", 4)
    assert db.collections() == ["a", "b.2"]


def test_defaults_are_the_same_everywhere(db):
    made = db.create_collection("c", 4)
    assert (made.metric, made.dtype, made.codes, made.durability) == ("cosine", "float32", "sq8", "commit")
    assert made.stats()["language"] == "en"


def test_one_that_exists_is_taken_if_it_is_the_same(db):
    db.create_collection("c", 4).upsert(["a"], [[1, 0, 0, 0]])
    assert db.create_collection("c", 4, exist_ok=True).count() == 1
    with pytest.raises(ramet.CollectionExistsError):
        db.create_collection("c", 4)
    with pytest.raises(ramet.CollectionExistsError):
        db.create_collection("c", 5, exist_ok=True)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": 1.5}, "dim"),
        ({"dim": True}, "dim"),
        ({"dim": 100_000}, "dim"),
        ({"metric": "euclid"}, "metric"),
        ({"dtype": "float64"}, "dtype"),
        ({"dtype": "no dtype"}, "dtype"),
        ({"codes": "pq"}, "codes"),
        ({"dtype": "int8", "codes": "sq8"}, "codes"),
        ({"language": "xx"}, "language"),
        ({"durability": "never"}, "durability"),
        ({"name": ""}, "name"),
        ({"name": "../up"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a" * 200}, "name"),
        ({"name": 3}, "name"),
    ],
    ids=str,
)
def test_a_wrong_property_is_named_and_nothing_is_made(db, arguments, name):
    with pytest.raises(ramet.ArgumentError, match=f"^{name}: ") as caught:
        db.create_collection(**{"name": "c", "dim": 4} | arguments)
    assert caught.value.argument == name
    assert db.collections() == []


def test_a_collection_that_is_not_there(db):
    for call in (db.collection, db.delete_collection, db.verify):
        with pytest.raises(ramet.UnknownCollectionError, match="collection"):
            call("nobody")
        with pytest.raises(ramet.ArgumentError, match="^name: "):
            call("../nobody")


def test_a_deleted_collection_is_gone(db):
    old = db.create_collection("c", 4)
    old.upsert(["a"], [[1, 0, 0, 0]])
    db.delete_collection("c")
    assert db.collections() == []
    with pytest.raises(ramet.UnknownCollectionError):
        db.collection("c")
    assert db.create_collection("c", 4).count() == 0


def test_a_closed_collection_says_so(docs):
    docs.close()
    assert docs.closed
    with pytest.raises(ramet.ClosedError):
        docs.count()


def test_a_sound_collection_is_found_sound(db, docs):
    docs.upsert(["a", "b"], np.eye(4)[:2])
    for report in (docs.verify(), db.verify("docs")):
        assert report.ok and report.problems == []
        assert report.checked["ids"] == 2


def test_maintenance(docs):
    rng = np.random.default_rng(0)
    docs.upsert([str(i) for i in range(500)], rng.normal(size=(500, 4)))
    docs.delete([str(i) for i in range(0, 500, 2)])
    assert docs.maintain(30) is True
    report = docs.compact()
    assert isinstance(report, ramet.CompactReport)
    assert 0 < report.n_bytes_after < report.n_bytes_before
    assert docs.flush() is None
    assert docs.count() == 250 and docs.verify().ok


def test_calibration(docs):
    rng = np.random.default_rng(0)
    docs.upsert([str(i) for i in range(2000)], rng.normal(size=(2000, 4)))
    curve = docs.calibrate(rng.normal(size=(50, 4)))
    assert curve and all(isinstance(point, ramet.CurvePoint) for point in curve)
    assert docs.stats()["tenants"]["default"]["curve"]
    with pytest.raises(ramet.ArgumentError, match="^queries: ") as caught:
        docs.calibrate(np.full((50, 4), np.nan))
    assert caught.value.argument == "queries"


def test_stats(docs):
    docs.upsert(["a"], [[1, 0, 0, 0]], documents=["some words"])
    found = docs.stats()
    assert (found["name"], found["records"], found["dim"], found["n_tenants"]) == ("docs", 1, 4, 1)
    assert docs.stats("default")["tenants"]["default"]["documents"] == 1
    with pytest.raises(ramet.UnknownTenantError) as caught:
        docs.stats("nobody")
    assert (caught.value.tenant, caught.value.argument) == ("nobody", "tenant")
