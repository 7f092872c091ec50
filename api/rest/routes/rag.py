"""Selections and answers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from ramet import Answer, Selection
from ramet.api.rest.asking import Asking
from ramet.api.rest.auth import Asking as Who
from ramet.api.rest.events import Events, described, event
from ramet.api.rest.models import rag as models
from ramet.api.rest.models.fields import CollectionName
from ramet.api.rest.problems import SCHEMA, declared
from ramet.api.rest.routes.shared import Serving
from ramet.api.rest.routes.shared import answer as answer_with
from ramet.api.rest.selected import answer_of, selection_of

router = APIRouter(prefix="/v1/collections/{name}", tags=["answers"])

SELECTING = (
    "unknown_collection", "missing_embedder", "model_mismatch", "answer_too_large", "collection_quarantined"
)  # fmt: skip
ASKING = (*SELECTING, "llm_error", "llm_unavailable", "llm_refused", "llm_response", "llm_timeout")

_TOKEN = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
_STREAM = described(selection="Selection", token=_TOKEN, answer="Answer", error=SCHEMA)


@router.post(
    "/select",
    summary="Choose chunks for a question under a budget",
    operation_id="selectChunks",
    response_model=models.Selection,
    responses=declared(*SELECTING),
)
async def select(name: CollectionName, body: models.SelectRequest, server: Serving, who: Who, request: Request) -> Any:
    """Chunks that are worth most for the question, so that the prompt with all of them keeps the budget.

    No language model is asked.
    """
    found = await Asking(server, request, who).select(name, body.question, body.budget, body)
    return answer_with(selection_of(found))


@router.post(
    "/answer",
    summary="Answer a question with citations",
    operation_id="answerQuestion",
    response_model=models.Answer,
    responses={200: {"content": {"text/event-stream": _STREAM}}, **declared(*ASKING)},
)
async def answer(name: CollectionName, body: models.AnswerRequest, server: Serving, who: Who, request: Request) -> Any:
    """An answer from the collection, with citations that were checked, under a budget in tokens, money or time.

    With `stream` it comes as server-sent events. A language model that fails makes a problem with the `selection`.
    """
    asking = Asking(server, request, who)
    prepared = await asking.prepare(
        name, body.question, body, **body.amounts(), max_tokens=body.max_tokens, stop=body.stop
    )
    if body.stream:
        return Events(asking.stream(prepared, _AsEvents()), server.settings.request_timeout_s)
    return answer_with(answer_of(await asking.answer(prepared)))


class _AsEvents:
    """Parts of an answer as events with names."""

    def selected(self, selection: Selection) -> bytes:
        return event("selection", selection_of(selection))

    def text(self, text: str) -> bytes:
        return event("token", {"text": text})

    def done(self, answer: Answer) -> bytes:
        return event("answer", answer_of(answer))

    def failed(self, problem: dict[str, Any]) -> bytes:
        return event("error", problem)
