"""Documents in: chunks with their places, replaced and deleted as wholes, vectors of one model only."""

import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine import adding
from ramet.engine.embedding import TextEmbedder
from tests.engine.models import bert_model
from tests.engine.other_processes import CONFTEST
from tests.engine.word_hash import WordHash

OWN = ("_document", "_chunk", "_start", "_end")
LONG = "The river is wide. A stone lies in it, and moss grows on the stone.\n\nLamps burn at the bank all night. " * 6

ELSEWHERE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
import ramet
from tests.engine.word_hash import WordHash
db = ramet.connect(sys.argv[2], create=False)
try:
    docs = db.collection("c", embedder=WordHash(sys.argv[3]))
    print(docs.query(text="stone", k=1).ids[0])
except ramet.ModelMismatchError as error:
    print("refused", error.known, error.given)
"""


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


@pytest.fixture
def docs(db):
    return db.create_collection("c", embedder=WordHash())


def chunks_of(docs, document, tenant="default"):
    found = docs.get(where={"_document": document}, tenant=tenant)
    return sorted(found, key=lambda r: r.metadata["_chunk"])


def own(metadata):
    return {field: value for field, value in metadata.items() if field not in OWN}


def test_the_embedder_of_the_test_is_one():
    assert isinstance(WordHash(), TextEmbedder)


def test_a_short_document_is_a_record_and_a_long_one_its_chunks(docs):
    report = docs.add_texts(["  A stone.\n", LONG], ["s", "l"], metadata=[{"lang": "en"}, None], chunk_tokens=12)
    assert (report.ids, report.n_documents, report.n_skipped, report.n_replaced) == (["s", "l"], 2, 0, 0)
    assert report.n_chunks == len(docs) > 10
    single = docs.get(["s"])[0]
    assert single.document == "A stone."
    assert single.metadata == {"lang": "en", "_document": "s", "_chunk": 0, "_start": 2, "_end": 10}
    several, embedder = chunks_of(docs, "l"), WordHash()
    assert [r.id for r in several] == [f"l#{i}" for i in range(len(several))]
    assert report.n_tokens == sum(embedder.count_tokens([r.document for r in [single, *several]]))
    assert docs.count(where={"lang": "en"}) == 1
    covered = [" "] * len(LONG)
    for record in several:
        start, end = record.metadata["_start"], record.metadata["_end"]
        assert LONG[start:end] == record.document == record.document.strip()
        assert embedder.count_tokens([record.document])[0] <= 12
        covered[start:end] = LONG[start:end]
        np.testing.assert_array_equal(record.vector, embedder.embed_documents([record.document])[0])
    assert "".join(covered).split() == LONG.split()
    assert docs.query(text="moss", mode="keyword", k=99).ids
    assert docs.verify().ok


def test_chunks_overlap_when_asked(docs):
    docs.add_texts([LONG], ["l"], chunk_tokens=12, overlap=4)
    several = chunks_of(docs, "l")
    overlaps = [a.metadata["_end"] - b.metadata["_start"] for a, b in pairwise(several)]
    assert max(overlaps) > 0
    assert all(LONG[r.metadata["_start"] : r.metadata["_end"]] == r.document for r in several)


def test_what_the_embedder_reads_is_the_size_of_a_chunk_when_none_is_given(db):
    docs = db.create_collection("c", embedder=WordHash(max_tokens=9))
    docs.add_texts([LONG], ["l"])
    assert max(WordHash().count_tokens([r.document for r in chunks_of(docs, "l")])) <= 9
    other = db.create_collection("d", embedder=WordHash(max_tokens=None))
    assert other.add_texts([LONG]).n_chunks == 1


@pytest.mark.parametrize(
    "texts", [[LONG, "A stone."], ["A stone.", LONG], [LONG, LONG[:200]], [LONG, " \n"], [" ", LONG]]
)
def test_a_document_that_is_added_again_has_no_old_chunks(docs, texts):
    for i, text in enumerate([*texts, *texts]):
        docs.add_texts([text, "moss"], ["l", "other"], metadata=[{"round": i}, None], chunk_tokens=12)
        found = chunks_of(docs, "l")
        assert " ".join(r.document for r in found).split() == text.split()
        assert {r.metadata["round"] for r in found} <= {i}
        assert len(docs) == len(found) + 1
        assert [r.id for r in found] == (["l"] if len(found) == 1 else [f"l#{n}" for n in range(len(found))])
        assert len(docs.query(text="moss", mode="keyword", k=99).ids) == 1 + sum("moss" in r.document for r in found)
        assert sorted(docs.query(text="stone", k=99).ids) == sorted(r.id for r in docs.get())
    assert docs.verify().ok


def test_readers_see_a_document_before_or_after_it_was_replaced(docs):
    """Never both, never half of one: the number of a document's chunks and their round say which it is."""
    versions = [LONG, "One stone.", LONG[:300], LONG[100:]]
    sizes = []
    for text in versions:
        docs.add_texts([text], ["l"], metadata=[{"v": len(sizes)}], chunk_tokens=12)
        sizes.append(len(docs))
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            found = docs.get(where={"_document": "l"}, with_vectors=False)
            rounds = {r.metadata["v"] for r in found}
            if len(rounds) != 1 or len(found) != sizes[rounds.pop()]:
                wrong.append([r.id for r in found])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for i in range(24):
            docs.add_texts([versions[i % 4]], ["l"], metadata=[{"v": i % 4}], chunk_tokens=12)
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_documents_of_white_space_store_nothing_and_take_the_old_ones_away(docs):
    report = docs.add_texts(["", " \n\t\u3000"], ["a", "b"])
    assert (report.n_documents, report.n_chunks, report.n_tokens, len(docs)) == (2, 0, 0, 0)
    docs.add_texts(["moss", LONG], ["a", "b"], chunk_tokens=12)
    docs.add_texts(["", " "], ["a", "b"])
    assert len(docs) == 0
    assert docs.add_texts([]).ids == []


