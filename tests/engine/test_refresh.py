"""Searchers: refreshed after commits they answer as new ones do, under threads, within their memory; recall curves."""

import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

import ramet
from ramet.engine import curves, searchers
from ramet.engine.searcher import Searcher
from ramet.engine.searchers import Searchers
from ramet.index.navigate import encode
from tests.engine.dict_model import DIM, points
from tests.engine.live_world import SOAK, shrunk
from tests.engine.world import vectors


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


def names(n, first=0):
    return [str(i) for i in range(first, first + n)]


# ------------------------------------------------------------------------------------------------------------- refresh


def lists_of(searcher):
    """cell -> where its list is, how long, and the bytes that navigation knows of its centroid."""
    navigator, codes = searcher.navigator, {}
    table = navigator.codes[: len(navigator.cells) * navigator.dim].reshape(-1, navigator.dim)
    for first, size in navigator._pieces():
        for slot in range(first, first + size):
            codes[int(navigator.cells[slot])] = table[slot].tobytes() + navigator.factors[:, slot].tobytes()
    columns = (searcher._address, searcher._counts, searcher._capacity)
    return {
        int(searcher._numbers[i]): (*(int(column[i]) for column in columns), codes[i])
        for i in np.flatnonzero(searcher._counts).tolist()
    }


def assert_like_new(searcher, snapshot, docs, queries):
    """A searcher knows what one made from the snapshot knows, and answers the same to full probes."""
    fresh = Searcher(snapshot, docs._settings, snapshot.member(searcher.tenant))
    assert (searcher.n_lists, searcher.n_records) == (fresh.n_lists, fresh.n_records)
    if snapshot.meta(curves.OWN.format(tenant=searcher.tenant)):  # that of a class may be newer than this searcher
        assert searcher.curve.points == fresh.curve.points
    if not fresh.n_lists:
        return
    one, other = lists_of(searcher), lists_of(fresh)
    assert one.keys() == other.keys()
    if fresh.n_lists > 1:
        cells = np.array(sorted(other), np.uint32)
        codes, factors = encode(snapshot.cells(cells).payload.view(np.float32).reshape(len(cells), DIM))
        for i, cell in enumerate(cells.tolist()):
            there = codes[i * DIM : (i + 1) * DIM].tobytes() + factors[:, i].tobytes()
            assert one[cell][:3] == other[cell][:3], f"list of cell {cell}"
            assert other[cell][3] == there, f"a new searcher knows an old centroid of cell {cell}"
            assert one[cell][3] == there, f"a refreshed searcher knows an old centroid of cell {cell}"
    for exact in (True, False):
        answers = [
            s.search(queries, min(20, s.n_records), s.n_lists, exact=exact, residency=docs._opened.residency)
            for s in (searcher, fresh)
        ]
        assert (answers[0][0] == answers[1][0]).all() and (answers[0][1] == answers[1][1]).all()


ONE_LIST = [("upsert", "a", 0, 1, 0.0)] * 16
ONE_LIST += [("upsert", "a", 3, 250, 0.0), ("delete", "a", 0, 250, 0.0), ("upsert", "a", 0, 5, 0.0)]
"""A tenant that loses all lists but one, and gets rows for a cell that was kept for it."""

