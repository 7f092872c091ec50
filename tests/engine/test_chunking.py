"""Chunks: where they are, how long they are, and that nothing is lost between them."""

import re
from itertools import pairwise
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.chunking import Chunk, _last_space, chunk, count_words
from ramet.engine.embedding import Embedder
from ramet.engine.embedding_static import StaticEmbedder
from ramet.engine.errors import ArgumentError
from tests.engine.models import bert_model, static_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def count_characters(texts):
    return [len(text) for text in texts]


def count_bytes_and_two(texts):
    """Like a byte-level tokenizer with two special tokens: a character can have four tokens."""
    return [len(text.encode()) + 2 for text in texts]


def count_odd(texts):
    """Like WordPiece: a long word is one unknown token, so a part of a text can have more tokens than the whole."""
    return [sum(1 if len(word) > 20 else len(word) for word in text.split()) + 2 for text in texts]


def test_a_document_that_fits_is_counted_once():
    counted = []

    def count(texts):
        counted.extend(texts)
        return [len(text) for text in texts]

    assert chunk(["one two", " three "], max_tokens=10, count_tokens=count) == [
        [Chunk("one two", 0, 7, 7)],
        [Chunk("three", 1, 6, 5)],
    ]
    assert sorted(counted) == ["", " three ", "one two", "three"]


@given(text=st.text("ab \n\u2003\x1c", max_size=12), start=st.integers(0, 12), end=st.integers(0, 12))
def test_the_last_word_begins_where_a_search_from_the_front_finds_it(text, start, end):
    start, end = sorted((min(start, len(text)), min(end, len(text))))
    expected = end if text[end : end + 1].isspace() else start + re.search(r"\S*\Z", text[start:end]).start()
    assert _last_space(text, start, end) == expected


COUNTERS = {
    "words": None,
    "characters": count_characters,
    "bytes": count_bytes_and_two,
    "unknown": count_odd,
}

WHITE = " \t\n\r\x0b\u00a0\u2003"
texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab.,;! \n\té狐🦊" + WHITE, max_size=400),
    st.lists(st.text(alphabet="abcdefé", min_size=1, max_size=40), max_size=40).map(" ".join),
)


def check(document, chunks, *, most, count, overlap):
    """What holds for the chunks of any document."""
    covered = bytearray(len(document))
    for i, one in enumerate(chunks):
        assert document[one.start : one.end] == one.text
        assert one.text == one.text.strip() != ""
        assert one.n_tokens == count([one.text])[0] <= most
        covered[one.start : one.end] = b"\1" * (one.end - one.start)
        if i:
            before = chunks[i - 1]
            assert before.start < one.start and before.end < one.end
            if not overlap:
                assert before.end <= one.start
            elif one.start < before.end:  # special tokens are not part of an overlap
                repeated = document[one.start : before.end]
                assert count([repeated])[0] - count([""])[0] <= overlap
    missed = [char for char, seen in zip(document, covered, strict=True) if not seen and not char.isspace()]
    assert not missed