def test_on_conflict(docs):
    docs.add_texts(["moss", LONG], ["a", "l"], chunk_tokens=12)
    before = {r.id: r.document for r in docs.get()}
    report = docs.add_texts(["new", "new", "stone"], ["a", "l", "c"], on_conflict="skip")
    assert (report.n_documents, report.n_skipped, report.n_chunks) == (1, 2, 1)
    assert {r.id: r.document for r in docs.get()} == {**before, "c": "stone"}
    for ids in (["x", "l"], ["a"], ["x", "c"]):
        with pytest.raises(ramet.ConflictError, match=ids[-1]):
            docs.add_texts(["new"] * len(ids), ids, on_conflict="error")
    assert docs.add_texts(["new"], ["x"], on_conflict="error").n_documents == 1
    assert {r.id: r.document for r in docs.get()} == {**before, "c": "stone", "x": "new"}


def test_records_under_the_document_s_id_are_in_its_way(docs):
    docs.upsert(["a"], documents=["by upsert"])
    assert docs.add_texts(["moss"], ["a"], on_conflict="skip").n_skipped == 1
    with pytest.raises(ramet.ConflictError):
        docs.add_texts(["moss"], ["a"], on_conflict="error")
    docs.add_texts(["moss"], ["a"])
    assert [(r.id, r.document) for r in docs.get()] == [("a", "moss")]


def test_a_plain_record_gives_way_also_to_a_document_of_several_chunks(docs):
    docs.upsert(["l"], documents=["by upsert"])
    docs.add_texts([LONG], ["l"], chunk_tokens=12)
    assert "l" not in {r.id for r in docs.get()}
    assert docs.query(text="upsert", mode="keyword").ids == []


