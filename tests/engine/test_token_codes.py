"""Token codes: stored with their chunk, replaced with it, gone with it, and never of two projections."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.engine.rag.coverage import aspects, coverage
from ramet.engine.token_codes import BLOB, WIDTH, Projection, unit
from ramet.storage import catalog
from tests.engine.models import bert_model
from tests.engine.word_hash import WordHash
from tests.engine.word_tokens import WordTokens

TEXTS = ["a stone lies in the river", "moss grows on a stone", "lamps burn all night", "the bank of the wide river"]


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


@pytest.fixture
def docs(db):
    return db.create_collection("c", embedder=WordTokens())


def codes_of(docs, name, tenant="default"):
    with docs._opened.store.read() as snapshot:
        rows = snapshot.rows_of(snapshot.tenant_number(tenant), [name])
        return snapshot.tokens(rows)[0] if rows[0] >= 0 else None


def projection_of(docs):
    with docs._opened.store.read() as snapshot:
        return Projection.of(snapshot)


def expected(docs, text):
    return projection_of(docs).encode(docs.embedder._tokens(text))


def assert_agree(docs, texts):
    for name, text in texts.items():
        np.testing.assert_array_equal(codes_of(docs, name), expected(docs, text))
    report = docs.verify()
    assert report.ok, report.problems


def test_every_chunk_has_a_code_for_each_of_its_tokens(docs):
    long = " ".join(TEXTS * 4)
    docs.add_texts([*TEXTS, long], [*"abcd", "long"], chunk_tokens=12)
    chunks = docs.get(where={"_document": "long"})
    assert len(chunks) > 3
    assert_agree(docs, {**dict(zip("abcd", TEXTS, strict=True)), **{one.id: one.document for one in chunks}})
    assert codes_of(docs, "a").shape == (6, WIDTH)
    assert docs.query(text="stone", k=2).ids


def test_codes_keep_cosines(docs):
    docs.add_texts(TEXTS, list("abcd"))
    tokens = docs.embedder._tokens(TEXTS[0])
    codes = codes_of(docs, "a").astype(np.float32) / 127
    np.testing.assert_allclose(codes @ codes.T, unit(tokens) @ unit(tokens).T, atol=0.03)  # words span under 64


@pytest.mark.parametrize("codes", ["sq8", "none"])
def test_codes_survive_reopening_and_compaction_and_go_with_their_document(tmp_path, codes):
    with ramet.connect(tmp_path / "db") as db:
        docs = db.create_collection("c", embedder=WordTokens(), codes=codes)
        docs.add_texts(TEXTS, list("abcd"))
        docs.add_texts(["zanzibar is far"], ["a"])
    with ramet.connect(tmp_path / "db") as db:
        docs = db.collection("c", embedder=WordTokens())
        assert_agree(docs, {"a": "zanzibar is far", "b": TEXTS[1], "d": TEXTS[3]})
        docs.delete_texts(["c"])
        docs.grant(["b"], to="other")
        assert codes_of(docs, "c") is None
        docs.compact()
        assert_agree(docs, {"a": "zanzibar is far", "b": TEXTS[1], "d": TEXTS[3]})
        np.testing.assert_array_equal(codes_of(docs, "b", "other"), codes_of(docs, "b"))
        assert docs.verify().checked["token_codes"] == 3
    with ramet.connect(tmp_path / "db") as db:
        assert_agree(db.collection("c", embedder=WordTokens()), {"a": "zanzibar is far"})


def test_a_compaction_erases_the_codes_of_what_was_deleted(docs):
    docs.add_texts(TEXTS, list("abcd"))
    gone = [codes_of(docs, "a").tobytes()]
    docs.add_texts(["lamps lamps lamps"], ["a"])
    gone.append(codes_of(docs, "b").tobytes())
    docs.delete(["b"])
    docs.compact()
    content = b"".join(path.read_bytes() for path in docs.path.iterdir())
    assert not [one for one in gone if one[:WIDTH] in content or one in content]
    assert codes_of(docs, "d").tobytes() in content


def test_codes_only_where_they_are_wanted_and_possible(db):
    docs = db.create_collection("c", embedder=WordTokens())
    docs.add_texts(TEXTS[:1], ["a"], token_codes=False)
    assert codes_of(docs, "a") is None
    assert projection_of(docs) is None
    docs.add_texts(TEXTS[1:2], ["b"], token_codes=True)
    assert codes_of(docs, "b") is not None
    docs.upsert(["c"], documents=["by upsert"])
    assert codes_of(docs, "c") is None
    assert docs.verify().ok
    plain = db.create_collection("plain", embedder=WordHash())
    plain.add_texts(TEXTS[:1], ["a"])
    assert codes_of(plain, "a") is None
    with pytest.raises(ramet.ArgumentError, match="token_codes"):
        plain.add_texts(TEXTS[:1], ["b"], token_codes=True)
    with pytest.raises(ramet.ArgumentError, match="token_codes"):
        plain.add_texts(TEXTS[:1], ["b"], token_codes="all")
    assert len(plain) == 1


def test_texts_without_tokens_store_no_codes(docs):
    docs.add_texts(["", " "], ["x", "y"])
    assert projection_of(docs) is None
    docs.add_texts(["stone"], ["a"])
    assert codes_of(docs, "a").shape == (1, WIDTH)


class Overtaken(WordTokens):
    """While it reads the first texts, another writer adds some."""

    other = None

    def embed_documents_with_tokens(self, texts):
        other, self.other = self.other, None
        if other is not None:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return super().embed_documents_with_tokens(texts)


def test_who_comes_second_takes_the_projection_of_the_first(db):
    embedder = Overtaken()
    docs = db.create_collection("c", embedder=embedder)
    embedder.other = lambda: docs.add_texts(["lamps burn"], ["first"])
    docs.add_texts(TEXTS, list("abcd"))
    assert_agree(docs, {"first": "lamps burn", **dict(zip("abcd", TEXTS, strict=True))})


class Misshapen(WordTokens):
    def embed_documents_with_tokens(self, texts):
        return self._embed(texts)[:, 1:], [self._tokens(text) for text in texts]


def test_an_embedder_that_returns_the_wrong_shape_is_refused(db):
    docs = db.create_collection("c", embedder=Misshapen())
    with pytest.raises(ramet.ArgumentError, match="embedder"):
        docs.add_texts(TEXTS)
    assert len(docs) == 0


def test_storage_refuses_codes_of_another_shape_and_verify_finds_wrong_ones(docs):
    docs.add_texts(TEXTS, list("abcd"))
    with docs._opened.store.write() as writer:
        for wrong in (np.zeros((3, WIDTH), np.uint8), np.zeros((3, 63), np.int8), np.zeros(WIDTH, np.int8)):
            with pytest.raises(ValueError, match="token codes"):
                writer.put_tokens(np.array([0]), [wrong])
        catalog.put_summed(writer._reading(), catalog.TOKENS + catalog.U32_KEY.pack(0), b"1234")
        catalog.put_summed(writer._reading(), catalog.TOKENS + catalog.U32_KEY.pack(999), bytes(WIDTH))
    problems = [problem.what for problem in docs.verify().problems]
    assert any("multiple of 64" in what for what in problems)
    assert any("expected a record" in what for what in problems)


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 4), st.integers(1, 300), st.integers(0, 1 << 30))
def test_coverage_is_the_best_cosine_of_any_token(lengths, n_aspects, width, seed):
    rng = np.random.default_rng(seed)
    question = rng.normal(size=(n_aspects, WIDTH)).astype(np.float32)
    codes = [rng.integers(-127, 128, (n, WIDTH)).astype(np.int8) if n else None for n in lengths]
    found = coverage(question, codes)
    assert found.shape == (n_aspects, len(codes))
    for a in range(n_aspects):
        for c, one in enumerate(codes):
            cosines = (
                [] if one is None else [float(unit(question)[a] @ token) / 127 for token in one.astype(np.float32)]
            )
            assert abs(found[a, c] - min(max([0.0, *cosines]), 1.0)) < 1e-5


def test_aspects_are_no_stop_words_and_no_punctuation():
    tokens = ["who", "wrote", "the", "song", "count", "##er", '"', "?", "▁of", "Ġin", "1984"]
    assert aspects(tokens, "en").tolist() == [1, 3, 4, 5, 10]
    assert aspects(["what", "is", "it", "?"], "en").tolist() == [0, 1, 2, 3]
    assert aspects([], "en").tolist() == []
    assert aspects(["wer", "the"], "none").tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_transformer_gives_the_tokens_of_the_same_pass(tmp_path):
    embedder = ramet.Embedder(bert_model(tmp_path), document_prefix="passage: ", batch_size=2)
    assert isinstance(embedder, ramet.TokenEmbedder)
    assert embedder.gives_tokens
    texts = ["the quick brown fox", "", "dog", "a lazy dog jumps over the river " * 9]
    vectors, tokens = embedder.embed_documents_with_tokens(texts)
    np.testing.assert_allclose(vectors, embedder.embed_documents(texts), atol=1e-5)
    prefix = len(embedder._model.tokenizer("passage: ", add_special_tokens=False)["input_ids"])
    counts = [min(n, embedder.max_tokens) - 2 - prefix for n in embedder.count_tokens(texts)]
    assert [len(one) for one in tokens] == counts
    assert [one.shape[1] for one in tokens] == [16] * 4
    vector, of_question, words = embedder.embed_question_with_tokens("quick fox?")
    np.testing.assert_allclose(vector, embedder.embed_queries(["quick fox?"])[0], atol=1e-5)
    assert words == ["quick", "fox", "?"]
    again, same = embedder.embed_question_tokens("quick fox?")
    assert same == words
    np.testing.assert_array_equal(again, of_question)


def test_projections_of_narrow_models_are_padded():
    tokens = [np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)]
    found = Projection.fitted(tokens)
    assert found.matrix.shape == (16, WIDTH)
    codes = found.encode(tokens[0]).astype(np.float32) / 127
    np.testing.assert_allclose(codes @ codes.T, unit(tokens[0]) @ unit(tokens[0]).T, atol=0.03)
    assert found.content() == np.frombuffer(found.content(), "<f4").tobytes()
    assert BLOB
