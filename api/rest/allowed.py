"""Which methods a path is for: all of them, as its template in the description has them."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.routing import compile_path

Known = list[tuple[re.Pattern[str], str]]


def allowed(app: FastAPI, path: str) -> str | None:
    """The value of ``Allow`` for a path; None when its template is not known.

    The router alone names the methods of the first route that fits, where there is one route for each method; and
    ``/records/count`` is also the record ``count`` to it.
    """
    known: Known | None = getattr(app.state, "methods", None)
    if known is None:
        known = app.state.methods = _known(app)
    return next((methods for regex, methods in known if regex.match(path)), None)


def _known(app: FastAPI) -> Known:
    """Templates with their methods, those with the fewest parameters first."""
    found = []
    for template, operations in app.openapi()["paths"].items():
        regex, _, parameters = compile_path(template)
        found.append((len(parameters), regex, ", ".join(sorted(map(str.upper, operations)))))
    return [(regex, methods) for _, regex, methods in sorted(found, key=lambda one: one[0])]
