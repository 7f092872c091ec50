"""Bad documents, metadata, filters and questions: the error names the argument, and nothing is left behind."""

import hashlib
from datetime import datetime

import numpy as np
import pytest

import ramet
from tests.engine.world import vectors

DIM = 8
GOOD = vectors(2, DIM)
DEEP = {"i": 1}
for _ in range(40):
    DEEP = {"$not": DEEP}


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


@pytest.fixture
def docs(db):
    docs = db.create_collection("c", DIM, "l2")
    docs.upsert(["1", "2"], GOOD, documents=["river", None], metadata=[{"i": 1, "lang": "en"}, None])
    return docs


def state(docs):
    """Bytes of the files, which no refused call may change, and what there is to read."""
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in docs.path.iterdir() if "lock" not in p.name}
    return files, docs.tenants(), [(r.id, r.document, r.metadata) for r in docs.get()]


def written(**columns):
    return lambda c: c.upsert(["7", "8"], GOOD, **columns)


def with_metadata(value, field="f"):
    return written(metadata=[None, {field: value}])


def asked(where):
    return lambda c: c.query(GOOD[0], where=where)


RECORDS = {
    "one document too few": (written(documents=["x"]), "documents"),
    "a document for all": (written(documents="river"), "documents"),
    "a set of documents": (written(documents={"x", "y"}), "documents"),
    "bytes as document": (written(documents=["x", b"y"]), r"documents\[1\]"),
    "a number as document": (written(documents=[1, "y"]), r"documents\[0\]"),
    "a surrogate in a document": (written(documents=["x", "\ud800"]), r"documents\[1\]"),
    "an oversized document": (written(documents=[None, "x" * ((4 << 20) + 1)]), r"documents\[1\]"),
    "an oversized document of wide characters": (written(documents=["ü" * ((2 << 20) + 1), None]), r"documents\[0\]"),
    "one dict too few": (written(metadata=[{}]), "metadata"),
    "one dict for all": (written(metadata={"f": 1}), "metadata"),
    "a list as metadata": (written(metadata=[None, [1]]), r"metadata\[1\]"),
    "nested metadata": (with_metadata({"g": 1}), r"metadata\[1\]\['f'\].*flat"),
    "a list in a list": (with_metadata([["a"]]), r"metadata\[1\]\['f'\]\[0\]"),
    "numbers in a list": (with_metadata(["a", 1]), r"metadata\[1\]\['f'\]\[1\]"),
    "None in a list": (with_metadata([None]), r"metadata\[1\]\['f'\]\[0\]"),
    "a set": (with_metadata({"a"}), r"metadata\[1\]\['f'\]"),
    "bytes": (with_metadata(b"a"), r"metadata\[1\]\['f'\]"),
    "an object": (with_metadata(object()), r"metadata\[1\]\['f'\]"),
    "a complex number": (with_metadata(1j), r"metadata\[1\]\['f'\]"),
    "an array": (with_metadata(np.arange(3)), r"metadata\[1\]\['f'\]"),
    "NaN": (with_metadata(float("nan")), r"metadata\[1\]\['f'\].*NaN"),
    "too large a number": (with_metadata(2**53 + 1), r"metadata\[1\]\['f'\]"),
    "a surrogate": (with_metadata("\ud800"), r"metadata\[1\]\['f'\]"),
    "an oversized value": (with_metadata("x" * 70_000), r"metadata\[1\]"),
    "too many fields": (written(metadata=[None, {f"f{i}": i for i in range(257)}]), r"metadata\[1\]"),
    "an empty field": (with_metadata(1, ""), r"metadata\[1\]"),
    "a field with a dollar sign": (with_metadata(1, "$bare"), r"metadata\[1\]"),
    "a field with a zero byte": (with_metadata(1, "a\0b"), r"metadata\[1\]"),
    "a long field": (with_metadata(1, "ü" * 65), r"metadata\[1\]"),
    "a number as field": (with_metadata(1, 3), r"metadata\[1\]"),
    "a surrogate as field": (with_metadata(1, "\ud800"), r"metadata\[1\]"),
}

