"""Who asks, and what for: keys in requests, tenants and rights of a request. ``docs/keys.md`` has the model."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Receive, Scope, Send

from ramet import StorageError
from ramet.api.rest.problems import Refusal
from ramet.api.rest.refusing import refuse
from ramet.api.rest.request_ids import request_id
from ramet.engine.keys import ALL, RIGHTS, Key, Keys, Tenants

if TYPE_CHECKING:
    from ramet.api.rest.context import Server
    from ramet.api.rest.settings import Settings

Right = Literal["read", "write", "admin"]

DEFAULT_TENANT = "default"

# What is asked for a key before anything else of the request is looked at.
GUARDED = "/v1"

# Headers that proxies add.
_HANDED_ON = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ramet"'}


class Principal:
    """Whoever sent a request. Made by `authenticated` only.

    Parameters
    ----------
    key : Key or None
        The key that was sent; None on a server that has no keys, where everybody may do everything.
    """

    __slots__ = ("key", "rights", "tenants")

    def __init__(self, key: Key | None) -> None:
        self.key = key
        self.tenants: Tenants = ALL if key is None else key.tenants
        self.rights: frozenset[str] = frozenset(RIGHTS) if key is None else key.rights

    @property
    def key_id(self) -> str | None:
        """Public id of the key, for logs."""
        return None if self.key is None else self.key.id

    @property
    def everywhere(self) -> bool:
        """Whether it reaches all tenants."""
        return self.tenants is ALL

    def reaches(self, tenant: str) -> bool:
        """Tell whether a tenant's records may be asked for."""
        return self.tenants is ALL or tenant in self.tenants

    def __repr__(self) -> str:
        return f"Principal(key_id={self.key_id!r})"


NOBODY = Principal(None)
"""Everybody, on a server without keys."""


def authenticated(scope: MutableMapping[str, Any], keys: Keys, settings: Settings) -> Principal:
    """Find out who sent a request.

    Raises
    ------
    Refusal
        ``unauthorized``: no key, or none that is valid now; which of them, and why, is not said.
        ``storage_error``: the keys cannot be read, so nobody is let in.
    """
    try:
        text = presented(scope)
        key = None if text is None else keys.check(text)
        if key is not None:
            return Principal(key)
        if keys.guarded:
            raise Refusal("unauthorized", "send a valid key: Authorization: Bearer ramet_...", headers=_CHALLENGE)
    except StorageError as error:
        raise Refusal("storage_error", "the keys cannot be read; the log says why") from error
    check_open(scope, settings)
    return NOBODY


def presented(scope: MutableMapping[str, Any]) -> str | None:
    """The text of the key in a request's headers, None without one: ``Authorization: Bearer`` before ``api-key``."""
    plain: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip(), "latin-1")
        if name == b"api-key":
            plain = value
    return None if plain is None else str(plain.strip(), "latin-1")


def check_open(scope: MutableMapping[str, Any], settings: Settings) -> None:
    """Refuse a request to a server without keys that others than this machine's users might have sent.

    A page in a browser on this machine can send requests to loopback, and read the answers under a name of its own that
    it has pointed there. Such a name has a dot; an address has no owner who could do so. And a proxy on this machine
    hands on what comes from anywhere.

    Raises
    ------
    Refusal
        ``unauthorized``
    """
    if settings.allow_unauthenticated:
        return
    if not is_loopback(settings.host):
        raise Refusal(
            "unauthorized", "this server has no keys, and is not on loopback: create one with `ramet keys create`",
            headers=_CHALLENGE,
        )  # fmt: skip
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"")
    if b"." in host and not _is_own(str(host, "latin-1")):
        raise Refusal(
            "unauthorized", "this server has no keys, and answers to localhost only: create one, or use that name",
            headers=_CHALLENGE,
        )  # fmt: skip
    if _is_of_other_page(headers, host) or not _HANDED_ON.isdisjoint(headers):
        raise Refusal(
            "unauthorized", "this server has no keys, and answers neither pages of others nor proxies: create one",
            headers=_CHALLENGE,
        )  # fmt: skip


