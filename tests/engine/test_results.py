"""What queries and reads say of records: what comes with them, batches, tenants, explanations, fusion, pages."""

import json
import threading

import numpy as np
import pytest

import ramet
from tests.engine.world import vectors

DIM = 8


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


def names(n, first=0):
    return [str(i) for i in range(first, first + n)]


@pytest.fixture
def docs(db):
    """Thirty records of two tenants, with everything."""
    docs = db.create_collection("c", DIM, "l2")
    for tenant, first in (("a", 0), ("b", 30)):
        docs.upsert(
            names(30, first), vectors(30, DIM, seed=first), tenant=tenant,
            documents=[None if i % 7 == 0 else "stone " * (i % 4) + "river" for i in range(first, first + 30)],
            metadata=[{"i": i, "lang": "en" if i % 3 else "de"} for i in range(first, first + 30)],
        )  # fmt: skip
    docs.grant(["30", "31", "32"], to="a", tenant="b")
    return docs


@pytest.mark.parametrize("include", [[], ["documents"], ["metadata"], ["vectors"], ["metadata", "vectors"], None])
@pytest.mark.parametrize("mode", ["dense", "filtered", "keyword", "hybrid"])
def test_include_says_what_comes(docs, include, mode):
    query = np.asarray(vectors(3, DIM, seed=5))
    arguments = {
        "dense": {"vectors": query},
        "filtered": {"vectors": query, "where": {"i": {"$gte": 2}}},
        "keyword": {"text": ["river", "stone", "nothing"], "mode": "keyword"},
        "hybrid": {"vectors": query, "text": ["river", "stone", "nothing"], "mode": "hybrid"},
    }[mode]
    hits = docs.query(k=6, tenant=["a", "b"], include=include, **arguments)
    wanted = {"documents", "metadata"} if include is None else set(include)
    for one in hits:
        known = {(r.id): r for r in [*docs.get(tenant="a"), *docs.get(tenant="b")]}
        for what in ("documents", "metadata", "vectors"):
            assert (getattr(one, what) is not None) == (what in wanted)
        for hit in one:
            record = known[hit.id]
            assert hit.document == (record.document if "documents" in wanted else None)
            assert hit.metadata == (record.metadata if "metadata" in wanted else None)
            assert (hit.vector is None) == ("vectors" not in wanted)
            assert hit.vector is None or (hit.vector == record.vector).all()
    single = {name: value[0] if name in ("vectors", "text") else value for name, value in arguments.items()}
    assert docs.query(k=6, tenant=["a", "b"], include=include, **single).ids == hits.ids[0]


def test_include_and_with_vectors_of_get(docs):
    for include, parts in [
        (None, ("vector", "document", "metadata")),
        ([], ()),
        (["documents"], ("document",)),
        (["metadata", "vectors"], ("vector", "metadata")),
    ]:
        for found in (
            docs.get(["1"], tenant="a", include=include),
            docs.get(tenant="a", where={"i": 1}, include=include),
        ):
            assert {part for part in ("vector", "document", "metadata") if getattr(found[0], part) is not None} == set(
                parts
            )
    assert docs.get(["1"], tenant="a", with_vectors=False)[0].vector is None
    assert docs.query(vectors(1, DIM)[0], 2, tenant="a", with_vectors=True).vectors.shape == (2, DIM)


def test_a_batch_is_its_queries_one_by_one(docs):
    queries, texts = vectors(4, DIM, seed=9), ["river", "stone river", "", "nothing"]
    for where in (None, {"lang": "de"}, {"i": -1}):
        for arguments in (
            {"vectors": queries, "exact": True},
            {"text": texts, "mode": "keyword"},
            {"vectors": queries, "text": texts, "mode": "hybrid", "exact": True},
            {"vectors": queries, "text": texts, "mode": "hybrid", "fusion": "weighted", "alpha": 0.3, "exact": True},
        ):
            together = docs.query(k=5, tenant=["a", "b"], where=where, **arguments)
            assert len(together) == 4
            for i, part in enumerate(together):
                alone = {name: v[i] if name in ("vectors", "text") else v for name, v in arguments.items()}
                one = docs.query(k=5, tenant=["a", "b"], where=where, **alone)
                assert part.ids == one.ids
                np.testing.assert_array_equal(part.distances, one.distances)
                np.testing.assert_array_equal(part.scores, one.scores)
                assert part.metadata == one.metadata
                assert part.to_list() == one.to_list()


