"""The hard limit: tokens of the whole prompt as rendered, counted by the reader's tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.pool import I64
from ramet.engine.rag.prompt import Quotable, Reader, Template

Arrange = Callable[[Sequence[int]], Sequence[int]]


class Budget:
    """Tokens that a prompt may have, template, separators and question included.

    Parameters
    ----------
    tokens : int
    question : str
    chunks : sequence
        What may be chosen; orders below are of positions in it.
    template : Template
    reader : Reader

    Raises
    ------
    ArgumentError
        The template and the question alone have more.

    Notes
    -----
    Tokenizers merge across the borders of parts, so no sum of parts says what a whole has: `used` renders it.
    """

    def __init__(
        self, tokens: int, question: str, chunks: Sequence[Quotable], template: Template, reader: Reader
    ) -> None:
        self.tokens = tokens
        self._question, self._chunks = question, chunks
        self._template, self._reader = template, reader
        self._used: dict[tuple[int, ...], int] = {}
        self.empty = self.used(())
        if self.empty > tokens:
            raise ArgumentError(
                "budget", f"is {tokens} tokens, and the template with the question alone has {self.empty}; pass more"
            )

    @property
    def for_chunks(self) -> int:
        """Tokens that the template and the question leave."""
        return self.tokens - self.empty

    def used(self, order: Sequence[int]) -> int:
        """Tokens of the prompt with these chunks in this order."""
        key = tuple(order)
        if key not in self._used:
            text = self._template.render(self._question, [self._chunks[i] for i in key])
            self._used[key] = self._reader.count(text) + self._reader.overhead
        return self._used[key]

    def fits(self, order: Sequence[int]) -> bool:
        """Whether the prompt with these chunks in this order keeps the limit."""
        return self.used(order) <= self.tokens

    def enforced(self, gained: Sequence[int], arrange: Arrange = tuple) -> tuple[int, ...]:
        """What fits of a choice, in the order gained: the last ones go, one after the other.

        Parameters
        ----------
        gained : sequence of int
            In the order in which they were chosen.
        arrange : callable
            From that order to the one in which they are read, which is the one counted.
        """
        kept = tuple(gained)
        while kept and not self.fits(arrange(kept)):
            kept = kept[:-1]
        return kept

    def costs(self) -> I64:
        """Tokens of each chunk as rendered with its separator, (n,): a bound to steer by."""
        shown = [self._template.quote(chunk, 1) + self._template.separator for chunk in self._chunks]
        return np.array(self._reader.counts(shown), np.int64).reshape(len(shown))
