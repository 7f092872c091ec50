"""The outermost layer: every request gets an id, is counted, timed, logged and traced, and fails without a trace."""

from __future__ import annotations

from collections.abc import MutableMapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ramet.api.rest.problems import problem
from ramet.api.rest.request_ids import HEADER, request_id

if TYPE_CHECKING:
    from ramet.api.rest.context import Server

UNMATCHED = "(none)"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_GIVEN_UP = 499
"""Status of a request that nobody waited for any longer, or that was cut off when the server stopped."""


class Observing:
    """ASGI middleware around everything.

    Parameters
    ----------
    app : ASGI application
    server : Server
    """

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self.server.tracing.request(scope["headers"]) as span:
            answer = _Answer(send, request_id(scope))
            begin = perf_counter()
            self.server.metrics.begun()
            try:
                await self._guarded(scope, receive, answer)
            finally:
                seconds = perf_counter() - begin
                route, method = route_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
                status = answer.status or _GIVEN_UP
                self.server.metrics.answered(route, method, status, seconds)
                span.done(route, method, status, answer.request_id)
                self._log(scope, route, method, status, seconds)

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Answer with a problem when something failed that nobody thought of."""
        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            self.server.log.error("request_broke", route=route_of(scope), request_id=answer.request_id, error=error)
            if answer.status:  # begun: the connection has to end, so that nobody takes half an answer for a whole one
                raise BrokenOffError from None
            await problem("internal", None, answer.request_id, path=scope["path"])(scope, receive, answer)

    def _log(self, scope: Scope, route: str, method: str, status: int, seconds: float) -> None:
        state = scope.get("state", {})
        self.server.request_lines.add(
            method=method, route=route, status=status, ms=round(seconds * 1e3, 3),
            request_id=state.get("request_id"), key=state.get("key_id"),
        )  # fmt: skip


class BrokenOffError(Exception):
    """An answer broke off after it had begun; what happened is in the log."""


class _Answer:
    """``send`` of a request that remembers the status and adds the id."""

    def __init__(self, send: Send, found: str) -> None:
        self._send, self.request_id, self.status = send, found, 0

    async def __call__(self, message: Message) -> None:
        """Pass on a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (HEADER, self.request_id.encode())]}
        await self._send(message)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """The template of the path, which has no values in it."""
    return str(getattr(scope.get("route"), "path_format", UNMATCHED))
