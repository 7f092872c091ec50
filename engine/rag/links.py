"""Which chunks speak of each other: the second hop of a question, seen without a model.

The passage that a question leads to often shares no word with the question, but it is named in a passage that does:
"the band that X played for" leads to the passage on X, which names the band, and that is what the next passage is
called. So two chunks are linked when one of them mentions the name of the other. docs/rag-strategies.md has figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.pool import Candidate, Name

F64 = npt.NDArray[np.float64]

TITLE = "title"
"""Metadata field that holds a chunk's name, where there is one."""
SHORTEST, LONGEST = 3, 100
"""Characters of a name: shorter ones are found everywhere, longer ones are sentences."""
_EXTENDED = re.compile(r"\s*\([^()]*\)\s*$")
"""What tells namesakes apart, as in "Rush (band)": nobody writes it in a sentence."""


def linked(candidates: Sequence[Candidate]) -> F64:
    """Whether chunks mention each other's names.

    A name is the metadata field ``title``, or else a short first line above the text. Names are looked for as they
    are written, as whole words.

    Parameters
    ----------
    candidates : sequence of Candidate

    Returns
    -------
    array of float64, shape (n, n)
        1 where one of two chunks mentions the other's name, else 0; symmetric. 0 for chunks of one document or name.
    """
    n = len(candidates)
    found = np.zeros((n, n))
    parts = [_name_and_body(candidate) for candidate in candidates]
    for name in {name for name, _ in parts if SHORTEST <= len(name) <= LONGEST}:
        named = [i for i in range(n) if parts[i][0] == name]
        speaking = [i for i in range(n) if parts[i][0] != name and _mentions(parts[i][1], name)]
        found[np.ix_(speaking, named)] = 1.0
    found = np.maximum(found, found.T)
    numbers: dict[Name, int] = {}
    documents = np.array([numbers.setdefault(candidate.source, len(numbers)) for candidate in candidates], np.int64)
    found[documents[:, None] == documents] = 0.0
    return found


def _name_and_body(candidate: Candidate) -> tuple[str, str]:
    """What a chunk is called, "" if nothing says so, and the text that may mention others."""
    first, newline, rest = candidate.text.partition("\n")
    title = (candidate.metadata or {}).get(TITLE)
    if isinstance(title, str) and title.strip():
        return _short(title), rest if _short(first) == _short(title) else candidate.text
    if newline and len(first) <= LONGEST and not first.rstrip().endswith((".", ",", ";")):
        return _short(first), rest
    return "", candidate.text


def _short(title: str) -> str:
    """A name as sentences have it."""
    return _EXTENDED.sub("", title.strip()).strip()


def _mentions(text: str, name: str) -> bool:
    """Whether a text has a name in it, not as part of a longer word."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (at and text[at - 1].isalnum()) and not text[end : end + 1].isalnum():
            return True
        at = text.find(name, at + 1)
    return False
