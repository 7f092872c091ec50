"""A sharded collection finds and does what an ordinary one does with the same records."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ramet
from tests.engine.sharded.world import clustered, counts, everything, sharded

WORDS = "red green blue sea sky wind rain stone tree bird".split()


def filled(folder, n=3000, metric="l2"):
    """A sharded and an ordinary collection with the same records; their vectors."""
    rng = np.random.default_rng(1)
    vectors = clustered(n)
    ids = [f"r{i}" for i in range(n)]
    content = {
        "documents": [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(n)],
        "metadata": [{"n": i, "kind": WORDS[i % 5]} for i in range(n)],
        "tenant": ["default" if i % 4 else "other" for i in range(n)],
    }
    db, docs = sharded(folder, metric=metric)
    one = db.create_collection("one", vectors.shape[1], metric)
    for each in (docs, one):
        each.upsert(ids, vectors, **content)
        each.grant(["r0", "r4", "r8"], to="default", tenant="other")
    return docs, one, vectors


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def queries():
    return clustered(60, seed=5)


def test_records_are_spread_over_shards_and_each_is_in_one(both):
    docs, one, _ = both
    assert sum(counts(docs)) == one.count() == 3000 and min(counts(docs)) > 300
    assert docs.tenants() == one.tenants()
    assert everything(docs) == everything(one)
    report = docs.verify()
    assert report.ok and report.checked["shards"] == 4


@pytest.mark.parametrize("tenant", ["default", "other", ("other", "default"), "nobody"])
def test_exact_search_finds_the_same(both, queries, tenant):
    docs, one, _ = both
    found, expected = (each.query(queries, k=12, exact=True, tenant=tenant) for each in (docs, one))
    assert found.ids == expected.ids
    assert np.array_equal(found.distances, expected.distances)
    assert found.documents == expected.documents and found.metadata == expected.metadata


@pytest.mark.parametrize("options", [{"recall": 0.95}, {"recall": 0.8}, {"nprobe": 1}, {"recall": 1.0}], ids=str)
def test_k_records_are_found_whatever_the_effort(both, queries, options):
    docs, _, _ = both
    for k in (1, 10) if "nprobe" in options else (1, 10, 700):
        assert [len(ids) for ids in docs.query(queries, k=k, **options).ids] == [k] * len(queries)
    if "nprobe" not in options:
        assert len(docs.query(queries[0], k=5000, **options)) == docs.count("default")


def test_a_query_of_one_and_a_batch_give_the_same(both, queries):
    docs, _, _ = both
    batch = docs.query(queries, k=5, with_vectors=True)
    for i, query in enumerate(queries):
        single = docs.query(query, k=5, with_vectors=True)
        assert single.ids == batch[i].ids and np.array_equal(single.vectors, batch.vectors[i])


@pytest.mark.parametrize("where", [{"kind": "red"}, {"n": {"$lt": 40}}, {"n": {"$gt": 5000}}], ids=str)
def test_filters_find_the_same(both, queries, where):
    docs, one, _ = both
    for options in ({"exact": True}, {"recall": 1.0}):
        found, expected = (each.query(queries, k=7, where=where, **options) for each in (docs, one))
        assert found.ids == expected.ids
    assert docs.count(where=where) == one.count(where=where)
    assert docs.query(queries[0], where=where, explain=True).explanation.tenants[0]["shard"] == "shard-0000"


@pytest.mark.parametrize("tenant", ["default", "other", ("other", "default")])
def test_words_have_the_scores_of_the_whole_collection(both, tenant):
    docs, one, _ = both
    for text in ("red sea", "stone", "bird wind wind", "nothing"):
        found, expected = (each.query(text=text, k=5000, tenant=tenant) for each in (docs, one))
        assert dict(zip(found.ids, found.scores.tolist(), strict=True)) == pytest.approx(
            dict(zip(expected.ids, expected.scores.tolist(), strict=True)), rel=1e-6
        )


@pytest.mark.parametrize("fusion", ["rrf", "weighted"])
def test_a_hybrid_search_fuses_rankings_of_the_whole_collection(both, queries, fusion):
    docs, one, _ = both
    for query in queries[:10]:
        found, expected = (each.query(query, text="red stone", k=10, fusion=fusion, exact=True) for each in (docs, one))
        assert found.scores == pytest.approx(expected.scores, abs=2e-3)


@pytest.mark.parametrize("limit", [1, 7, 100, 5000])
def test_pages_are_those_of_the_whole_collection(both, limit):
    docs, one, _ = both
    seen, cursors = [[], []], [None, None]
    for _ in range(4):
        for i, each in enumerate((docs, one)):
            page = each.get(limit=limit, cursor=cursors[i], where={"kind": "red"}, include=[])
            seen[i] += [record.id for record in page]
            cursors[i] = page.cursor
        if None in cursors:
            break
    assert seen[0] == seen[1] and cursors[0] == cursors[1]


def test_recall_is_that_of_one_collection(tmp_path):
    vectors, queries = clustered(20_000, 24, n_clusters=200), clustered(300, 24, seed=9, n_clusters=200)
    db, docs = sharded(tmp_path, dim=24, sample=vectors)
    docs.build(vectors)
    one = db.create_collection("one", 24, "l2")
    one.build(vectors)
    truth = one.query(queries, k=10, exact=True).ids

    def recall(hits):
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, truth, strict=True)])

    whole = recall(one.query(queries, k=10, recall=0.95))
    assert recall(docs.query(queries, k=10, recall=0.95)) > whole - 0.005
    docs.calibrate(queries)
    assert recall(docs.query(queries, k=10, recall=0.95)) > 0.945
    assert docs.stats()["tenants"]["default"]["curve"] and docs.reads().rows


OWNERS = ("a", "b")
IDS = [f"i{i}" for i in range(12)]


def operations():
    owner, ids = st.sampled_from(OWNERS), st.lists(st.sampled_from(IDS), min_size=1, max_size=5, unique=True)
    actions = st.sampled_from(["replace", "skip", "error"])
    return st.lists(
        st.one_of(
            st.tuples(st.just("upsert"), owner, ids, st.integers(0, 999), actions),
            st.tuples(st.just("delete"), owner, ids),
            st.tuples(st.just("grant"), owner, ids, st.sampled_from(["b", "c"])),
            st.tuples(st.just("revoke"), owner, ids, st.sampled_from(["b", "c"])),
            st.tuples(st.just("drop"), st.sampled_from([*OWNERS, "c"])),
            st.tuples(st.just("matching"), owner, st.integers(0, 12)),
        ),
        max_size=12,
    )


def act(docs, operation):
    """Carry an operation out; returns what came of it."""
    name, owner, *more = operation
    try:
        if name == "upsert":
            ids, seed, on_conflict = more
            vectors = list(clustered(len(ids), seed=seed))
            if seed % 5 == 0:
                vectors[0] = None
            fields = [{"n": int(one[1:])} for one in ids]
            report = docs.upsert(ids, vectors, metadata=fields, documents=ids, tenant=owner, on_conflict=on_conflict)
            return report.n_inserted, report.n_replaced, report.n_skipped, report.there.tolist()
        if name == "delete":
            return docs.delete(more[0], tenant=owner)
        if name == "drop":
            return docs.drop_tenant(owner)
        if name == "matching":
            return docs.delete(where={"n": {"$lt": more[0]}}, tenant=owner)
        return getattr(docs, name)(more[0], to=more[1], tenant=owner)
    except ramet.RametError as error:
        return type(error), str(error)


def seen(docs):
    return {
        tenant: {
            one.id: (None if one.vector is None else one.vector.tobytes(), one.document, one.metadata)
            for one in docs.get(tenant=tenant)
        }
        for tenant, n in docs.tenants().items()
        if n
    }


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations())
def test_any_operations_do_what_they_do_to_one_collection(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps")
    db, docs = sharded(folder, n_shards=3)
    with db:
        one = db.create_collection("one", 8, "l2")
        for step in steps:
            assert act(docs, step) == act(one, step), step
            assert seen(docs) == seen(one), step
        assert docs.verify().ok
        docs.rebalance()
        assert seen(docs) == seen(one)
        assert docs.verify().ok
