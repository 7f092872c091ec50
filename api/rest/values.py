"""Values that JSON does not have, in metadata and filters: dates, and numbers without end.

A datetime is ``{"$date": "2024-01-31T12:00:00Z"}``, infinity ``{"$float": "inf"}``; the command line writes dates so,
too. Names of fields cannot begin with ``$``, so nothing else can be meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ramet import ArgumentError

DATE, FLOAT = "$date", "$float"
EXAMPLE = '{"$date": "2024-01-31T12:00:00Z"}'

_ENDLESS = {"inf": math.inf, "-inf": -math.inf}
_DEEPEST = 64
"""More than any filter that the engine takes."""


def given(value: Any, at: str, depth: int = 0) -> Any:
    """A value out of JSON, with dates and infinities as Python has them, as deep as they may be.

    Raises
    ------
    ArgumentError
        What stands for one is none, or it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ArgumentError(at, "is nested too deeply")
    if isinstance(value, list):
        return [given(item, at, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        (key, text), *_ = value.items()
        if key == DATE:
            return _date(text, at)
        if key == FLOAT:
            if not isinstance(text, str) or text not in _ENDLESS:
                raise ArgumentError(at, f'{text!r} is not known; write {{"$float": "inf"}} or "-inf"')
            return _ENDLESS[text]
    return {key: given(item, at, depth + 1) for key, item in value.items()}


def metadata(records: list[dict[str, Any] | None] | None) -> list[dict[str, Any] | None] | None:
    """Metadata of records out of JSON.

    Raises
    ------
    ArgumentError
    """
    if records is None:
        return None
    return [None if one is None else _fields(one, f"metadata[{i}]") for i, one in enumerate(records)]


def _fields(record: dict[str, Any], at: str) -> dict[str, Any]:
    if not any(isinstance(value, dict) for value in record.values()):
        return record
    return {field: given(value, at) if isinstance(value, dict) else value for field, value in record.items()}


def _date(text: Any, at: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ArgumentError(at, f"{text!r} is no point in time; write it as in {EXAMPLE}") from None


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Metadata as JSON has it, as `given` reads it."""
    for value in fields.values():
        if type(value) is float or isinstance(value, datetime):
            return {field: _plain(one) for field, one in fields.items()}
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        text = value.isoformat()
        return {DATE: text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text}
    if isinstance(value, float) and math.isinf(value):
        return {FLOAT: "inf" if value > 0 else "-inf"}
    return value