def test_deleting_a_document_deletes_its_chunks_and_no_others(docs):
    docs.add_texts([LONG, LONG, "moss"], ["l", "l2", "s"], chunk_tokens=12)
    n = len(chunks_of(docs, "l"))
    assert docs.delete_texts(["l", "nothing", "s"]) == n + 1
    assert {r.metadata["_document"] for r in docs.get()} == {"l2"}
    assert docs.delete_texts(["l"]) == 0
    assert docs.delete_texts([]) == 0
    with pytest.raises(ramet.UnknownTenantError):
        docs.delete_texts(["l"], tenant="nobody")
    assert docs.verify().ok


def test_tenants_have_their_own_documents(docs):
    docs.add_texts([LONG, "moss"], ["l", "s"], tenant="a", chunk_tokens=12)
    docs.add_texts(["stone"], ["l"], tenant="b")
    n = docs.count("a")
    docs.grant([r.id for r in docs.get(tenant="a") if r.id != "s"], to="c", tenant="a")
    assert docs.count("c") == n - 1
    docs.add_texts(["lamp"], ["l"], tenant="b")
    assert docs.delete_texts(["l"], tenant="c") == 0  # granted, not its own
    assert docs.count("c") == n - 1
    docs.add_texts([LONG[:200]], ["l"], tenant="a", chunk_tokens=12)
    assert {r.id for r in docs.get(tenant="c")} <= {r.id for r in docs.get(tenant="a")}
    assert docs.delete_texts(["l"], tenant="a") > 0
    assert docs.count("c") == 0
    assert [r.document for r in docs.get(tenant="b")] == ["lamp"]


def test_a_document_that_is_granted_is_not_replaced_by_who_sees_it(docs):
    docs.add_texts(["moss"], ["s"], tenant="a")
    docs.grant(["s"], to="b", tenant="a")
    with pytest.raises(ramet.NotOwnerError):
        docs.add_texts(["stone"], ["s"], tenant="b")
    assert docs.add_texts(["stone"], ["s"], tenant="b", on_conflict="skip").n_skipped == 1
    assert docs.get(["s"], tenant="b")[0].document == "moss"


def test_nor_is_one_of_several_chunks(docs):
    docs.add_texts([LONG], ["l"], tenant="a", chunk_tokens=12)
    names = [r.id for r in docs.get(tenant="a")]
    docs.grant(names, to="b", tenant="a")
    for text in (LONG, "stone", " "):
        with pytest.raises(ramet.NotOwnerError):
            docs.add_texts(["moss", text], ["new", "l"], tenant="b", chunk_tokens=12)
    with pytest.raises(ramet.ConflictError):
        docs.add_texts(["stone"], ["l"], tenant="b", on_conflict="error")
    assert [r.id for r in docs.get(tenant="b")] == names


def test_ids_are_made_when_none_are_given(docs):
    report = docs.add_texts(["moss", "stone"])
    assert len(set(report.ids)) == 2
    assert sorted(r.id for r in docs.get()) == sorted(report.ids)
    assert len(docs.add_texts(["moss"]).ids) == 1
    assert len(docs) == 3


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True), st.integers(0, 1 << 20)),
        max_size=5,
    ),
    together=st.sampled_from([1, 3, 2048]),
)
def test_any_order_of_additions_leaves_the_last_of_each_document(tmp_path_factory, steps, together):
    with pytest.MonkeyPatch.context() as patch, ramet.connect(tmp_path_factory.mktemp("db")) as db:
        patch.setattr(adding, "TOGETHER", together)
        docs, said = db.create_collection("c", embedder=WordHash()), {}
        for ids, seed in steps:
            if seed % 5 == 0:
                for name in ids:
                    said.pop(name, None)
                if docs.tenants():
                    docs.delete_texts(ids)
                continue
            texts = [LONG[seed % 300 : seed % 300 + (seed >> i) % 400] for i in range(len(ids))]
            docs.add_texts(texts, ids, chunk_tokens=8, metadata=[{"seed": seed}] * len(ids))
            said.update(zip(ids, [(text, seed) for text in texts], strict=True))
        for name in "abcd":
            text, seed = said.get(name, ("", 0))
            found = chunks_of(docs, name)
            assert " ".join(r.document for r in found).split() == text.split()
            assert all(own(r.metadata) == {"seed": seed} for r in found)
        assert docs.verify().ok


