"""Queries: by vectors, by words, by both; filters, batches, what comes with hits, explanations."""

from datetime import UTC, datetime

import numpy as np
import pytest

import ramet

N, DIM = 300, 4
TEXTS = ["red apple", "green apple", "red rose", "blue sky", "green grass and red apple"]


def points(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def distances(vectors, query, metric):
    if metric == "l2":
        return ((vectors - query) ** 2).sum(axis=1)
    inner = vectors @ query
    return -inner if metric == "ip" else 1 - inner / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


@pytest.fixture
def full(db):
    """Records 0 to 299, with texts and metadata, and a second tenant with three records."""
    docs = db.create_collection("full", DIM)
    docs.upsert(
        [str(i) for i in range(N)],
        points(),
        documents=[TEXTS[i % 5] if i % 7 else None for i in range(N)],
        metadata=[{"n": i, "odd": bool(i % 2), "when": datetime(2020, 1, 1 + i % 28, tzinfo=UTC)} for i in range(N)],
    )
    docs.upsert(["x", "y", "z"], points(3, 9), tenant="acme", metadata=[{"n": -1}] * 3)
    return docs


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_the_nearest_are_found_with_their_distances(db, metric):
    docs = db.create_collection("c", DIM, metric)
    docs.upsert([str(i) for i in range(N)], points())
    query = points(1, 1)[0]
    hits = docs.query(query, k=5, exact=True)
    truth = distances(points(), query, metric)
    assert hits.ids == [str(i) for i in np.argsort(truth)[:5]]
    assert hits.distances.dtype == np.float32 and hits.scores.dtype == np.float32
    np.testing.assert_allclose(hits.distances, np.sort(truth)[:5], atol=1e-5)
    scores = 1 - hits.distances if metric == "cosine" else -hits.distances
    np.testing.assert_allclose(hits.scores, scores, atol=1e-6)
    first = hits[0]
    assert isinstance(first, ramet.Hit) and first.id == hits.ids[0]
    assert (first.distance, first.score) == (float(hits.distances[0]), pytest.approx(float(hits.scores[0])))


def test_one_query_and_batches_have_the_same_hits(full):
    queries = points(7, 2)
    batch = full.query(queries, k=4)
    assert batch.batch and len(batch) == 7 and batch.distances.shape == (7, 4)
    for query, hits in zip(queries, batch, strict=True):
        alone = full.query(query, k=4)
        assert not alone.batch and alone.distances.shape == (4,)
        assert alone.ids == hits.ids
        np.testing.assert_array_equal(alone.distances, hits.distances)
        assert alone.documents == hits.documents and alone.metadata == hits.metadata
        assert alone.to_list() == hits.to_list()
    (one,) = full.query(queries[:1], k=4)
    assert one.ids == batch[0].ids


def test_a_large_batch(full):
    queries = points(2_100, 3)
    hits = full.query(queries, k=2)
    assert hits.distances.shape == (2_100, 2) and len(hits.ids) == len(hits.documents) == 2_100
    for i in (0, 999, 1000, 2099):
        assert hits[i].ids == full.query(queries[i], k=2).ids


def test_a_batch_of_nothing(full):
    hits = full.query(np.empty((0, DIM)), k=3)
    assert hits.batch and len(hits) == 0 and list(hits) == []


def test_fewer_hits_than_k(db):
    docs = db.create_collection("c", DIM)
    assert docs.query([1, 0, 0, 0]).ids == []
    assert [hits.ids for hits in docs.query(np.eye(4))] == [[]] * 4
    docs.upsert(["a", "b"], np.eye(4)[:2])
    hits = docs.query([1, 0, 0, 0], k=10)
    assert hits.ids == ["a", "b"] and hits.distances.shape == (2,)
    batch = docs.query(np.eye(4), k=10, where={"x": 1})
    assert [hits.ids for hits in batch] == [[]] * 4


def test_what_comes_with_hits(full):
    query = points(1, 4)[0]
    plain = full.query(query, k=8)
    assert plain.vectors is None and len(plain.documents) == len(plain.metadata) == 8
    for hit in plain:
        i = int(hit.id)
        assert hit.document == (TEXTS[i % 5] if i % 7 else None)
        assert hit.metadata == {"n": i, "odd": bool(i % 2), "when": datetime(2020, 1, 1 + i % 28, tzinfo=UTC)}
    bare = full.query(query, k=8, include=[])
    assert bare.ids == plain.ids and (bare.vectors, bare.documents, bare.metadata) == (None, None, None)
    for many in (full.query(query, k=8, with_vectors=True), full.query(query, k=8, include=["vectors"])):
        assert many.vectors.shape == (8, DIM) and many.vectors.dtype == np.float32
        assert many.vectors.tobytes() == points()[[int(one) for one in many.ids]].tobytes()
    batch = full.query(points(3, 4), k=2, include=["vectors", "documents"])
    assert batch.metadata is None and [len(one) for one in batch.vectors] == [2, 2, 2]
    assert batch[0].vectors.tobytes() == points()[[int(one) for one in batch.ids[0]]].tobytes()


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ({"n": 7}, lambda i: i == 7),
        ({"n": {"$gte": 290}}, lambda i: i >= 290),
        ({"n": {"$in": [1, 2, 3, 999]}}, lambda i: i in (1, 2, 3)),
        ({"n": {"$in": np.array([1, 2])}}, lambda i: i in (1, 2)),
        ({"odd": True, "n": {"$lt": 10}}, lambda i: i % 2 and i < 10),
        ({"$or": [{"n": 1}, {"n": {"$gt": 297}}]}, lambda i: i == 1 or i > 297),
        ({"$not": {"n": {"$gt": 3}}}, lambda i: i <= 3),
        ({"when": {"$lt": datetime(2020, 1, 2)}}, lambda i: i % 28 == 0),
        ({"n": {"$lt": float("inf"), "$gte": 298.0}}, lambda i: i >= 298),
        ({"nothing": None, "n": {"$lte": 1}}, lambda i: i <= 1),
        ({}, lambda i: True),
    ],
    ids=["equal", "from", "in", "in-array", "and", "or", "not", "date", "inf", "missing", "empty"],
)
def test_filters(full, where, allowed):
    ids = {str(i) for i in range(N) if allowed(i)}
    assert set(full.query(points(1, 5)[0], k=N, where=where).ids) == ids
    assert {one.id for one in full.get(where=where, include=[])} == ids
    assert full.count(where=where) == len(ids)


