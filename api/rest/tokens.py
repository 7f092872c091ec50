"""Tokens that requests use, of language models and of embedders, counted against the key that asked."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ramet.api.rest.problems import Refusal

Headers = list[tuple[bytes, bytes]]


class Bucket:
    """As many requests or tokens as may be taken in a minute, which come back evenly. Threads may share it."""

    __slots__ = ("_lock", "at", "level", "size")

    def __init__(self, per_minute: int, now: float) -> None:
        self.size = per_minute
        self.level = float(per_minute)
        self.at = now
        self._lock = threading.Lock()

    def fill(self, now: float) -> None:
        """Put in what came since the last time."""
        self.take(0, now)

    def take(self, n: int, now: float) -> None:
        """Take so many out, after what came since the last time was put in; there may be less than nothing left."""
        with self._lock:
            self.level = min(float(self.size), self.level + max(0.0, now - self.at) * self.size / 60) - n
            self.at = max(self.at, now)

    def wait(self, wanted: float) -> float:
        """Seconds until there are so many; 0 when there are."""
        return max(0.0, (wanted - self.level) * 60 / self.size)

    def headers(self, suffix: bytes = b"") -> Headers:
        """What is left, for the client."""
        full = math.ceil((self.size - self.level) * 60 / self.size)
        left = max(0, math.floor(self.level))
        return [
            (b"ratelimit-limit" + suffix, b"%d" % self.size),
            (b"ratelimit-remaining" + suffix, b"%d" % left),
            (b"ratelimit-reset" + suffix, b"%d" % full),
        ]


def too_many(detail: str, wait: float) -> Refusal:
    """Refuse what would be too much in a minute."""
    return Refusal("rate_limited", f"{detail}; try again later", headers={"Retry-After": str(max(1, math.ceil(wait)))})


class Account:
    """What one request may use of its key's tokens.

    Attributes
    ----------
    asked : bool
        Whether the request wanted any.
    """

    __slots__ = ("asked", "bucket")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.asked = False

    def ask(self) -> None:
        """Refuse a request whose key has no tokens left, before it uses its first ones.

        Only then: a request that has begun is finished, since a write may have been done in part.

        Raises
        ------
        Refusal
            ``rate_limited``
        """
        if self.asked:
            return
        self.asked = True
        self.bucket.fill(time.monotonic())
        if self.bucket.level < 1:
            raise too_many(f"the key has used its {self.bucket.size:,} tokens of this minute", self.bucket.wait(1))

    def spend(self, tokens: int) -> None:
        """Count tokens; a key may once go below nothing."""
        self.bucket.take(tokens, time.monotonic())


ACCOUNT = "tokens"
"""Where the account of a request is in the state of its scope; it is missing where nothing limits tokens."""

_PAYS: ContextVar[Account | None] = ContextVar("ramet_pays_tokens", default=None)
_COUNTS: ContextVar[bool] = ContextVar("ramet_counts_tokens", default=False)


@contextmanager
def paid_by(scope: MutableMapping[str, Any]) -> Iterator[None]:
    """Count the tokens of texts that are embedded inside, also on threads of pools, against the key of a request.

    What a language model embeds is not inside: its prompt is counted.
    """
    counts, pays = _COUNTS.set(True), _PAYS.set(scope.get("state", {}).get(ACCOUNT))
    try:
        yield
    finally:
        _COUNTS.reset(counts)
        _PAYS.reset(pays)


def counted() -> bool:
    """Whether texts that are embedded now are counted."""
    return _COUNTS.get()


def payer() -> Account | None:
    """The account of the request that embeds something now; None: nothing limits its tokens."""
    return _PAYS.get()


def spend(scope: MutableMapping[str, Any], tokens: int) -> None:
    """Count tokens of prompts and answers of a language model, which are known when it is done.

    Parameters
    ----------
    scope : mapping
        ``request.scope``.
    tokens : int
    """
    account: Account | None = scope.get("state", {}).get(ACCOUNT)
    if account is not None:
        account.spend(tokens)
