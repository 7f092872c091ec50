"""Values on the wire: JSON with datetimes and infinities, vectors as .npy in front of it.

JSON has no datetimes: one is ``{"$date": "2024-01-31T12:00:00Z"}``; infinity is ``{"$float": "inf"}``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError

DATE, FLOAT = "$date", "$float"

Array = npt.NDArray[Any]


def tagged(value: Any) -> Any:
    """Metadata or a filter, with values that JSON does not have written as it can."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return {DATE: moment.isoformat().removesuffix("+00:00") + "Z"}
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else {FLOAT: str(float(value))}
    if isinstance(value, Mapping):
        return {key: tagged(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return tagged(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [tagged(one) for one in value]
    return value


def untagged(value: Any) -> Any:
    """The opposite of `tagged`; datetimes in UTC."""
    if isinstance(value, list):
        return [untagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        if DATE in value:
            moment = datetime.fromisoformat(value[DATE])
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if FLOAT in value:
            return float(value[FLOAT])
    return {key: untagged(one) for key, one in value.items()}


def to_json(body: Any) -> bytes:
    """JSON in UTF-8.

    Raises
    ------
    ArgumentError
        It holds something that JSON has not, such as half of a surrogate pair; the error names the place.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
        return text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(_place(body, ""), f"is not valid Unicode text: {error.reason}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError("request", f"cannot be sent as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """What `json` does not know, as it does."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r}")


def _place(value: Any, at: str) -> str:
    """Where a text stands that UTF-8 cannot hold."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return at
    elif isinstance(value, Mapping):
        for key, one in value.items():
            found = _place(one, f"{at}[{key!r}]" if at else str(key)) or _place(key, at)
            if found:
                return found
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            if found := _place(one, f"{at}[{i}]"):
                return found
    return ""


def with_vectors(vectors: Array, rest: Any) -> bytes:
    """A binary body: vectors as .npy, then JSON."""
    block = np.ascontiguousarray(vectors)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(block))
    return b"".join((head.getvalue(), block.data if block.size else b"", to_json(rest)))


def vectors_and_rest(body: bytes) -> tuple[Array, Any]:
    """The vectors and the JSON of a binary body.

    Raises
    ------
    ValueError
        It is none.
    """
    head = io.BytesIO(body)
    read = np.lib.format.read_array_header_1_0 if np.lib.format.read_magic(head) == (1, 0) else None
    shape, fortran, dtype = (read or np.lib.format.read_array_header_2_0)(head)
    if dtype.kind not in "fiu":
        raise ValueError(f"vectors of dtype {dtype}")
    count, begin = int(np.prod(shape, dtype=np.int64)), head.tell()
    block = np.frombuffer(body, dtype, count, begin).reshape(shape, order="F" if fortran else "C")
    rest = body[begin + count * dtype.itemsize :]
    return block.copy(order="C"), json.loads(rest) if rest.strip() else {}
