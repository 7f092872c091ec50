"""What several files of routes need: opening a collection, answering with JSON, limits of the settings."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import orjson
from fastapi import Depends, Response
from starlette.convertors import Convertor, register_url_convertor

from ramet import ArgumentError, Collection
from ramet.api.rest.answers import dumps
from ramet.api.rest.context import Server, server_of
from ramet.api.rest.problems import Refusal
from ramet.api.rest.values import given

JSON = "application/json"


class Anything(Convertor[str]):
    """A name that is the rest of a path, with slashes and line ends.

    What Starlette calls a path loses a line end at the end, and so names somebody else.
    """

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        """The name, as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The name, as it is."""
        return value


register_url_convertor("anything", Anything())

Serving = Annotated[Server, Depends(server_of)]
"""Type of a route's parameter that is to be the server."""


async def opened(server: Server, name: str) -> Collection:
    """A collection; on a thread when its files have to be opened."""
    found = server.at_hand(name)
    return await server.run(server.opened, name) if found is None else found


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON, with arrays as lists."""
    return Response(dumps(content), status, headers, JSON)


def at_most(n: int, most: int, argument: str, what: str) -> None:
    """Hold a request to a limit of the settings.

    Raises
    ------
    ArgumentError
    """
    if n > most:
        raise ArgumentError(argument, f"{n} {what}; this server takes {most} at most")


def where_of(where: Any) -> Any:
    """A filter out of JSON, with dates."""
    return None if not where else given(where, "where")


def where_in(text: str | None) -> Any:
    """A filter in a query string.

    Raises
    ------
    ArgumentError
    """
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ArgumentError("where", f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ArgumentError("where", 'is no filter; write an object such as {"lang": "en"}')
    return where_of(found)


def not_acceptable(what: str) -> NoReturn:
    """Refuse to send what a client asks for by ``Accept``."""
    raise Refusal("not_acceptable", what)
