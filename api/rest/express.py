"""A short way to the routes that take most requests.

The application's router compares a path with one pattern after the other, and resolves what a route depends on for
each request; for a query of a tenth of a millisecond that is most of its time. So the innermost layer looks at the path
itself, and calls the very functions that the router would call. What it does not know it leaves to the router.
"""

from __future__ import annotations

import re

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = re.compile(r"/v1/collections/([A-Za-z0-9][A-Za-z0-9._-]{0,127})/(query|query/batch)")


def install(app: FastAPI) -> None:
    """Put the layer around the router of an application that has all its routes, inside of all that is around it."""
    app.router.middleware_stack = Express(app.router.middleware_stack, _routes())


def _routes() -> dict[str, APIRoute]:
    """The routes by the ends of their paths."""
    from ramet.api.rest.routes.query import router

    prefix = "/v1/collections/{name}/"
    found = [route for route in router.routes if isinstance(route, APIRoute)]
    return {route.path_format.removeprefix(prefix): route for route in found}


class Express:
    """ASGI layer that calls some endpoints directly; each takes the request, a collection's name and the principal."""

    def __init__(self, app: ASGIApp, routes: dict[str, APIRoute]) -> None:
        self.app, self.routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            found = PATH.fullmatch(scope["path"])
            principal = scope.get("state", {}).get("principal")
            if found is not None and principal is not None:
                name, end = found.groups()
                route = scope["route"] = self.routes[end]
                response = await route.endpoint(Request(scope, receive, send), name, principal)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)