def test_several_tenants_see_a_shared_record_once_and_filters_hold_for_each(docs):
    hits = docs.query(np.zeros(DIM), 99, tenant=["a", "b"], where={"lang": "en"}, exact=True)
    expected = [r.id for t in "ab" for r in docs.get(tenant=t, where={"lang": "en"}) if t == "b" or int(r.id) < 30]
    assert sorted(hits.ids) == sorted(expected)
    words = docs.query(text="river", mode="keyword", k=99, tenant=["a", "b"])
    assert len(words.ids) == len(set(words.ids)) == 60 - 9
    assert docs.count(where={"i": {"$gte": 0}}) == 0  # of the tenant "default": no other one is looked at
    assert docs.count("a", where={"i": {"$gte": 30}}) == 3
    assert docs.query(text="river", mode="keyword", tenant=["nobody"]).ids == []
    assert docs.query(np.zeros(DIM), tenant="nobody", where={"i": 1}).ids == []
    assert docs.get(tenant="nobody", where={"i": 1}) == []
    assert docs.count("nobody", where={"i": 1}) == 0


def test_statistics_of_words_are_those_of_what_a_tenant_sees(docs):
    """Words of other tenants change no score, and a record that comes or goes by grants does."""
    before = docs.query(text="river", mode="keyword", tenant="a", k=99).scores
    docs.upsert(names(50, 100), documents=["river"] * 50, tenant="c")
    np.testing.assert_array_equal(docs.query(text="river", mode="keyword", tenant="a", k=99).scores, before)
    docs.grant(["100"], to="a", tenant="c")
    assert docs.query(text="river", mode="keyword", tenant="a", k=99).scores[0] != before[0]
    docs.revoke(["100"], to="a", tenant="c")
    np.testing.assert_array_equal(docs.query(text="river", mode="keyword", tenant="a", k=99).scores, before)


def test_delete_where_deletes_what_the_tenant_owns(docs):
    assert docs.delete(where={"i": {"$gte": 28}}, tenant="a") == 2
    assert docs.count("a") == 28 + 3
    assert docs.count("b") == 30
    assert docs.delete(where={"i": 5}, tenant="b") == 0
    assert docs.delete(where={"lang": {"$ne": "en"}}, tenant="b") == 10
    assert docs.count("a") == 28 + 2
    with pytest.raises(ramet.UnknownTenantError):
        docs.delete(where={"i": 5}, tenant="nobody")
    assert docs.verify().ok


# ------------------------------------------------------------------------------------------------------------ explained


def test_explain_says_what_was_chosen_and_takes_nothing_from_the_answer(docs):
    query = vectors(1, DIM)[0]
    for arguments in (
        {"vectors": query},
        {"vectors": query, "where": {"i": 3}},
        {"vectors": query, "where": {"i": -3}},
        {"vectors": query, "where": {"i": {"$gte": 0}}, "nprobe": 1},
        {"text": "river", "mode": "keyword", "where": {"lang": "en"}},
        {"vectors": query, "text": "river", "mode": "hybrid", "where": {"lang": "en"}},
    ):
        plain = docs.query(k=4, tenant="a", **arguments)
        explained = docs.query(k=4, tenant="a", explain=True, **arguments)
        assert plain.explanation is None
        assert explained.to_list() == plain.to_list()
        said = explained.explanation.to_dict()
        assert json.loads(json.dumps(said)) == said
        assert said["microseconds"]
        assert all(us >= 0 for us in said["microseconds"].values())
        assert ("filter" in said["microseconds"]) == ("where" in arguments or "text" in arguments)
        assert len(said["tenants"]) == ("vectors" in arguments)
        for tenant in said["tenants"]:
            assert tenant["mode"] in ("unfiltered", "nothing", "index", "rows", "lists")
            assert tenant["reason"]
        assert str(explained.explanation)
    assert docs.query(query, tenant="a", where={"i": -3}, explain=True).explanation.tenants[0]["mode"] == "nothing"
    assert docs.query(query, tenant="a", explain=True).explanation.tenants[0]["tenant"] == "a"


# --------------------------------------------------------------------------------------------------------------- hybrid


def rankings(docs, query, text, where):
    """Both sides of a hybrid search of tenant a, as lists of (row, score); ids are in the order of the rows."""
    near = docs.query(query, 100, tenant="a", where=where, exact=True)
    words = docs.query(text=text, mode="keyword", k=100, tenant="a", where=where)
    return [
        [(int(hit.id), score) for hit, score in zip(h, s, strict=True)]
        for h, s in ((near, -near.distances), (words, words.scores))
    ]


@pytest.mark.parametrize("where", [None, {"lang": "de"}, {"i": -1}])
@pytest.mark.parametrize("text", ["river", "stone river", "nothing"])
def test_hybrid_is_the_fusion_of_both_rankings(docs, where, text):
    query = vectors(1, DIM, seed=3)[0]
    parts = rankings(docs, query, text, where)
    sums = {}
    for ranking in parts:
        for place, (row, _) in enumerate(ranking):
            sums[row] = sums.get(row, 0) + 1 / (61 + place)
    compare(docs.query(query, 7, text=text, mode="hybrid", tenant="a", where=where, exact=True), sums)
    for alpha in (0, 0.25, 1):
        sums = {}
        for weight, ranking in zip((alpha, 1 - alpha), parts, strict=True):
            scores = [score for _, score in ranking]
            for row, score in ranking:
                low, high = min(scores), max(scores)
                sums[row] = sums.get(row, 0) + weight * ((score - low) / (high - low) if high > low else 1)
        hits = docs.query(
            query, 7, text=text, mode="hybrid", tenant="a", where=where, exact=True, fusion="weighted", alpha=alpha
        )
        compare(hits, sums)


