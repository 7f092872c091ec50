"""From what a server says is wrong to the error that the embedded engine raises."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ramet._error import RametError
from ramet.api.client import errors
from ramet.api.client.errors import (
    ServerError,
    ServerRefusedError,
    ServerResponseError,
    ServerTimeoutError,
    ServerUnavailableError,
)
from ramet.api.client.messages import Failure, Reply

# Code of a problem -> name in the face of the class that the engine raises.
ENGINE = {
    "invalid_argument": "ArgumentError",
    "invalid_request": "ArgumentError",
    "unknown_collection": "UnknownCollectionError",
    "unknown_id": "UnknownIdError",
    "unknown_tenant": "UnknownTenantError",
    "collection_exists": "CollectionExistsError",
    "not_empty": "NotEmptyError",
    "conflict": "ConflictError",
    "not_owner": "NotOwnerError",
    "missing_embedder": "MissingEmbedderError",
    "model_mismatch": "ModelMismatchError",
    "analysis_mismatch": "AnalysisMismatchError",
    "writer_busy": "WriterBusyError",
    "storage_full": "StorageFullError",
    "read_only": "ReadOnlyError",
    "corrupt": "CorruptionError",
    "collection_quarantined": "CorruptionError",
    "unreadable_format": "FormatError",
    "storage_error": "StorageError",
    "exists": "ExistsError",
    "closed": "ClosedError",
    "llm_error": "LlmError",
    "llm_unavailable": "LlmUnavailableError",
    "llm_timeout": "LlmTimeoutError",
    "llm_refused": "LlmRefusedError",
    "llm_response": "LlmResponseError",
}

# Attributes that these errors always have; what does not travel is None, or empty.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "ArgumentError": {"argument": "", "problem": ""},
    "UnknownIdError": {"tenant": "", "ids": []},
    "UnknownTenantError": {"tenant": "", "argument": "tenant", "problem": ""},
    "ConflictError": {"tenant": "", "ids": [], "advice": ""},
    "NotOwnerError": {"tenant": "", "ids": []},
    "MissingEmbedderError": {"collection": ""},
    "ModelMismatchError": {"collection": "", "known": "", "given": ""},
    "AnalysisMismatchError": {"known": {}, "given": {}},
    "WriterBusyError": {"path": "", "pid": None, "timeout_s": 0.0},
    "StorageFullError": {"path": ""},
    "ReadOnlyError": {"path": ""},
    "CorruptionError": {"file": "", "where": "", "expected": None, "found": None},
    "FormatError": {"file": "", "expected": None, "found": None},
    "ExistsError": {"path": ""},
    "LlmError": {"backend": "", "problem": "", "partial": "", "selection": None},
    "LlmUnavailableError": {"backend": "", "problem": "", "partial": "", "selection": None},
    "LlmTimeoutError": {"backend": "", "problem": "", "partial": "", "selection": None},
    "LlmRefusedError": {"backend": "", "problem": "", "partial": "", "selection": None},
    "LlmResponseError": {"backend": "", "problem": "", "partial": "", "selection": None},
}

_ADVICE = {
    401: "; pass api_key=, or set RAMET_API_KEY",
    403: "; the key may not do this: use another one, or ask who gives them out",
    413: "; send less in one call",
    429: "; wait, or ask for a higher limit",
    503: "; try again later",
    504: "; whether the call was carried out is not known",
}


def error_of(reply: Reply, url: str, attempts: int = 1) -> RametError:
    """The error for an answer that is none.

    Parameters
    ----------
    reply : Reply
    url : str
        Of the server.
    attempts : int
        How often it was tried.
    """
    problem = reply.problem
    if not problem:
        return _foreign(reply, url)
    known = ENGINE.get(str(problem.get("code")))
    error = _refusal(reply, url, attempts) if known is None else engine_error(known, problem)
    error.partly_done = problem.get("partly_done") is True
    if isinstance(problem.get("request_id"), str):
        error.add_note(f"request {problem['request_id']} of {url}")
    return error


def engine_error(name: str, problem: dict[str, Any]) -> RametError:
    """An error of the engine as a server describes it."""
    kind: type[RametError] = getattr(import_module("ramet"), name)
    message = str(problem.get("detail") or problem.get("title") or name)
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    attributes = dict(ATTRIBUTES.get(name, {}))
    attributes |= {key: problem[key] for key in attributes if problem.get(key) is not None}
    if "argument" in attributes and "problem" not in problem:
        attributes["problem"] = message.removeprefix(f"{attributes['argument']}: ")
    elif "backend" in attributes and "problem" not in problem:
        attributes["problem"] = message.removeprefix(f"{attributes['backend']}: ")
    if attributes.get("selection") is not None:
        from ramet.api.client.answers import selection_of

        attributes["selection"] = selection_of(attributes["selection"])
    error.__dict__.update(attributes)
    return error


def _refusal(reply: Reply, url: str, attempts: int) -> ServerError:
    """The server's own no."""
    problem = reply.problem
    tried = f" (in {attempts} attempts)" if attempts > 1 else ""
    words = str(problem.get("detail") or problem.get("title") or f"says {reply.status}").rstrip(".")
    error = _kind_of(reply.status)(url, f"{words}{tried}{_ADVICE.get(reply.status, '')}")
    error.status, error.code = reply.status, str(problem.get("code") or "") or None
    error.request_id = problem.get("request_id") or reply.headers.get("x-request-id")
    error.retry_after_s = reply.retry_after_s
    return error


