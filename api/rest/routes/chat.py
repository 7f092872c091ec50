"""The OpenAI protocol: a collection is a model that answers with citations."""

from __future__ import annotations

import re
import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from ramet import Answer, Collection, RametError, Selection
from ramet.api.rest.asking import Asking
from ramet.api.rest.auth import Asking as Who
from ramet.api.rest.auth import need
from ramet.api.rest.context import Server
from ramet.api.rest.events import DONE, Events, event
from ramet.api.rest.models import chat as models
from ramet.api.rest.models.fields import NAME_PATTERN
from ramet.api.rest.models.rag import MAX_QUESTION
from ramet.api.rest.problems import Refusal, declared, openai_error
from ramet.api.rest.routes.rag import ASKING
from ramet.api.rest.routes.shared import Serving
from ramet.api.rest.routes.shared import answer as answer_with

router = APIRouter(prefix="/v1", tags=["chat"])

ModelName = Annotated[str, Path(pattern=NAME_PATTERN, description="Name of a collection.", examples=["books"])]

OWNER = "ramet"

# What an answer ended with, as the protocol calls it; "no_sources" is an answer that was finished.
_FINISH = {"length": "length", "content_filter": "content_filter"}
_MARK = re.compile(r"[\[【][^\]】]*[\]】]")
_CHUNK = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/ChatCompletionChunk"},
}
_STREAM = {
    "schema": {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, _CHUNK]}},
    }
}


@router.post(
    "/chat/completions",
    summary="Answer the last message of the user from a collection",
    operation_id="createChatCompletion",
    response_model=models.ChatCompletion,
    responses={200: {"content": {"text/event-stream": _STREAM}}, **declared(*ASKING)},
)
async def complete(body: models.ChatRequest, server: Serving, who: Who, request: Request) -> Any:
    """An answer with citations, as the OpenAI protocol has it: `model` is the collection.

    The last message of the user is the question; others are taken and not read.
    """
    asking = Asking(server, request, who)
    prepared = await asking.prepare(body.model, _question(body.messages), body, **body.amounts())
    form = _AsChunks(body)
    if body.stream:
        return Events(await asking.stream_from_first(prepared, form), server.settings.request_timeout_s)
    answer = await asking.answer(prepared)
    message = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": annotations_of(answer)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    found = {**form.head("chat.completion"), "choices": [choice], "usage": _usage(answer), "ramet": _sources(answer)}
    return answer_with(found)


@router.get("/models", summary="Collections as models", operation_id="listModels", response_model=models.Models)
async def list_models(server: Serving, who: Who) -> Any:
    """All collections that can be asked, as the OpenAI protocol lists models."""
    need(who, "read")
    found = await server.run(_models, server)
    return answer_with({"object": "list", "data": found})


@router.get(
    "/models/{model}",
    summary="A collection as a model",
    operation_id="getModel",
    response_model=models.Model,
    responses=declared("unknown_collection", "collection_quarantined"),
)
async def get_model(model: ModelName, server: Serving, who: Who) -> Any:
    """One collection, as the OpenAI protocol describes a model."""
    need(who, "read")
    found = await server.run(lambda: _model(server.opened(model)))
    return answer_with(found)


def _question(messages: list[models.Message]) -> str:
    """The last thing that the user said.

    Raises
    ------
    Refusal
    """
    found = next((one.text for one in reversed(messages) if one.role == "user"), None)
    if found is None:
        raise Refusal("invalid_argument", "messages: none is of the user; the last of them is the question",
                      argument="messages")  # fmt: skip
    if not found.strip() or len(found) > MAX_QUESTION:
        problem = f"has {len(found):,} characters; at most {MAX_QUESTION:,}" if found.strip() else "is blank"
        raise Refusal("invalid_argument", f"messages: the last one of the user {problem}", argument="messages")
    return found


def annotations_of(answer: Answer) -> list[dict[str, Any]]:
    """The citations of an answer, in the order of its text."""
    chunks = {chunk.number: chunk for chunk in answer.selection.chunks}
    found = []
    for one in answer.citations:
        mark = _MARK.match(answer.text, one.at)
        place = {"start_index": one.at, "end_index": one.at if mark is None else mark.end()}
        metadata = chunks[one.number].metadata or {}
        title, url = (value if isinstance(value := metadata.get(name), str) else None for name in ("title", "url"))
        if url is None:
            source = {"file_id": one.document, "filename": title or one.document}
            found.append({"type": "file_citation", "file_citation": {**place, **source}})
        else:
            found.append(
                {"type": "url_citation", "url_citation": {**place, "title": title or one.document, "url": url}}
            )
    return found


def _sources(answer: Answer) -> dict[str, Any]:
    """What the protocol has no place for."""
    said = answer.to_dict()
    return {
        **{name: said[name] for name in ("text", "citations", "unknown", "in_context")},
        "selection": answer.selection.ids, "tokens": answer.selection.tokens, "budget": answer.selection.budget,
    }  # fmt: skip


def _usage(answer: Answer) -> dict[str, int]:
    read, written = answer.usage.prompt_tokens, answer.usage.output_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _finish(answer: Answer) -> str:
    return _FINISH.get(answer.finish, "stop")


def _models(server: Server) -> list[dict[str, Any]]:
    """Every collection that can be opened."""
    found = []
    for name in server.database.collections():
        try:
            found.append(_model(server.opened(name)))
        except (Refusal, RametError, OSError):
            continue  # damaged, or deleted meanwhile
    return found


def _model(collection: Collection) -> dict[str, Any]:
    created = int(collection.path.stat().st_ctime)
    return {"id": collection.name, "object": "model", "created": created, "owned_by": OWNER}


class _AsChunks:
    """Parts of an answer as chunks of a chat completion."""

    def __init__(self, body: models.ChatRequest) -> None:
        self._id, self._created, self._model = f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), body.model
        self._with_usage = body.stream_options is not None and body.stream_options.include_usage
        self._begun = False

    def head(self, kind: str) -> dict[str, Any]:
        """What all parts have in common."""
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def selected(self, selection: Selection) -> bytes:
        """Nothing: a language model that fails at once is to make a problem with its status."""
        return b""

    def text(self, text: str) -> bytes:
        """A piece of the answer; the first one says whose it is."""
        delta = {"content": text} if self._begun else {"role": "assistant", "content": text}
        self._begun = True
        return self._chunk(delta)

    def done(self, answer: Answer) -> bytes:
        """The reason of the end with all sources, what it took where that was asked for, and the mark of the end."""
        delta: dict[str, Any] = {"annotations": annotations_of(answer)}
        if not self._begun:
            delta |= {"role": "assistant", "content": ""}
        parts = [self._chunk(delta, _finish(answer), ramet=_sources(answer))]
        if self._with_usage:
            parts.append(event(None, {**self.head("chat.completion.chunk"), "choices": [], "usage": _usage(answer)}))
        return b"".join((*parts, DONE))

    def failed(self, problem: dict[str, Any]) -> bytes:
        """The problem under the name by which clients of the protocol look for it."""
        return event(None, {"error": {**openai_error(problem), "problem": problem}})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(None, {**self.head("chat.completion.chunk"), "choices": [choice], **more})
