"""Structured logs on stderr: one event a line, as JSON or for people.

What comes from requests is not logged: no tenants, ids, texts, vectors or paths with their values, and of an error
only its type and where it was raised, since messages name what they are about. ``log_level="debug"`` adds messages.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog

from ramet.api.rest.settings import Settings

Event = MutableMapping[str, Any]


def logger_of(settings: Settings, stream: TextIO | None = None) -> Any:
    """A logger: ``log.info("event", member=value)``; ``error=exception`` is written as its type and place."""
    out = sys.stderr if stream is None else stream
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    return structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=_steps(settings, out),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    ).bind()


class RequestLines:
    """Lines about requests, as `logger_of` would write them: one write for all of a turn of the event loop.

    Steps of structlog and a write for each would be a third of the time that the server itself takes for a query.

    Parameters
    ----------
    settings : Settings
    log : structlog logger
        Writes them where they are for people.
    stream : text stream, optional
    """

    def __init__(self, settings: Settings, log: Any, stream: TextIO | None = None) -> None:
        self._log = log
        self._by_hand = settings.log_format == "json"
        self._wanted = logging.getLevelNamesMapping()[settings.log_level.upper()] <= logging.INFO
        self._out = sys.stderr if stream is None else stream
        self._lines: list[bytes] = []

    def add(self, **members: Any) -> None:
        """Note one request; on the event loop."""
        if not self._wanted:
            return
        if not self._by_hand:
            self._log.info("request", **members)
            return
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._lines.append(orjson.dumps({**members, "event": "request", "level": "info", "timestamp": moment}))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what there is."""
        lines, self._lines = self._lines, []
        if lines:
            self._out.write(b"\n".join([*lines, b""]).decode())
            self._out.flush()


def adopt(settings: Settings) -> None:
    """Let everything that logs by the standard library, uvicorn first of all, come out in the same form."""
    steps = _steps(settings, sys.stderr)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *steps],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[settings.log_level.upper()]))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _steps(settings: Settings, out: TextIO) -> list[Any]:
    """What is done with an event, from its members to a line."""
    debug = settings.log_level == "debug"

    def place(logger: Any, method: str, event: Event) -> Event:
        """Write an exception as its type and the lines that raised it."""
        error = event.pop("error", None)
        info = event.pop("exc_info", None)
        if error is None and info:
            error = info[1] if isinstance(info, tuple) else sys.exc_info()[1]
        if isinstance(error, BaseException):
            event["error"] = type(error).__name__
            event["raised_at"] = raised_at(error)
            if debug:
                event["message"] = str(error)
        elif error is not None:
            event["error"] = error
        return event

    shown: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        place,
        shown,
    ]


def raised_at(error: BaseException, most: int = 8) -> list[str]:
    """The innermost lines of a traceback as ``file:line function``, without the values in them."""
    frames = traceback.extract_tb(error.__traceback__)[-most:]
    return [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
