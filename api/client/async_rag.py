"""Answers from a collection on a server, for event loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from ramet.api.client.events import Heard
from ramet.api.client.rag import TIMEOUT_S, refuse_options
from ramet.api.client.rag_calls import MAX_TOKENS
from ramet.engine.errors import ArgumentError

if TYPE_CHECKING:
    from ramet import Answer, Selection
    from ramet.api.client.async_collection import AsyncRemoteCollection


class AsyncRemoteRag:
    """As `RemoteRag`, each method to be awaited; `ramet.Rag` of an `AsyncRemoteCollection` is one."""

    def __init__(self, collection: AsyncRemoteCollection, **options: Any) -> None:
        refuse_options(options)
        self.collection = collection

    async def select(self, question: str, budget: int, **options: Any) -> Selection:
        """Choose chunks under a budget; see `ramet.Rag.select`."""
        return await self.collection._run(self.collection._calls.select(question, budget, options))

    async def answer(
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
        return await self.collection._run(self.collection._calls.answer(question, budget, options, limits))

    async def stream(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> AsyncRemoteAnswerStream:
        """As `answer`, piece by piece: ``async for text in await rag.stream(...)``."""
        limits = (max_tokens, stop, timeout_s)
        reply = await self.collection._run(self.collection._calls.stream(question, budget, options, limits))
        stream = AsyncRemoteAnswerStream(reply.stream, self.collection.url)
        await stream._begun()
        return stream

    aanswer, astream = answer, stream


class AsyncRemoteAnswerStream:
    """As `RemoteAnswerStream`, with ``async for``; `answer` after the last piece."""

    def __init__(self, blocks: Any, url: str) -> None:
        self._blocks, self._heard = blocks, Heard(url)
        self._texts = self._run()
        self._waiting: list[str] = []

    @property
    def selection(self) -> Selection:
        """What is read for the answer."""
        assert self._heard.selection is not None, "the server sent no selection"
        return self._heard.selection

    @property
    def answer(self) -> Answer:
        """The answer as a whole, once the last piece came.

        Raises
        ------
        ArgumentError
            There are more pieces to come.
        """
        if self._heard.answer is None:
            raise ArgumentError("answer", "is not complete; iterate over the stream first")
        return self._heard.answer

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self._waiting:
            return self._waiting.pop(0)
        while not (piece := await anext(self._texts)):
            pass
        return piece

    async def aclose(self) -> None:
        """Stop the answer here."""
        await self._texts.aclose()
        await self._blocks.aclose()

    async def _begun(self) -> None:
        """Wait for the selection."""
        while self._heard.selection is None and not self._waiting:
            piece = await anext(self._texts, None)
            if piece is None:
                break
            if piece:
                self._waiting.append(piece)

    async def _run(self) -> AsyncGenerator[str, None]:
        """Pieces of text; an empty one behind every block."""
        try:
            async for block in self._blocks:
                for piece in self._heard.of(block):
                    yield piece
                if self._heard.answer is not None:
                    return
                yield ""
            self._heard.ended()
        finally:
            await self._blocks.aclose()
