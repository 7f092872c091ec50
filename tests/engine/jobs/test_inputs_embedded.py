"""Texts of blocks: the chunks, ids, metadata and vectors that `add_texts` would have stored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ramet
from ramet.engine.jobs.inputs.blocks import Block
from ramet.engine.jobs.inputs.embedding import Chunking, embedded, fitted_projection
from tests.engine.word_hash import WordHash
from tests.engine.word_tokens import WordTokens

LONG = "The river is wide. A stone lies in it, and moss grows on the stone.\n\nLamps burn at the bank all night. " * 6
TEXTS = [LONG, "A short one.", "word " * 70]
FIELDS = [{"lang": "en"}, None, {"year": 1}]


def block(texts=TEXTS, ids=("a", "b", "c"), metadata=FIELDS):
    rows = 10 + np.arange(len(texts), dtype=np.int64) * 2
    return Block(file=Path("x.jsonl"), first=10, rows=rows, texts=list(texts), ids=list(ids), metadata=list(metadata))


@pytest.mark.parametrize(("tokens", "overlap"), [(None, 0), (20, 0), (20, 5)])
def test_the_records_are_those_of_add_texts(tmp_path, tokens, overlap):
    embedder = WordHash()
    with ramet.connect(tmp_path / "db") as db:
        docs = db.create_collection("c", embedder=embedder)
        docs.add_texts(TEXTS, ["a", "b", "c"], metadata=FIELDS, chunk_tokens=tokens, overlap=overlap)
        stored = {one.id: one for one in docs.get(include=["documents", "metadata", "vectors"], limit=1000)}
    found = embedded(block(), embedder, Chunking(chunk_tokens=tokens, overlap=overlap))
    assert sorted(found.ids) == sorted(stored) and found.bare is None and found.tokens is None
    for i, name in enumerate(found.ids):
        assert found.texts[i] == stored[name].document and found.metadata[i] == stored[name].metadata
        length = np.linalg.norm(found.vectors[i])
        np.testing.assert_allclose(found.vectors[i] / length, stored[name].vector, atol=1e-6)
        assert found.rows[i] == 10 + 2 * "abc".index(name[0])


def test_documents_that_cannot_be_are_rejected():
    texts = ["good", " ", "good", "good", None]
    given = block(texts, ["a", "b", "x" * 470, "d", "e"], [None, None, None, {"_chunk": 1}, None])
    found = embedded(given, WordHash(), Chunking())
    assert found.ids == ["a"] and found.rows.tolist() == [10]
    assert [(one.row, one.reason) for one in found.rejected] == [
        (12, "empty_text"), (14, "bad_id"), (16, "bad_metadata"), (18, "bad_text"),
    ]  # fmt: skip


def test_tenants_go_with_their_chunks():
    found = embedded(replace(block(), tenants=["t", "u", "v"]), WordHash(), Chunking(chunk_tokens=20))
    assert {(name[0], tenant) for name, tenant in zip(found.ids, found.tenants, strict=True)} == set(
        zip("abc", "tuv", strict=True)
    )


def test_a_chunk_of_unknown_words_has_no_vector():
    class Knows(WordHash):
        def embed_documents(self, texts):
            return self._embed(texts) * np.array([["short" in text] for text in texts], np.float32)

    found = embedded(block(["short", "other"], "ab", [None, None]), Knows(), Chunking())
    assert found.bare.tolist() == [False, True]


def test_token_codes_are_of_one_projection():
    embedder = WordTokens()
    projection = fitted_projection(TEXTS, embedder, Chunking())
    found = embedded(block(), embedder, Chunking(projection=projection))
    again = embedded(block(TEXTS[1:2], "b", [None]), embedder, Chunking(projection=projection))
    at = found.ids.index("b")
    assert found.tokens[at].dtype == np.int8 and found.tokens[at].shape == (3, 64)
    np.testing.assert_array_equal(found.tokens[at], again.tokens[0])
    assert fitted_projection(TEXTS, WordHash(), Chunking()) is None


def test_a_block_without_ids_or_texts():
    for without in ("ids", "texts"):
        with pytest.raises(ramet.ArgumentError, match=f"has no {without}"):
            embedded(replace(block(), **{without: None}), WordHash(), Chunking())


def test_no_documents_are_no_chunks():
    found = embedded(block([], [], []), WordHash(), Chunking())
    assert len(found) == 0 and found.vectors.shape == (0, 16)
