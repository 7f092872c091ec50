"""Text to words: what a collection's documents and a query's text are compared by."""

from __future__ import annotations

import re
import threading
import unicodedata

import Stemmer

from ramet.engine.errors import ArgumentError
from ramet.engine.text.stopwords import STOP_WORDS

VERSION = 1
"""Of the rules here; raised when the words of a text change, since what is stored was made by the old ones."""

NO_LANGUAGE = "none"

# ISO 639-1 code -> name of the Snowball algorithm.
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "st": "sesotho", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

LANGUAGES = (NO_LANGUAGE, *STEMMERS)

# Distinct tokens whose stems are kept: about 30 MB. A language has fewer words; identifiers and numbers have no end.
MAX_KNOWN = 1 << 18
MAX_KNOWN_BYTES = 64

# Scripts written without spaces between words: Thai and Lao, Burmese, Khmer, kana, Han; and Hangul, whose words carry
# particles.
_WITHOUT_SPACES = (
    r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)

# Marks that are no letters to Python and stand inside words: accents, points of Hebrew and Arabic, the vowels of the
# scripts of India and Sri Lanka, and the joiners between letters.
_MARKS = (
    r"\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    r"\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)

# Bytes of utf-8: letters to lower case, what is in no word to a space, what belongs to other characters as it is.
_FOLDED = bytes(
    ord(chr(i).lower()) if i < 128 and (chr(i).isalnum() or i == ord("_")) else i if i >= 128 else ord(" ")
    for i in range(256)
)

_WORD = re.compile(rf"[\w{_MARKS}{_WITHOUT_SPACES}]{{2,}}|[{_WITHOUT_SPACES}]")
_RUN = re.compile(f"[{_WITHOUT_SPACES}]+")


class Analyzer:
    """Words of texts in one language. Safe to share between threads.

    Parameters
    ----------
    language : str
        ISO 639-1 code, one of `LANGUAGES`; "none" takes words as they are: no stop words, no stemming.

    Raises
    ------
    ArgumentError
        A language that no stemmer knows.
    """

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ArgumentError("language", f"is {language!r}; pass one of {', '.join(LANGUAGES)}")
        if language != NO_LANGUAGE and STEMMERS[language] not in Stemmer.algorithms():
            raise ArgumentError(
                "language", f"PyStemmer {Stemmer.version()} has no stemmer for {language!r}; install a newer one"
            )
        self.language = language
        self._stems = _Stems(language)

    @property
    def identity(self) -> dict[str, str | int]:
        """What the words of a text depend on, to be stored with them: language, rules, release of the stemmer."""
        stemmer = "" if self.language == NO_LANGUAGE else Stemmer.version()
        return {"language": self.language, "version": VERSION, "stemmer": stemmer}

    def words(self, text: str) -> list[str]:
        """Return the words of a text in order, as often as they occur.

        Letters are brought to one form (NFKC) and lower case; a word is a run of at least two letters, digits or
        underscores. Stop words of the language go, and the stem of the rest stays. Runs of a script without spaces
        become pairs of neighbouring characters, which overlap.
        """
        tokens = text.encode(errors="replace").translate(_FOLDED).split()
        if text.isascii():
            return list(filter(None, map(self._stems.__getitem__, tokens)))
        return " ".join(map(self._stems.__getitem__, tokens)).split()


def _parts(token: str) -> list[str]:
    """Return the words in a token that is not all ASCII; it is followed and preceded by characters in no word."""
    folded = unicodedata.normalize("NFKC", token).lower()
    if _RUN.search(folded):
        folded = _RUN.sub(_pairs, folded)
    return _WORD.findall(folded)


def _pairs(run: re.Match[str]) -> str:
    """Return a run of characters as pairs of neighbours, set apart by spaces."""
    text = run[0]
    pairs = [text[i : i + 2] for i in range(len(text) - 1)] or [text]
    return f" {' '.join(pairs)} "


class _Stems(dict[bytes, str]):
    """What each token met so far becomes: a stem, nothing, or several stems with spaces between them."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._stop_words = STOP_WORDS.get(language, frozenset())
        # Its own cache is smaller, and slower than a dict.
        self._stemmer = None if language == NO_LANGUAGE else Stemmer.Stemmer(STEMMERS[language], 0)
        self._lock = threading.Lock()

    def __missing__(self, token: bytes) -> str:
        word = token.decode()
        parts = [word] if word.isascii() else _parts(word)
        stems = " ".join(self._stem(part) for part in parts if part not in self._stop_words)
        if len(token) <= MAX_KNOWN_BYTES:
            if len(self) >= MAX_KNOWN:
                self.clear()
            self[token] = stems
        return stems

    def _stem(self, word: str) -> str:
        if len(word) == 1 and word.isascii():
            return ""
        if self._stemmer is None:
            return word
        with self._lock:  # a stemmer has one buffer
            stem: str = self._stemmer.stemWord(word)
        return stem
