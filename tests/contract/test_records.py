"""Records go in and come out: ids, vectors, documents, metadata, conflicts, pages."""

from datetime import UTC, datetime

import numpy as np
import pytest

import ramet

IDS = [
    "a/b", "a//b/", "/", "..", ".", "%2F", "a%20b", "a b", " ", "'", '"', "\\", "?x=1#y", "ä", "e\u0301", "🪴🌱",
    "\u202e", "\n", "a\n", "a", "\x00", "<b>&amp;</b>", "x" * 480, "ü" * 240, "🪴" * 120, "null", "0", "{}", "*",
]  # fmt: skip

FIELDS = {
    "text": "ä 🪴 \"quoted\" \\ \n", "empty": "", "true": True, "false": False, "whole": 7, "large": 1 << 53,
    "small": -(1 << 53), "number": 0.1, "tiny": 5e-324, "inf": float("inf"), "minus": float("-inf"), "float": 2.0,
    "date": datetime(2024, 1, 31, 12, 30, 15, 123456, tzinfo=UTC), "old": datetime(1, 1, 1, tzinfo=UTC),
    "tags": ["a", "ü", ""], "none": [], "name with spaces / slashes": "x", "datelike": "2024-01-31",
}  # fmt: skip


def vectors_of(n, dtype="float32", dim=4):
    rng = np.random.default_rng(n)
    if dtype.startswith("float"):
        return rng.normal(size=(n, dim)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (n, dim), dtype, endpoint=True)


@pytest.mark.parametrize("codes", ["sq8", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_vectors_come_back_bit_for_bit(db, dtype, codes):
    if codes == "sq8" and not dtype.startswith("float"):
        return
    docs = db.create_collection("c", 4, "l2", dtype, codes)
    vectors = vectors_of(50, dtype)
    docs.upsert([str(i) for i in range(50)], vectors)
    records = docs.get([str(i) for i in range(50)])
    for record, vector in zip(records, vectors, strict=True):
        assert record.vector.dtype == vector.dtype and record.vector.shape == (4,)
        assert record.vector.tobytes() == vector.tobytes()
    hits = docs.query(vectors[:3].astype("float32"), k=2, with_vectors=True, exact=True)
    for i in range(3):
        assert hits[i].vectors.dtype == vectors.dtype
        for hit in hits[i]:
            assert hit.vector.tobytes() == vectors[int(hit.id)].tobytes()


@pytest.mark.parametrize(
    "given",
    [
        [[1, 2, 3, 4]],
        ((1.0, 2.0, 3.0, 4.0),),
        np.array([[1, 2, 3, 4]], np.float64),
        np.array([[1, 2, 3, 4]], np.float16),
        np.array([[1, 2, 3, 4]], ">f4"),
        np.array([[1, 2, 3, 4]], np.int64),
        np.array([[1, 2, 3, 4]], np.uint8),
        np.asfortranarray(np.array([[1, 2, 3, 4]], np.float32)),
        np.array([[1, 0, 2, 0, 3, 0, 4, 0]], np.float32)[:, ::2],
        [np.array([1, 2, 3, 4], np.float32)],
    ],
    ids=["lists", "tuples", "float64", "float16", "big-endian", "int64", "uint8", "by-columns", "strided",
         "list-of-arrays"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_any_vectors_of_these_numbers_are_taken(db, given, dtype):
    docs = db.create_collection("c", 4, "l2", dtype)
    docs.upsert(["a"], given)
    (record,) = docs.get()
    assert record.vector.tolist() == [1, 2, 3, 4] and record.vector.dtype == dtype
    assert docs.query(given, k=1)[0].ids == ["a"]


def test_every_id_is_an_id(docs):
    docs.upsert(IDS, vectors_of(len(IDS)), documents=IDS)
    assert [one.id for one in docs.get(IDS)] == IDS
    assert [one.document for one in docs.get(IDS)] == IDS
    assert {one.id for one in docs.get()} == set(IDS)
    assert docs.delete(IDS[:5]) == 5
    assert docs.count() == len(IDS) - 5


@pytest.mark.parametrize("name", IDS)
def test_every_name_is_a_tenant(docs, name):
    docs.upsert(["a"], vectors_of(1), tenant=name)
    assert docs.tenants() == {name: 1}
    assert docs.count(name) == docs.count(tenant=name) == 1
    assert docs.query(vectors_of(1)[0], tenant=name).ids == ["a"]
    assert docs.get(tenant=name)[0].tenant == name
    assert docs.stats(name)["tenants"][name]["records"] == 1
    assert docs.drop_tenant(name) == 1


@pytest.mark.parametrize(
    ("ids", "argument"),
    [
        (["x" * 512], "ids[0]"), (["🪴" * 128], "ids[0]"), ([""], "ids[0]"), ([3], "ids[0]"), (["a", None], "ids[1]"),
        ("ab", "ids"), (None, "ids"), (["a", "a"], "ids"), (["a", "b", "c"], "ids"), (["a", "\ud800"], "ids[1]"),
        ({"a", "b"}, "ids"),
    ],
    ids=["512-bytes", "512-bytes-of-emoji", "empty", "number", "none-inside", "text", "none", "twice", "too-many",
         "half-a-pair", "set"],
)  # fmt: skip
def test_a_wrong_id_is_named_and_nothing_is_written(docs, ids, argument):
    n = len(ids) if isinstance(ids, list) and len(ids) < 3 else 2
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.upsert(ids, vectors_of(n))
    assert caught.value.argument == argument and str(caught.value).startswith(f"{argument}: ")
    assert docs.count() == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[np.nan, 0, 0, 1]], "row 0 has NaN"), ([[1, 0, 0, 1], [np.inf, 0, 0, 1]], "row 1 has NaN, infinity"),
        ([[0, 0, 0, 0]], "row 0 is all zeros"), ([[1, 2, 3]], "dimension is 3"), ([1, 2, 3, 4], "shape"),
        ([[1, 2, 3, 4], [1, 2]], "rectangular"), ([["a", "b", "c", "d"]], "dtype"), ([[1e300, 0, 0, 1]], "row 0 has"),
    ],
    ids=["nan", "inf", "zeros", "short", "flat", "ragged", "texts", "too-large"],
)  # fmt: skip
def test_a_wrong_vector_is_named_and_nothing_is_written(docs, given, words):
    with pytest.raises(ramet.ArgumentError, match="^vectors: ") as caught:
        docs.upsert(["a", "b"][: len(given)] if isinstance(given[0], list) else ["a"], given)
    assert words in str(caught.value)
    assert docs.count() == 0


