"""How an error looks on the wire: one body for all of them, as RFC 9457 says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Response

MEDIA_TYPE = "application/problem+json"
SCHEMA = "Problem"

OPENAI = ("/v1/chat/", "/v1/models")
"""Where the OpenAI protocol is spoken."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all errors of a code have in common."""

    status: int
    title: str
    detail: str | None = None
    """Said in place of the error's own message, which is for people who have the files: paths, addresses."""

    retry_after: int | None = None
    """Seconds after which the same request may succeed."""


KINDS: dict[str, Kind] = {
    # what the request is
    "invalid_argument": Kind(400, "An argument is wrong"),
    "invalid_request": Kind(422, "The request does not have the form that is described"),
    "missing_embedder": Kind(
        400, "No embedder for texts",
        "this collection has no embedder here: send vectors, or let the operator configure one (RAMET_EMBEDDER)",
    ),
    "answer_too_large": Kind(400, "The answer would be too large"),
    "not_found": Kind(404, "Nothing is there"),
    "method_not_allowed": Kind(405, "This method is not for this path"),
    "not_acceptable": Kind(406, "No such representation"),
    "body_too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "A body of this type is not understood"),
    "http_error": Kind(400, "The request was refused"),
    # who asks
    "unauthorized": Kind(401, "A key is needed"),
    "right_missing": Kind(403, "The key does not have this right"),
    "tenant_forbidden": Kind(403, "The key is not for this tenant"),
    "not_owner": Kind(403, "The records belong to another tenant"),
    # what is there
    "unknown_collection": Kind(
        404, "No such collection", "there is no collection of that name; GET /v1/collections names those that there are"
    ),
    "unknown_tenant": Kind(404, "No such tenant"),
    "unknown_id": Kind(404, "No such record"),
    "unknown_backup": Kind(404, "No such backup"),
    "collection_exists": Kind(
        409, "The collection exists", "one of that name exists; exist_ok takes it if its properties are the same"
    ),
    "not_empty": Kind(409, "The collection has records"),
    "conflict": Kind(409, "The records exist"),
    "exists": Kind(409, "It exists already", "something of that name is there already; choose another name"),
    "model_mismatch": Kind(409, "Vectors of another model"),
    "analysis_mismatch": Kind(
        409, "Words found by other rules",
        "the words of this collection were found by another release; it can be searched, but documents cannot be added",
    ),
    # what holds it up
    "rate_limited": Kind(429, "Too many requests", retry_after=1),
    "overloaded": Kind(503, "The server has more to do than it can", retry_after=1),
    "not_ready": Kind(503, "The server is starting or stopping", retry_after=1),
    "closed": Kind(503, "The collection was closed meanwhile", "the collection was closed meanwhile; try again", 1),
    "writer_busy": Kind(
        503, "Another writer is at work", "another writer holds the collection; try again", retry_after=1
    ),
    "read_only": Kind(503, "The collection cannot be written", "the files of this collection may not be written"),
    "collection_quarantined": Kind(503, "The collection is damaged", retry_after=30),
    "timeout": Kind(504, "The request took too long"),
    "storage_full": Kind(507, "No room", "there is no room for this write"),
    # what failed
    "corrupt": Kind(
        500, "The collection is damaged", "files of this collection are damaged; the operator has to run `ramet verify`"
    ),
    "unreadable_format": Kind(500, "The collection cannot be read", "its files are of another release or foreign"),
    "storage_error": Kind(500, "The storage failed", "the operating system refused something; the log says what"),
    "not_installed": Kind(501, "A package is missing", "the server lacks an optional package; the log says which"),
    "internal": Kind(500, "The server failed", "the log has the details under this request_id"),
    "llm_error": Kind(502, "The language model failed", "the language model gave no answer; the log says why"),
    "llm_unavailable": Kind(502, "The language model cannot be reached", "nobody answers at the model's address"),
    "llm_refused": Kind(502, "The language model refuses", "the language model refused the request; the log says why"),
    "llm_response": Kind(502, "The language model answered nonsense", "what the language model sent is no answer"),
    "llm_timeout": Kind(504, "The language model took too long", "no whole answer came within the time"),
}  # fmt: skip
"""Every error that a client can meet, by its code."""


class Refusal(Exception):
    """A request is refused for a reason that is the server's own and not the engine's.

    Parameters
    ----------
    code : str
        One of `KINDS`.
    detail : str
        What is wrong with this request, and what to do.
    argument : str, optional
        Which argument is wrong.
    headers : dict, optional
        Headers of the answer.
    more : dict, optional
        Further members of the body.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        argument: str | None = None,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code, self.detail, self.argument = code, detail, argument
        self.headers, self.more = headers or {}, more or {}


def body_of(
    code: str, detail: str | None, request_id: str, argument: str | None = None, status: int | None = None
) -> dict[str, Any]:
    """The body of a problem, also for a stream that has begun and cannot have another status."""
    kind = KINDS[code]
    said = {
        "type": f"urn:ramet:error:{code}",
        "title": kind.title,
        "status": kind.status if status is None else status,
        "detail": kind.detail if detail is None else detail,
        "code": code,
        "request_id": request_id,
    }
    return said if argument is None else {**said, "argument": argument}


def problem(
    code: str,
    detail: str | None,
    request_id: str,
    *,
    argument: str | None = None,
    status: int | None = None,
    headers: dict[str, str] | None = None,
    more: dict[str, Any] | None = None,
    path: str = "",
) -> Response:
    """An error as a response, which middleware can use, too: ``await problem(...)(scope, receive, send)``."""
    kind = KINDS[code]
    waits = {} if kind.retry_after is None else {"Retry-After": str(kind.retry_after)}
    body = {**body_of(code, detail, request_id, argument, status), **(more or {})}
    if path.startswith(OPENAI):
        body["error"] = openai_error(body)
    return Response(orjson.dumps(body), body["status"], headers={**waits, **(headers or {})}, media_type=MEDIA_TYPE)


def openai_error(body: dict[str, Any]) -> dict[str, Any]:
    """What clients of the OpenAI protocol look for in the body of a problem."""
    return {"message": body["detail"], "type": body["code"], "code": body["code"], "param": body.get("argument")}


def declared(*codes: str) -> dict[int | str, dict[str, Any]]:
    """What a route says in OpenAPI about errors that it can answer with: ``responses=declared("unknown_id")``."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = KINDS[code].status
        known = found.get(status)
        said = f"`{code}`: {KINDS[code].title.lower()}"
        found[status] = {"description": f"{known['description']}; {said}" if known else said, "content": content}
    return found


EVERYWHERE = (
    "invalid_argument", "unauthorized", "right_missing", "tenant_forbidden", "method_not_allowed", "body_too_large",
    "invalid_request", "rate_limited", "internal", "storage_error", "corrupt", "overloaded", "not_ready", "closed",
    "timeout",
)  # fmt: skip
"""What every route under /v1 can answer with; routes add their own with `declared`."""
