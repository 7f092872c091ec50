"""Bodies of requests, read by routes that take them as they come: JSON, or bytes with JSON behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from ramet.api.rest.context import Server
from ramet.api.rest.problems import Refusal
from ramet.api.rest.wire import ARROW, NPY, media_type

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

JSON = "application/json"

SMALL = 64 << 10
"""Bytes of a body that are read on the event loop; more are read on a thread, as others would wait for it."""

MANY = 1_000
"""Errors of a body that are looked at."""


def parsed(model: type[M], body: bytes) -> M:
    """JSON as a model.

    Raises
    ------
    RequestValidationError
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > MANY:  # each would be a dict, made for nobody
            said = f"{error.error_count():,} things are wrong with it"
            raise RequestValidationError([{"type": "many_errors", "loc": ("body",), "msg": said}]) from None
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from error


async def read(server: Server, request: Request, convert: Callable[[bytes], T]) -> T:
    """The body of a request, converted; on a thread when it is large."""
    body = await request.body()
    return convert(body) if len(body) <= SMALL else await server.run(convert, body)


def in_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """What a route depends on for a JSON body that may be large: ``Annotated[Get, Depends(in_body(Get))]``."""

    async def found(request: Request) -> M:
        type_of(request, JSON)
        server: Server = request.app.state.server
        return await read(server, request, lambda body: parsed(model, body))

    return found


def type_of(request: Request, *allowed: str) -> str:
    """The media type of the body; it has to be said, as pages of others may send bytes without a type to any server.

    Raises
    ------
    Refusal
        ``unsupported_media_type``
    """
    given = next((value for key, value in request.scope["headers"] if key == b"content-type"), b"")
    if given == b"application/json" and JSON in allowed:  # nearly always
        return JSON
    if not given:
        raise Refusal("unsupported_media_type", f"say what the body is: Content-Type: {' or '.join(allowed)}")
    found = media_type(given.decode("latin-1"))
    if found not in allowed and not (found.endswith("+json") and JSON in allowed):
        raise Refusal("unsupported_media_type", f"{found!r} is not understood here; send {' or '.join(allowed)}")
    return found if found in allowed else JSON


def described(*, required: bool = True, **models: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says about such a body: ``json=`` a model, ``npy=`` what stands behind the vectors, ``arrow=``."""
    content: dict[str, Any] = {}
    if "json" in models:
        content[JSON] = {"schema": {"$ref": f"#/components/schemas/{models['json'].__name__}"}}
    if "npy" in models:
        said = f"An .npy file of the vectors (n, dim), directly followed by JSON: `{models['npy'].__name__}`."
        content[NPY] = {"schema": {"type": "string", "format": "binary", "description": said}}
    if "arrow" in models:
        said = "An Arrow IPC stream with columns id, vector, document, metadata (JSON) and tenant."
        content[ARROW] = {"schema": {"type": "string", "format": "binary", "description": said}}
    return {"requestBody": {"required": required, "content": content}}
