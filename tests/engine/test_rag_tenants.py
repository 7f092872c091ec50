"""Selections among the records of several tenants, whose ids and documents have the same names."""

import numpy as np
import pytest

import ramet
from ramet.engine.rag.links import linked
from ramet.engine.rag.order import reading_order
from ramet.engine.rag.pool import Candidate
from ramet.engine.rag.scored import CallableUtility
from tests.engine.rag_world import made
from tests.engine.word_tokens import WordTokens

TEXTS = {
    "a": "The moss stone picture hangs in the town hall of Odenburg beside the tower",
    "b": "The moss stone picture was sold by the painter Zerlina Quandt for a hundred coins",
}
QUESTION = "where does the moss stone picture hang and who sold it?"


@pytest.fixture
def docs(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        docs = db.create_collection("c", embedder=WordTokens())
        for tenant, text in TEXTS.items():
            ferry = f"{tenant} keeps a ferry on the river near the old market"
            docs.add_texts([text, ferry], ["readme", "x"], tenant=tenant)
        docs.add_texts(["Zerlina Quandt painted a moss stone picture"], ["shared"], tenant="owner")
        docs.grant(["shared"], to=["a", "b"], tenant="owner")
        yield docs


@pytest.mark.parametrize("mode", ["dense", "keyword", "hybrid"])
@pytest.mark.parametrize("widen", [True, False])
def test_records_of_the_same_id_stay_apart(docs, mode, widen):
    found = ramet.Rag(docs).select(QUESTION, 900, tenant=["a", "b"], strategy="topk", mode=mode, widen=widen)
    chunks = {(chunk.tenant, chunk.id): chunk for chunk in found.chunks}
    assert len(chunks) == len(found.chunks)
    assert {tenant: chunks[tenant, "readme"].text for tenant in TEXTS} == TEXTS
    assert ("a", "shared") in chunks  # its owner was not asked, and is not named
    for chunk in found.to_dict()["chunks"]:
        assert chunk["tenant"] in TEXTS


def test_a_granted_record_is_its_owner_s_where_the_owner_was_asked(docs):
    found = ramet.Rag(docs).select(QUESTION, 900, tenant=["b", "owner", "a"], strategy="topk")
    (chunk,) = [chunk for chunk in found.chunks if chunk.id == "shared"]
    assert chunk.tenant == "owner"
    (chunk,) = ramet.Rag(docs).select("Zerlina Quandt", 60, tenant="b", strategy="topk", widen=False).chunks[:1]
    assert (chunk.id, chunk.tenant) == ("shared", "b")


def test_what_one_tenant_has_is_brought_up_though_the_other_has_its_id(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        docs = db.create_collection("c", embedder=WordTokens())
        docs.add_texts(["moss stone picture by Zerlina Quandt", "moss stone picture"], ["1", "2"], tenant="a")
        docs.add_texts(["old lamp", "Zerlina Quandt came from Odenburg"], ["3", "1"], tenant="b")
        rag = ramet.Rag(docs, n_candidates=2)
        found = rag.select("moss stone picture", 900, tenant=["a", "b"], strategy="topk")
        (chunk,) = [chunk for chunk in found.chunks if (chunk.tenant, chunk.id) == ("b", "1")]
        assert chunk.why.startswith("brought up by '1'; ")


def test_citations_name_the_tenant(docs):
    answer = ramet.Rag(docs).answer("moss stone picture Zerlina Quandt coins", 900, tenant=["a", "b"], strategy="topk")
    numbers = {chunk.number: (chunk.tenant, chunk.id) for chunk in answer.selection.chunks}
    assert answer.citations
    for one, shown in zip(answer.citations, answer.to_dict()["citations"], strict=True):
        assert (one.tenant, one.id) == (shown["tenant"], shown["id"]) == numbers[one.number]


def twins():
    """Two chunks that differ in text and tenant alone, and one more."""
    names = [("d", 0, "a", "Odenburg\nlies on the river"), ("d", 0, "b", "Ferry\nto Odenburg"), ("e", 0, "a", "Lamp")]
    return [
        Candidate(id=f"{document}#0", text=text, score=0.5, document=document, position=at, tenant=tenant)
        for document, at, tenant, text in names
    ]


def test_documents_of_the_same_name_are_two():
    candidates = twins()
    assert linked(candidates)[0, 1] == 1.0
    for name in ("score", "document", "edges"):
        arrange = reading_order(name)
        assert arrange(candidates, (0, 1, 2)) == arrange(candidates, (1, 2, 0))


def test_sets_of_the_same_ids_are_valued_apart():
    pool = made(1, 3, 0)
    candidates = twins()
    pool = type(pool)(**{**{name: getattr(pool, name) for name in pool.__slots__}, "candidates": candidates})
    utility = CallableUtility(lambda question, chunks: sum(len(chunk.text) for chunk in chunks), pool)
    assert np.array_equal(utility.many([(0,), (1,)]), [len(candidates[0].text), len(candidates[1].text)])
