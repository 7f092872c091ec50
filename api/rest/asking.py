"""Questions to collections, from a request to an answer: selected on a thread, asked for without blocking, counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from fastapi import Request

from ramet import Answer, LlmTimeoutError, PreparedAnswer, Selection
from ramet.api.rest.auth import Principal, scope
from ramet.api.rest.context import Server
from ramet.api.rest.errors import body_within
from ramet.api.rest.events import while_heard
from ramet.api.rest.models.rag import Choosing
from ramet.api.rest.problems import Refusal
from ramet.api.rest.tokens import paid_by, spend
from ramet.api.rest.values import given
from ramet.engine.allowance import ReadLimitError, at_most
from ramet.engine.rag.llm.protocol import InThreads

T = TypeVar("T")

SHARE_OF_TIME = 0.9
"""Of a request's time, after which the language model of an answer that comes whole is stopped: there must be time left
to send what was selected."""


class Asking:
    """One request with a question.

    Parameters
    ----------
    server : Server
    request : Request
    principal : Principal
    """

    def __init__(self, server: Server, request: Request, principal: Principal) -> None:
        self.server, self.request, self._principal = server, request, principal
        self._until = time.monotonic() + SHARE_OF_TIME * server.settings.request_timeout_s

    async def select(self, collection: str, question: str, budget: int, body: Choosing) -> Selection:
        """Chunks for a question.

        Raises
        ------
        RametError, Refusal
        """
        options = self._options(body)

        def work() -> Selection:
            return self.server.rag(collection).select(question, budget, **options)

        found = await self._run(work)
        self._selected(found)
        return found

    async def prepare(self, collection: str, question: str, body: Choosing, **limits: Any) -> PreparedAnswer:
        """Select what is to be read for an answer; ``limits`` as in `Rag.prepare`.

        Raises
        ------
        RametError, Refusal
        """
        options = {"timeout_s": self.server.settings.llm_timeout_s, **self._options(body), **limits}

        def work() -> PreparedAnswer:
            return self.server.rag(collection).prepare(question, **options)

        found = await self._run(work)
        self._selected(found.selection)
        return found

    async def _run(self, work: Callable[[], T]) -> T:
        """Select on a thread; the question's tokens are counted, and what candidates carry is bounded.

        So an answer is bounded, too: it has the texts of some candidates, and what the language model was allowed.

        Raises
        ------
        Refusal
            ``answer_too_large``
        """
        most = self.server.settings.max_answer_bytes
        try:
            with paid_by(self.request.scope), at_most(most):
                return await self.server.run(work)
        except ReadLimitError as error:
            advice = "store documents in chunks, by /texts"
            said = f"the chunks that may answer it have more than {most:,} bytes together; {advice}"
            raise Refusal("answer_too_large", said) from error

    def _selected(self, selection: Selection) -> None:
        """Count what selecting took."""
        metrics = self.server.metrics
        metrics.stage("select", selection.seconds)
        for step in selection.trace:
            if step.get("stage") == "embed":
                metrics.stage("embed", step["ms"] / 1e3)

    def _options(self, body: Choosing) -> dict[str, Any]:
        tenants = scope(self._principal, body.tenant, "read")
        options = body.options()
        return {**options, "tenant": tenants, "where": given(options["where"], "where")}

    async def answer(self, prepared: PreparedAnswer) -> Answer:
        """The answer as a whole, in the time that the request has, as long as somebody waits for it.

        Raises
        ------
        LlmError
            It carries the selection.
        """
        spent = Spent(self, prepared)
        try:
            return await while_heard(self.request, self._in_time(prepared, _whole(prepared, spent)))
        finally:
            spent.count()

    async def stream(self, prepared: PreparedAnswer, form: Form) -> AsyncGenerator[bytes, None]:
        """The answer as it comes. What fails before anything was sent is raised; after that it is a part of the stream.

        Raises
        ------
        LlmError
        """
        spent = Spent(self, prepared)
        texts = prepared.astream()
        begun = False
        try:
            if first := form.selected(prepared.selection):
                begun = True
                yield first
            async for text in texts:
                begun = True
                spent.heard(text)
                yield form.text(text)
            spent.answer = texts.answer
            yield form.done(texts.answer)
        except Exception as error:
            if not begun:
                raise
            partial = getattr(error, "partial", "") or spent.text
            yield form.failed({**body_within(self.request, error), "partial": partial})
        finally:
            await texts.aclose()
            spent.count()

    async def stream_from_first(self, prepared: PreparedAnswer, form: Form) -> AsyncGenerator[bytes, None]:
        """As `stream`, waiting for the first part: so that a model that fails at once makes a problem with its status.

        Raises
        ------
        LlmError
            It carries the selection.
        """
        parts = self.stream(prepared, form)
        first = await while_heard(self.request, self._in_time(prepared, anext(parts)))

        async def all_parts() -> AsyncGenerator[bytes, None]:
            try:
                yield first
                async for part in parts:
                    yield part
            finally:
                await parts.aclose()

        return all_parts()

    async def _in_time(self, prepared: PreparedAnswer, work: Awaitable[T]) -> T:
        """Wait for the language model as long as the request may take, and then say so with the selection."""
        seconds = max(0.0, self._until - time.monotonic())
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = LlmTimeoutError(prepared.llm.name, f"no answer within {seconds:.3g} s")
            late.selection = prepared.selection
            raise late from error


class Form(Protocol):
    """How the parts of a stream look on the wire; nothing is sent for an empty one."""

    def selected(self, selection: Selection) -> bytes:
        """Before the language model is asked."""
        ...

    def text(self, text: str) -> bytes:
        """A piece of the answer."""
        ...

    def done(self, answer: Answer) -> bytes:
        """The end."""
        ...

    def failed(self, problem: dict[str, Any]) -> bytes:
        """The end, when there will be no answer."""
        ...


async def _whole(prepared: PreparedAnswer, spent: Spent) -> Answer:
    """Ask for a whole answer so that the model stops when nobody waits any more."""
    if not isinstance(prepared.llm, InThreads):
        spent.answer = await prepared.aanswer()
        return spent.answer
    # A thread that makes a whole answer cannot be stopped; between pieces it can.
    texts = prepared.astream()
    try:
        async for text in texts:
            spent.heard(text)
    finally:
        await texts.aclose()
    spent.answer = texts.answer
    return spent.answer


class Spent:
    """What a question takes, to be counted once, also when nobody waits for the end.

    Attributes
    ----------
    answer : Answer or None
        Says how much it was; without it, the prompt and the words that came are counted.
    """

    def __init__(self, asking: Asking, prepared: PreparedAnswer) -> None:
        self._asking, self._prepared = asking, prepared
        self._texts: list[str] = []
        self.answer: Answer | None = None

    @property
    def text(self) -> str:
        """What has come."""
        return "".join(self._texts)

    def heard(self, text: str) -> None:
        """A piece came."""
        self._texts.append(text)

    def count(self) -> None:
        """Count the tokens against the key, and in the metrics."""
        selection, answer = self._prepared.selection, self.answer
        if answer is not None:
            read, written = answer.usage.prompt_tokens, answer.usage.output_tokens
            self._asking.server.metrics.stage("llm", answer.usage.seconds["llm"])
        else:
            read, written = (selection.tokens if selection.chunks else 0), len(self.text.split())
        metrics = self._asking.server.metrics
        metrics.tokens("prompt", read)
        metrics.tokens("completion", written)
        spend(self._asking.request.scope, read + written)