# ------------------------------------------------------------------------------------------------------------ questions


def test_texts_are_found_by_meaning_words_and_both(docs):
    docs.add_texts(["green moss", "a grey stone", "lamp and stone", LONG], ["m", "s", "l", "long"], chunk_tokens=12)
    embedder = WordHash()
    for text in ("stone", "grey lamp"):
        vector = embedder.embed_queries([text])[0]
        assert docs.query(text=text, k=4).ids == docs.query(text=text, k=4, mode="dense").ids
        assert docs.query(text=text, k=4).ids == docs.query(vector, 4).ids
        assert docs.query(text=[text, text], k=4).ids == [docs.query(vector, 4).ids] * 2
        both = docs.query(text=text, k=4, mode="hybrid")
        assert both.ids == docs.query(vector, 4, text=text, mode="hybrid").ids
    assert docs.query(text="green moss", k=1)[0].document == "green moss"
    assert docs.query(text="stone", k=9, where={"_document": {"$in": ["s", "m"]}}).ids == ["s", "m"]
    assert docs.query(text=[], k=3).ids == []
    assert docs.embedder.identity == embedder.identity


# --------------------------------------------------------------------------------------------------- identity of models


def test_the_model_is_kept_with_the_first_texts_and_another_one_refused(db):
    docs = db.create_collection("c", embedder=WordHash("one"))
    docs = db.collection("c", embedder=WordHash("two"))  # nothing was stored yet
    docs.add_texts(["a stone", "moss"], ["s", "m"])
    with pytest.raises(ramet.ModelMismatchError, match="embedder.*word-hash-two.*word-hash-one") as caught:
        db.collection("c", embedder=WordHash("one"))
    assert (caught.value.collection, caught.value.given) == ("c", "word-hash-one")
    assert docs.embedder.identity == "word-hash-two"  # the refused one is not used
    with pytest.raises(ramet.ModelMismatchError):
        db.create_collection("c", embedder=WordHash("one"), exist_ok=True)
    docs.compact()
    docs.close()
    for kind, expected in (("two", "s"), ("one", "refused word-hash-two word-hash-one")):
        process = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(CONFTEST), str(db.path), kind],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert process.stdout.strip() == expected, process.stderr
    docs = db.collection("c")
    assert docs.embedder is None
    with pytest.raises(ramet.MissingEmbedderError):
        docs.add_texts(["x"])
    assert docs.query(text="stone").ids == ["s"]  # words need none


def test_of_two_first_writers_with_other_models_the_second_is_refused(tmp_path):
    with ramet.connect(tmp_path / "db") as one, ramet.connect(tmp_path / "db") as other:
        first = one.create_collection("c", embedder=WordHash("one"))
        second = other.collection("c", embedder=WordHash("two"))
        first.add_texts(["moss"], ["m"])
        with pytest.raises(ramet.ModelMismatchError):
            second.add_texts(["stone"], ["s"])
        assert [r.id for r in second.get()] == ["m"]


def test_an_embedder_of_another_dimension_is_refused(db):
    db.create_collection("d", 5)
    with pytest.raises(ramet.ArgumentError, match="dim"):
        db.create_collection("e", 5, embedder=WordHash())
    with pytest.raises(ramet.ArgumentError, match="embedder"):
        db.collection("d", embedder=WordHash())
    assert "e" not in db


# ------------------------------------------------------------------------------------------------------------ bad input

