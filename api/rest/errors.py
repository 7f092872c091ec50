"""Which error of the engine is which problem on the wire, and the handlers that make one of any exception."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ramet import (
    AccessError,
    AnalysisMismatchError,
    ArgumentError,
    ClosedError,
    CollectionExistsError,
    ConflictError,
    CorruptionError,
    ExistsError,
    ForkError,
    FormatError,
    LlmError,
    LlmRefusedError,
    LlmResponseError,
    LlmTimeoutError,
    LlmUnavailableError,
    MissingEmbedderError,
    MissingError,
    MissingPackageError,
    ModelMismatchError,
    NotEmptyError,
    NotOwnerError,
    RametError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    UnknownCollectionError,
    UnknownIdError,
    UnknownTenantError,
    WriterBusyError,
)
from ramet.api.rest.allowed import allowed
from ramet.api.rest.pool import OverloadedError
from ramet.api.rest.problems import KINDS, Kind, Refusal, body_of, problem
from ramet.api.rest.request_ids import request_id
from ramet.api.rest.selected import selection_of
from ramet.engine.allowance import ReadLimitError

# What is not listed is what its nearest listed base is; a test holds that only errors nobody can meet here are not.
CODES: dict[type[RametError], str] = {
    RametError: "internal",
    ArgumentError: "invalid_argument",
    MissingPackageError: "not_installed",
    UnknownCollectionError: "unknown_collection",
    CollectionExistsError: "collection_exists",
    NotEmptyError: "not_empty",
    UnknownTenantError: "unknown_tenant",
    UnknownIdError: "unknown_id",
    NotOwnerError: "not_owner",
    ConflictError: "conflict",
    MissingEmbedderError: "missing_embedder",
    ModelMismatchError: "model_mismatch",
    AnalysisMismatchError: "analysis_mismatch",
    StorageError: "storage_error",
    CorruptionError: "corrupt",
    FormatError: "unreadable_format",
    MissingError: "unknown_collection",
    ExistsError: "exists",
    WriterBusyError: "writer_busy",
    ReadOnlyError: "read_only",
    AccessError: "storage_error",
    StorageFullError: "storage_full",
    ReadLimitError: "answer_too_large",
    ClosedError: "closed",
    ForkError: "internal",
    LlmError: "llm_error",
    LlmUnavailableError: "llm_unavailable",
    LlmTimeoutError: "llm_timeout",
    LlmRefusedError: "llm_refused",
    LlmResponseError: "llm_response",
}

CLIENT_GONE = 499

MOST_IDS = 100
"""Of those that an error is about."""

_OF_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    503: "overloaded",
}

_OF_ROUTER = {
    "not_found": "there is nothing at this path; /openapi.json describes what there is",
    "method_not_allowed": "this path has other methods; /openapi.json describes them",
}


def code_of(error: RametError) -> str:
    """The code of an error of the engine: its own, or that of the nearest base that has one."""
    return next(CODES[base] for base in type(error).__mro__ if base in CODES)


def detail_of(error: RametError, request: Request | None = None) -> str:
    """What a client is told: the error's message, or what the kind says in its place; never a path of the server."""
    kind = KINDS[code_of(error)]
    if error.partly_done:
        return f"{_said(error, kind, request)}; what this write had committed before stays"
    return _said(error, kind, request)


def _said(error: RametError, kind: Kind, request: Request | None) -> str:
    if kind.detail is not None:
        return kind.detail
    if kind.status >= 500:
        return KINDS["internal"].detail or ""
    said = str(error)
    server = None if request is None else getattr(request.app.state, "server", None)
    if server is None:
        return said
    settings = server.settings
    said = said.replace(str(settings.backups), "the directory of backups")
    return said.replace(str(settings.data_dir), "the data directory")


def install(app: FastAPI) -> None:
    """Make a problem of every exception that leaves a route."""
    app.add_exception_handler(RametError, _of_engine)
    app.add_exception_handler(Refusal, _of_refusal)
    app.add_exception_handler(OverloadedError, _of_overload)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(ClientDisconnect, _of_nobody)


async def _of_engine(request: Request, error: Exception) -> Response:
    assert isinstance(error, RametError)
    code, found = _counted(request, code_of(error)), request_id(request.scope)
    if KINDS[code].status >= 500:
        _note(request, code, error)
    if isinstance(error, (CorruptionError, FormatError)):
        await asyncio.to_thread(request.app.state.server.found_damaged, error)
    argument = getattr(error, "argument", None)
    return problem(code, detail_of(error, request), found, argument=argument, more=_more(error), path=request.url.path)


def _more(error: RametError) -> dict[str, Any]:
    """Whose and which records an error is about, so that a client can make it again.

    Also what a language model that failed was to read: it need not be selected again.
    """
    found = {name: value for name in ("tenant", "advice") if (value := getattr(error, name, None))}
    if ids := getattr(error, "ids", None):
        found["ids"] = list(ids[:MOST_IDS])
    if error.partly_done:
        found["partly_done"] = True
    selection = getattr(error, "selection", None)
    return found if selection is None else {**found, "selection": selection_of(selection)}


def body_within(request: Request, error: Exception) -> dict[str, Any]:
    """The problem of an exception in the middle of a stream, whose status was sent long ago."""
    code = code_of(error) if isinstance(error, RametError) else "internal"
    if KINDS[code].status >= 500:
        _note(request, code, error)
    if not isinstance(error, RametError):
        return body_of(code, None, request_id(request.scope))
    return {**body_of(code, detail_of(error, request), request_id(request.scope)), **_more(error)}


async def _of_nobody(request: Request, error: Exception) -> Response:
    """Nobody reads this answer; the status is for logs and figures."""
    return Response(status_code=CLIENT_GONE)


async def _of_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(
        _counted(request, error.code), error.detail, request_id(request.scope),
        argument=error.argument, headers=error.headers, more=error.more, path=request.url.path,
    )  # fmt: skip


async def _of_overload(request: Request, error: Exception) -> Response:
    return problem(_counted(request, "overloaded"), str(error), request_id(request.scope), path=request.url.path)


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"at": _place(one["loc"]), "problem": str(one["msg"])} for one in error.errors()[:10]]
    first = found[0] if found else {"at": "", "problem": "is wrong"}
    return problem(
        _counted(request, "invalid_request"), f"{first['at']}: {first['problem']}", request_id(request.scope),
        argument=first["at"], more={"errors": found}, path=request.url.path,
    )  # fmt: skip


def _place(parts: tuple[int | str, ...]) -> str:
    """Where in a request something is wrong: ``vectors[3][0]``, or ``query k`` outside the body."""
    where, *rest = parts or ("request",)
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return (inside or "body") if where == "body" else f"{where} {inside}".rstrip()


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _OF_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "http_error")
    said = str(error.detail or "")
    bare = said in {"", HTTPStatus(error.status_code).phrase}  # as the router raises it
    detail = _OF_ROUTER.get(code, KINDS[code].title.lower()) if bare else said
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := allowed(request.app, request.url.path)):
        headers["Allow"] = methods
    return problem(
        _counted(request, code), detail, request_id(request.scope), status=error.status_code, headers=headers,
        path=request.url.path,
    )  # fmt: skip


def _counted(request: Request, code: str) -> str:
    """Count a problem."""
    server = getattr(request.app.state, "server", None)
    if server is not None:
        server.metrics.refused(code)
    return code


def _note(request: Request, code: str, error: Exception) -> None:
    """Write down what the client is not told."""
    server = getattr(request.app.state, "server", None)
    if server is not None:
        server.log.error("request_failed", code=code, request_id=request_id(request.scope), error=error)
