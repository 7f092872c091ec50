"""The description of the interface: what FastAPI finds, with our one form of errors in place of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ramet.api.rest.models.problems import Problem
from ramet.api.rest.problems import SCHEMA
from ramet.api.rest.schema import complete


def describe(app: FastAPI) -> None:
    """Make ``/openapi.json`` say how errors look."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas[SCHEMA] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    complete(found, app.state.server.settings)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return found