REFUSED = {
    "a single text": (lambda c: c.add_texts("moss"), "texts"),
    "a number": (lambda c: c.add_texts(["moss", 3]), r"texts"),
    "None": (lambda c: c.add_texts(None), "texts"),
    "a surrogate": (lambda c: c.add_texts(["moss", "\ud800"]), r"texts\[1\]"),
    "one id too few": (lambda c: c.add_texts(["a", "b"], ["x"]), "ids"),
    "one id twice": (lambda c: c.add_texts(["a", "b"], ["x", "x"]), "ids"),
    "a long id": (lambda c: c.add_texts(["a"], ["x" * 470]), r"ids\[0\]"),
    "an own field": (lambda c: c.add_texts(["a"], ["x"], metadata=[{"_chunk": 1}]), r"metadata\[0\].*_chunk"),
    "nested metadata": (lambda c: c.add_texts(["a"], ["x"], metadata=[{"f": {}}]), r"metadata\[0\]"),
    "one dict too few": (lambda c: c.add_texts(["a", "b"], metadata=[{}]), "metadata"),
    "no room for tokens": (lambda c: c.add_texts(["a"], chunk_tokens=0), "chunk_tokens|max_tokens"),
    "half a token": (lambda c: c.add_texts(["a"], chunk_tokens=1.5), "chunk_tokens|max_tokens"),
    "all overlap": (lambda c: c.add_texts(["a"], chunk_tokens=10, overlap=10), "overlap"),
    "an unknown action": (lambda c: c.add_texts(["a"], on_conflict="merge"), "on_conflict"),
    "no tenant": (lambda c: c.add_texts(["a"], tenant=""), "tenant"),
    "a single id to delete": (lambda c: c.delete_texts("x"), "ids"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_as_a_whole(docs, what):
    call, match = REFUSED[what]
    with pytest.raises(ramet.ArgumentError, match=match):
        call(docs)
    assert (len(docs), docs.tenants()) == (0, {})


def test_what_an_embedder_raises_comes_as_it_is_and_nothing_is_stored(db):
    class Broken(WordHash):
        def embed_documents(self, texts):
            raise RuntimeError("no power")

    docs = db.create_collection("c", embedder=Broken())
    with pytest.raises(RuntimeError, match="no power"):
        docs.add_texts(["moss"], ["m"])
    assert len(docs) == 0
    docs = db.collection("c", embedder=WordHash("another"))  # no model was kept
    assert docs.add_texts(["moss"], ["m"]).n_chunks == 1


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.full((1, 16), np.nan), np.zeros((2, 16)), None, [[0.5] * 16]])
def test_what_is_no_vector_for_each_text_is_refused(db, wrong):
    class Wrong(WordHash):
        def embed_documents(self, texts):
            return wrong

    docs = db.create_collection("c", embedder=Wrong())
    with pytest.raises(ramet.ArgumentError):
        docs.add_texts(["moss"], ["m"])
    assert len(docs) == 0


# --------------------------------------------------------------------------------------------------------- a real model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_of_sentence_transformers_from_a_folder(db, tmp_path):
    embedder = ramet.Embedder(bert_model(tmp_path))
    docs = db.create_collection("c", embedder=embedder)
    text = "The quick brown fox jumps over the lazy dog, and the river is a stone. " * 8
    report = docs.add_texts([text, "fox of the river"], ["l", "s"])
    assert report.n_chunks > 3
    for record in docs.get():
        assert embedder.count_tokens([record.document])[0] <= embedder.max_tokens
        assert (text if record.id != "s" else "fox of the river")[
            record.metadata["_start"] : record.metadata["_end"]
        ] == record.document
    assert docs.query(text="fox of the river", k=1, exact=True).ids == ["s"]
    docs.add_texts(["dog"], ["l"])
    assert sorted(r.id for r in docs.get()) == ["l", "s"]
    docs.close()
    assert db.collection("c", embedder=ramet.Embedder(bert_model(tmp_path / "same"))).query(text="dog", k=1).ids == [
        "l"
    ]
    with pytest.raises(ramet.ModelMismatchError):
        db.collection("c", embedder=ramet.Embedder(bert_model(tmp_path / "other", seed=1)))


class KnowsNothing(WordHash):
    """Knows no word of a question, as static embeddings may."""

    def embed_queries(self, texts):
        return np.zeros((len(texts), self.dim), np.float32)


