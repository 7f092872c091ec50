"""HTTP: runs operations with httpx, in threads or in an event loop. Nothing else here knows httpx."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from ramet import ClosedError
from ramet.api.client import problems
from ramet.api.client.addresses import is_loopback
from ramet.api.client.messages import Failure, Operation, Pause, Reply, Request, T

CONNECT_S = 5.0
CONNECTIONS = 64
IDLE_S = 4.0
"""Seconds that an unused connection is kept: less than a server keeps it (uvicorn: 5), which may close it unasked."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a server is, and how it is asked."""

    url: str
    api_key: str | None
    timeout_s: float

    def __repr__(self) -> str:
        return f"Access({self.url!r})"  # without the key

    def named(self) -> dict[str, Any]:
        """Arguments of a client of httpx."""
        key = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        return {
            "base_url": self.url,
            "headers": {"User-Agent": "ramet", **key},
            "timeout": self.timeouts(None),
            "limits": httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=IDLE_S
            ),
            "trust_env": not is_loopback(self.url),  # a proxy does not know the way to this machine
        }

    def timeouts(self, seconds: float | None) -> httpx.Timeout:
        """How long to wait for each step."""
        return httpx.Timeout(self.timeout_s if seconds is None else seconds, connect=min(CONNECT_S, self.timeout_s))

    def message(self, client: Any, request: Request) -> httpx.Request:
        """A request of httpx."""
        made: httpx.Request = client.build_request(
            request.method,
            request.path.removeprefix("/"),
            params=request.query or None,
            content=request.body or None,
            headers=request.headers,
            timeout=self.timeouts(request.timeout_s),
        )
        return made


def _failure(error: Exception) -> Failure:
    """Why there is no answer."""
    reason = str(error) or type(error).__name__
    return Failure(
        reason=reason, sent=not isinstance(error, _NOT_SENT), timed_out=isinstance(error, httpx.TimeoutException)
    )


def _reply(response: httpx.Response, stream: Any = None) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = b"" if stream is not None else response.content
    return Reply(status=response.status_code, headers=headers, body=body, stream=stream)


class Transport:
    """Runs operations on the calling thread. Threads may share one."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = httpx.Client(**access.named())

    def run(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises
        ------
        ClosedError
            The transport was closed before.
        RametError
            What the operation raises.
        """
        if self.closed:
            raise ClosedError(f"the connection to {self.access.url}")
        answer: Reply | Failure | None = None
        try:
            while True:
                step = operation.send(answer)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    answer = None
                else:
                    answer = self._sent(step)
        except StopIteration as done:
            result: T = done.value
            return result

    def _sent(self, request: Request) -> Reply | Failure:
        try:
            response = self._http.send(self.access.message(self._http, request), stream=request.streamed)
            if not request.streamed:
                return _reply(response)
            if response.is_success:
                return _reply(response, _Blocks(response, self.access.url))
            response.read()
            return _reply(response)
        except httpx.RequestError as error:
            return _failure(error)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._http.is_closed

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class _Blocks:
    """The body of an answer as it comes."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._response, self._url = response, url

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_bytes()
        except httpx.RequestError as error:
            raise problems.unreachable(_failure(error), self._url, repeatable=False) from error

    def close(self) -> None:
        """Tell the server that nobody listens any more."""
        self._response.close()


class AsyncTransport:
    """As `Transport`, in an event loop."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = httpx.AsyncClient(**access.named())

    async def run(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises
        ------
        ClosedError
            The transport was closed before.
        RametError
            What the operation raises.
        """
        if self.closed:
            raise ClosedError(f"the connection to {self.access.url}")
        answer: Reply | Failure | None = None
        try:
            while True:
                step = operation.send(answer)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    answer = await self._sent(step)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _sent(self, request: Request) -> Reply | Failure:
        try:
            response = await self._http.send(self.access.message(self._http, request), stream=request.streamed)
            if not request.streamed:
                return _reply(response)
            if response.is_success:
                return _reply(response, _AsyncBlocks(response, self.access.url))
            await response.aread()
            return _reply(response)
        except httpx.RequestError as error:
            return _failure(error)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._http.is_closed

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class _AsyncBlocks:
    """The body of an answer as it comes."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._response, self._url = response, url

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._response.aiter_bytes():
                yield block
        except httpx.RequestError as error:
            raise problems.unreachable(_failure(error), self._url, repeatable=False) from error

    async def aclose(self) -> None:
        """Tell the server that nobody listens any more."""
        await self._response.aclose()