def _is_of_other_page(headers: dict[bytes, bytes], host: bytes) -> bool:
    """Whether a browser says that it sends this for a page which is not the server's own."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != host:
        return True
    return headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}


def is_loopback(host: str) -> bool:
    """Tell whether an address, or a name, is one that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_own(host: str) -> bool:
    """Whether a Host header with a dot is an address, or below localhost."""
    name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rstrip(".").endswith(".localhost")
    return True


class Gate:
    """ASGI layer that asks everything under `GUARDED` for its key before a byte of the body is read."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app = app
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its `Principal`, or answer it."""
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            try:
                _noted(scope, authenticated(scope, self.server.keys, self.server.settings))
            except Refusal as refusal:
                if isinstance(refusal.__cause__, StorageError):
                    self.server.log.error("keys_unreadable", request_id=request_id(scope), error=refusal.__cause__)
                await refuse(refusal, scope, receive, send)
                return
        await self.app(scope, receive, send)


def _noted(scope: MutableMapping[str, Any], principal: Principal) -> Principal:
    """Write down who sent a request, for routes, counters and the log."""
    state = scope.setdefault("state", {})
    state["principal"], state["key_id"] = principal, principal.key_id
    return principal


class _ByKey(SecurityBase):
    """The dependency that hands a route its principal, and tells OpenAPI that the route needs a key."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="`ramet_<id>_<secret>`, as `ramet keys create` shows it.")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> Principal:
        """Return who sent a request; where no `Gate` has asked yet, it is asked here."""
        found: Principal | None = request.scope.get("state", {}).get("principal")
        if found is None:
            server = request.app.state.server
            found = _noted(request.scope, authenticated(request.scope, server.keys, server.settings))
        return found


principal_of = _ByKey()

Asking = Annotated[Principal, Depends(principal_of)]
"""Type of a route's parameter that is to be the principal."""


def need(principal: Principal, right: Right) -> None:
    """See that a principal has a right.

    Raises
    ------
    Refusal
        ``right_missing``
    """
    if right not in principal.rights:
        raise Refusal("right_missing", f"this needs the right {right!r}, which the key does not have")


def scope(principal: Principal, tenant: str | Iterable[str] | None, right: Right) -> list[str]:
    """The tenants that a request is about, all of them the principal's.

    Parameters
    ----------
    principal : Principal
    tenant : str, iterable of str or None
        What the request names. None: the key's only tenant, or "default" when it has several, or all.
    right : str
        What the key needs to have for it.

    Returns
    -------
    list of str
        At least one; each as often as it was named, in that order.

    Raises
    ------
    Refusal
        ``right_missing``, ``tenant_forbidden``, ``invalid_argument`` for an empty list.
    """
    need(principal, right)
    if tenant is None:
        names = [_usual(principal)]
    else:
        names = [tenant] if isinstance(tenant, str) else list(tenant)
        if not names:
            raise Refusal("invalid_argument", "tenant: names no tenant; give at least one", argument="tenant")
    reached = principal.tenants
    if reached is not ALL and not reached.issuperset(names):
        advice = "name one of the key's tenants" if tenant is None else "the key is for others"
        raise Refusal("tenant_forbidden", f"tenant: {advice}", argument="tenant")
    return names


def _usual(principal: Principal) -> str:
    """The tenant of a request that names none."""
    reached = principal.tenants
    return next(iter(reached)) if reached is not ALL and len(reached) == 1 else DEFAULT_TENANT


def whole(principal: Principal, right: Right) -> None:
    """See that a principal may do what concerns a whole collection, and so every tenant.

    Raises
    ------
    Refusal
        ``right_missing``, ``tenant_forbidden``
    """
    need(principal, right)
    if not principal.everywhere:
        raise Refusal("tenant_forbidden", "this concerns all tenants, and the key is for some of them only")
