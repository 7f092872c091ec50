"""``bench rag-run``: what is recorded of an answer, with the backend that needs no model."""

import ramet
from bench import rag_run
from tests.engine.word_hash import WordHash


def test_an_answer_is_recorded_with_its_citations_and_tokens(tmp_path):
    with ramet.connect(tmp_path) as database:
        docs = database.create_collection("manual", embedder=WordHash())
        docs.add_texts(["The finally clause is executed at the end.", "Cats sleep a lot."], ["try", "cats"])
        lines = list(
            rag_run.run(docs, [("extractive", ramet.Extractive())], ["The finally clause is executed at the end."])
        )
    (line,) = lines
    assert line["backend"] == "extractive"
    assert "finally" in line["answer"]
    assert [one["id"] for one in line["citations"]] == ["try"]
    assert set(line["selected"]) >= {"try"}
    assert line["prompt_tokens"] <= line["budget"] == rag_run.BUDGET
