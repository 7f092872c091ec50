"""Answers of the layers around the application: a problem, also to a client that is still sending its body."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Message, Receive, Scope, Send

from ramet.api.rest.problems import Refusal, problem
from ramet.api.rest.request_ids import request_id

# A body that is announced to be longer than this is not waited for.
SHORT_BODY = 1 << 20

# How long, and for how many bytes, a client may go on sending before the connection is closed. Closed at once, its
# system would throw away the answer that it has not read yet.
LINGER_S = 2.0
LINGER_BYTES = 64 << 20


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a problem in place of the application."""
    server = getattr(scope["app"].state, "server", None) if "app" in scope else None
    if server is not None:
        server.metrics.refused(refusal.code)
    response = problem(
        refusal.code, refusal.detail, request_id(scope),
        argument=refusal.argument, headers=refusal.headers, more=refusal.more, path=scope["path"],
    )  # fmt: skip
    if not _is_long(scope):
        await response(scope, receive, send)
        return
    response.headers["connection"] = "close"

    async def first(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await send(message)

    await response(scope, receive, first)
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await _drained(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drained(receive: Receive) -> None:
    """Take what comes of the body until it ends, or is too much."""
    left = LINGER_BYTES
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        left -= len(message.get("body", b""))


def _is_long(scope: Scope) -> bool:
    """Whether more of the body may be on its way than is read along."""
    headers = dict(scope["headers"])
    if b"expect" in headers:
        return True
    length = headers.get(b"content-length")
    if length is None:
        return b"transfer-encoding" in headers
    return not length.isdigit() or int(length) > SHORT_BODY