@pytest.mark.parametrize("counter", COUNTERS)
@given(document=texts, most=st.integers(6, 40), part=st.floats(0, 1))
def test_chunks_of_any_text_are_where_they_say_and_within_the_limit(counter, document, most, part):
    count = COUNTERS[counter] or count_words
    overlap = int(part * ((most - count([""])[0]) // 2))
    (chunks,) = chunk([document], max_tokens=most, overlap=overlap, count_tokens=COUNTERS[counter])
    check(document, chunks, most=most, count=count, overlap=overlap)
    assert chunk([document], max_tokens=most, overlap=overlap, count_tokens=COUNTERS[counter]) == [chunks]


@pytest.fixture(scope="module", params=["transformer", "static"])
def embedder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    if request.param == "static":
        return StaticEmbedder(static_model(folder))
    return Embedder(bert_model(folder), document_prefix="passage: ")


@given(document=texts, overlap=st.integers(0, 9))
def test_the_limit_of_an_embedder_is_kept_as_its_tokenizer_counts(embedder, document, overlap):
    most = embedder.max_tokens or 24
    (chunks,) = chunk([document], max_tokens=most, overlap=overlap, count_tokens=embedder.count_tokens)
    check(document, chunks, most=most, count=embedder.count_tokens, overlap=overlap)


@pytest.mark.parametrize("overlap", [0, 30])
def test_real_documents(overlap):
    documents = list(topics.values())[:20]
    results = chunk(documents, max_tokens=100, overlap=overlap)
    assert len(results) == len(documents)
    for document, chunks in zip(documents, results, strict=True):
        check(document, chunks, most=100, count=count_words, overlap=overlap)
    repeated = [b.start < a.end for chunks in results for a, b in pairwise(chunks)]
    assert sum(repeated) >= 0.9 * len(repeated) if overlap else not any(repeated)


def test_overlaps_begin_with_a_whole_word_and_follow_the_text():
    document = " ".join(f"word{i}" for i in range(200))
    (chunks,) = chunk([document], max_tokens=20, overlap=5)
    for before, after in pairwise(chunks):
        assert before.end - after.start == len(" ".join(before.text.split()[-5:]))
        assert after.text.startswith("word")


def test_a_document_that_fits_is_one_chunk_without_the_space_around_it():
    assert chunk(["  a fox \n"], max_tokens=5) == [[Chunk("a fox", 2, 7, 2)]]


def test_documents_without_words_have_no_chunks_and_no_documents_have_none():
    assert chunk(["", " \n\t", "fox"], max_tokens=5) == [[], [], [Chunk("fox", 0, 3, 1)]]
    assert chunk([], max_tokens=5) == []


def test_paragraphs_are_kept_together_where_they_fit():
    paragraphs = ["The first one. It has two sentences.", "The second one.", "And a third, with a clause."]
    (chunks,) = chunk(["\n\n".join(paragraphs)], max_tokens=8)
    assert [one.text for one in chunks] == paragraphs


def test_an_endless_word_is_cut():
    word = "x" * 5000
    for counter, most in ((None, 10), (count_characters, 100), (count_bytes_and_two, 100)):
        (chunks,) = chunk([word], max_tokens=most, count_tokens=counter)
        assert "".join(one.text for one in chunks) == word
        check(word, chunks, most=most, count=counter or count_words, overlap=0)
        assert len(chunks) <= 60


def test_a_thousand_kinds_of_white_space_do_no_harm():
    runs = ("".join("\r\n"[n >> bit & 1] for bit in range(11)) for n in range(2048))
    document = "".join(f"word{run}" for run in runs)
    (chunks,) = chunk([document], max_tokens=10)
    check(document, chunks, most=10, count=count_words, overlap=0)


def test_words_without_a_tokenizer():
    assert count_words(["", "a fox", "x" * 16, "x" * 17, "a\u00a0b"]) == [0, 2, 1, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"texts": "fox"}, "texts"),
        ({"texts": ["fox", None]}, "texts[1]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2, "count_tokens": count_odd}, "max_tokens"),
        ({"max_tokens": 4, "count_tokens": count_bytes_and_two, "texts": ["🦊 fox"]}, "max_tokens"),
        ({"overlap": -1}, "overlap"),
        ({"overlap": 6}, "overlap"),
        ({"overlap": 1.5}, "overlap"),
    ],
)
def test_wrong_arguments_are_refused(arguments, argument):
    with pytest.raises(ArgumentError) as error:
        chunk(**{"texts": ["fox"], "max_tokens": 10, **arguments})
    assert error.value.argument == argument


def test_the_error_of_a_limit_says_what_would_do():
    with pytest.raises(ArgumentError) as error:
        chunk(["🦊 fox"], max_tokens=4, count_tokens=count_bytes_and_two)
    least = int(re.search(r"at least (\d+)", str(error.value)).group(1))
    chunk(["🦊 fox"], max_tokens=least, count_tokens=count_bytes_and_two)
