"""What a server takes from its clients at most: bytes, requests at once, time, requests and tokens in a minute.

Layers of plain ASGI around the application, from the outside in: `auth.Gate` asks for the key, so that nobody without
one takes the place of others, `InFlight` counts the requests at work, `Deadline` ends those that take too long, `Rates`
counts for each key, `BodySize` counts bytes. All of them together cost a request some ten microseconds.

Counts are those of one process: with several server processes a key may get as many times its limit.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ramet.api.rest.auth import Gate, Principal
from ramet.api.rest.problems import Refusal
from ramet.api.rest.refusing import refuse
from ramet.api.rest.tokens import ACCOUNT, Account, Bucket, Headers, too_many

if TYPE_CHECKING:
    from ramet.api.rest.context import Server

# Asked by those who watch the server: not counted, so that they get an answer from one that is overloaded.
UNCOUNTED = frozenset({"/healthz", "/livez", "/readyz", "/metrics"})

# Ends of paths whose requests read or write a whole collection, or embed any number of texts.
SLOW = ("/compact", "/verify", "/backups", "/calibrate", "/maintain", "/texts")
SLOW_S = 3_600.0

# Ends of paths whose bodies may be as large as the settings say. Others have little to say, and are read at once.
LARGE = ("/records", "/get", "/delete", "/grant", "/revoke", "/query", "/batch", "/texts", "/calibrate")
OTHERS_BYTES = 2 << 20

# Bodies up to this count for nothing in what all bodies may take together.
LIGHT = 64 << 10

# Ends of paths whose requests always use tokens of language models or embedders. Others do when a text has to be
# embedded, which is noticed then.
USING_TOKENS = ("/answer", "/chat/completions", "/texts")

# Keys whose buckets are remembered; more than these, and full ones are forgotten.
MANY_KEYS = 10_000


def install(app: FastAPI, server: Server) -> None:
    """Put all layers around an application; what was added before is inside of them, what is added later outside."""
    settings = server.settings
    app.add_middleware(BodySize, most=settings.max_body_bytes, together=settings.max_bodies_bytes)
    app.add_middleware(Rates, requests=settings.rate_limit_per_minute, tokens=settings.token_limit_per_minute)
    app.add_middleware(Deadline, seconds=settings.request_timeout_s)
    app.add_middleware(InFlight, most=settings.max_in_flight)
    app.add_middleware(Gate, server=server)


class InFlight:
    """Refuses requests while as many as there may be are at work: 503 ``overloaded``."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most
        self.n = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in UNCOUNTED:
            await self.app(scope, receive, send)
            return
        if self.n >= self.most:
            await refuse(Refusal("overloaded", f"{self.most} requests are at work; try again"), scope, receive, send)
            return
        self.n += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.n -= 1


class _AtWork:
    """A request, and until when something has to be sent."""

    __slots__ = ("begun", "expired", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float) -> None:
        self.task, self.until = task, until
        self.begun = self.expired = False

    def was_ended(self) -> bool:
        """Tell whether the request was cancelled for its time only, and take that back."""
        expired, self.expired = self.expired, False
        return expired and not self.task.uncancel()


