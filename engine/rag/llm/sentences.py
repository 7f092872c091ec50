"""Texts taken apart into sentences, with the places they came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_LETTERS = 500
"""Longer ones are cut: tables and code have no ends."""

# Ends: punctuation before something that can begin a sentence; an empty line; a line that underlines; a line before a
# list or an indented block.
_END = re.compile(
    r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|(?<=[。！？])|\n[ \t]*[*=~^#-]{3,}[ \t]*(?:\n\s*|$)|\n[ \t]*\n\s*"
    r"|\n(?=[ \t]*(?:[-*+•]|\d+[.)])[ \t])|(?<=:)\n\s*"
)
# After these a point ends no sentence.
_SHORT = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|etc|[Ff]ig|[Nn]o|[Dd]r|[Mm]rs?|[Ss]t|[A-Z])|\.\.)\.$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and where it is: ``text[start:end]``."""

    text: str
    """On one line, runs of white space made one space."""
    start: int
    end: int


def sentences(text: str) -> list[Sentence]:
    """Sentences of a text, in order; white space between them is left out."""
    found = []
    for start, end in _spans(text):
        line = " ".join(text[start:end].split())
        if any(one.isalnum() for one in line):
            found.append(Sentence(line, start, end))
    return found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for at in [*_END.finditer(text), None]:
        end = len(text) if at is None else at.start()
        if at is not None and "\n\n" not in at[0] and _SHORT.search(text[start:end]):
            continue
        yield from _short_enough(text, start, end)
        start = end if at is None else at.end()


def _short_enough(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A span without white space at its ends, cut at words if it is long."""
    while start < end:
        while start < end and text[start].isspace():
            start += 1
        stop = min(end, start + MOST_LETTERS)
        if stop < end:
            space = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop))
            stop = space if space > start else stop
        last = stop
        while last > start and text[last - 1].isspace():
            last -= 1
        if last > start:
            yield start, last
        start = stop
