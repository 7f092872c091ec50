"""`ramet.connect`: a directory, or a server by its address. Loads no HTTP package for a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ramet.api.client.addresses import address, is_address, key_of
from ramet.engine.errors import ArgumentError, MissingPackageError

if TYPE_CHECKING:
    from ramet.api.client.asking import Server
    from ramet.api.client.async_database import AsyncRemoteDatabase
    from ramet.api.client.database import RemoteDatabase
    from ramet.api.client.transports import Access
    from ramet.engine.database import Database

TIMEOUT_S = 60.0
RETRIES = 3
MOST_RETRIES = 100
WAIT_S = 30.0


@overload
def connect(path: str | Path, *, create: bool = True, ray: str | None = None) -> Database: ...


@overload
def connect(
    path: str, *, api_key: str | None, timeout_s: float = TIMEOUT_S, retries: int = RETRIES, wait_s: float = WAIT_S
) -> RemoteDatabase: ...


def connect(
    path: str | Path,
    *,
    create: bool = True,
    api_key: str | None = None,
    timeout_s: float = TIMEOUT_S,
    retries: int = RETRIES,
    wait_s: float = WAIT_S,
    ray: str | None = None,
) -> Database | RemoteDatabase:
    """Open a directory of collections, or reach those of a server.

    Parameters
    ----------
    path : str or Path
        The directory, made when missing; or ``"http://host:8000"`` (needs ``pip install "ramet[client]"``). A server is
        asked with the first call, not here.
    create : bool
        False: a missing directory is an error.
    api_key : str, optional
        For a server; that of the environment (``RAMET_API_KEY``) when left out.
    timeout_s : float
        For a server: seconds without a byte of an answer after which a call ends.
    retries : int
        For a server: further attempts of a request, where these are safe and may help (``docs/client.md``).
    wait_s : float
        For a server: most seconds of pauses before them.
    ray : str, optional
        For a directory: serve the shards of sharded collections by actors of Ray, "auto" or the address of a cluster
        (``docs/shards.md``).

    Returns
    -------
    Database or RemoteDatabase
        They have the same methods. To a type checker, a server is what is given an ``api_key``, be it None.

    Raises
    ------
    ArgumentError
        The directory is missing and ``create`` is false, or it is not a directory; or a wrong address.
    AccessError
        No permission.
    MissingPackageError
        An address was given, and httpx is not installed; or Ray is not, and ``ray`` is given.
    """
    if is_address(path):
        if ray is not None:
            raise ArgumentError("ray", f"is for directories, and {path} is a server")
        access, server = _access(path, api_key, timeout_s, retries, wait_s)
        from ramet.api.client.database import RemoteDatabase
        from ramet.api.client.transports import Transport

        return RemoteDatabase(Transport(access), server)
    if api_key is not None:
        raise ArgumentError("api_key", f'is for servers, and {path} is a directory; write "http://host:8000"')
    from ramet.engine.database import connect as opened

    return opened(path, create=create, ray=ray)


async def connect_async(
    url: str,
    *,
    api_key: str | None = None,
    timeout_s: float = TIMEOUT_S,
    retries: int = RETRIES,
    wait_s: float = WAIT_S,
) -> AsyncRemoteDatabase:
    """Reach the collections of a server from an event loop; arguments as of `connect`.

    Raises
    ------
    ArgumentError, MissingPackageError
    """
    access, server = _access(url, api_key, timeout_s, retries, wait_s)
    from ramet.api.client.async_database import AsyncRemoteDatabase
    from ramet.api.client.transports import AsyncTransport

    return AsyncRemoteDatabase(AsyncTransport(access), server)


def _access(url: Any, api_key: Any, timeout_s: Any, retries: Any, wait_s: Any) -> tuple[Access, Server]:
    """How a server is asked, checked."""
    from ramet.engine.arguments import seconds, whole

    where, key = address(url), key_of(api_key)
    if seconds(timeout_s, "timeout_s") == 0:
        raise ArgumentError("timeout_s", "is 0, in which nobody answers")
    if whole(retries, "retries") > MOST_RETRIES:
        raise ArgumentError("retries", f"is {retries}; at most {MOST_RETRIES}")
    try:
        from ramet.api.client.transports import Access
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ramet"):
            raise
        raise MissingPackageError("httpx", "client") from error
    from ramet.api.client.asking import Server

    access = Access(url=where, api_key=key, timeout_s=float(timeout_s))
    return access, Server(url=where, retries=int(retries), wait_s=seconds(wait_s, "wait_s"))
