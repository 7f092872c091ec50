"""Answers from a collection on a server, with the methods of `ramet.Rag`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ramet.api.client.events import Heard
from ramet.api.client.rag_calls import MAX_TOKENS
from ramet.engine.errors import ArgumentError

if TYPE_CHECKING:
    from ramet import Answer, Selection
    from ramet.api.client.collection import RemoteCollection

TIMEOUT_S = 60.0


def refuse_options(options: dict[str, Any]) -> None:
    """Refuse what only the server can choose.

    Raises
    ------
    ArgumentError
    """
    for name, value in options.items():
        if value is not None:
            raise ArgumentError(name, "is chosen on the server (docs/server.md); leave it out")


class RemoteRag:
    """Questions to a collection on a server, answered there; `ramet.Rag` of a `RemoteCollection` is one.

    Parameters
    ----------
    collection : RemoteCollection
    **options
        Those of `ramet.Rag`: refused, as model, template and prices are the server's.
    """

    def __init__(self, collection: RemoteCollection, **options: Any) -> None:
        refuse_options(options)
        self.collection = collection

    def select(self, question: str, budget: int, **options: Any) -> Selection:
        """Choose chunks under a budget; see `ramet.Rag.select`."""
        return self.collection._run(self.collection._calls.select(question, budget, options))

    def answer(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> Answer:
        """Answer a question with citations; see `ramet.Rag.answer`."""
        limits = (max_tokens, stop, timeout_s)
        return self.collection._run(self.collection._calls.answer(question, budget, options, limits))

    def stream(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> RemoteAnswerStream:
        """As `answer`, piece by piece; see `ramet.Rag.stream`."""
        limits = (max_tokens, stop, timeout_s)
        reply = self.collection._run(self.collection._calls.stream(question, budget, options, limits))
        return RemoteAnswerStream(reply.stream, self.collection.url)


class RemoteAnswerStream:
    """An answer as it comes: iterate over its text; `selection` is there at once, `answer` at the end."""

    def __init__(self, blocks: Any, url: str) -> None:
        self._blocks, self._heard = blocks, Heard(url)
        self._texts = self._run()
        self._waiting: list[str] = []
        while self._heard.selection is None and not self._waiting:
            piece = next(self._texts, None)
            if piece is None:
                break
            if piece:
                self._waiting.append(piece)

    @property
    def selection(self) -> Selection:
        """What is read for the answer."""
        assert self._heard.selection is not None, "the server sent no selection"
        return self._heard.selection

    @property
    def answer(self) -> Answer:
        """The answer as a whole; what has not been iterated over is waited for."""
        for _ in self:
            pass
        assert self._heard.answer is not None, "the stream was closed or failed before its end"
        return self._heard.answer

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._waiting:
            return self._waiting.pop(0)
        while not (piece := next(self._texts)):
            pass
        return piece

    def close(self) -> None:
        """Stop the answer here."""
        self._texts.close()
        self._blocks.close()

    def _run(self) -> Generator[str, None, None]:
        """Pieces of text; an empty one behind every block."""
        try:
            for block in self._blocks:
                yield from self._heard.of(block)
                if self._heard.answer is not None:
                    return
                yield ""
            self._heard.ended()
        finally:
            self._blocks.close()
