"""The description of the interface: what FastAPI finds, and what only somebody who knows all routes can add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from ramet.api.rest.models.chat import ChatCompletionChunk
from ramet.api.rest.models.problems import Problem
from ramet.api.rest.problems import SCHEMA
from ramet.api.rest.schema import add_bodies_and_limits

COMPONENTS = "#/components/schemas/"

TAGS = {
    "collections": "Make, describe, keep in order and delete collections.",
    "records": "Store, read, count, delete and grant records.",
    "texts": "Documents, cut into chunks and embedded by the server.",
    "query": "The nearest records by vector, by words, or by both.",
    "answers": "Chunks and answers under a budget of tokens, with citations.",
    "chat": "The same by the OpenAI protocol.",
    "tenants": "Who has records.",
    "backups": "Copies of collections.",
    "operations": "Health and figures of the server.",
}

# A key may come in either header.
BEARER, API_KEY = "key", "api-key"
_SCHEME = {"type": "apiKey", "in": "header", "name": "api-key", "description": "The same key in a header of its own."}

_RETRY = {"description": "Seconds after which the request may succeed.", "schema": {"type": "string"}}
_CHALLENGE = {"description": "How to send a key.", "schema": {"type": "string"}}
_HEADERS = {"401": {"WWW-Authenticate": _CHALLENGE}, "429": {"Retry-After": _RETRY}, "503": {"Retry-After": _RETRY}}

_NAME = {"name": "$request.path.name"}

# operation -> (status, operation that goes on with what this one knows, its parameters, its body)
LINKS: dict[str, tuple[tuple[str, str, dict[str, str], dict[str, Any] | None], ...]] = {
    "addTexts": (
        ("200", "selectChunks", _NAME, None),
        ("200", "answerQuestion", _NAME, None),
        ("200", "deleteTexts", _NAME, {"ids": ["$response.body#/ids/0"]}),
    ),
    "listRecords": (
        ("200", "getRecord", {**_NAME, "id": "$response.body#/records/0/id"}, None),
        ("200", "deleteRecords", _NAME, {"ids": ["$response.body#/records/0/id"]}),
    ),
    "queryRecords": (("200", "getRecord", {**_NAME, "id": "$response.body#/hits/0/id"}, None),),
    "selectChunks": (("200", "getRecord", {**_NAME, "id": "$response.body#/chunks/0/id"}, None),),
    "listTenants": (
        ("200", "getTenant", {**_NAME, "tenant": "$response.body#/tenants/0/name"}, None),
        ("200", "dropTenant", {**_NAME, "tenant": "$response.body#/tenants/0/name"}, None),
    ),
    "listModels": (("200", "getModel", {"model": "$response.body#/data/0/id"}, None),),
    "createBackup": (("201", "listBackups", {}, None),),
}


def describe(app: FastAPI) -> None:
    """Make ``/openapi.json`` complete."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    tags = [{"name": name, "description": said} for name, said in TAGS.items()]
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=tags
    )  # fmt: skip
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # ours look like all other errors
        schemas.pop(name, None)
    for model in (Problem, ChatCompletionChunk):
        _add(schemas, model)
    add_bodies_and_limits(schemas, app.state.server.settings)
    components.setdefault("securitySchemes", {})[API_KEY] = _SCHEME
    for operation in _operations(found):
        _complete(operation)
    return found


def _add(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    """A model that no route has as its body or response."""
    made = model.model_json_schema(ref_template=f"{COMPONENTS}{{model}}", mode="serialization")
    for name, schema in made.pop("$defs", {}).items():
        schemas.setdefault(name, schema)
    schemas[SCHEMA if model is Problem else model.__name__] = made


def _operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in found["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Any]) -> None:
    """Links, headers and the second way to send a key, for one operation."""
    responses = operation["responses"]
    for status, target, parameters, body in LINKS.get(operation["operationId"], ()):
        link: dict[str, Any] = {"operationId": target, "parameters": parameters}
        if body is not None:
            link["requestBody"] = body
        responses[status].setdefault("links", {})[target] = link
    for status, headers in _HEADERS.items():
        if status in responses:
            responses[status].setdefault("headers", {}).update(headers)
    if "security" in operation:
        operation["security"] = [{BEARER: []}, {API_KEY: []}]
