"""Values that JSON does not have: how a datetime is written on the command line, in filters and in files of records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

DATE = "$date"
EXAMPLE = '{"$date": "2024-01-31T12:00:00Z"}'


def with_dates(value: Any) -> Any:
    """Turn every `{"$date": "2024-01-31T12:00:00Z"}` in parsed JSON into a datetime, as deep as it may be.

    Raises
    ------
    ValueError
        What stands there is no point in time; the message says how one is written.

    Examples
    --------
    >>> with_dates({"born": {"$gte": {"$date": "2024-01-31"}}})
    {'born': {'$gte': datetime.datetime(2024, 1, 31, 0, 0)}}
    """
    if isinstance(value, list):
        return [with_dates(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {DATE}:
        return _date(value[DATE])
    return {key: with_dates(item) for key, item in value.items()}


def _date(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is no point in time; write it as in {EXAMPLE}") from None


def without_dates(value: Any) -> Any:
    """Write datetimes in metadata as `with_dates` reads them."""
    if isinstance(value, dict):
        return {key: without_dates(item) for key, item in value.items()}
    return {DATE: iso(value)} if isinstance(value, datetime) else value


def iso(moment: datetime) -> str:
    """Write a datetime as ISO 8601 has it, `Z` for UTC.

    Examples
    --------
    >>> from datetime import timezone
    >>> iso(datetime(2024, 1, 31, tzinfo=timezone.utc))
    '2024-01-31T00:00:00Z'
    """
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
