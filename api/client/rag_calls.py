"""Selections and answers of a server, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ramet.api.client.answers import answer_of, selection_of
from ramet.api.client.batches import given
from ramet.api.client.collection_calls import CollectionCalls
from ramet.api.client.messages import EVENTS, Operation, Reply, Request
from ramet.api.client.reading import filter_of
from ramet.api.client.results import parsed
from ramet.api.client.values import to_json
from ramet.engine import arguments
from ramet.engine.errors import ArgumentError

if TYPE_CHECKING:
    from ramet import Answer, Selection

MAX_TOKENS = 256
MORE_S = 60.0
"""Seconds for selecting, and for the way, beside those of the language model."""


class RagCalls(CollectionCalls):
    """Selections and answers."""

    def select(self, question: Any, budget: Any, options: dict[str, Any]) -> Operation[Selection]:
        """Chunks for a question; see `Rag.select`, whose arguments ``options`` are."""
        body = _asked(question, options) | {"budget": arguments.positive(budget, "budget", 1 << 30)}
        return self._post("/select", body, lambda reply: selection_of(parsed(reply)))

    def answer(
        self, question: Any, budget: Any, options: dict[str, Any], limits: tuple[Any, Any, Any]
    ) -> Operation[Answer]:
        """An answer; see `Rag.answer`. ``limits``: max_tokens, stop and timeout_s."""
        request = self._answering(question, budget, options, limits, streamed=False)
        return self.server.told(request, lambda reply: answer_of(parsed(reply)))

    def stream(
        self, question: Any, budget: Any, options: dict[str, Any], limits: tuple[Any, Any, Any]
    ) -> Operation[Reply]:
        """An answer as it comes."""
        return self.server.asked(self._answering(question, budget, options, limits, streamed=True))

    def _answering(
        self, question: Any, budget: Any, options: dict[str, Any], limits: tuple[Any, Any, Any], *, streamed: bool
    ) -> Request:
        rest = dict(options)
        amounts = _amounts(budget, rest)
        max_tokens, stop, timeout_s = limits
        words = [stop] if isinstance(stop, str) else list(stop)
        body = (
            _asked(question, rest)
            | amounts
            | given(
                max_tokens=None if max_tokens == MAX_TOKENS else arguments.positive(max_tokens, "max_tokens", 1 << 20),
                stop=words or None,
                stream=True if streamed else None,
            )
        )
        return Request(
            method="POST",
            path=f"{self.path}/answer",
            body=to_json(body),
            accept=EVENTS if streamed else "application/json",
            repeatable=False,  # a model would be paid twice
            timeout_s=arguments.seconds(timeout_s, "timeout_s") + MORE_S,
            streamed=streamed,
        )


def _amounts(budget: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What the answer may take, taken out of the options."""
    tokens, cost, latency_ms = (options.pop(name, None) for name in ("tokens", "cost", "latency_ms"))
    if budget is not None and tokens is not None:
        raise ArgumentError("tokens", "is the budget by another name; give one of them")
    found = given(
        budget=None if budget is None and tokens is None else arguments.positive(tokens or budget, "budget", 1 << 30),
        cost=cost,
        latency_ms=latency_ms,
    )
    if not found:
        raise ArgumentError("budget", "is missing; give tokens, cost or latency_ms")
    return found


def _asked(question: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The question, and where and how its chunks are chosen."""
    if not isinstance(question, str):
        raise ArgumentError("question", f"must be str, got {type(question).__name__} ({question!r})")
    if not question.strip():
        raise ArgumentError("question", "is empty; ask something")
    rest = dict(options)
    if rest.pop("utility", "coverage") != "coverage":
        raise ArgumentError("utility", 'of one\'s own cannot be sent to a server; leave it at "coverage"')
    tenant = rest.pop("tenant", None)
    several: Sequence[str] | None = None if tenant is None else arguments.tenants(tenant)
    widen = rest.pop("widen", True)
    named = given(
        tenant=None if several is None else list(several) if len(several) > 1 else several[0],
        where=filter_of(rest.pop("where", None)),
        **{name: rest.pop(name, None) for name in ("mode", "strategy", "order")},
        widen=None if widen else False,
    )
    return {"question": question, **named, **({"parameters": rest} if rest else {})}
