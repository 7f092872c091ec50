"""Long documents cut into chunks that an embedder reads whole, with the places they came from.

semchunk (`docs/text.md` compares it with others) finds the places: at paragraphs if possible, else at lines, sentences,
clauses, words. What this module adds is what a citation and a context window rely on: ``text[start:end]`` is the chunk,
and no chunk has more tokens than asked for, whatever the text and the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ramet.engine.arguments import positive, whole
from ramet.engine.errors import ArgumentError
from ramet.engine.texts import checked_texts

MOST_TOKENS = 1 << 20
WORD_LETTERS = 16
"""Characters of a word that count as one, where no tokenizer says otherwise: endless words are cut, too."""

_WORD = re.compile(rf"\S{{1,{WORD_LETTERS}}}")
_REMEMBERED = 1 << 14

TokenCounter = Callable[[list[str]], Sequence[int]]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    Attributes
    ----------
    text : str
        ``document[start:end]``, without white space at its ends.
    start, end : int
        Where it is in the document, in characters (Unicode code points).
    n_tokens : int
        As the counter counts the chunk by itself.
    """

    text: str
    start: int
    end: int
    n_tokens: int


def count_words(texts: list[str]) -> list[int]:
    """Words of each text: runs of up to 16 characters that are not white space."""
    return [len(_WORD.findall(text)) for text in texts]


def chunk(
    texts: Sequence[str], *, max_tokens: int, overlap: int = 0, count_tokens: TokenCounter | None = None
) -> list[list[Chunk]]:
    """Cut documents into chunks, in order, the same for the same arguments.

    Parameters
    ----------
    texts : sequence of str
        Documents. One that is empty or white space has no chunks.
    max_tokens : int
        No chunk has more, as ``count_tokens`` counts it; special tokens and prefixes are part of that.
    overlap : int
        So many tokens at most of what precedes a chunk are repeated at its start, in whole words; up to half of what
        ``max_tokens`` leaves room for.
    count_tokens : callable, optional
        list of n texts -> n numbers; an embedder's `count_tokens`. Without one, words are counted (`count_words`).

    Returns
    -------
    list of lists of Chunk
        One list for each document. Every character that is not white space is in a chunk.

    Raises
    ------
    ArgumentError
        Wrong texts or numbers, or a limit that a single character exceeds.
    """
    documents = checked_texts(texts, "texts")
    count = count_tokens or count_words
    most = positive(max_tokens, "max_tokens", MOST_TOKENS)
    fixed = int(count([""])[0])
    room = most - fixed
    if room < 1:
        raise ArgumentError(
            "max_tokens", f"is {most}, and special tokens and the prefix alone are {fixed}; pass at least {fixed + 1}"
        )
    if whole(overlap, "overlap") > room // 2:
        raise ArgumentError("overlap", f"is {overlap}; at most {room // 2}, half of the room for text, is possible")
    cutter = _Cutter(count, most, fixed, int(overlap))
    return [
        cutter.chunks(text, int(n_tokens)) if text and not text.isspace() else []
        for text, n_tokens in zip(documents, count(documents) if documents else [], strict=True)
    ]


