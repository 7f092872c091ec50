"""Server-sent events whose work ends when nobody listens any more, and the same for answers that come as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ramet.api.rest.answers import dumps

PING_S = 15.0
"""Silence after which a comment is sent: proxies close connections on which nothing comes."""
PING = b": wait\n\n"
DONE = b"data: [DONE]\n\n"

Found = TypeVar("Found")


def event(name: str | None, data: Any) -> bytes:
    """One event, with JSON in it; JSON has no line breaks."""
    kind = b"" if name is None else b"event: " + name.encode() + b"\n"
    return kind + b"data: " + dumps(data) + b"\n\n"


class Events(StreamingResponse):
    """A stream of events.

    When the client goes, the generator is stopped where it waits, also if it has nothing to send: so the language
    model stops, too.

    Parameters
    ----------
    parts : async generator of bytes
    timeout_s : float
        Silence that ends an answer (`limits.Deadline`): comments come well before.
    """

    media_type = "text/event-stream"

    def __init__(self, parts: AsyncGenerator[bytes, None], timeout_s: float) -> None:
        self._parts = with_pings(parts, min(PING_S, timeout_s / 3))
        super().__init__(self._parts, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, until the last one or until the client goes."""
        sending = asyncio.ensure_future(self.stream_response(send))
        gone = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(gone)
            error = await _ended(sending)
            await self._parts.aclose()
        if error is not None and not isinstance(error, OSError):  # OSError: the client went while we sent
            raise error


async def with_pings(parts: AsyncGenerator[bytes, None], every: float) -> AsyncGenerator[bytes, None]:
    """The same parts, and comments while none comes."""
    waiting: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            if waiting is None:
                waiting = asyncio.ensure_future(_next(parts))
            if not (await asyncio.wait((waiting,), timeout=every))[0]:
                yield PING
                continue
            part, waiting = waiting.result(), None
            if part is None:
                return
            yield part
    finally:
        if waiting is not None:
            await _ended(waiting)
        await parts.aclose()


async def while_heard(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """What the work comes to; it is stopped when the client goes.

    Raises
    ------
    ClientDisconnect
    """
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, gone), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientDisconnect
    finally:
        await _ended(gone)
        await _ended(doing)


async def _gone(request: Request) -> None:
    """Wait until the client closes the connection; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(parts, None)


async def _ended(task: asyncio.Future[Any]) -> BaseException | None:
    """Stop a task that may be done; its error, if it had one of its own."""
    task.cancel()
    await asyncio.wait((task,))
    return None if task.cancelled() else task.exception()


def described(**events: str | dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says about a stream: the schema of the JSON in each event, by the event's name."""

    def one(name: str, schema: str | dict[str, Any]) -> dict[str, Any]:
        inside = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema
        data = {"type": "string", "contentMediaType": "application/json", "contentSchema": inside}
        return {
            "type": "object", "required": ["event", "data"],
            "properties": {"event": {"const": name}, "data": data},
        }  # fmt: skip

    return {"schema": {"oneOf": [one(name, schema) for name, schema in events.items()]}}
