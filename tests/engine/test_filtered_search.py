"""Search among allowed rows of real collections: exact where it must be, k rows wherever they lie, and explained."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import ramet
from ramet.engine.allowed import Allowed
from ramet.engine.asking import begin
from ramet.engine.explain import Explanation
from ramet.engine.residency import Residency
from ramet.engine.search import Effort, search
from tests.engine.world import KINDS, METRICS, brute_force, vectors

EFFORTS = {
    "recall": Effort(recall=0.95),
    "nprobe": Effort(recall=0.95, nprobe=1),
    "exact": Effort(recall=0.95, exact=True),
    "threads": Effort(recall=0.9, n_threads=2),
}


class World:
    """A collection, and its records by row."""

    def __init__(self, collection, data, names):
        self.collection, self.data = collection, data
        self.snapshot, self.searchers = begin(collection._opened, names)
        ids = self.snapshot.ids_of(np.arange(self.snapshot.n_rows))
        self.place = np.array([int(name) for name in ids])  # of each row in the data
        self.row = np.argsort(self.place)

    def allowed(self, places):
        return Allowed(BitMap(self.row[np.asarray(list(places), np.int64)].tolist()), self.snapshot.n_rows)

    def search(self, queries, k, effort, allowed, explanation=None, at=slice(None)):
        """Places in the data, -1 where there is none, and distances."""
        searchers = self.searchers[at]
        rows, near = search(searchers, queries.astype(np.float32), k, effort, Residency(), allowed, explanation)
        return np.where(rows < 0, -1, self.place[rows]), near


@contextmanager
def world(folder, data, metric="l2", codes="auto", tenants=None, **build):
    with ramet.connect(folder) as db:
        collection = db.create_collection("c", data.shape[1], metric, data.dtype, codes)
        names = ("default",) if tenants is None else tuple(tenants)
        if tenants is None:
            collection.build(data, list_size=16, **build)
        else:
            for name, places in tenants.items():
                collection.upsert([str(i) for i in places], data[places], tenant=name)
        made = World(collection, data, names)
        with made.snapshot:
            yield made


def assert_nearest(places, near, data, queries, metric, k, among):
    among = np.array(sorted(among), np.int64)
    truth = brute_force(data[among], queries, metric)
    k = min(k, len(among))
    assert places.shape == (len(queries), k)
    scale = 1e-5 * (1 + np.abs(truth).max(initial=0))
    for q, found in enumerate(places.tolist()):
        assert len(set(found)) == k
        assert set(found) <= set(among.tolist())
        np.testing.assert_allclose(near[q], np.sort(truth[q])[:k], atol=scale, rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("dtype", "codes"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_exact_search_under_a_filter_is_brute_force(tmp_path, metric, dtype, codes):
    data, queries = vectors(600, 24, dtype), vectors(9, 24, dtype, seed=1)
    with world(tmp_path, data, metric, codes) as w:
        for share in (0.5, 0.05, 0.005):
            among = np.flatnonzero(np.random.default_rng(2).random(600) < share)
            places, near = w.search(queries, 10, EFFORTS["exact"], [w.allowed(among)])
            assert_nearest(places, near, data, queries, metric, 10, among)


@pytest.mark.parametrize(("dtype", "codes"), [("float32", "sq8"), ("float32", "none"), ("uint8", "none")])
@pytest.mark.parametrize("navigation", ["groups", "hnsw"])
def test_k_rows_come_back_when_k_match_wherever_they_lie(tmp_path, dtype, codes, navigation):
    data, queries = vectors(3000, 16, dtype), vectors(12, 16, dtype, seed=1)
    order = np.argsort(brute_force(data, data[:1], "l2")[0])
    filters = {
        "near": order[:300], "far": order[-300:], "few": order[[0, 1500, 2999]], "eleven": order[-11:],
        "one": order[-1:], "none": order[:0], "all but one": order[1:], "all": order,
    }  # fmt: skip
    with world(tmp_path, data, "l2", codes, navigation=navigation) as w:
        for name, among in filters.items():
            for effort in EFFORTS.values():
                places, near = w.search(queries, 10, effort, [w.allowed(among)])
                assert places.shape == (12, min(10, len(among))), name
                assert np.isin(places, among).all()
                assert np.isfinite(near).all()
                assert (np.diff(near, axis=1) >= 0).all()
                if len(among) <= 10:
                    assert_nearest(places, near, data, queries, "l2", 10, among)


@pytest.mark.parametrize(("dtype", "codes"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_a_filter_that_allows_all_gives_the_unfiltered_results(tmp_path, dtype, codes):
    data, queries = vectors(1500, 16, dtype), vectors(20, 16, dtype, seed=1)
    with world(tmp_path, data, "l2", codes) as w:
        for effort in EFFORTS.values():
            plain = w.search(queries, 7, effort, None)
            unfiltered = w.search(queries, 7, effort, [None])
            assert (plain[0] == unfiltered[0]).all()
            under = w.search(queries, 7, effort, [w.allowed(range(1500))])
            whole = (plain[0] >= 0).all(axis=1)
            assert (plain[0] == under[0])[whole].all()
            assert (plain[1] == under[1])[whole].all()
            assert (under[0] >= 0).all()  # k match, so k come back


@pytest.mark.parametrize("codes", ["sq8", "none"])
def test_recall_holds_for_filters_that_go_with_the_vectors(tmp_path, codes):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(12_000, 16)).astype(np.float32)
    queries = rng.normal(size=(60, 16)).astype(np.float32)
    filters = {
        "random half": np.flatnonzero(rng.random(12_000) < 0.5),
        "random 5 %": np.flatnonzero(rng.random(12_000) < 0.05),
        "half-space": np.flatnonzero(data[:, 0] > 1.0),
        "corner": np.flatnonzero((data[:, 0] > 0.7) & (data[:, 1] > 0.7)),
    }
    with world(tmp_path, data, "l2", codes) as w:
        for name, among in filters.items():
            truth = np.sort(brute_force(data[among], queries, "l2"), axis=1)[:, 9]
            _, near = w.search(queries, 10, EFFORTS["recall"], [w.allowed(among)])
            assert (near <= truth[:, None] * 1.0001).mean() >= 0.93, name  # 600 neighbours: two standard errors


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data_seed=st.integers(0, 3), draw=st.data())
def test_several_tenants_give_what_brute_force_over_their_allowed_rows_gives(tmp_path_factory, data_seed, draw):
    data, queries = vectors(240, 8, seed=data_seed), vectors(3, 8, seed=9)
    tenants = {"a": list(range(150)), "b": list(range(150, 230)), "c": list(range(230, 240))}
    with world(tmp_path_factory.mktemp("tenants"), data, "l2", "sq8", tenants) as w:
        sets, among = [], []
        for places in tenants.values():
            mine = draw.draw(st.none() | st.sets(st.sampled_from(places)))
            sets.append(None if mine is None else w.allowed(mine))
            among += places if mine is None else sorted(mine)
        for k in (1, 10, 300):
            places, near = w.search(queries, k, EFFORTS["exact"], sets)
            assert_nearest(places, near, data, queries, "l2", k, among)
            places, _ = w.search(queries, k, EFFORTS["nprobe"], sets)
            n_found = (places >= 0).sum(axis=1)
            whole = sum(len(p) for p, s in zip(tenants.values(), sets, strict=True) if s is None)
            assert (n_found >= min(k, len(among) - whole)).all()  # unfiltered tenants were promised nothing


def test_filters_follow_later_changes_of_the_collection(tmp_path):
    data = vectors(900, 8)
    with ramet.connect(tmp_path) as db:
        collection = db.create_collection("c", 8, "l2")
        collection.upsert([str(i) for i in range(600)], data[:600])
        collection.query(data[0], 1)
        collection.delete([str(i) for i in range(0, 600, 3)])
        collection.upsert([str(i) for i in range(600, 900)], data[600:])
        w = World.__new__(World)
        w.collection, w.data = collection, data
        w.snapshot, w.searchers = begin(collection._opened, ("default",))
        with w.snapshot:
            there = [i for i in range(900) if i >= 600 or i % 3]
            rows = w.snapshot.rows_of(w.searchers[0].tenant, [str(i) for i in there])
            w.place = np.full(w.snapshot.n_rows, -1)
            w.place[rows] = there
            w.row = np.full(900, -1)
            w.row[there] = rows
            among = there[::5]
            for effort in (EFFORTS["exact"], EFFORTS["recall"]):
                places, _ = w.search(data[:5], 10, effort, [w.allowed(among)])
                assert np.isin(places, among).all()
            assert_nearest(
                *w.search(data[:5], 10, EFFORTS["exact"], [w.allowed(among)]), data, data[:5], "l2", 10, among
            )


# ----------------------------------------------------------------------------------------------------------- explained


def test_an_explanation_says_what_was_done_for_each_tenant(tmp_path):
    data, queries = vectors(400, 8), vectors(5, 8, seed=1)
    tenants = {"a": list(range(300)), "b": list(range(300, 400))}
    with world(tmp_path, data, "l2", "sq8", tenants) as w:
        explanation = Explanation(5)
        w.search(queries, 4, EFFORTS["recall"], [w.allowed(range(20)), w.allowed([])], explanation)
        shown = explanation.to_dict()
        assert json.loads(json.dumps(shown)) == shown
        first, second = shown["tenants"]
        assert (first["mode"], first["allowed"], first["vectors_compared"]) == ("rows", 20, 5 * 20)
        assert first["selectivity"] == pytest.approx(20 / 300)
        assert set(first["estimated_us"]) == {"index", "lists", "rows"}
        assert (second["mode"], second["allowed"], second["lists"]) == ("nothing", 0, 0)
        assert {"plan", "search", "merge"} <= set(shown["microseconds"])
        text = str(explanation)
        assert "rows (comparing 20 allowed rows" in text
        assert "nothing (no row is allowed)" in text


def test_an_explanation_of_an_unfiltered_search_changes_no_result(tmp_path):
    data, queries = vectors(800, 8), vectors(5, 8, seed=1)
    with world(tmp_path, data) as w:
        explanation = Explanation(5)
        explained = w.search(queries, 4, EFFORTS["recall"], None, explanation)
        plain = w.search(queries, 4, EFFORTS["recall"], None)
        assert (explained[0] == plain[0]).all()
        shown = explanation.to_dict()["tenants"][0]
        assert (shown["mode"], shown["reason"]) == ("unfiltered", "no filter")
        assert shown["rows_looked_at"] > 0


def test_lists_that_hold_vectors_are_searched_by_the_index_or_wholly(tmp_path):
    data, queries = vectors(3000, 8), vectors(5, 8, seed=1)
    with world(tmp_path, data, "l2", "none") as w:
        for among, effort, mode in [
            (range(1500), EFFORTS["recall"], "index"),
            (range(3), EFFORTS["exact"], "lists"),
            (range(11), EFFORTS["nprobe"], "index"),
        ]:
            explanation = Explanation(5)
            w.search(queries, 4, effort, [w.allowed(among)], explanation)
            assert explanation.tenants[0]["mode"] == mode
            assert explanation.tenants[0]["answered_from_rows"] == 0


# ------------------------------------------------------------------------------------------------------------- allowed


@given(rows=st.sets(st.integers(0, 500)))
def test_both_forms_of_allowed_rows_hold_the_same_rows(rows):
    allowed = Allowed(BitMap(rows), 501)
    bits = np.unpackbits(allowed.words.view(np.uint8), bitorder="little")
    assert np.flatnonzero(bits).tolist() == allowed.listed.tolist() == sorted(rows)
    assert len(allowed.words) == 8
    assert allowed.count == len(allowed) == len(rows)
    assert allowed.n_bytes > 4 * len(rows)


def test_a_row_beyond_the_collection_is_refused():
    with pytest.raises(ValueError, match="row 7 is beyond the 7 rows"):
        Allowed(BitMap([1, 7]), 7)