class _Cutter:
    """Cuts documents for one limit.

    Parameters
    ----------
    count : callable
        list of n texts -> n token counts.
    most : int
        Tokens of a chunk at most.
    fixed : int
        Tokens of an empty text.
    overlap : int
        Tokens of the overlap at most.
    """

    def __init__(self, count: TokenCounter, most: int, fixed: int, overlap: int) -> None:
        self._most, self._fixed, self._overlap = most, fixed, overlap
        # semchunk's own memory of counts is global and keeps every text for good.
        self._count = lru_cache(_REMEMBERED)(lambda text: int(count([text])[0]) - fixed)

    def chunks(self, text: str, n_tokens: int) -> list[Chunk]:
        """Chunks of one document of ``n_tokens``."""
        self._count.cache_clear()
        start, end = _stripped(text, 0, len(text))
        if n_tokens <= self._most:
            if end - start < len(text):
                n_tokens = self._fixed + self._count(text[start:end])
            if n_tokens <= self._most:
                return [Chunk(text[start:end], start, end, n_tokens)]
        limit = self._most - self._fixed - self._overlap
        spans = [part for span in self._spans(text, limit) for part in self._cut(text, span, limit)]
        if self._overlap:
            spans = self._overlapping(text, spans)
        found = [(text[start:end], start, end) for start, end in spans]
        return [Chunk(part, start, end, self._fixed + self._count(part)) for part, start, end in found]

    def _spans(self, text: str, limit: int) -> list[Span]:
        """Where semchunk would cut."""
        import semchunk  # here, since it costs a third of a second

        offsets: list[Span]
        cut: Any = semchunk.chunk  # type: ignore[attr-defined] # it says a list or a pair, and exports nothing by name
        try:
            _, offsets = cut(text, limit, self._count, memoize=False, offsets=True)
        except RecursionError:  # it recurses once for each kind of white space, and a text can have thousands
            offsets = [(0, len(text))]
        return [span for start, end in offsets if (span := _stripped(text, start, end))[0] < span[1]]

    def _cut(self, text: str, span: Span, limit: int) -> list[Span]:
        """The span, or parts of it that keep the limit."""
        start, end = span
        if self._count(text[start:end]) <= limit:
            return [span]
        parts: list[Span] = []
        while start < end:
            at = self._far(text, start, end, limit)
            if at < end:
                space = _last_space(text, start, at)
                if space > start and self._count(text[start:space]) <= limit:
                    at = space
            if (part := _stripped(text, start, at))[0] < part[1]:
                parts.append(part)
            start = _stripped(text, at, end)[0]
        return parts

    def _far(self, text: str, start: int, end: int, limit: int) -> int:
        """A far end at which the text from ``start`` keeps the limit: where counts grow with the text, the last one."""
        low = start + 1
        if (n_tokens := self._count(text[start:low])) > limit:
            least = self._fixed + self._overlap + n_tokens
            raise ArgumentError(
                "max_tokens", f"is {self._most}, too few for the character {text[start]!r}; pass at least {least}"
            )
        high = min(end, start + 4 * limit)
        while self._count(text[start:high]) <= limit:
            if high == end:
                return end
            low, high = high, min(end, start + 2 * (high - start))
        while high - low > 1:
            middle = (low + high) // 2
            if self._count(text[start:middle]) <= limit:
                low = middle
            else:
                high = middle
        return low

    def _overlapping(self, text: str, spans: list[Span]) -> list[Span]:
        """Spans that begin with the last words of what precedes them."""
        result = spans[:1]
        for (before, _), (start, end) in pairwise(spans):
            # Not the first one: a chunk that is repeated whole would be there for nothing. And a word has a token at
            # least, mostly: no more words than tokens need to be looked at.
            words = [at.start() for at in re.finditer(r"\S+", text[before:start])][1:][-self._overlap :]
            low, high = 0, len(words)  # words[high:] are repeated
            while low < high:
                middle = (low + high) // 2
                if self._count(text[before + words[middle] : start]) <= self._overlap:
                    high = middle
                else:
                    low = middle + 1
            first = before + words[high] if high < len(words) else start
            fits = self._count(text[first:end]) <= self._most - self._fixed
            result.append((first if fits else start, end))
        return result


def _stripped(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends; empty at ``end`` when there is nothing else."""
    part = text[start:end]
    start = end - len(part.lstrip())
    return start, start + len(part.strip())


def _last_space(text: str, start: int, end: int) -> int:
    """Where the last word of a span that goes on at ``end`` begins; ``start`` if it has one word."""
    if end < len(text) and text[end].isspace():
        return end
    part = text[start:end]
    if not part or part[-1].isspace():
        return end
    return end - len(part.rsplit(None, 1)[-1])  # from the end: a search for the last word tries every character
