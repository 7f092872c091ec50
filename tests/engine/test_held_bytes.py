"""What is held in memory is counted, transactions are cut by it, and words of two analyses are kept apart."""

import os
import pickle

import numpy as np
import pytest
from pyroaring import BitMap

import ramet
from ramet.engine import builder, filters, upsert
from ramet.engine.allowed import Allowed
from ramet.engine.contents import Content, Contents
from ramet.engine.embedding_static import StaticEmbedder
from ramet.engine.text import analysis, keyword
from ramet.engine.text.analysis import Analyzer
from ramet.engine.upsert import Records
from ramet.storage import terms
from tests.engine.models import static_model


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


def test_filters_of_many_values_are_counted_and_let_go(db, monkeypatch):
    monkeypatch.setattr(filters, "CACHE_BYTES", 1 << 20)
    docs = db.create_collection("d", dim=2)
    docs.upsert(["a"], [[1, 0]], metadata=[{"s": "x"}])
    kept = docs._opened.filters
    for i in range(6):
        assert docs.count("default", where={"$not": {"s": {"$in": [f"value {i} {j}" for j in range(4000)]}}}) == 1
    assert len(kept._known) == 3  # of some 300 KB each
    assert kept._n_bytes == sum(n_bytes for _, n_bytes in kept._known.values()) <= 1 << 20


def test_bits_of_a_large_collection_are_not_kept_for_a_few_rows():
    few, many = Allowed(BitMap([3, 900_000]), 1_000_000), Allowed(BitMap(range(100_000)), 1_000_000)
    assert few.n_bytes < 1000 < 100_000 < many.n_bytes
    assert np.flatnonzero(np.unpackbits(few.words.view(np.uint8), bitorder="little")).tolist() == [3, 900_000]
    assert few.words is not few.words
    assert many.words is many.words


@pytest.mark.parametrize("tenants", ["one", ["b", "a"] * 6])
def test_large_documents_make_small_transactions(monkeypatch, tenants):
    monkeypatch.setattr(upsert, "MOST_BYTES", 100)
    documents = ["x" * 40, None, "x" * 40, "x" * 21, "é" * 25, *[None] * 3, "x" * 500, "x", "x" * 99, "x"]
    records = Records(
        names=[str(i) for i in range(12)], block=np.zeros((12, 2), np.float32), bare=None,
        content=Content(documents=documents), tenants=tenants,
    )  # fmt: skip
    batches = records.batches(5)
    assert sorted(name for batch in batches for name in batch.names) == sorted(records.names)
    for batch in batches:
        assert len(batch) == 1 or sum(len((text or "").encode()) for text in batch.content.documents) <= 100
        assert batch.content.documents == [documents[int(name)] for name in batch.names]
        assert [last for _, _, last in batch.tenants][-1] == len(batch) <= 5


def test_a_build_holds_the_words_of_some_rows_only(db, monkeypatch):
    monkeypatch.setattr(builder, "ROWS_AT_A_TIME", 7)
    held, store = [], Contents.store

    def watched(self, first_row, n, content):
        store(self, first_row, n, content)
        held.append(len(self._words))

    monkeypatch.setattr(Contents, "store", watched)
    docs = db.create_collection("d", dim=4)
    block = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    texts = [f"word{i} common" for i in range(30)]
    docs.build(block, documents=texts, metadata=[{"i": i} for i in range(30)])
    assert held == [7, 7, 7, 7, 2]
    for i in range(30):
        assert docs.query(text=f"word{i}", mode="keyword").documents[0] == texts[i]
        assert docs.get(where={"i": i})[0].document == texts[i]
    assert docs.verify().ok


def test_words_of_another_analysis_are_not_mixed_in(db, monkeypatch):
    docs = db.create_collection("d", dim=2)
    docs.upsert(["a", "b"], [[1, 0], [0, 1]], documents=["running dogs", "cats"])
    monkeypatch.setattr(analysis, "VERSION", 99)
    with pytest.raises(ramet.AnalysisMismatchError, match=r"rules 1, .* rules 99, .*install that release") as caught:
        docs.upsert(["c"], [[1, 1]], documents=["dogs"])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert docs.query(text="dogs", mode="keyword").ids == ["a"]
    docs.upsert(["d"], [[1, 1]])
    docs.delete(["b"])
    assert docs.count() == 2
    assert docs.verify().ok
    monkeypatch.undo()
    docs.upsert(["c"], [[1, 1]], documents=["dogs"])
    assert sorted(docs.query(text="dogs", mode="keyword").ids) == ["a", "c"]


def test_a_stemmer_matters_only_where_there_is_one():
    assert Analyzer("none").identity["stemmer"] == ""


def test_a_row_of_two_tenants_counts_once_whatever_its_postings_say():
    rows, ones = np.array([1, 4, 4], np.uint64), np.ones(3, np.uint64)
    found = keyword._one_a_row(terms.packed(rows, ones, np.array([2, 9, 3], np.uint64)))
    assert terms.rows_in(found).tolist() == [1, 4]
    assert terms.lengths_in(found).tolist() == [2, 3]


def test_every_vector_allowed_is_no_filter_beside_records_without_vectors(db):
    docs = db.create_collection("d", dim=2)
    docs.upsert(["a", "b"], [[1, 0], [0, 1]], metadata=[{"i": 1}] * 2)
    docs.upsert(["c", "d"], metadata=[{"i": 1}] * 2)
    hits = docs.query([1, 0], where={"i": 1}, explain=True)
    assert hits.ids == ["a", "b"]
    assert "unfiltered" in str(hits.explanation)


def test_an_embedder_works_in_a_child_forked_while_another_thread_embeds(tmp_path):
    pytest.importorskip("model2vec")
    embedder = StaticEmbedder(static_model(tmp_path / "m"))
    with embedder._lock:  # as a thread of the parent would hold it
        child = os.fork()
        if child == 0:
            os._exit(0 if embedder._lock.acquire(timeout=1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
