"""What the engine asks of a language model: one small protocol, by which anybody may bring his own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
        """As `complete`, in a thread."""
        return await asyncio.to_thread(self.complete, prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)

    async def astream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[Piece]:
        """As `stream`; the next piece is made in a thread."""
        pieces = self.stream(prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                with suppress(ValueError):  # cancelled while a thread makes the next piece: it ends with that one
                    close()
