"""Records with documents and metadata, and without vectors: what is put comes back, wherever the record goes."""

import tempfile
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from tests.engine.world import METRICS, vectors

DIM = 8
CODES = [("float32", "sq8"), ("float32", "none"), ("float16", "none"), ("int8", "none")]
WEST = timezone(timedelta(hours=-9, minutes=-30))

METADATA = {
    "text": "größe 東京\0\n\"'",
    "empty": "",
    "long": "x" * 5000,
    "int": 2**53,
    "negative": -7,
    "float": 0.1,
    "whole": 3.0,
    "infinite": float("-inf"),
    "yes": True,
    "no": False,
    "list": ["a", "", "b", "a"],
    "nothing in it": [],
    "naive": datetime(2024, 2, 29, 12, 30, 0, 1),
    "west": datetime(2024, 2, 29, 23, 30, tzinfo=WEST),
    "early": datetime(1, 1, 1, tzinfo=UTC),
    "late": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "ключ": "value",
    "missing": None,
}
BACK = {
    **{field: value for field, value in METADATA.items() if value is not None},
    "naive": datetime(2024, 2, 29, 12, 30, 0, 1, tzinfo=UTC),
    "west": datetime(2024, 3, 1, 9, 0, tzinfo=UTC),
}


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


def names(n, first=0):
    return [str(i) for i in range(first, first + n)]


def typed(metadata):
    """With the type of each value, since True == 1 == 1.0."""
    return {field: (type(value), value) for field, value in metadata.items()}


def contents(docs, tenant="default"):
    return {r.id: (r.document, r.metadata) for r in docs.get(tenant=tenant)}


# ---------------------------------------------------------------------------------------------------------- round trips


def test_all_types_come_back_as_they_were_put_after_everything(db):
    docs = db.create_collection("c", DIM)
    text = "größe 東京 🜚\0 end\r\n"
    docs.upsert(["a", "b"], vectors(2, DIM), documents=[text, None], metadata=[METADATA, None])
    docs.grant(["a"], to="other")
    for step in (lambda: None, docs.compact, docs.close):
        step()
        docs = db.collection("c")
        for tenant in ("default", "other"):
            record = docs.get(["a"], tenant=tenant)[0]
            assert record.document == text
            assert typed(record.metadata) == typed(BACK)
            assert all(v.tzinfo is UTC for v in record.metadata.values() if isinstance(v, datetime))
        assert (docs.get(["b"])[0].document, docs.get(["b"])[0].metadata) == (None, None)
        hit = docs.query(vectors(2, DIM)[0], 1)[0]
        assert (hit.id, hit.document) == ("a", text)
        assert typed(hit.metadata) == typed(BACK)
    assert docs.verify().ok


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=1, max_size=5))
def test_any_text_comes_back(texts):
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder) as db:
        texts = [None if one is None else one.encode(errors="ignore").decode() for one in texts]
        docs = db.create_collection("c", DIM)
        docs.upsert(names(len(texts)), documents=texts, metadata=[{"t": one} for one in texts])
        found = docs.get(names(len(texts)))
        assert [r.document for r in found] == texts
        assert [(r.metadata or {}).get("t") for r in found] == texts
        assert docs.verify().ok


def test_numpy_s_numbers_are_numbers_and_tuples_are_lists(db):
    docs = db.create_collection("c", DIM)
    docs.upsert(["a"], metadata=[{"i": np.int8(3), "f": np.float32(0.5), "b": np.bool_(True), "l": ("x",)}])
    assert typed(docs.get(["a"])[0].metadata) == typed({"i": 3, "f": 0.5, "b": True, "l": ["x"]})


def test_an_empty_document_is_a_document_and_empty_metadata_are_none(db):
    docs = db.create_collection("c", DIM)
    docs.upsert(["a", "b", "c"], documents=["", None, "x"], metadata=[{}, {"f": None}, {"f": 1}])
    assert contents(docs) == {"a": ("", None), "b": (None, None), "c": ("x", {"f": 1})}


