"""Addresses of servers, keys, and what tells them from directories."""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

from ramet.engine.errors import ArgumentError

KEY_VARIABLE = "RAMET_API_KEY"


def is_address(target: object) -> bool:
    """Whether something is the address of a server and not a path."""
    return isinstance(target, str) and target.lower().startswith(("http://", "https://"))


def address(url: Any) -> str:
    """The address of a server, without a slash or ``/v1`` at its end.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(url, str) or not is_address(url):
        raise ArgumentError("url", f'{url!r} is no address of a server; write "http://host:8000"')
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError as error:
        raise ArgumentError("url", f"{url!r} is no address: {error}") from error
    if not named:
        raise ArgumentError("url", f'{url!r} names no host; write "http://host:8000"')
    if parts.username is not None or parts.query or parts.fragment:
        raise ArgumentError("url", "has a user, a query or a fragment; write the host and pass the key as api_key=")
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")


def is_loopback(url: str) -> bool:
    """Whether a server is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def key_of(api_key: Any) -> str | None:
    """The key that is sent: the one given, else that of the environment.

    Raises
    ------
    ArgumentError
        It cannot be a key; the message does not show it.
    """
    found = os.environ.get(KEY_VARIABLE) or None if api_key is None else api_key
    if found is None:
        return None
    if not isinstance(found, str) or not found or not found.isascii() or not found.isprintable() or " " in found:
        raise ArgumentError("api_key", "is no key: pass the text that `ramet keys create` printed")
    return found