def test_tenants_are_searched_as_they_are_named(full):
    query = points(1, 6)[0]
    assert set(full.query(query, k=9, tenant="acme").ids) == {"x", "y", "z"}
    assert full.query(query, tenant="nobody").ids == []
    both = full.query(query, k=N + 3, tenant=["acme", "default"])
    assert len(both.ids) == N + 3
    assert full.query(query, k=9, tenant=["nobody", "acme"]).ids == full.query(query, k=9, tenant="acme").ids


def test_words(full):
    hits = full.query(text="rose", mode="keyword", k=500)
    assert {int(one) for one in hits.ids} == {i for i in range(N) if i % 5 == 2 and i % 7}
    assert hits.documents[0] == "red rose" and (hits.scores > 0).all()
    np.testing.assert_array_equal(hits.scores, -hits.distances)
    batch = full.query(text=["rose", "nothing of it", "sky"], mode="keyword", k=3)
    assert batch.batch and [len(ids) for ids in batch.ids] == [3, 0, 3]
    assert batch[2].documents == ["blue sky"] * 3
    filtered = full.query(text="rose", mode="keyword", k=500, where={"odd": True})
    assert {int(one) for one in filtered.ids} == {i for i in range(N) if i % 5 == 2 and i % 7 and i % 2}


@pytest.mark.parametrize("options", [{}, {"fusion": "weighted"}, {"fusion": "weighted", "alpha": 0.0}], ids=str)
def test_hybrid(full, options):
    query = points()[2]
    hits = full.query(query, text="rose", k=5, include=["vectors", "documents"], **options)
    assert len(hits.ids) == 5 and "2" in hits.ids
    np.testing.assert_array_equal(hits.scores, -hits.distances)
    for name, vector in zip(hits.ids, hits.vectors, strict=True):
        assert vector.tobytes() == points()[int(name)].tobytes()
    batch = full.query(points()[:3], text=["rose", "sky", "apple"], k=5, **options)
    assert batch.batch and len(batch) == 3
    assert batch[0].ids == full.query(points()[0], text="rose", k=5, **options).ids


