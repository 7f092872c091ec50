"""Citations read, checked and led back to their places."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.rag.citations import cited, says_not_in_context
from ramet.engine.rag.llm.sentences import sentences
from ramet.engine.rag.selection import SelectedChunk


def chunks(*texts):
    return [
        SelectedChunk(
            id=f"doc#{i}", text=text, document="doc", position=1000 * i, n_tokens=9, why="", number=i + 1, score=1.0
        )
        for i, text in enumerate(texts)
    ]


SOURCES = chunks("Paris is the capital of France,\n  and its largest city.", "The Seine flows through it.", "Third.")


@pytest.mark.parametrize(
    ("answer", "numbers", "unknown", "text"),
    [
        ("Paris [1].", [1], [], "Paris [1]."),
        ("Paris[1], on the Seine [2].", [1, 2], [], "Paris[1], on the Seine [2]."),
        ("Paris [1, 2].", [1, 2], [], "Paris [1, 2]."),
        ("Paris [1][3].", [1, 3], [], "Paris [1][3]."),
        ("Paris [1-3].", [1, 2, 3], [], "Paris [1-3]."),
        ("Paris [1–2; 3].", [1, 2, 3], [], "Paris [1–2; 3]."),
        ("巴黎【2】。", [2], [], "巴黎【2】。"),
        ("Paris [4].", [], [4], "Paris."),
        ("Paris [0] [1] [9].", [1], [0, 9], "Paris [1]."),
        ("Paris [1, 7].", [1], [7], "Paris [1]."),
        ("Paris [2-5].", [2, 3], [4, 5], "Paris [2, 3]."),
        ("In [2024-9999] years.", [], [2024, 9999], "In years."),
        ("A [1](http://x) link, `list[7]` and ```a[8]\nb[9]```", [], [], None),
        ("A fence ``` of none [2], `list[7]`", [2], [], None),
        ("Two ticks ``list[7]`` and [1]", [1], [], None),
        ("No marks: [], [a], [12345], [ 1 ].", [], [], None),
        ("", [], [], ""),
    ],
)
def test_marks(answer, numbers, unknown, text):
    found = cited(answer, SOURCES)
    assert [one.number for one in found.citations] == numbers
    assert list(found.unknown) == unknown
    assert found.text == (answer if text is None else text)


def test_a_citation_leads_to_chunk_document_and_place():
    (one,) = cited("It flows there [2].", SOURCES).citations
    assert (one.id, one.document, one.quoted) == ("doc#1", "doc", False)
    assert (one.start, one.end) == (1000, 1000 + len(SOURCES[1].text))


def test_a_quotation_leads_to_its_own_place_whatever_the_white_space():
    (one,) = cited("Paris is the capital of France, and its largest city. [1]", SOURCES).citations
    assert one.quoted
    assert (one.start, one.end) == (0, len(SOURCES[0].text))
    first, second = cited('"capital of France, and its" [1][2]', SOURCES).citations
    assert SOURCES[0].text[first.start : first.end] == "capital of France,\n  and its"
    assert not second.quoted


marks = st.one_of(
    st.integers(0, 12).map(lambda n: f"[{n}]"),
    st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda ns: f"[{', '.join(map(str, ns))}]"),
    st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda ns: f"[{ns[0]}-{ns[1]}]"),
)
texts = st.lists(st.one_of(st.text(alphabet="ab .\n[]()`0", max_size=8), marks), max_size=12).map(" ".join)


@given(texts, st.integers(0, 6))
def test_no_answer_keeps_a_citation_of_what_was_not_selected(text, n):
    known = chunks(*["some text"] * n)
    found = cited(text, known)
    assert all(1 <= one.number <= n for one in found.citations)
    assert all(not 1 <= number <= n for number in found.unknown)
    assert len(set(found.unknown)) == len(found.unknown)
    for one in found.citations:
        mark = re.match(r"[\[【][^\]】]*[\]】]", found.text[one.at :])
        assert mark and re.search(r"\d", mark[0])
        assert known[one.number - 1].position == one.start
    # What is checked once is checked: nothing more is taken away, and the same is cited.
    if "`" not in text:
        again = cited(found.text, known)
        assert [one.number for one in again.citations][: len(found.citations)] == [
            one.number for one in found.citations
        ] or "](" in text


@given(st.lists(st.sampled_from(["one", "two.", "Three", "e.g.", "\n\n", "- item", ":", "x" * 700]), max_size=40))
def test_sentences_are_places_in_order_and_lose_no_letter(words):
    text = " ".join(words)
    found = sentences(text)
    assert all(one.text == " ".join(text[one.start : one.end].split()) for one in found)
    ends = [0, *(place for one in found for place in (one.start, one.end))]
    assert ends == sorted(ends)
    kept = "".join(one.text for one in found)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]


def test_sentences_end_where_people_end_them():
    text = (
        "A title\n=======\n\n"
        "Dr. A. Smith came, e.g. from York. He left:\n- by train\n- by car\n\nA title\n\nNumber No. 5 won! Did it?"
    )
    assert [one.text for one in sentences(text)] == [
        "A title", "Dr. A. Smith came, e.g. from York.", "He left:", "- by train", "- by car", "A title",
        "Number No. 5 won!",
        "Did it?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("Not in the context.", True),
        ("not in the context", True),
        ("The answer is not in the context.", True),
        ("This is not mentioned in the provided sources. However, Paris is a city.", True),
        ("The sources do not mention who founded it.", True),
        ("The provided context doesn't contain that.", True),
        ("There is no information about that in the passages.", True),
        ("I cannot answer this from the given context.", True),
        ("", True),
        ("Paris is the capital [1].", False),
        ("It is not a city in France [1].", False),
        ("The context manager's __exit__ method is called [1].", False),
        ("Paris [1]. Its mayor is not in the context.", False),
    ],
)
def test_answers_that_say_there_is_none(text, absent):
    assert says_not_in_context(text) == absent
