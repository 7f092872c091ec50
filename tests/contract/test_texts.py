"""Texts: cut, embedded and found; selections and answers."""

import pytest

import ramet

TEXTS = [
    "The river Elbe flows through Hamburg. It is long.",
    "Apples are red or green. They grow on trees.",
    "Hamburg has a harbour. Ships come from everywhere.",
]


@pytest.fixture
def texts(place):
    docs = place.with_texts("texts")
    docs.add_texts(TEXTS, ["elbe", "apples", "hamburg"], metadata=[{"n": 1}, None, {"n": 3}])
    return docs


def test_texts_are_stored_and_found(texts):
    assert texts.count() == 3
    hits = texts.query(text="red apples", k=1)
    assert hits.ids == ["apples"] and hits.documents == [TEXTS[1]]
    assert hits.scores[0] == pytest.approx(1 - hits.distances[0], abs=1e-6)  # by vectors: there is an embedder
    assert texts.query(text="harbour ships", mode="hybrid", k=1).ids == ["hamburg"]
    assert [hits.ids for hits in texts.query(text=["red apples", "Elbe river"], k=1)] == [["apples"], ["elbe"]]
    assert texts.get(["elbe"])[0].metadata["n"] == 1


def test_what_adding_reports(texts):
    report = texts.add_texts([TEXTS[0], "a b c d e f g h"], ["elbe", "long"], chunk_tokens=3, overlap=1)
    assert isinstance(report, ramet.AddReport)
    assert report.ids == ["elbe", "long"] and report.n_documents == 2 and report.n_skipped == 0
    assert report.n_chunks > 4 and report.n_tokens > 15
    skipped = texts.add_texts([TEXTS[1]], ["apples"], on_conflict="skip")
    assert (skipped.n_documents, skipped.n_skipped, skipped.n_chunks) == (0, 1, 0)
    with pytest.raises(ramet.ConflictError, match="apples"):
        texts.add_texts([TEXTS[1]], ["apples"], on_conflict="error")
    assert texts.delete_texts(["long", "nobody"]) > 2
    assert texts.query(text="a b c", mode="keyword", where={"_document": "long"}).ids == []
    assert len(texts.add_texts(["no id"]).ids[0]) > 8
    assert texts.add_texts([]).ids == []


def test_vectors_are_made_of_documents(texts):
    texts.upsert(["made"], documents=["blue whales"])
    assert texts.query(text="blue whales", k=1).ids == ["made"]
    assert texts.get(["made"])[0].vector is not None


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"texts": "text"}, "texts"), ({"texts": [3]}, "texts[0]"), ({"ids": ["a", "b"]}, "ids"),
        ({"ids": [3]}, "ids[0]"), ({"overlap": -1}, "overlap"),
        ({"metadata": [{"_document": "x"}]}, "metadata[0]"), ({"metadata": [3]}, "metadata[0]"),
        ({"chunk_tokens": 0}, "chunk_tokens"), ({"on_conflict": "merge"}, "on_conflict"), ({"tenant": ""}, "tenant"),
        ({"token_codes": "yes"}, "token_codes"), ({"token_codes": True}, "token_codes"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_argument_is_named(texts, arguments, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        texts.add_texts(**{"texts": ["some text"]} | arguments)
    assert caught.value.argument == argument
    assert texts.count() == 3
