"""Chunks that mention each other's names are linked."""

import pytest
from hypothesis import given

from ramet.engine.rag.links import linked
from ramet.engine.rag.pool import Candidate
from tests.engine.rag_world import POOLS
from tests.oracle.sets import link_of


def chunk(i, text, title=None, document=None):
    metadata = None if title is None else {"title": title}
    return Candidate(id=f"c{i}", text=text, score=0.0, document=document or f"d{i}", position=0, metadata=metadata)


def link(one, other):
    found = linked([one, other])
    assert found[0, 1] == found[1, 0]
    assert found[0, 0] == found[1, 1] == 0.0
    return found[0, 1]


@given(POOLS)
def test_links_are_those_of_the_naive_search(pool):
    found = linked(pool.candidates)
    assert found.shape == (len(pool.candidates),) * 2
    for i, one in enumerate(pool.candidates):
        for j, other in enumerate(pool.candidates):
            assert found[i, j] == (link_of(one, other) if i != j else 0.0)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("He drummed for Rush.", "Rush", 1.0),
        ("He drummed for Rush.", "Rush (band)", 1.0),
        ("He drummed for Rush.", "rush", 0.0),
        ("Rushmore, and Mount Rushmore", "Rush", 0.0),
        ("Rushmore, then Rush", "Rush", 1.0),
        ("born in Ål", "Ål", 0.0),  # two characters
        ("born in Ålesund", "Åle", 0.0),
        ("", "Rush", 0.0),
        ("anything", "", 0.0),
        ("anything", " (film)", 0.0),
        ("a" * 101, "a" * 101, 0.0),
    ],
)
def test_names_are_found_as_whole_words(text, name, expected):
    assert link(chunk(0, text), chunk(1, "of its own", name)) == expected


def test_a_short_first_line_is_a_name():
    named = chunk(1, "Counterparts\nis an album.")
    assert link(chunk(0, "Rush made Counterparts in 1993."), named) == 1.0
    assert link(chunk(0, "Counterparts\nin law: two people"), named) == 0.0  # namesakes
    assert link(chunk(0, "An album."), chunk(1, "An album.\nOf Rush.")) == 0.0


def test_chunks_of_one_document_are_not_linked():
    assert link(chunk(0, "Rush is", "Canada", "d"), chunk(1, "more of it", "Rush", "d")) == 0.0


def test_titles_that_are_no_text_are_ignored():
    assert (
        link(chunk(0, "7 of 9"), Candidate(id="c1", text="x", score=0, document="d", position=0, metadata={"title": 7}))
        == 0.0
    )