FILTERS = {
    "no dict": ("en", "where"),
    "a list": ([{"i": 1}], "where"),
    "an unknown operator": ({"i": {"$near": 1}}, r"where\['i'\]\['\$near'\]"),
    "an unknown operator above": ({"$xor": [{"i": 1}]}, r"where\['\$xor'\]"),
    "an operator of filters in a field": ({"i": {"$and": [1]}}, r"where\['i'\]\['\$and'\]"),
    "an operator of fields above": ({"$gt": 3}, r"where\['\$gt'\]"),
    "a nested field": ({"i": {"j": 1}}, r"where\['i'\]\['j'\]"),
    "no operators": ({"i": {}}, r"where\['i'\]"),
    "an empty part": ({"$and": [{"i": 1}, {}]}, r"where\['\$and'\]\[1\]"),
    "an empty list of parts": ({"$or": []}, r"where\['\$or'\]"),
    "parts without a list": ({"$or": {"i": 1}}, r"where\['\$or'\]"),
    "a number as field": ({3: 1}, "where"),
    "a field with a dollar sign in the middle": ({"$not": {"$bare": True}}, "where"),
    "order of a bool": ({"i": {"$gt": True}}, r"where\['i'\]\['\$gt'\]"),
    "order of nothing": ({"i": {"$lte": None}}, r"where\['i'\]\['\$lte'\]"),
    "order of a list": ({"i": {"$lt": [1]}}, r"where\['i'\]\['\$lt'\]"),
    "NaN": ({"i": float("nan")}, r"where\['i'\]"),
    "too large a number": ({"i": {"$in": [1, 2**60]}}, r"where\['i'\]\['\$in'\]\[1\]"),
    "a list as value": ({"i": ["a"]}, r"where\['i'\]"),
    "bytes as value": ({"i": b"a"}, r"where\['i'\]"),
    "a surrogate": ({"i": "\ud800"}, r"where\['i'\]"),
    "a surrogate as field": ({"\ud800": 1}, "where"),
    "in a string": ({"i": {"$in": "abc"}}, r"where\['i'\]\['\$in'\]"),
    "too many values": ({"i": {"$in": list(range(10_001))}}, r"where\['i'\]\['\$in'\]"),
    "contains a number": ({"i": {"$contains": 3}}, r"where\['i'\]\['\$contains'\]"),
    "exists as a number": ({"i": {"$exists": 1}}, r"where\['i'\]\['\$exists'\]"),
    "not of a value": ({"i": {"$not": 3}}, r"where\['i'\]\['\$not'\]"),
    "too deep": (DEEP, "nested deeper"),
    "too long": ({"$or": [{"i": i} for i in range(1025)]}, "1024"),
}

QUESTIONS = {
    "nothing asked": (lambda c: c.query(), "vectors"),
    "a number as text": (lambda c: c.query(text=3), "text"),
    "a number among texts": (lambda c: c.query(text=["a", 3]), r"text\[1\]"),
    "no text for words": (lambda c: c.query(GOOD[0], mode="keyword"), "text"),
    "no text for both": (lambda c: c.query(GOOD[0], mode="hybrid"), "text"),
    "an unknown mode": (lambda c: c.query(GOOD[0], mode="sparse"), "mode"),
    "other numbers of texts and vectors": (lambda c: c.query(GOOD, text=["a"], mode="hybrid"), "text"),
    "one text for a batch": (lambda c: c.query(GOOD, text="a", mode="hybrid"), "text"),
    "an unknown fusion": (lambda c: c.query(GOOD[0], text="a", mode="hybrid", fusion="sum"), "fusion"),
    "alpha beyond 1": (lambda c: c.query(GOOD[0], text="a", mode="hybrid", fusion="weighted", alpha=1.5), "alpha"),
    "NaN as alpha": (lambda c: c.query(GOOD[0], text="a", mode="hybrid", alpha=float("nan")), "alpha"),
    "k of words": (lambda c: c.query(text="a", k=0, mode="keyword"), "k"),
    "unknown include": (lambda c: c.query(GOOD[0], include=["ids"]), "include"),
    "a string as include": (lambda c: c.query(GOOD[0], include="documents"), "include"),
    "unknown include of get": (lambda c: c.get(include=["embeddings"]), "include"),
    "a limit of nothing": (lambda c: c.get(limit=0), "limit"),
    "a limit that is no number": (lambda c: c.get(limit="3"), "limit"),
    "ids and a filter": (lambda c: c.get(["1"], where={"i": 1}), "ids"),
    "ids and a limit": (lambda c: c.get(["1"], limit=1), "ids"),
    "nothing to delete": (lambda c: c.delete(), "ids"),
    "delete by both": (lambda c: c.delete(["1"], where={"i": 1}), "ids"),
    "delete everything": (lambda c: c.delete(where={}), "where"),
    "an unknown language": (
        lambda c: ramet.connect(c.path.parent).create_collection("d", 3, language="xx"),
        "language",
    ),
}