def test_integers_are_refused_where_they_would_change(db):
    docs = db.create_collection("c", 4, "l2", "int8")
    for given, words in (([[1.5, 0, 0, 0]], "fractions"), ([[128, 0, 0, 0]], "holds -128 to 127")):
        with pytest.raises(ramet.ArgumentError, match=words):
            docs.upsert(["a"], given)
    assert docs.count() == 0


def test_metadata_come_back_as_they_were(docs):
    docs.upsert(["a", "b", "c"], vectors_of(3), metadata=[FIELDS, None, {"x": None}])
    found = docs.get(["a"])[0].metadata
    assert found == FIELDS
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in FIELDS.items()}
    assert [one.metadata for one in docs.get(["b", "c"])] == [None, None] or docs.get(["c"])[0].metadata == {}
    hit = docs.query(vectors_of(3)[0], k=1)[0]
    assert hit.metadata == FIELDS


def test_numbers_of_numpy_and_datetimes_of_any_zone_are_taken(docs):
    there = datetime.fromisoformat("2024-01-31T13:00:00+01:00")
    fields = {
        "f": np.float32(0.5),
        "i": np.int64(3),
        "b": np.bool_(True),
        "naive": datetime(2024, 1, 31),
        "there": there,
    }
    docs.upsert(["a"], vectors_of(1), metadata=[fields])
    assert docs.get()[0].metadata == {
        "f": 0.5, "i": 3, "b": True, "naive": datetime(2024, 1, 31, tzinfo=UTC), "there": there,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"x": {"y": 1}}, "metadata[1]['x']"), ({"x": float("nan")}, "metadata[1]['x']"), ({"$x": 1}, "metadata[1]"),
        ({"x": 1 << 60}, "metadata[1]['x']"), ({"x": [1]}, "metadata[1]['x'][0]"), ({3: 1}, "metadata[1]"),
        ("text", "metadata[1]"), ({"x" * 200: 1}, "metadata[1]"), ({"x": "y" * 70_000}, "metadata[1]"),
    ],
    ids=["dict", "nan", "dollar", "large", "list-of-int", "number", "text", "long-name", "long"],
)  # fmt: skip
def test_wrong_metadata_are_named_and_nothing_is_written(docs, fields, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.upsert(["a", "b"], vectors_of(2), metadata=[None, fields])
    assert caught.value.argument == argument
    assert docs.count() == 0


@pytest.mark.parametrize("column", ["documents", "metadata"])
def test_columns_have_one_for_each(docs, column):
    for given in ([None], "text", 3):
        with pytest.raises(ramet.ArgumentError, match=f"^{column}") as caught:
            docs.upsert(["a", "b"], vectors_of(2), **{column: given})
        assert caught.value.argument == column
    with pytest.raises(ramet.ArgumentError, match="^tenant"):
        docs.upsert(["a", "b"], vectors_of(2), tenant=["x"])
    assert docs.count() == 0


def test_documents_come_back_as_they_were(docs):
    texts = ['ä 🪴 \n\t\x00 "\\ ', "", None, "x" * 100_000]
    docs.upsert(["0", "1", "2", "3"], vectors_of(4), documents=texts)
    assert [one.document for one in docs.get()] == texts
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.upsert(["a", "b"], vectors_of(2), documents=["x", 3])
    assert caught.value.argument == "documents[1]"


def test_records_without_vectors(docs):
    docs.upsert(["a", "b"], documents=["one", "two"])
    docs.upsert(["c", "d", "e"], [[1, 2, 3, 4.1], None, np.array([4, 3, 2, 1])])
    docs.upsert(["f"], [None])
    found = {one.id: one.vector for one in docs.get()}
    assert [found[name] for name in "abdf"] == [None] * 4
    assert found["c"].tobytes() == np.array([1, 2, 3, 4.1], np.float32).tobytes()
    assert found["e"].tolist() == [4, 3, 2, 1]
    assert set(docs.query([1, 0, 0, 0]).ids) == {"c", "e"}
    with pytest.raises(ramet.ArgumentError, match="^vectors: row 2 "):
        docs.upsert(["g", "h", "i"], [[1, 0, 0, 0], None, [np.nan, 0, 0, 1]])


def test_what_an_upsert_reports(docs):
    assert docs.upsert(["a", "b"], vectors_of(2)) == ramet.UpsertReport(n_inserted=2, n_replaced=0, n_skipped=0)
    assert docs.upsert(["b", "c"], vectors_of(2)) == ramet.UpsertReport(n_inserted=1, n_replaced=1, n_skipped=0)
    report = docs.upsert(["c", "d"], vectors_of(2), on_conflict="skip")
    assert report == ramet.UpsertReport(n_inserted=1, n_replaced=0, n_skipped=1)
    assert docs.upsert([], []) == ramet.UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0)
    assert docs.upsert([], np.empty((0, 4))).n_inserted == 0


