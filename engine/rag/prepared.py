"""A question on its way to its answer: what is to be read is selected, the language model is still to be asked."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ramet.engine.checks import positive
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.answer import Answer, made, without_sources
from ramet.engine.rag.errors import LlmError
from ramet.engine.rag.llm.protocol import Completion, Llm, Piece
from ramet.engine.rag.prompt import Prompt
from ramet.engine.rag.selection import Selection

if TYPE_CHECKING:
    from ramet.engine.rag.answering import Answering

MOST_OUTPUT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the language model may do."""

    max_tokens: int
    stop: tuple[str, ...]
    timeout_s: float

    @classmethod
    def of(cls, max_tokens: object, stop: Sequence[str], timeout_s: object) -> Limits:
        """Limits, checked."""
        words = (stop,) if isinstance(stop, str) else tuple(stop)
        if not all(isinstance(word, str) and word for word in words):
            raise ArgumentError("stop", f"must be texts, none of them empty, got {stop!r}")
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s < 1e9:
            raise ArgumentError("timeout_s", f"must be a number of seconds above 0, got {timeout_s!r}")
        return cls(max_tokens=positive(max_tokens, "max_tokens", MOST_OUTPUT), stop=words, timeout_s=float(timeout_s))

    @property
    def named(self) -> dict[str, Any]:
        """As arguments of a language model."""
        return {"max_tokens": self.max_tokens, "stop": self.stop, "timeout_s": self.timeout_s}


class PreparedAnswer:
    """A question whose chunks are selected: ask the language model once, by one of four methods.

    For those who have something to do between selecting and asking: to show what will be read, to ask in another
    thread, or not to ask at all. `Rag.answer` and its kin do both in one.

    Attributes
    ----------
    selection : Selection
    prompt : Prompt
        What the language model reads.
    llm : Llm
        Who will be asked.
    """

    def __init__(self, rag: Answering, selection: Selection, limits: Limits, started: float) -> None:
        self.selection, self._limits = selection, limits
        self.llm: Llm = rag.llm
        self._model, self._started = rag.cost_model, started
        self._selected = time.perf_counter()
        self._first: float | None = None
        self.prompt: Prompt = rag.template.prompt(selection.question, selection.chunks)

    def answer(self) -> Answer:
        """Ask, and wait.

        Raises
        ------
        LlmError
            It carries the ``selection``.
        """
        if self._empty:
            return self._done(None)
        try:
            return self._done(self.llm.complete(self.prompt, **self._limits.named))
        except LlmError as error:
            self._failed(error)
            raise

    async def aanswer(self) -> Answer:
        """As `answer`, without blocking."""
        if self._empty:
            return self._done(None)
        try:
            return self._done(await self.llm.acomplete(self.prompt, **self._limits.named))
        except LlmError as error:
            self._failed(error)
            raise

    def stream(self) -> AnswerStream:
        """Ask; the answer comes piece by piece."""
        return AnswerStream(self, None if self._empty else iter(self.llm.stream(self.prompt, **self._limits.named)))

    def astream(self) -> AsyncAnswerStream:
        """As `stream`: ``async for text in prepared.astream()``."""
        pieces = None if self._empty else aiter(self.llm.astream(self.prompt, **self._limits.named))
        return AsyncAnswerStream(self, pieces)

    @property
    def _empty(self) -> bool:
        """Whether there is nothing to read: then nobody is asked."""
        return not self.selection.chunks

    def _heard(self, piece: Piece, text: list[str]) -> str | None:
        """The text of a piece, if it is one."""
        if isinstance(piece, Completion):
            return None
        if self._first is None and piece:
            self._first = time.perf_counter()
        text.append(piece)
        return piece

    def _done(self, completion: Completion | None) -> Answer:
        """The answer at last; None: nobody was asked."""
        now = time.perf_counter()
        seconds = {"select": self._selected - self._started}
        if self._first is not None:
            seconds["first_token"] = self._first - self._selected
        seconds |= {"llm": now - self._selected, "total": now - self._started}
        if completion is None:
            return without_sources(self.selection, seconds, self._model)
        return made(self.selection, completion, seconds, self._model)

    def _counted(self, text: list[str]) -> Completion:
        """The end of a stream that did not say what it took."""
        whole, count = "".join(text), self.llm.count
        n = len(whole.split()) if count is None else count(whole)
        return Completion(text=whole, prompt_tokens=0, output_tokens=n, seconds=time.perf_counter() - self._selected)

    def _failed(self, error: LlmError) -> None:
        """Let an error carry what was selected."""
        error.selection = self.selection


