"""Texts become words: English, other languages, scripts without spaces, and what is no text."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.text import analysis
from ramet.engine.text.analysis import LANGUAGES, Analyzer
from ramet.engine.text.stopwords import STOP_WORDS


def test_english_words_are_stemmed_and_stop_words_go():
    words = Analyzer("en").words("The Searchers were searching: they SEARCHED for it (twice) in co-operation, B-52!")
    assert words == ["searcher", "search", "search", "twice", "co", "oper", "52"]


def test_without_a_language_words_stay_as_they_are():
    assert Analyzer("none").words("The Searchers were searching_it x 10") == [
        "the", "searchers", "were", "searching_it", "10",
    ]  # fmt: skip


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=80))
def test_words_of_western_text_are_those_of_the_regular_expression(text):
    folded = analysis.unicodedata.normalize("NFKC", text).lower()
    plain = re.findall(r"(?u)\b\w\w+\b", folded)
    if not any(analysis.unicodedata.category(c).startswith("M") for c in folded):
        assert Analyzer("none").words(text) == plain


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=80))
def test_english_is_the_stemmer_behind_the_stop_words(text):
    stemmer = Stemmer.Stemmer("english")
    expected = [stemmer.stemWord(word) for word in Analyzer("none").words(text) if word not in STOP_WORDS["en"]]
    assert Analyzer("en").words(text) == expected


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("de", "Die Häuser", "das Haus"),
        ("fr", "les continuelles", "continuel"),
        ("es", "las bibliotecas", "la biblioteca"),
        ("ru", "важные", "важная"),
        ("sv", "flickorna", "flickor"),
        ("en", "ﬁnding", "find"),  # a ligature
        ("en", "Ｒｕｎｎｉｎｇ", "run"),  # letters of double width
        ("none", "cafe\u0301", "CAFÉ"),  # the accent as a character of its own
    ],
)
def test_forms_of_a_word_meet(language, one, other):
    analyzer = Analyzer(language)
    assert analyzer.words(one) == analyzer.words(other) != []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京都に住む", ["東京", "京都", "都に", "に住", "住む"]),
        ("水", ["水"]),
        ("Python入門 2024年", ["python", "入門", "2024", "年"]),
        ("서울에서", ["서울", "울에", "에서"]),
        ("กาแฟ", ["กา", "าแ", "แฟ"]),
        ("दुनिया की", ["दुनिया", "की"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
    ],
)
def test_scripts_without_spaces_and_with_marks(text, words):
    assert Analyzer("none").words(text) == words


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=st.text(max_size=60))
def test_every_language_takes_every_text(language, text):
    analyzer = Analyzer(language)
    first = analyzer.words(text)
    assert all(word and "\0" not in word and word == word.strip() for word in first)
    assert analyzer.words(text) == first


def test_what_is_no_text_has_no_words():
    assert [Analyzer("en").words(text) for text in ("", " \n\t", "?!…", "a I", "\ud800", "\0")] == [[]] * 6


def test_a_full_cache_begins_anew(monkeypatch):
    monkeypatch.setattr(analysis, "MAX_KNOWN", 3)
    analyzer = Analyzer("en")
    text = "cats dogs birds horses cats " * 2
    assert analyzer.words(text) == ["cat", "dog", "bird", "hors", "cat"] * 2
    assert len(analyzer._stems) <= 3
    long = "x" * 500
    assert analyzer.words(long) == [long]


def test_threads_share_an_analyzer():
    analyzer = Analyzer("en")
    texts = [" ".join(f"walking{chr(97 + i % 26)} runs{i}" for i in range(n, n + 200)) for n in range(40)]
    expected = [Analyzer("en").words(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyzer.words, texts)) == expected


@pytest.mark.parametrize("language", ["xx", "EN", "english", ""])
def test_an_unknown_language_is_refused(language):
    with pytest.raises(ArgumentError, match="language.*pass one of none, ar"):
        Analyzer(language)


def test_identity_names_language_and_rules():
    assert Analyzer("de").identity == {"language": "de", "version": analysis.VERSION, "stemmer": Stemmer.version()}