def refused(docs, call, match):
    before = state(docs)
    with pytest.raises(ramet.ArgumentError, match=match) as caught:
        call(docs)
    assert caught.value.argument
    assert state(docs) == before
    assert docs.upsert(["9"], GOOD[:1], documents=["fine"], metadata=[{"i": 3}]).n_inserted == 1


@pytest.mark.parametrize("what", RECORDS)
def test_bad_records_are_refused_as_a_whole(docs, what):
    refused(docs, *RECORDS[what])


@pytest.mark.parametrize("what", FILTERS)
def test_bad_filters_are_refused_wherever_they_are_given(docs, what):
    where, match = FILTERS[what]
    before = state(docs)
    for call in (
        asked(where),
        lambda c: c.query(text="river", mode="keyword", where=where),
        lambda c: c.get(where=where),
        lambda c: c.count(where=where),
        lambda c: c.delete(where=where),
    ):
        with pytest.raises(ramet.ArgumentError, match=match):
            call(docs)
    assert state(docs) == before


@pytest.mark.parametrize("what", QUESTIONS)
def test_bad_questions_are_refused(docs, what):
    refused(docs, *QUESTIONS[what])
    assert docs.path.parent.joinpath("d").exists() is False


def test_values_of_another_type_match_nothing(docs):
    for where in ({"i": "1"}, {"i": True}, {"i": {"$gt": "0"}}, {"i": {"$lt": datetime(2030, 1, 1)}}, {"lang": 1}):
        assert docs.query(GOOD[0], where=where).ids == []
        assert docs.count(where=where) == 0


def test_words_in_a_collection_without_text_find_nothing(db):
    docs = db.create_collection("plain", DIM)
    for _ in range(2):
        assert docs.query(text="river", mode="keyword").ids == []
        assert docs.query(text=["river", "stone"], mode="keyword").ids == [[], []]
        assert docs.query(text="river").ids == []
        assert docs.query(text=[], mode="keyword").ids == []
        docs.upsert(["1", "2"], GOOD)
    assert sorted(docs.query(GOOD[0], text="river", mode="hybrid").ids) == ["1", "2"]
    assert docs.query(text="river", mode="keyword").documents == []
    assert docs.query(GOOD[0], 2).documents == [None, None]


def test_a_text_that_has_to_be_embedded_needs_an_embedder(docs):
    before = state(docs)
    for call in (
        lambda: docs.query(text="river", mode="dense"),
        lambda: docs.query(text="river", mode="hybrid"),
        lambda: docs.add_texts(["river"]),
    ):
        with pytest.raises(ramet.MissingEmbedderError, match=r"embedder=ramet\.Embedder.*ramet\[text\]"):
            call()
    assert state(docs) == before


def test_filters_at_their_limits_are_taken(docs):
    deep = {"i": 1}
    for _ in range(16):
        deep = {"$not": deep}
    assert docs.count(where=deep) == 1
    assert docs.count(where={"$or": [{"i": i} for i in range(1024)]}) == 1
    assert docs.count(where={"i": {"$in": list(range(10_000))}}) == 1
    docs.upsert(["big"], documents=["x" * (4 << 20)], metadata=[{f"f{i}": i for i in range(256)}])
    assert docs.count(where={"f255": 255}) == 1
    assert len(docs.get(["big"])[0].document) == 4 << 20
    docs.upsert(["big"], metadata=[{"f": "x" * 65_000}])
    assert docs.count(where={"f": {"$contains": "xxx"}}) == 1
    assert docs.verify().ok