class Deadline:
    """Ends requests whose answer has not begun in time: 504 ``timeout``.

    An answer that has begun may take longer, as long as the client takes a piece of it within that time after the
    piece before. A request that is ended may have been carried out.

    One timer looks at all requests now and then: a timer for each would cost more than all other layers together. So
    a request may take a tenth longer than the time that is set, but never longer than a second more.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds
        self._pause = min(1.0, seconds / 10)
        self._at_work: set[_AtWork] = set()
        self._looking = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        seconds = max(self.seconds, SLOW_S) if scope["path"].endswith(SLOW) else self.seconds
        one = _AtWork(task, time.monotonic() + seconds)

        async def watched(message: Message) -> None:
            one.begun = True
            if message.get("more_body"):
                one.until = time.monotonic() + self.seconds
            await send(message)

        self._at_work.add(one)
        if not self._looking:
            self._look()
        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            if not one.was_ended():
                raise  # somebody else wants it to end
        else:
            if not one.was_ended():
                return
        finally:
            self._at_work.discard(one)
        if not one.begun:  # else the server closes the connection, which is all that can be said
            problem = Refusal("timeout", f"no answer within {self.seconds:g} s; the request may have been done")
            await refuse(problem, scope, receive, send)

    def _look(self) -> None:
        """Cancel what is overdue, and look again later, as long as there is anything at work."""
        now = time.monotonic()
        for one in self._at_work:
            if one.until <= now and not one.expired:
                one.expired = one.task.cancel()
        self._looking = bool(self._at_work)
        if self._looking:
            asyncio.get_running_loop().call_later(self._pause, self._look)


class BodySize:
    """Refuses bodies that are announced to be too large, or become so: 413 ``body_too_large``.

    Also those that come while others take as much as all may together: 503 ``overloaded``. What counts is what has
    come, not what is announced, and it counts until the request is answered.
    """

    def __init__(self, app: ASGIApp, most: int, together: int) -> None:
        self.app = app
        self.most = most
        self.together = max(together, most)
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        most = self.most if scope["path"].endswith(LARGE) else min(self.most, OTHERS_BYTES)
        if announced is None:
            await self._counted(scope, receive, send, most)
        elif not announced.isdigit() or int(announced) > most:
            await refuse(_too_large(most), scope, receive, send)
        elif int(announced) > LIGHT:
            await self._counted(scope, receive, send, most)
        else:
            await self.app(scope, receive, send)  # the protocol sees to it that no more comes than was announced

    async def _counted(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """Handle a request whose body ends when it ends."""
        seen = 0
        begun = False
        refusal: Refusal | None = None

        async def counted() -> Message:
            nonlocal seen, refusal
            message = await receive()
            n = len(message.get("body", b""))
            seen += n
            self.held += n
            if seen > most:
                refusal = _too_large(most)
            elif self.held > self.together:
                refusal = Refusal("overloaded", "the bodies of other requests take all memory there is for them")
            if refusal is not None:
                raise _Stopped
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            if refusal is None or begun:  # what the application makes of the failing body is not sent
                begun = True
                await send(message)

        try:
            await self.app(scope, counted, watched)
        except Exception:
            if refusal is None or begun:
                raise
        finally:
            self.held -= seen
        if refusal is not None and not begun:
            await refuse(refusal, scope, receive, send)


def _too_large(most: int) -> Refusal:
    return Refusal("body_too_large", f"a body may have {most:,} bytes here; send less at a time")


class _Stopped(Exception):
    """No more of a body is taken."""


class Rates:
    """Refuses requests of a key that has sent too many, or used too many tokens: 429 ``rate_limited``.

    A key may have limits of its own. On a server without keys, all requests count together.
    """

    def __init__(self, app: ASGIApp, requests: int | None, tokens: int | None) -> None:
        self.app = app
        self.requests = requests
        self.tokens = tokens
        self._requests: dict[str | None, Bucket] = {}
        self._tokens: dict[str | None, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        principal: Principal | None = scope.get("state", {}).get("principal")
        if principal is not None:
            key = principal.key
            requests = self.requests if key is None else key.requests_per_minute or self.requests
            tokens = self.tokens if key is None else key.tokens_per_minute or self.tokens
            if requests is not None or tokens is not None:
                await self._limited(scope, receive, send, requests, tokens)
                return
        await self.app(scope, receive, send)

    async def _limited(
        self, scope: Scope, receive: Receive, send: Send, requests: int | None, tokens: int | None
    ) -> None:
        """Handle a request that counts."""
        headers: Headers = []
        refusal = self._counted(scope, headers, requests, tokens)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                told_too = _unexpected(scope, headers)
                message = {**message, "headers": [*message.get("headers", ()), *headers, *told_too]}
            await send(message)

        if refusal is None:
            await self.app(scope, receive, told)
        else:
            await refuse(refusal, scope, receive, told)

    def _counted(self, scope: Scope, headers: Headers, requests: int | None, tokens: int | None) -> Refusal | None:
        """Count a request, and say what is against it; `headers` gets what is left."""
        now, key = time.monotonic(), scope["state"]["principal"].key_id
        if tokens is not None:
            account = scope["state"][ACCOUNT] = Account(_bucket(self._tokens, key, tokens, now))
            if scope["path"].endswith(USING_TOKENS):
                headers += account.bucket.headers(b"-tokens")
                try:
                    account.ask()
                except Refusal as refusal:
                    return refusal
        if requests is not None:
            bucket = _bucket(self._requests, key, requests, now)
            wait = bucket.wait(1)
            if not wait:
                bucket.take(1, now)
            headers += bucket.headers()
            if wait:
                return too_many(f"the key may send {requests:,} requests in a minute", wait)
        return None


def _unexpected(scope: Scope, headers: Headers) -> Headers:
    """What is left of the tokens, for a request that wanted some where most want none."""
    account: Account | None = scope["state"].get(ACCOUNT)
    if account is None or not account.asked or any(name.endswith(b"-tokens") for name, _ in headers):
        return []
    return account.bucket.headers(b"-tokens")


def _bucket(buckets: dict[str | None, Bucket], key: str | None, per_minute: int, now: float) -> Bucket:
    """The bucket of a key, filled up to now."""
    bucket = buckets.get(key)
    if bucket is None:
        if len(buckets) >= MANY_KEYS:
            for name in [name for name, known in buckets.items() if now - known.at > 60]:
                del buckets[name]
        bucket = buckets[key] = Bucket(per_minute, now)
    bucket.fill(now)
    return bucket