class AnswerStream:
    """An answer as it comes: iterate over its text; `selection` is there at once, `answer` at the end.

    Citations are checked at the end: the text that comes may cite numbers that `answer` has dropped. Errors of the
    language model come while iterating, with the selection and what had come.
    """

    def __init__(self, call: PreparedAnswer, pieces: Iterator[Piece] | None) -> None:
        self._call, self._pieces = call, pieces
        self._answer: Answer | None = None
        self._texts = self._run()

    @property
    def selection(self) -> Selection:
        """What is read for the answer."""
        return self._call.selection

    @property
    def answer(self) -> Answer:
        """The answer as a whole; what has not been iterated over is waited for.

        Raises
        ------
        ArgumentError
            The stream was closed or failed before its end.
        LlmError
            It fails now.
        """
        for _ in self:
            pass
        if self._answer is None:
            raise ArgumentError("answer", "is not complete: the stream was closed or failed before its end; ask again")
        return self._answer

    def __iter__(self) -> Iterator[str]:
        return self._texts

    def __next__(self) -> str:
        return next(self._texts)

    def close(self) -> None:
        """Stop the answer here."""
        self._texts.close()

    def _run(self) -> Generator[str, None, None]:
        text: list[str] = []
        done: Completion | None = None
        if self._pieces is None:
            self._answer = self._call._done(None)
            yield self._answer.text
            return
        try:
            for piece in self._pieces:
                if (found := self._call._heard(piece, text)) is not None:
                    yield found
                elif isinstance(piece, Completion):
                    done = piece
        except LlmError as error:
            self._call._failed(error)
            raise
        finally:
            _close(self._pieces)
        self._answer = self._call._done(done or self._call._counted(text))


class AsyncAnswerStream:
    """As `AnswerStream`, with ``async for``; `answer` after the last piece."""

    def __init__(self, call: PreparedAnswer, pieces: AsyncIterator[Piece] | None) -> None:
        self._call, self._pieces = call, pieces
        self._answer: Answer | None = None
        self._texts = self._run()

    @property
    def selection(self) -> Selection:
        """What is read for the answer."""
        return self._call.selection

    @property
    def answer(self) -> Answer:
        """The answer as a whole, once the last piece came.

        Raises
        ------
        ArgumentError
            There are more pieces to come.
        """
        if self._answer is None:
            raise ArgumentError("answer", "is not complete; iterate over the stream first")
        return self._answer

    def __aiter__(self) -> AsyncIterator[str]:
        return self._texts

    async def __anext__(self) -> str:
        return await anext(self._texts)

    async def aclose(self) -> None:
        """Stop the answer here."""
        await self._texts.aclose()

    async def _run(self) -> AsyncGenerator[str, None]:
        text: list[str] = []
        done: Completion | None = None
        if self._pieces is None:
            self._answer = self._call._done(None)
            yield self._answer.text
            return
        try:
            async for piece in self._pieces:
                if (found := self._call._heard(piece, text)) is not None:
                    yield found
                elif isinstance(piece, Completion):
                    done = piece
        except LlmError as error:
            self._call._failed(error)
            raise
        finally:
            closing = getattr(self._pieces, "aclose", None)
            if closing is not None:
                await closing()
        self._answer = self._call._done(done or self._call._counted(text))


def _close(pieces: Iterator[Piece]) -> None:
    """Tell a stream that nobody listens any more."""
    closing = getattr(pieces, "close", None)
    if closing is not None:
        closing()