def compare(hits, sums):
    best = sorted(sums, key=lambda row: (-sums[row], row))[:7]
    assert len(hits) == len(best)
    np.testing.assert_allclose(hits.scores, [sums[row] for row in best], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose([sums[int(name)] for name in hits.ids], [sums[row] for row in best], atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------- pages


def pages(docs, limit, between=lambda: None, **arguments):
    found, cursor = [], None
    while True:
        page = docs.get(limit=limit, cursor=cursor, tenant="a", **arguments)
        found += [r.id for r in page]
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page) == limit
        between()


@pytest.mark.parametrize("where", [None, {"lang": "de"}, {"i": {"$in": [3, 17]}}, {"i": -1}])
@pytest.mark.parametrize("limit", [1, 2, 33, 34])
def test_pages_are_complete_and_in_the_order_of_the_ids(docs, where, limit):
    whole = docs.get(tenant="a", where=where)
    assert whole.cursor is None
    assert [r.id for r in whole] == sorted(r.id for r in whole)
    assert pages(docs, limit, where=where) == [r.id for r in whole]


def test_the_last_full_page_has_no_cursor(docs):
    assert docs.get(tenant="a", limit=33).cursor is None
    assert docs.get(tenant="a", limit=32).cursor is not None
    assert docs.get(tenant="nobody", limit=3).cursor is None


def test_pages_stay_in_step_whatever_is_written_between_them(db):
    """What is there all the time comes exactly once; a cursor survives its own record, a compaction and a reopening."""
    docs = db.create_collection("c", DIM)
    stay = [f"{i:03}-stays-ü" for i in range(60)]
    docs.upsert(stay, documents=["x"] * 60, metadata=[{"f": 1}] * 60, tenant="a")
    steps = iter(range(1000))

    def write():
        i = next(steps)
        docs.upsert([f"{i * 13 % 60:03}-comes{i}"], vectors(1, DIM), metadata=[{"f": 1}], tenant="a")
        docs.upsert([stay[i % 60]], documents=["y"], metadata=[{"f": 1}], tenant="a")
        if i:
            docs.delete([f"{(i - 1) * 13 % 60:03}-comes{i - 1}"], tenant="a")
        if i % 9 == 4:
            docs.compact()

    for where in (None, {"f": 1}):
        found = pages(docs, 4, write, where=where)
        assert [name for name in found if "stays" in name] == stay
        assert len(found) == len(set(found))


def test_pages_stay_in_step_with_a_writer_in_another_thread(docs):
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            docs.upsert([f"{i % 30}x"], vectors(1, DIM), metadata=[{"lang": "de"}], tenant="a")
            docs.delete([f"{(i - 1) % 30}x"], tenant="a")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            found = [name for name in pages(docs, 3, where={"lang": "de"}) if "x" not in name]
            assert found == sorted(str(i) for i in range(33) if i % 3 == 0 and i != 33)
    finally:
        stop.set()
        thread.join()


def test_a_wrong_cursor_is_refused(docs):
    for wrong in ("", "!!!", "abc", 7, b"xx", "a" * 3000, "ü"):
        with pytest.raises(ramet.ArgumentError, match="cursor"):
            docs.get(limit=3, cursor=wrong, tenant="a")


def test_an_answer_is_of_one_state_whatever_is_written_meanwhile(db):
    """Each version replaces all records in one transaction; every reader finds one version, whole."""
    docs, n, data = db.create_collection("c", DIM, "l2"), 40, vectors(40, DIM)

    def put(version):
        docs.upsert(
            names(n), [None if i % 4 == 0 else data[i] for i in range(n)],
            documents=[f"moss v{version}"] * n, metadata=[{"v": version, "here": True}] * n,
        )  # fmt: skip

    put(0)
    stop, wrong = threading.Event(), []
    asked = {
        "words": lambda: docs.query(text="moss", mode="keyword", k=99, where={"here": True}),
        "near": lambda: docs.query(data[1], 99, where={"here": True}, exact=True),
        "all near": lambda: docs.query(data[1], 99, exact=True),
        "both": lambda: docs.query(data[1], 99, text="moss", mode="hybrid", where={"v": {"$gte": 0}}),
        "get": lambda: docs.get(where={"here": True}),
    }

    def read(what):
        while not stop.is_set():
            found = list(asked[what]())
            versions = {(r.document, r.metadata["v"]) for r in found}
            if len(versions) != 1 or len({r.id for r in found}) != (30 if "near" in what else 40):
                wrong.append((what, versions, len(found)))

    threads = [threading.Thread(target=read, args=(what,)) for what in asked]
    for thread in threads:
        thread.start()
    try:
        for version in range(1, 13):
            put(version)
            if version % 5 == 0:
                docs.compact()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