def test_a_conflict_says_whose_and_which(docs):
    docs.upsert(["a", "b"], vectors_of(2), tenant="acme")
    with pytest.raises(ramet.ConflictError, match="'a'") as caught:
        docs.upsert(["a", "x"], vectors_of(2), tenant="acme", on_conflict="error")
    assert (caught.value.tenant, caught.value.ids) == ("acme", ["a"])
    assert docs.count("acme") == 2
    with pytest.raises(ramet.ArgumentError, match="^on_conflict: "):
        docs.upsert(["a"], vectors_of(1), on_conflict="merge")


def test_a_replaced_record_takes_nothing_over(docs):
    docs.upsert(["a"], vectors_of(1), documents=["old"], metadata=[{"x": 1}])
    docs.upsert(["a"], vectors_of(1))
    (record,) = docs.get()
    assert record.document is None and not record.metadata


def test_reading_by_id(docs):
    docs.upsert(["a", "b", "c"], vectors_of(3), documents=list("ABC"), metadata=[{"n": 1}, None, None])
    assert [one.id for one in docs.get(["c", "nobody", "a", "c"])] == ["c", "a", "c"]
    assert docs.get([]) == [] and docs.get(["nobody"]) == []
    assert docs.get(["a"], tenant="nobody") == []
    assert docs.get(["a"]).cursor is None
    for include, has in (([], (0, 0, 0)), (["documents"], (1, 0, 0)), (["metadata", "vectors"], (0, 1, 1))):
        (one,) = docs.get(["a"], include=include)
        assert (one.document is not None, one.metadata is not None, one.vector is not None) == tuple(map(bool, has))
    assert docs.get(["a"], with_vectors=False)[0].vector is None
    assert docs.get(["a"], with_vectors=False)[0].document == "A"