def _kind_of(status: int) -> type[ServerError]:
    if status == 504:
        return ServerTimeoutError
    if status in (502, 503):
        return ServerUnavailableError
    return ServerRefusedError if 400 <= status < 500 else ServerError


def _foreign(reply: Reply, url: str) -> ServerError:
    """What is no answer of Ramet: of a proxy, or of somebody else's server."""
    where = reply.headers.get("location")
    if 300 <= reply.status < 400 and where:
        words = f"answered {reply.status} and points to {where}; connect to the address that it really has"
    else:
        shown = " ".join(reply.body[:200].decode("utf-8", "replace").split())
        words = (
            f"answered {reply.status} with {reply.kind or 'nothing'}{f' ({shown})' if shown else ''}; "
            "is this the address of a Ramet server?"
        )
    unavailable = {502: ServerUnavailableError, 503: ServerUnavailableError, 504: ServerTimeoutError}
    error = unavailable.get(reply.status, ServerResponseError)(url, words)
    error.status, error.retry_after_s = reply.status, reply.retry_after_s
    return error


def unreachable(failure: Failure, url: str, *, repeatable: bool, attempts: int = 1) -> ServerError:
    """The error when no answer came."""
    tried = f"in {attempts} attempts" if attempts > 1 else "in 1 attempt"
    if failure.timed_out and failure.sent:
        unsure = "" if repeatable else " whether the call was carried out is not known;"
        return ServerTimeoutError(url, f"no answer within the time ({failure.reason});{unsure} raise timeout_s")
    if not failure.sent:
        words = f"nobody answers, {tried} ({failure.reason}); is the server running, and is this its address?"
    elif repeatable:
        words = f"the connection broke off, {tried} ({failure.reason}); try again"
    else:
        words = (
            f"the connection broke off ({failure.reason}), and whether the call was carried out is not known; "
            "look before calling again"
        )
    return ServerUnavailableError(url, words)


def not_understood(reply: Reply, url: str, error: Exception) -> errors.ServerResponseError:
    """The error when an answer lacks what it should have."""
    found = ServerResponseError(
        url,
        f"answered {reply.status} with what this client does not understand ({type(error).__name__}: {error}); "
        "is it a Ramet server, and of this release?",
    )
    found.status = reply.status
    return found
