"""From a question to a cited answer: selection, prompt, language model, citations checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ramet.engine.checks import positive
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.answer import Answer
from ramet.engine.rag.cost import CostModel
from ramet.engine.rag.llm.protocol import MAX_TOKENS, TIMEOUT_S, Llm
from ramet.engine.rag.prepared import AnswerStream, AsyncAnswerStream, Limits, PreparedAnswer
from ramet.engine.rag.prompt import Template
from ramet.engine.rag.selection import Selection


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
        found = [] if budget is None else [positive(budget, "budget", 1 << 30)]
        if tokens is not None:
            found.append(positive(tokens, "tokens", 1 << 30))
        if cost is not None or latency_ms is not None:
            if self.cost_model is None:
                name = "cost" if cost is not None else "latency_ms"
                raise ArgumentError(name, "needs a cost model: Rag(cost_model=...), by ramet rag calibrate")
            found.append(self.cost_model.tokens_for(cost=cost, latency_ms=latency_ms, output_tokens=max_tokens))
        if not found:
            raise ArgumentError("budget", "is missing; give tokens, cost or latency_ms")
        return min(found)

    def prepare(
        self,
        question: str,
        budget: int | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        stop: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> PreparedAnswer:
        """Select what is to be read for an answer, and ask nobody yet.

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
        PreparedAnswer

        Raises
        ------
        ArgumentError
        """
        started = time.perf_counter()
        limits = Limits.of(max_tokens, stop, timeout_s)
        rest = dict(options)
        amounts = {name: rest.pop(name) for name in ("tokens", "cost", "latency_ms") if name in rest}
        n_tokens = self.tokens_for(budget, **amounts, max_tokens=limits.max_tokens)
        return PreparedAnswer(self, self.select(question, n_tokens, **rest), limits, started)

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
        question, budget, max_tokens, stop, timeout_s, **options
            As for `prepare`.

        Returns
        -------
        Answer

        Raises
        ------
        ArgumentError
        LlmError
            The language model gave no answer; the error carries the ``selection``.
        """
        limits: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop, "timeout_s": timeout_s}
        return self.prepare(question, budget, **limits, **options).answer()

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
        limits: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop, "timeout_s": timeout_s}
        prepared = await asyncio.to_thread(self.prepare, question, budget, **limits, **options)
        return await prepared.aanswer()

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
        limits: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop, "timeout_s": timeout_s}
        return self.prepare(question, budget, **limits, **options).stream()

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
        limits: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop, "timeout_s": timeout_s}
        prepared = await asyncio.to_thread(self.prepare, question, budget, **limits, **options)
        return prepared.astream()