def test_pages(docs):
    names = sorted((f"r{i}" for i in range(25)), key=str.encode)
    docs.upsert(names, vectors_of(25), metadata=[{"even": int(name[1:]) % 2 == 0} for name in names])
    assert [one.id for one in docs.get()] == names
    seen, cursor = [], None
    while True:
        page = docs.get(limit=10, cursor=cursor)
        seen += [one.id for one in page]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page) == 10
    assert seen == names
    even = docs.get(where={"even": True}, limit=5)
    assert [one.id for one in even] == [name for name in names if int(name[1:]) % 2 == 0][:5]
    assert docs.get(where={"even": True}, cursor=even.cursor, limit=100).cursor is None
    assert docs.get(limit=25).cursor is None
    assert docs.get(tenant="nobody") == []


def test_more_records_than_a_page_of_the_server(docs):
    n = 2_500
    names = [f"{i:05}" for i in range(n)]
    docs.upsert(names, vectors_of(n))
    found = docs.get()
    assert [one.id for one in found] == names and found.cursor is None
    assert np.stack([one.vector for one in found]).tobytes() == vectors_of(n).tobytes()
    page = docs.get(limit=1_700, include=[])
    assert len(page) == 1_700
    assert [one.id for one in docs.get(cursor=page.cursor, include=[])] == names[1_700:]
    assert [one.id for one in docs.get(names[::-1], include=[])] == names[::-1]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"limit": 0}, "limit"), ({"limit": 1.5}, "limit"), ({"limit": True}, "limit"), ({"cursor": "?"}, "cursor"),
        ({"include": ["all"]}, "include"), ({"include": "documents"}, "include"), ({"tenant": ""}, "tenant"),
        ({"tenant": 3}, "tenant"), ({"ids": ["a"], "limit": 3}, "ids"), ({"ids": "a"}, "ids"), ({"ids": [3]}, "ids[0]"),
        ({"where": {"$what": 1}}, "where['$what']"), ({"where": "x"}, "where"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_argument_of_a_read_is_named(docs, arguments, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.get(**arguments)
    assert caught.value.argument == argument


def test_counting(docs):
    docs.upsert(["a", "b"], vectors_of(2), tenant="x", metadata=[{"n": 1}, {"n": 2}])
    docs.upsert(["a"], vectors_of(1), metadata=[{"n": 1}])
    assert len(docs) == docs.count() == 3
    assert docs.count("x") == 2 and docs.count("nobody") == 0
    assert docs.count(where={"n": 1}) == 1
    assert docs.count("x", where={"n": {"$gte": 1}}) == 2
    assert docs.count("nobody", where={"n": 1}) == 0


def test_deleting(docs):
    docs.upsert([str(i) for i in range(10)], vectors_of(10), metadata=[{"n": i} for i in range(10)])
    assert docs.delete(["0", "1", "nobody"]) == 2
    assert docs.delete(["0"]) == 0
    assert docs.delete([]) == 0
    assert docs.delete(where={"n": {"$gte": 8}}) == 2
    assert [one.id for one in docs.get()] == [str(i) for i in range(2, 8)]
    for arguments, argument in (
        ({}, "ids"), ({"ids": ["a"], "where": {"n": 1}}, "ids"), ({"where": {}}, "where"), ({"ids": ["a", "a"]}, "ids"),
        ({"ids": "a"}, "ids"), ({"where": {"n": {"$in": 3}}}, "where['n']['$in']"),
        ({"ids": ["a"], "timeout_s": -1}, "timeout_s"),
    ):  # fmt: skip
        with pytest.raises(ramet.ArgumentError) as caught:
            docs.delete(**arguments)
        assert caught.value.argument == argument
    with pytest.raises(ramet.UnknownTenantError) as caught:
        docs.delete(["2"], tenant="nobody")
    assert caught.value.tenant == "nobody" and "'nobody'" in str(caught.value)
    assert docs.count() == 6
