"""Metadata of records: a flat dict of fields, checked, and as bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ramet.engine.errors import ArgumentError
from ramet.storage.field_batch import EPOCH, microseconds
from ramet.storage.field_keys import MAX_FIELD_BYTES

Value = str | bool | int | float | datetime | list[str]
Metadata = dict[str, Value]

MAX_FIELDS = 256
"""Fields of a record."""

MAX_BYTES = 64 << 10
"""Bytes of a record's metadata as JSON."""

MAX_INT = 1 << 53
"""Numbers are compared as float64, which knows every integer up to here."""

TYPES = "str, bool, int, float, datetime, or a list of str"

# Tags of values that JSON does not have; no field can be named like them.
_DATE, _FLOAT = "$date", "$float"

_parsed = json.JSONDecoder().raw_decode

# Bytes of JSON for a character and for a field beside its characters, at most.
_CHARACTER_BYTES, _FIELD_BYTES = 6, 40

_FIRST = microseconds(datetime.min)
_LAST = microseconds(datetime.max)


def checked(metadata: Any, n: int) -> list[Metadata | None]:
    """The argument ``metadata`` of ``n`` records: one dict or None each.

    Fields that are None are left out; numpy's scalars become Python's; a datetime without a time zone is in UTC.

    Raises
    ------
    ArgumentError
        It names the record and the field.
    """
    if metadata is None:
        return [None] * n
    if isinstance(metadata, (str, bytes, Mapping)) or not isinstance(metadata, Iterable):
        kind = type(metadata).__name__
        raise ArgumentError("metadata", f"is a {kind}; pass a list with one dict (or None) for each record")
    records = list(metadata)
    if len(records) != n:
        raise ArgumentError("metadata", f"{len(records)} for {n} records; pass one dict (or None) for each record")
    return [None if record is None else _record(record, f"metadata[{i}]") for i, record in enumerate(records)]


def _record(record: Any, name: str) -> Metadata:
    if not isinstance(record, Mapping):
        raise ArgumentError(name, f"is a {type(record).__name__}; pass a dict of fields, or None")
    if len(record) > MAX_FIELDS:
        raise ArgumentError(name, f"has {len(record)} fields; at most {MAX_FIELDS} are kept")
    found: Metadata = {}
    size = 2
    for field, given in record.items():
        field_name(field, name)
        if given is None:
            continue
        value = found[str.__str__(field)] = _value(given, name, field)
        n_characters = sum(map(len, value)) + len(value) if isinstance(value, (str, list)) else 0
        size += _FIELD_BYTES + _CHARACTER_BYTES * (len(field) + n_characters)
    if size > MAX_BYTES and len(encode(found)) > MAX_BYTES:
        raise ArgumentError(
            name, f"has {len(encode(found))} bytes as JSON; at most {MAX_BYTES} are kept: use documents"
        )
    return found


def field_name(field: Any, argument: str) -> str:
    """A field's name: 1 to 128 bytes of utf-8, no zero byte, not beginning with ``$``.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(field, str):
        raise ArgumentError(argument, f"the field {field!r} is a {type(field).__name__}; name fields by strings")
    try:
        n_bytes = len(field.encode())
    except UnicodeEncodeError as error:
        raise ArgumentError(argument, f"the field {field!r} is no valid text: {error.reason}") from error
    if not 1 <= n_bytes <= MAX_FIELD_BYTES:
        shown = field if n_bytes <= MAX_FIELD_BYTES else field[:20] + "..."
        raise ArgumentError(argument, f"the field {shown!r} has {n_bytes} bytes of utf-8; use 1 to {MAX_FIELD_BYTES}")
    if "\0" in field or field[0] == "$":
        raise ArgumentError(argument, f"the field {field!r} has a zero byte, or begins with '$'; name it otherwise")
    return str.__str__(field)


def _value(value: Any, name: str, field: str) -> Value:
    kind = type(value)
    if kind is bool or (kind is str and value.isascii()):
        found: Value = value
        return found
    where = f"{name}[{field!r}]"
    if isinstance(value, (list, tuple)):
        return [_element(element, f"{where}[{i}]") for i, element in enumerate(value)]
    if isinstance(value, Mapping):
        raise ArgumentError(where, "is a dict; metadata is flat: give each entry a field of its own")
    return scalar(value, where, f"store {TYPES}")


def _element(element: Any, where: str) -> str:
    if not isinstance(element, str):
        raise ArgumentError(where, f"is a {type(element).__name__}; lists hold strings only")
    return _text(element, where)


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(where, f"is no valid text: {error.reason} at {error.start}") from error
    return str.__str__(value)


def scalar(value: Any, where: str, advice: str) -> str | bool | int | float | datetime:
    """One value that is no list, as Python's own type; datetimes in UTC.

    Raises
    ------
    ArgumentError
        It is of another type, NaN, too large, or no valid text.
    """
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        if not -MAX_INT <= int(value) <= MAX_INT:
            raise ArgumentError(where, f"{int(value)} is beyond ±2^53, where numbers lose digits; use a string")
        return int(value)
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            raise ArgumentError(where, "is NaN, which equals nothing; leave the field out")
        return float(value)
    if isinstance(value, datetime):
        return _date(value, where)
    raise ArgumentError(where, f"is a {type(value).__name__}; {advice}")


def _date(value: datetime, where: str) -> datetime:
    try:
        moment = int(microseconds(value))
    except (OverflowError, TypeError, ValueError) as error:
        raise ArgumentError(where, f"{value!r} is no point in time: {error}") from error
    if not _FIRST <= moment <= _LAST:
        raise ArgumentError(where, f"{value!r} is outside the years 1 to 9999 in UTC")
    return date_of(moment)


def date_of(moment: int) -> datetime:
    """The datetime in UTC, from microseconds since 1970."""
    return EPOCH + timedelta(microseconds=moment)


def encode(metadata: Metadata) -> bytes:
    """Checked metadata as JSON."""
    plain: dict[str, Any] = metadata
    if any(isinstance(value, (datetime, float)) for value in plain.values()):
        plain = {field: _tagged(value) for field, value in plain.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _tagged(value: Value) -> Any:
    if isinstance(value, datetime):
        return {_DATE: microseconds(value)}
    if isinstance(value, float) and math.isinf(value):
        return {_FLOAT: "inf" if value > 0 else "-inf"}
    return value


def decode(content: bytes) -> Metadata:
    """Metadata from the JSON that `encode` made, exactly what was encoded; datetimes in UTC."""
    found: Metadata = _parsed(content.decode())[0]  # a third of the time of json.loads of bytes
    if b'":{"$' in content:  # a tag, or a text that looks like one
        for field, value in found.items():
            if isinstance(value, dict):
                found[field] = date_of(value[_DATE]) if _DATE in value else float(value[_FLOAT])
    return found
