"""What goes to a server and what comes back: requests and replies, without a network.

A call is an *operation*: a generator that yields requests and pauses, is sent replies and failures, and returns its
result. A transport runs it, with or without ``await`` (`ramet.api.client.transports`); everything else is the same.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

NPY = "application/x-npy"
JSON = "application/json"
EVENTS = "text/event-stream"

LONG_S = 3600.0
"""Seconds allowed for what takes as long as the collection is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    path: str
    """Percent-encoded, from the root of the server on."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = JSON
    accept: str = JSON
    repeatable: bool = True
    """Whether sending it twice leaves what sending it once does."""
    timeout_s: float | None = None
    """Seconds to wait for the answer; None: what the client was made with."""
    streamed: bool = False
    """The body of the answer is wanted as it comes."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers, but for the key."""
        return {"Accept": self.accept, **({"Content-Type": self.content_type} if self.body else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    stream: Any = None
    """Of a streamed answer: blocks of bytes to iterate over, with ``close`` or ``aclose``."""
    _parsed: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def kind(self) -> str:
        """Media type."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def problem(self) -> dict[str, Any]:
        """The problem that the body describes; empty if it is none."""
        if "problem" not in self._parsed:
            self._parsed["problem"] = _object(self.body) if self.kind == "application/problem+json" else {}
        found: dict[str, Any] = self._parsed["problem"]
        return found

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server asks to try again."""
        try:
            wait = float(self.headers.get("retry-after", ""))
        except ValueError:  # a date, which proxies may send: left to the pauses of the client
            return None
        return wait if 0 <= wait < 1e9 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No answer came."""

    reason: str
    sent: bool
    """The server may have got the request."""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that has to pass."""

    seconds: float


Operation = Generator[Request | Pause, Any, T]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