def test_the_caller_s_lists_are_not_changed_and_later_changes_of_them_are_not_seen(db):
    docs = db.create_collection("c", DIM)
    metadata = [{"f": ["a"], "g": None, "d": datetime(2024, 1, 1)}]
    docs.upsert(["a"], metadata=metadata)
    assert metadata == [{"f": ["a"], "g": None, "d": datetime(2024, 1, 1)}]
    metadata[0]["f"].append("b")
    docs.get(["a"])[0].metadata["f"].append("c")
    assert docs.get(["a"])[0].metadata["f"] == ["a"]


def test_what_is_replaced_takes_nothing_over(db):
    docs = db.create_collection("c", DIM)
    first, second = vectors(2, DIM)
    docs.upsert(["a"], [first], documents=["river"], metadata=[{"f": 1, "g": "x"}])
    docs.grant(["a"], to="other")
    for columns, expected in [
        ({"vectors": [second]}, (second, None, None)),
        ({"documents": ["stone"]}, (None, "stone", None)),
        ({"metadata": [{"g": "y"}]}, (None, None, {"g": "y"})),
        ({"vectors": [first], "documents": ["moss"]}, (first, "moss", None)),
        ({}, (None, None, None)),
    ]:
        docs.upsert(["a"], **columns)
        for tenant in ("default", "other"):
            record = docs.get(["a"], tenant=tenant)[0]
            assert (record.document, record.metadata) == expected[1:]
            assert (record.vector is None) == (expected[0] is None)
            assert expected[0] is None or (record.vector == expected[0]).all()
            assert docs.count(tenant, where={"f": {"$exists": True}}) == 0
            assert docs.count(tenant, where={"g": "y"}) == (expected[2] is not None)
            for word in ("river", "stone", "moss"):
                found = docs.query(text=word, mode="keyword", tenant=tenant).ids
                assert found == (["a"] if expected[1] == word else [])
            assert docs.query(first, 5, tenant=tenant).ids == ([] if expected[0] is None else ["a"])
    assert docs.verify().ok


def test_build_takes_documents_and_metadata(db):
    docs, data = db.create_collection("c", DIM, "l2"), vectors(3000, DIM)
    documents = [None if i % 3 == 0 else f"word{i} common" for i in range(3000)]
    metadata = [None if i % 5 == 0 else {"i": i, "even": i % 2 == 0} for i in range(3000)]
    docs.build(data, documents=documents, metadata=metadata, tenant="t")
    found = docs.get(tenant="t")
    assert {r.id: (r.document, r.metadata) for r in found} == {
        str(i): (documents[i], metadata[i]) for i in range(3000)
    }  # fmt: skip
    assert docs.query(text="word7", mode="keyword", tenant="t").ids == ["7"]
    assert docs.count("t", where={"even": True}) == sum(1 for m in metadata if m and m["even"])
    allowed = [i for i in range(2990, 3000) if i % 5]
    hits = docs.query(data[10], 5, tenant="t", where={"i": {"$gte": 2990}}, exact=True)
    near = np.square(data[allowed] - data[10]).sum(axis=1)
    assert hits.ids == [str(allowed[i]) for i in np.argsort(near, kind="stable")[:5]]
    docs.upsert(["7"], data[7:8], tenant="t")
    assert docs.query(text="word7", mode="keyword", tenant="t").ids == []
    assert docs.verify().ok


def test_a_refused_build_leaves_the_collection_empty(db):
    docs, data = db.create_collection("c", DIM), vectors(20, DIM)
    for wrong in ({"documents": ["x"]}, {"metadata": [{"f": {}}] * 20}, {"documents": [1] * 20}, {"metadata": {}}):
        with pytest.raises(ramet.ArgumentError, match=next(iter(wrong))):
            docs.build(data, **wrong)
    assert (len(docs), docs.tenants()) == (0, {})
    docs.build(data, documents=["moss"] * 20)
    assert len(docs.query(text="moss", mode="keyword", k=30).ids) == 20


# ------------------------------------------------------------------------------------------------------ without vectors