def test_words_answer_a_hybrid_question_that_the_embedder_knows_no_word_of(db):
    docs = db.create_collection("c", embedder=KnowsNothing())
    docs.add_texts(["some xq42 here", "and others there"], ["a", "b"])
    assert docs.query(text="xq42", mode="hybrid").ids == ["a"]
    assert docs.query(text=["xq42", "others"], mode="hybrid").ids == [["a"], ["b"]]
    with pytest.raises(ramet.ArgumentError, match="no word that the embedder knows"):
        docs.query(text="xq42")


def test_white_space_does_not_bind_a_collection_to_a_model(db):
    docs = db.create_collection("c", embedder=WordHash())
    docs.add_texts(["  \n "], ["a"])
    other = KnowsNothing()
    other.identity = "another"
    db.collection("c", embedder=other)


def test_chunks_never_take_the_place_of_other_records(db):
    docs = db.create_collection("c", embedder=WordHash(max_tokens=8))
    docs.add_texts(["short"], ["a#0"])
    docs.upsert(["u#1"], documents=["a record of its own"])
    for document in ("a", "u"):
        with pytest.raises(ramet.ConflictError, match="as other records"):
            docs.add_texts([LONG], [document])
    assert [docs.get([name])[0].document for name in ("a#0", "u#1")] == ["short", "a record of its own"]
    docs.add_texts([LONG], ["b"])
    with pytest.raises(ramet.ConflictError, match="as other records"):
        docs.add_texts(["instead of a chunk"], ["b#0"])
    with pytest.raises(ramet.ArgumentError, match="may be a chunk of 'x'"):
        docs.add_texts(["one", "two"], ["x", "x#0"])
    assert len(docs.get(where={"_document": "b"})) > 2


class Interrupted(WordHash):
    """Somebody else stores a document while texts are embedded."""

    def embed_documents(self, texts):
        if self.meanwhile is not None:
            work, self.meanwhile = self.meanwhile, None
            work()
        return super().embed_documents(texts)


@pytest.mark.parametrize("on_conflict", ["error", "skip"])
def test_conflicts_are_decided_when_documents_are_stored(db, on_conflict):
    embedder = Interrupted()
    docs = db.create_collection("c", embedder=embedder)
    embedder.meanwhile = lambda: docs.upsert(["a"], np.ones((1, 16)), documents=["theirs"])
    if on_conflict == "error":
        with pytest.raises(ramet.ConflictError):
            docs.add_texts(["mine", "other"], ["a", "b"], on_conflict="error")
        assert docs.count() == 1
    else:
        report = docs.add_texts(["mine", "other"], ["a", "b"], on_conflict="skip")
        assert (report.n_documents, report.n_skipped, report.n_chunks) == (1, 1, 1)
        assert docs.get(["b"])[0].document == "other"
    assert docs.get(["a"])[0].document == "theirs"


def test_upsert_embeds_documents_that_come_without_vectors(db):
    docs = db.create_collection("c", embedder=WordHash())
    docs.upsert(["a", "b", "c"], documents=["a stone", None, "the river"])
    assert docs.query(text="the river", k=1, mode="dense").ids == ["c"]
    assert [one.vector is None for one in docs.get(["a", "b", "c"])] == [False, True, False]
    docs.upsert(["d"], [None], documents=["found by words only"])
    assert docs.get(["d"])[0].vector is None
    with pytest.raises(ramet.ModelMismatchError):
        db.collection("c", embedder=WordHash("other"))


def test_a_question_is_not_compared_with_vectors_that_another_model_made_meanwhile(tmp_path):
    with ramet.connect(tmp_path) as one, ramet.connect(tmp_path) as two:
        mine = one.create_collection("c", embedder=WordHash("mine"))
        two.collection("c", embedder=WordHash("theirs")).add_texts(["a stone"])
        with pytest.raises(ramet.ModelMismatchError):
            mine.query(text="a stone")
