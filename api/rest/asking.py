"""Questions to collections, from a request to an answer: selected on a thread, asked for without blocking, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from fastapi import Request

from ramet import Answer, LlmTimeoutError, PreparedAnswer, Selection
from ramet.api.rest.auth import Principal, scope
from ramet.api.rest.context import Server
from ramet.api.rest.errors import body_of_error
from ramet.api.rest.limits import spend
from ramet.api.rest.models.rag import Choosing
from ramet.api.rest.values import given, plain
from ramet.engine.rag.llm.protocol import InThreads

SHARE_OF_TIME = 0.9
"""Of a request's time, after which the language model of an answer that comes whole is stopped: there must be time left
to send what was selected."""


def selection_of(selection: Selection) -> dict[str, Any]:
    """A selection as JSON has it."""
    found = selection.to_dict()
    for chunk in found["chunks"]:
        chunk["metadata"] = None if chunk["metadata"] is None else plain(chunk["metadata"])
    return found


def answer_of(answer: Answer) -> dict[str, Any]:
    """An answer as JSON has it."""
    return {**answer.to_dict(), "selection": selection_of(answer.selection)}


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

    async def select(self, collection: str, question: str, budget: int, body: Choosing) -> Selection:
        """Chunks for a question.

        Raises
        ------
        RametError, Refusal
        """
        options = self._options(body)

        def work() -> Selection:
            return self.server.rag(collection).select(question, budget, **options)

        found = await self.server.run(work)
        self.server.metrics.stage("select", found.seconds)
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

        found = await self.server.run(work)
        self.server.metrics.stage("select", found.selection.seconds)
        return found

    def _options(self, body: Choosing) -> dict[str, Any]:
        tenants = scope(self._principal, body.tenant, "read")
        options = body.options()
        return {**options, "tenant": tenants, "where": given(options["where"], "where")}

    async def answer(self, prepared: PreparedAnswer) -> Answer:
        """The answer as a whole, in the time that the request has.

        Raises
        ------
        LlmError
            It carries the selection.
        """
        spent = Spent(self, prepared)
        seconds = SHARE_OF_TIME * self.server.settings.request_timeout_s
        try:
            async with asyncio.timeout(seconds):
                answer = await _whole(prepared, spent)
        except TimeoutError as error:
            late = LlmTimeoutError(prepared.llm.name, f"no whole answer within {seconds:g} s")
            late.selection = prepared.selection
            raise late from error
        finally:
            spent.count()
        return answer

    async def stream(
        self,
        prepared: PreparedAnswer,
        told: Callable[[str], bytes],
        done: Callable[[Answer], bytes],
        failed: Callable[[dict[str, Any]], bytes],
    ) -> AsyncGenerator[bytes, None]:
        """The answer as it comes.

        Parameters
        ----------
        prepared : PreparedAnswer
        told, done, failed : callable
            What is sent for a piece of the text, for the whole answer at the end, and for a problem in its place.
        """
        spent = Spent(self, prepared)
        texts = prepared.astream()
        try:
            async for text in texts:
                spent.heard(text)
                yield told(text)
            spent.answer = texts.answer
            yield done(texts.answer)
        except Exception as error:
            partial = getattr(error, "partial", "") or spent.text
            yield failed({**body_of_error(self.request, error), "partial": partial})
        finally:
            await texts.aclose()
            spent.count()


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


