"""Events of a stream (``text/event-stream``), and an answer that comes in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ramet import LlmError
from ramet._error import RametError
from ramet.api.client import problems
from ramet.api.client.answers import answer_of, selection_of
from ramet.api.client.errors import ServerResponseError
from ramet.api.client.messages import Reply

if TYPE_CHECKING:
    from ramet import Answer, Selection

MOST_BYTES = 64 << 20
"""Of one event."""


class Events:
    """Takes a stream apart: bytes in, as they come; (name, data) of the events that are complete out."""

    def __init__(self) -> None:
        self._rest = b""
        self._name, self._data = "message", list[str]()

    def of(self, block: bytes) -> Iterator[tuple[str, str]]:
        """The events that a block completes.

        Raises
        ------
        ValueError
            An event without an end, or no text.
        """
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise ValueError("an event without an end")
        for line in lines:
            text = line.removesuffix(b"\r").decode()
            if not text:
                if self._data:
                    yield self._name, "\n".join(self._data)
                self._name, self._data = "message", []
                continue
            field, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data.append(value)


class Heard:
    """What has come of an answer: fed with blocks of bytes, it gives pieces of text."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._events = Events()
        self._text: list[str] = []
        self.selection: Selection | None = None
        self.answer: Answer | None = None

    def of(self, block: bytes) -> Iterator[str]:
        """The pieces of text in a block.

        Raises
        ------
        RametError
            The server sent one, or what is no event of an answer.
        """
        try:
            for name, data in self._events.of(block):
                yield from self._piece(name, json.loads(data))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, RametError):
                raise
            raise ServerResponseError(self._url, f"sent an event that is none ({error})") from error

    def _piece(self, name: str, found: dict[str, Any]) -> Iterator[str]:
        if name == "selection":
            self.selection = selection_of(found)
        elif name == "token":
            self._text.append(found["text"])
            yield found["text"]
        elif name == "answer":
            self.answer = answer_of(found)
        elif name == "error":
            raise self._failed(found)

    def _failed(self, found: dict[str, Any]) -> RametError:
        body = json.dumps(found).encode()
        headers = {"content-type": "application/problem+json"}
        error = problems.error_of(Reply(status=int(found.get("status", 500)), headers=headers, body=body), self._url)
        if isinstance(error, LlmError):
            error.partial = error.partial or "".join(self._text)
            error.selection = error.selection or self.selection
        return error

    def ended(self) -> None:
        """Note the end of the stream.

        Raises
        ------
        ServerResponseError
            It ended before the answer did.
        """
        if self.answer is None:
            raise ServerResponseError(self._url, "the stream ended before the answer did")