@pytest.mark.parametrize(("dtype", "codes"), CODES)
@pytest.mark.parametrize("metric", METRICS)
def test_records_without_vectors_go_every_way(db, dtype, codes, metric):
    """Shared, replaced, revoked, dropped, compacted: found by words and filters, never by vectors."""
    docs = db.create_collection("c", DIM, metric, dtype, codes)
    data = vectors(40, DIM, dtype)
    rows = [data[i] if i % 2 else None for i in range(40)]
    words = [f"river w{i}" for i in range(40)]
    docs.upsert(names(40), rows, documents=words, metadata=[{"i": i} for i in range(40)], tenant="a")
    docs.grant(names(10), to=["b", "c"], tenant="a")
    odd = names(40)[1::2]

    def check(tenant, ids, with_vectors):
        found = docs.get(tenant=tenant)
        assert sorted(r.id for r in found) == sorted(ids)
        for record in found:
            expected = data[int(record.id)] if record.id in with_vectors else None
            assert (record.vector is None) == (expected is None)
            assert expected is None or record.vector.tobytes() == expected.tobytes()
        assert docs.count(tenant) == docs.count(tenant, where={"i": {"$gte": 0}}) == len(ids)
        assert sorted(docs.query(text="river", mode="keyword", k=99, tenant=tenant).ids) == sorted(ids)
        for how in ({"exact": True}, {"nprobe": 99}, {}):
            for where in (None, {"i": {"$gte": 0}}):
                near = docs.query(data[1].astype(np.float32), 99, tenant=tenant, where=where, **how)
                assert sorted(near.ids) == sorted(set(ids) & set(with_vectors))
                batch = docs.query(data[:3].astype(np.float32), 99, tenant=tenant, where=where, **how)
                assert [sorted(one) for one in batch.ids] == [sorted(near.ids)] * 3

    check("a", names(40), odd)
    check("b", names(10), odd)
    docs.upsert(["0", "1"], [data[0], None], documents=words[:2], metadata=[{"i": 0}, {"i": 1}], tenant="a")
    odd = ["0", *odd[1:]]
    check("b", names(10), odd)
    docs.compact()
    check("a", names(40), odd)
    docs.revoke(names(4), to="b", tenant="a")
    check("b", names(6, 4), odd)
    check("c", names(10), odd)
    assert docs.delete(names(2, 4), tenant="a") == 2
    check("c", [*names(4), *names(4, 6)], odd)
    docs.drop_tenant("c")
    docs.compact()
    check("a", [*names(4), *names(34, 6)], odd)
    docs.drop_tenant("a")
    assert docs.count("b") == len(docs) == 0
    docs.compact()
    assert docs.verify().ok


@pytest.mark.parametrize("codes", ["none", "sq8"])
def test_a_collection_of_words_only_has_no_near_vectors(db, codes):
    docs = db.create_collection("c", DIM, "cosine", codes=codes)
    docs.upsert(names(3), documents=["river", "river stone", "moss"], metadata=[{"f": i} for i in range(3)])
    assert docs.query(text="river", mode="keyword").ids == ["0", "1"]
    for where in (None, {"f": 1}):
        assert docs.query(vectors(1, DIM)[0], 5, where=where).ids == []
        assert docs.query(vectors(2, DIM), 5, where=where).ids == [[], []]
        assert docs.query(vectors(2, DIM), 5, where=where, explain=True).ids == [[], []]
    assert docs.query(vectors(1, DIM)[0], text="stone", mode="hybrid").ids == ["1"]
    assert [r.vector for r in docs.get()] == [None] * 3
    assert docs.stats()["records"] == 3
    docs.upsert(["v"], vectors(1, DIM))
    assert docs.query(vectors(1, DIM)[0], 5).ids == ["v"]
    docs.maintain()
    docs.compact()
    assert docs.query(vectors(1, DIM)[0], 5).ids == ["v"]
    assert docs.verify().ok


def test_lists_with_gaps_keep_the_number_of_a_bad_row(db):
    docs = db.create_collection("c", DIM)
    bad = [None, vectors(1, DIM)[0], None, np.full(DIM, np.nan)]
    with pytest.raises(ramet.ArgumentError, match="row 3"):
        docs.upsert(names(4), bad)
    with pytest.raises(ramet.ArgumentError, match="vectors"):
        docs.upsert(names(3), [None, None])
    assert len(docs) == 0
    assert docs.upsert(names(2), [None, None]).n_inserted == 2
