"""What the engine asks of a language model: one small protocol, by which anybody may bring his own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from ramet.engine.rag.prompt import Prompt

MAX_TOKENS = 256
TIMEOUT_S = 60.0

Counter = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a language model answered, and what it took."""

    text: str
    prompt_tokens: int
    """As the model counted them, its chat format included."""
    output_tokens: int
    seconds: float
    """From the call to the last token, retries included."""
    finish: str = "stop"
    """"stop": it had finished; "length": `max_tokens` cut it off; or what the backend says."""


Piece = str | Completion
"""Of a stream: text as it comes, and at the end a `Completion`."""


@runtime_checkable
class Llm(Protocol):
    """A language model; any object with these attributes will do.

    Attributes
    ----------
    name : str
        For reports and errors; the same for the same model at the same place.
    count : callable or None
        Tokens of a text as this model counts them. None: it does not say; then the embedder's tokenizer counts.
    overhead : int
        Tokens that its chat format adds to every prompt.
    """

    name: str
    overhead: int

    @property
    def count(self) -> Counter | None:
        """Tokens of a text, if the backend says."""
        ...

    def complete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """Answer a prompt.

        Raises
        ------
        LlmError
        """
        ...

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Iterator[Piece]:
        """Answer a prompt, piece by piece; the last piece is a `Completion`."""
        ...

    async def acomplete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """As `complete`."""
        ...

    def astream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[Piece]:
        """As `stream`."""
        ...


class InThreads:
    """The asynchronous half of the protocol for models that compute in this process: in a thread."""

    def complete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """Answer a prompt."""
        raise NotImplementedError

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Iterator[Piece]:
        """Answer a prompt, piece by piece."""
        raise NotImplementedError

    async def acomplete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """As `complete`, in a thread of its own."""
        thread = _thread()
        work = copy_context().run
        asked = partial(work, self.complete, prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, asked)
        finally:
            thread.shutdown(wait=False)

    async def astream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[Piece]:
        """As `stream`; the pieces are made in a thread of its own."""
        pieces = self.stream(prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)
        thread, work = _thread(), copy_context().run
        loop = asyncio.get_running_loop()
        try:
            while (piece := await loop.run_in_executor(thread, work, _next, pieces)) is not None:
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                try:
                    close()
                except ValueError:  # cancelled while the thread makes the next piece: it ends with that one
                    thread.submit(close)
            thread.shutdown(wait=False)


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)


def _thread() -> ThreadPoolExecutor:
    """A thread for one answer.

    Threads that answers share would all be taken by those that wait for a model's turn, and none would be left for the
    one whose turn it is.
    """
    return ThreadPoolExecutor(1, "ramet-llm")