def test_words_find_records_without_vectors(db):
    docs = db.create_collection("c", DIM)
    docs.upsert(["a", "b"], [[1, 0, 0, 0], None], documents=["red", "red"])
    hits = docs.query(text="red", mode="keyword", include=["vectors"])
    assert {name: vector is None for name, vector in zip(hits.ids, hits.vectors, strict=True)} == {
        "a": False,
        "b": True,
    }


def test_modes_by_themselves(full):
    assert full.query(points()[2], text="rose", k=5).ids == full.query(points()[2], text="rose", k=5, mode="hybrid").ids
    dense = full.query(points()[2], text="rose", k=5, mode="dense")
    assert dense.ids == full.query(points()[2], k=5).ids and dense.scores[0] == pytest.approx(1, abs=1e-5)
    words = full.query(points()[2], text="rose", k=5, mode="keyword")
    assert words.ids == full.query(text="rose", k=5, mode="keyword").ids


def test_how_hard_to_search(full):
    query = points(1, 7)[0]
    for options in (
        {"recall": 1},
        {"recall": 0.5},
        {"nprobe": 3},
        {"nprobe": np.int64(3)},
        {"exact": True},
        {"prune": 3.0},
    ):
        assert len(full.query(query, k=np.int64(3), n_threads=1, **options).ids) == 3


def test_an_explanation(full):
    for hits in (
        full.query(points(1, 8)[0], where={"odd": True}, explain=True),
        full.query(points(3, 8), where={"odd": True}, explain=True),
        full.query(points(1, 8)[0], text="rose", explain=True),
    ):
        found = hits.explanation
        assert isinstance(found, ramet.Explanation)
        assert found.n_queries == (3 if hits.batch else 1)
        assert found.total_us > 0 and "filter" in found.stages and found.tenants[0]["allowed"] > 0
        assert str(found) and found.to_dict()["microseconds"]
    assert full.query(points(1, 8)[0]).explanation is None


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"k": 0}, "k"), ({"k": 1.5}, "k"), ({"k": "3"}, "k"), ({"k": True}, "k"), ({"recall": 1.5}, "recall"),
        ({"recall": "high"}, "recall"), ({"recall": 0.9, "nprobe": 3}, "recall"), ({"nprobe": 0}, "nprobe"),
        ({"prune": 0.5}, "prune"), ({"mode": "sparse"}, "mode"), ({"mode": "keyword"}, "text"),
        ({"fusion": "sum", "text": "x"}, "fusion"), ({"alpha": 2, "text": "x"}, "alpha"),
        ({"include": ["x"]}, "include"),
        ({"tenant": []}, "tenant"), ({"tenant": ["a", 3]}, "tenant[1]"), ({"tenant": ""}, "tenant"),
        ({"where": {"n": {"$near": 3}}}, "where['n']['$near']"), ({"where": {"n": {"$gt": None}}}, "where['n']['$gt']"),
        ({"where": []}, "where"), ({"text": 3}, "text"), ({"text": ["a", 3]}, "text[1]"),
        ({"text": ["a", "b"]}, "text"),
        ({"vectors": None}, "vectors"), ({"vectors": [1, 2, 3]}, "vectors"), ({"vectors": [[[1]]]}, "vectors"),
        ({"vectors": ["a"] * 4}, "vectors"), ({"vectors": [np.nan, 0, 0, 1]}, "vectors"),
        ({"vectors": [0] * 4}, "vectors"),
        ({"vectors": [1e300, 0, 0, 0]}, "vectors"), ({"vectors": [[1, 0, 0, 0], [0] * 4]}, "vectors"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_argument_is_named(full, arguments, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        full.query(**{"vectors": points(1)[0]} | arguments)
    assert caught.value.argument == argument and str(caught.value).startswith(f"{argument}: ")


def test_a_text_without_an_embedder(place, db):
    docs = db.create_collection("c", 5)  # of another dimension than any embedder here
    with pytest.raises(ramet.MissingEmbedderError):
        docs.query(text="words", mode="dense")
    with pytest.raises(ramet.MissingEmbedderError):
        docs.add_texts(["words"])
