"""From a question to a cited answer: selection, prompt, language model, citations checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ramet.engine.checks import positive
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.answer import Answer, made, without_sources
from ramet.engine.rag.cost import CostModel
from ramet.engine.rag.errors import LlmError
from ramet.engine.rag.llm.protocol import MAX_TOKENS, TIMEOUT_S, Completion, Llm, Piece
from ramet.engine.rag.prompt import Prompt, Template
from ramet.engine.rag.selection import Selection

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


class _Call:
    """One question on its way to its answer."""

    def __init__(self, rag: Answering, selection: Selection, limits: Limits, started: float) -> None:
        self.selection, self._limits = selection, limits
        self._llm, self._model, self._started = rag.llm, rag.cost_model, started
        self._selected = time.perf_counter()
        self._first: float | None = None
        self.prompt: Prompt = rag.template.prompt(selection.question, selection.chunks)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self.selection.chunks

    def asked(self, method: Callable[..., Any]) -> Any:
        """Call a method of the language model."""
        return method(self.prompt, **self._limits.named)

    def heard(self, piece: Piece, text: list[str]) -> str | None:
        """The text of a piece, if it is one."""
        if isinstance(piece, Completion):
            return None
        if self._first is None and piece:
            self._first = time.perf_counter()
        text.append(piece)
        return piece

    def answer(self, completion: Completion | None) -> Answer:
        """The answer at last; None: nobody was asked."""
        now = time.perf_counter()
        seconds = {"select": self._selected - self._started}
        if self._first is not None:
            seconds["first_token"] = self._first - self._selected
        seconds |= {"llm": now - self._selected, "total": now - self._started}
        if completion is None:
            return without_sources(self.selection, seconds, self._model)
        return made(self.selection, completion, seconds, self._model)

    def counted(self, text: list[str]) -> Completion:
        """The end of a stream that did not say what it took."""
        whole, count = "".join(text), self._llm.count
        n = len(whole.split()) if count is None else count(whole)
        return Completion(text=whole, prompt_tokens=0, output_tokens=n, seconds=time.perf_counter() - self._selected)

    def failed(self, error: LlmError) -> None:
        """Let an error carry what was selected."""
        error.selection = self.selection


class AnswerStream:
    """An answer as it comes: iterate over its text; `selection` is there at once, `answer` at the end.

    Citations are checked at the end: the text that comes may cite numbers that `answer` has dropped. Errors of the
    language model come while iterating, with the selection and what had come.
    """

    def __init__(self, call: _Call, pieces: Iterator[Piece] | None) -> None:
        self._call, self._pieces = call, pieces
        self._answer: Answer | None = None
        self._texts = self._run()

    @property
    def selection(self) -> Selection:
        """What is read for the answer."""
        return self._call.selection

    @property
    def answer(self) -> Answer:
        """The answer as a whole; what has not been iterated over is waited for."""
        for _ in self:
            pass
        assert self._answer is not None, "the stream was closed or failed before its end"
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
            self._answer = self._call.answer(None)
            yield self._answer.text
            return
        try:
            for piece in self._pieces:
                if (found := self._call.heard(piece, text)) is not None:
                    yield found
                elif isinstance(piece, Completion):
                    done = piece
        except LlmError as error:
            self._call.failed(error)
            raise
        finally:
            _close(self._pieces)
        self._answer = self._call.answer(done or self._call.counted(text))


class AsyncAnswerStream:
    """As `AnswerStream`, with ``async for``; `answer` after the last piece."""

    def __init__(self, call: _Call, pieces: AsyncIterator[Piece] | None) -> None:
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
            self._answer = self._call.answer(None)
            yield self._answer.text
            return
        try:
            async for piece in self._pieces:
                if (found := self._call.heard(piece, text)) is not None:
                    yield found
                elif isinstance(piece, Completion):
                    done = piece
        except LlmError as error:
            self._call.failed(error)
            raise
        finally:
            closing = getattr(self._pieces, "aclose", None)
            if closing is not None:
                await closing()
        self._answer = self._call.answer(done or self._call.counted(text))


class Answering:
    """Answers; `Rag` adds the selection."""

    llm: Llm
    template: Template
    cost_model: CostModel | None

    def select(self, question: str, budget: int, **options: Any) -> Selection:
        """Select chunks; see `Rag.select`."""
        raise NotImplementedError

    def tokens_for(
        self,
        budget: int | None = None,
        *,
        tokens: int | None = None,
        cost: float | None = None,
        latency_ms: float | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> int:
        """A budget in tokens of the prompt, given as tokens, money or time.

        Parameters
        ----------
        budget, tokens : int, optional
            The same by two names.
        cost : float, optional
            Of prompt and answer, in the currency of the cost model's prices.
        latency_ms : float, optional
            Until the last token of the answer, in milliseconds; selecting is not counted.
        max_tokens : int
            Tokens of the answer that are allowed for.

        Raises
        ------
        ArgumentError
            None or tokens twice are given, there is no cost model for money or time, or too little is allowed.
        """
        if budget is not None and tokens is not None:
            raise ArgumentError("tokens", "is the budget by another name; give one of them")
        found = [] if budget is None and tokens is None else [positive(tokens or budget, "budget", 1 << 30)]
        if cost is not None or latency_ms is not None:
            if self.cost_model is None:
                name = "cost" if cost is not None else "latency_ms"
                raise ArgumentError(name, "needs a cost model: Rag(cost_model=...), by ramet rag calibrate")
            found.append(self.cost_model.tokens_for(cost=cost, latency_ms=latency_ms, output_tokens=max_tokens))
        if not found:
            raise ArgumentError("budget", "is missing; give tokens, cost or latency_ms")
        return min(found)

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
        """Answer a question from the collection, with citations.

        Parameters
        ----------
        question : str
        budget : int, optional
            Most tokens of the prompt; or one of ``tokens=``, ``cost=``, ``latency_ms=``, as in `tokens_for`. Several:
            the one that allows least.
        max_tokens : int
            Most tokens of the answer.
        stop : sequence of str
            Texts that end the answer.
        timeout_s : float
            For the language model.
        **options
            As for `select`: ``tenant``, ``where``, ``strategy``, ``order``, ...

        Returns
        -------
        Answer

        Raises
        ------
        ArgumentError
        LlmError
            The language model gave no answer; the error carries the ``selection``.
        """
        call = self._begun(question, budget, Limits.of(max_tokens, stop, timeout_s), options)
        if call.empty:
            return call.answer(None)
        try:
            return call.answer(call.asked(self.llm.complete))
        except LlmError as error:
            call.failed(error)
            raise

    async def aanswer(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> Answer:
        """As `answer`; the selection is made in a thread."""
        limits = Limits.of(max_tokens, stop, timeout_s)
        call = await asyncio.to_thread(self._begun, question, budget, limits, options)
        if call.empty:
            return call.answer(None)
        try:
            return call.answer(await call.asked(self.llm.acomplete))
        except LlmError as error:
            call.failed(error)
            raise

    def stream(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> AnswerStream:
        """As `answer`, piece by piece.

        Returns
        -------
        AnswerStream
            The selection is made when it is returned.
        """
        call = self._begun(question, budget, Limits.of(max_tokens, stop, timeout_s), options)
        return AnswerStream(call, None if call.empty else iter(call.asked(self.llm.stream)))

    async def astream(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> AsyncAnswerStream:
        """As `stream`: ``async for text in await rag.astream(...)``."""
        limits = Limits.of(max_tokens, stop, timeout_s)
        call = await asyncio.to_thread(self._begun, question, budget, limits, options)
        return AsyncAnswerStream(call, None if call.empty else aiter(call.asked(self.llm.astream)))

    def _begun(self, question: str, budget: int | None, limits: Limits, options: dict[str, Any]) -> _Call:
        """Select, and make the prompt."""
        started = time.perf_counter()
        rest = dict(options)
        amounts = {name: rest.pop(name) for name in ("tokens", "cost", "latency_ms") if name in rest}
        n_tokens = self.tokens_for(budget, **amounts, max_tokens=limits.max_tokens)
        return _Call(self, self.select(question, n_tokens, **rest), limits, started)


def _close(pieces: Iterator[Piece]) -> None:
    """Tell a stream that nobody listens any more."""
    closing = getattr(pieces, "close", None)
    if closing is not None:
        closing()