step = st.tuples(
    st.sampled_from(["upsert", "upsert", "delete", "grant", "revoke", "maintain", "tail"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 9),
    st.sampled_from([1, 5, 60, 250]),
    st.sampled_from([0.0, 0.2, 1.5]),
)


@settings(max_examples=max(25, SOAK // 40))
@given(kind=st.sampled_from(["sq8", "none"]), steps=st.lists(step, min_size=5, max_size=40))
@example(kind="sq8", steps=ONE_LIST)
def test_a_refreshed_searcher_knows_what_a_new_one_knows(tmp_path_factory, kind, steps):
    queries = points(99, 5, 0.5, "float32")
    with shrunk(), ramet.connect(tmp_path_factory.mktemp("refresh")) as db:
        docs = db.create_collection("c", DIM, "l2", "float32", kind)
        docs.upsert(names(400), points(0, 400, 0.5, "float32"), tenant="a")
        docs.upsert(names(200, 400), points(1, 200, 0.5, "float32"), tenant="b")
        for i, (what, tenant, at, n, spread) in enumerate(steps):
            other = "b" if tenant == "a" else "a"
            ids = names(n, 60 * at + (0 if tenant == "a" else 400))
            with docs._store.read() as snapshot:
                own = snapshot.rows_of(snapshot.tenant_number(tenant), ids)
                owners = [snapshot.homes(row).owner if row >= 0 else -1 for row in own.tolist()]
                mine = [
                    name for name, owner in zip(ids, owners, strict=True) if owner == snapshot.tenant_number(tenant)
                ]
            if what == "upsert":
                ids = [name for name, owner in zip(ids, owners, strict=True) if owner == -1 or name in set(mine)]
                if ids:
                    docs.upsert(ids, points(i, len(ids), spread, "float32"), tenant=tenant)
            elif what == "delete":
                docs.delete(mine, tenant=tenant)
            elif what == "grant":
                taken = {r.id for r in docs.get(mine, tenant=other, with_vectors=False)}
                docs.grant([name for name in mine if name not in taken], to=other, tenant=tenant)
            elif what == "revoke":
                docs.revoke(mine, to=other, tenant=tenant)
            elif what == "maintain":
                docs.maintain(0.02)
            if what == "tail":  # several commits between two looks
                docs.upsert(names(3, 9000 + 3 * i), points(i, 3, spread, "float32"), tenant=tenant)
                continue
            with docs._store.read() as snapshot:
                for name in ("a", "b"):
                    assert_like_new(docs._opened.searchers.of(snapshot, name), snapshot, docs, queries)
        assert docs.verify().ok
        docs.close()


def test_searchers_are_refreshed_and_not_made_anew(db, monkeypatch):
    """What the tests above look at really happens: few searchers are made from scratch."""
    docs = db.create_collection("c", 8, "l2")
    docs.upsert(names(20_000), vectors(20_000, 8))
    docs.query(np.zeros(8))
    made = []
    monkeypatch.setattr(searchers, "Searcher", lambda *a: made.append(1) or Searcher(*a))
    for i in range(20):
        docs.upsert(names(200, 200 * i), vectors(200, 8, seed=i))
        docs.query(np.zeros(8))
    assert len(made) <= 6, "files that grow are mapped anew now and then; a searcher is then made anew, too"


def test_a_curve_that_is_measured_anew_is_used_at_once(db):
    docs = db.create_collection("c", 8, "l2")
    docs.upsert(names(20_000), vectors(20_000, 8))
    docs.query(np.zeros(8))
    before = docs._opened.searchers._known["default"]
    table = docs.calibrate(vectors(50, 8, seed=5))
    docs.query(np.zeros(8))
    after = docs._opened.searchers._known["default"]
    assert after is not before
    assert [(p.k, p.nprobe) for p in after.curve.table()] == [(p.k, p.nprobe) for p in table]
    np.testing.assert_allclose([p.recall for p in after.curve.table()], [p.recall for p in table], atol=1e-5)


def test_threads_that_query_while_another_writes_see_whole_commits(db):
    docs, n, done, wrong = db.create_collection("c", DIM, "l2", "float32", "none"), 150, threading.Event(), []

    def version(i):
        return np.full((n, DIM), i, np.float32) + np.linspace(0, 0.5, n, dtype=np.float32)[:, None]

    with shrunk():
        docs.upsert(names(n), version(0), tenant="a")
        docs.grant(names(n), to="b", tenant="a")

        def look():
            try:
                while not done.is_set():
                    for tenant in ("a", "b", ["a", "b"]):
                        hits = docs.query(np.zeros(DIM), 500, tenant=tenant, exact=True, with_vectors=True)
                        assert sorted(hits.ids) == sorted(names(n))
                        assert len(set(np.floor(hits.vectors[:, 0] + 1e-4).tolist())) == 1
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(1, 25):
            docs.upsert(names(n), version(i), tenant="a")
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[0]
    assert docs.verify().ok


def test_searchers_stay_within_their_memory(tmp_path, monkeypatch):
    monkeypatch.setenv(searchers.SWITCH, "0.05")
    docs = ramet.connect(tmp_path).create_collection("c", 32, "l2")
    for i in range(30):
        docs.upsert(names(2000, 2000 * i), vectors(2000, 32, seed=i), tenant=f"t{i}")
    found: Searchers = docs._opened.searchers
    for _ in range(2):
        for i in range(30):
            data = vectors(2000, 32, seed=i)
            assert docs.query(data[7], 1, tenant=f"t{i}").ids == [str(2000 * i + 7)]
            assert found._n_bytes == sum(s.n_bytes for s in found._known.values())
            assert found._n_bytes <= found._most
            assert f"t{i}" in found
    assert 1 < len(found._known) < 30
    assert len(docs.query(data[0], 10, tenant=[f"t{i}" for i in range(30)], exact=True)) == 10
    docs.drop_tenant("t29")
    assert docs.query(data[7], 1, tenant="t29").ids == []
    assert "t29" not in found
    docs.close()


def test_a_searcher_that_alone_is_too_large_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(searchers.SWITCH, "0")
    docs = ramet.connect(tmp_path).create_collection("c", 8, "l2")
    docs.upsert(names(1000), vectors(1000, 8))
    docs.upsert(names(1000), vectors(1000, 8), tenant="other")
    docs.query(np.zeros(8))
    first = docs._opened.searchers._known["default"]
    docs.query(np.zeros(8))
    assert docs._opened.searchers._known == {"default": first}
    docs.query(np.zeros(8), tenant="other")
    assert list(docs._opened.searchers._known) == ["other"]
    docs.close()


# -------------------------------------------------------------------------------------------------------------- curves


def test_tenants_of_a_class_share_a_curve_and_large_ones_have_their_own(db):
    docs = db.create_collection("c", 16, "l2")
    data = vectors(30_000, 16)
    docs.upsert(names(150), data[:150], tenant="tiny")
    docs.upsert(names(2500), data[:2500], tenant="small")
    docs.upsert(names(2400), data[2500:4900], tenant="like small")
    docs.upsert(names(20_000), data[5000:25_000], tenant="large")
    with docs._store.read() as snapshot:
        number = {name: snapshot.tenant_number(name) for name in docs.tenants()}
        n_lists = {name: len(snapshot.lists(tenant)) for name, tenant in number.items()}
        assert n_lists["tiny"] <= curves.ALL_LISTS < n_lists["small"] < curves.OWN_FROM < n_lists["large"]
        kept = {name: curves.curve_of(snapshot, tenant, n_lists[name]) for name, tenant in number.items()}
        assert not kept["tiny"].points
        assert kept["small"].points and kept["large"].points
        assert snapshot.meta(curves.OWN.format(tenant=number["small"])) is None
        assert snapshot.meta(curves.OWN.format(tenant=number["large"]))["n_lists"] > curves.OWN_FROM
        if curves.class_of(n_lists["small"]) == curves.class_of(n_lists["like small"]):
            assert kept["like small"] is kept["small"]
    queries = data[25_000:25_100]
    for tenant in ("small", "like small", "large"):
        exact = docs.query(queries, 10, tenant=tenant, exact=True).ids
        found = docs.query(queries, 10, tenant=tenant).ids
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.9
    docs.drop_tenant("large")
    with docs._store.read() as snapshot:
        assert snapshot.meta(curves.OWN.format(tenant=number["large"])) is None
    assert docs.query(queries[0], 3, tenant="large").ids == []
    docs.upsert(names(10), data[:10], tenant="large")
    assert len(docs.query(queries[0], 30, tenant="large").ids) == 10


def test_records_find_themselves_after_much_came_and_went(db):
    """Each row is where its own vector leads a query of the default recall."""
    docs = db.create_collection("c", 16, "l2")
    for i in range(6):
        docs.upsert(names(2000, 1500 * i), vectors(2000, 16, seed=i))
        docs.delete(names(300, 1500 * i))
    with docs._store.read() as snapshot:
        ids, _ = snapshot.ids_of_tenant(0)
    some = ids[:: max(1, len(ids) // 400)]
    own = np.stack([record.vector for record in docs.get(some)])
    found = docs.query(own, 1).ids
    assert np.mean([hit == [name] for hit, name in zip(found, some, strict=True)]) > 0.97
