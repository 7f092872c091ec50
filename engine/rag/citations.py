"""Citations of an answer: read, checked against what was selected, and led back to their places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ramet.engine.arguments import DEFAULT_TENANT
from ramet.engine.rag.selection import SelectedChunk

MOST_OF_A_RANGE = 50
"""[1-9] cites nine; [1-2024] is no range of citations."""
_FEWEST_QUOTED = 20

_MARK = re.compile(r"(?P<space>[ \t]*)[\[【](?P<inner>\d{1,4}(?:\s*[,;–-]\s*\d{1,4})*)[\]】](?!\()")
# A fence that nobody closes is no code: it would hide every citation after it.
_CODE = re.compile(r"```.*?```|(?<!`)(?P<ticks>``?)(?!`)[^`\n]+(?P=ticks)(?!`)", re.DOTALL)
_PART = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")

# "not in the context" and what models say instead, in the first sentence of an answer.
_PLACE = r"(?:the |this |any )?(?:\w+ )?(?:context|sources?|texts?|passages?|documents?|excerpts?)"
_GIVEN = r"(?:mentioned|provided|found|given|stated|specified|contained|present|available|answered)"
_TELLS = r"(?:contain|mention|provide|hold|say|state|specify|give|include|answer)"
_UNABLE = r"(?:cannot|can['’]?t|can not|unable to|not able to)"
_ABSENT = re.compile(
    rf"\bnot (?:\w+ )?(?:in|{_GIVEN} (?:\w+ )?(?:in|by)) {_PLACE}\b"
    rf"|\b{_PLACE} (?:do|does)(?: not|n['’]t) (?:\w+ )?{_TELLS}\b"
    rf"|\bno (?:\w+ )?(?:information|answer|mention)\b.{{0,80}}\bin {_PLACE}\b"
    rf"|\b{_UNABLE} (?:be )?(?:answer|find|determine|say|tell).{{0,80}}{_PLACE}\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One mark in an answer, and what it points to."""

    number: int
    """As in the answer: ``[number]``."""
    id: str
    """Id of the chunk's record."""
    document: str
    """Id of the document that the chunk was cut from."""
    start: int
    end: int
    """Where the chunk is in the document, in characters; of a quotation, word for word, where that is."""
    quoted: bool
    """Whether what stands before the mark is in the chunk word for word, white space aside."""
    at: int
    """Where the mark is in the answer, in characters."""
    tenant: str = DEFAULT_TENANT
    """Of the chunk: ids are unique in one tenant only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """An answer whose citations were checked."""

    text: str
    """Without the marks that point to nothing."""
    citations: tuple[Citation, ...]
    """In the order of the text."""
    unknown: tuple[int, ...]
    """Numbers that point to nothing, in the order of the text, each once."""


def cited(text: str, chunks: Sequence[SelectedChunk]) -> Cited:
    """Read and check the citations of an answer.

    Parameters
    ----------
    text : str
        ``[1]``, ``[1, 2]``, ``[1-3]`` and ``[1][2]`` are citations; in code (between backticks) and before ``(``, where
        Markdown has links, they are not.
    chunks : sequence of SelectedChunk
        What was selected.

    Returns
    -------
    Cited
    """
    known = {chunk.number: chunk for chunk in chunks}
    parts: list[str] = []
    found: list[Citation] = []
    unknown: dict[int, None] = {}
    done, statement = 0, ""
    for mark in _marks(text):
        numbers = _numbers(mark["inner"])
        good = [number for number in numbers if number in known]
        unknown |= dict.fromkeys(number for number in numbers if number not in known)
        kept = mark[0] if len(good) == len(numbers) else _rewritten(mark["space"], good)
        statement = text[done : mark.start()].strip() or statement  # of [1][2] both are for the same
        parts += [text[done : mark.start()], kept]
        at = sum(map(len, parts)) - len(kept.lstrip(" \t"))
        found += [_citation(known[number], statement, at) for number in good]
        done = mark.end()
    return Cited(text="".join([*parts, text[done:]]), citations=tuple(found), unknown=tuple(unknown))


def _marks(text: str) -> Iterator[re.Match[str]]:
    """Citations outside of code."""
    code = [at.span() for at in _CODE.finditer(text)]
    for mark in _MARK.finditer(text):
        if not any(start <= mark.start("inner") < end for start, end in code):
            yield mark


def says_not_in_context(text: str) -> bool:
    """Whether an answer says, in its first sentence, that the context does not hold it; so does an empty one."""
    first = re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
    return not first or bool(_ABSENT.search(first))


def _numbers(inner: str) -> list[int]:
    """The numbers of a mark, each once."""
    found: dict[int, None] = {}
    for part in _PART.finditer(inner):
        first, last = int(part[1]), int(part[2] or part[1])
        if first <= last < first + MOST_OF_A_RANGE:
            found |= dict.fromkeys(range(first, last + 1))
        else:
            found |= {first: None, last: None}
    return list(found)


def _rewritten(space: str, numbers: list[int]) -> str:
    """A mark with some of its numbers."""
    return f"{space}[{', '.join(map(str, numbers))}]" if numbers else ""


def _citation(chunk: SelectedChunk, statement: str, at: int) -> Citation:
    place = _quotation(statement, chunk.text)
    start, end = place or (0, len(chunk.text))
    return Citation(
        number=chunk.number,
        id=chunk.id,
        document=chunk.document,
        start=chunk.position + start,
        end=chunk.position + end,
        quoted=place is not None,
        at=at,
        tenant=chunk.tenant,
    )


def _quotation(statement: str, text: str) -> tuple[int, int] | None:
    """Where what an answer says stands in a chunk word for word; white space may differ."""
    letters = "".join(statement.split()).strip("\"'“”")
    if len(letters) < _FEWEST_QUOTED:
        return None
    places = [i for i, one in enumerate(text) if not one.isspace()]
    at = "".join(text[i] for i in places).find(letters)
    return None if at < 0 else (places[at], places[at + len(letters) - 1] + 1)
