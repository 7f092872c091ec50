"""Checks of arguments that are no vectors: each names the argument, what was found, and what to pass.

Apart from `ramet.engine.checks`, so that whoever only sends requests loads no compiler.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings

MAX_K = 100_000
MAX_NAME_BYTES = 480
DEFAULT_TENANT = "default"
COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
INCLUDABLE = ("documents", "metadata", "vectors")

Vectors = npt.NDArray[Any]


def numeric(vectors: object, argument: str) -> Vectors:
    """The argument as a numeric array; nothing is copied when it is one."""
    if isinstance(vectors, np.ma.MaskedArray):
        raise ArgumentError(argument, "is a masked array, whose mask would be lost; fill or drop the masked rows")
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise ArgumentError(argument, f"is not a rectangular array: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ArgumentError(argument, f"has dtype {array.dtype}; pass numbers (float or integer)")
    return array


def shaped(array: Vectors, settings: Settings, argument: str) -> Vectors:
    """Refuse anything but (n, dim) with n >= 1."""
    if array.ndim != 2:
        raise ArgumentError(argument, f"must have shape (n, {settings.dim}), got {array.shape}")
    if array.shape[1] != settings.dim:
        raise ArgumentError(argument, f"dimension is {array.shape[1]}, the collection's is {settings.dim}")
    if len(array) == 0:
        raise ArgumentError(argument, "is empty; pass at least one vector")
    return array


def rows_of(array: Vectors, dim: int, argument: str) -> tuple[Vectors, bool]:
    """Queries as (n, dim), and whether it was a single one, of shape (dim,)."""
    single = array.ndim == 1
    if single:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != dim:
        shape = array.shape[1:] if single else array.shape
        raise ArgumentError(argument, f"shape is {shape}, expected ({dim},) or (n, {dim})")
    return array, single


def why_bad(vector: Vectors) -> str:
    """What is wrong with a vector that no index can hold."""
    if not np.isfinite(vector).all():
        return f"has NaN, infinity or a value beyond {vector.dtype.name}; remove or replace it"
    if not vector.any():
        return "is all zeros, which has no direction under cosine; remove it"
    return "is too long or, under cosine, too short: lengths from 1e-18 to 1e18 can be compared; rescale the vectors"


def name(value: object, argument: str) -> str:
    """A tenant's name or a record's id: non-empty text of at most 480 bytes in UTF-8."""
    if not isinstance(value, str):
        raise ArgumentError(argument, f"must be str, got {type(value).__name__} ({value!r})")
    if not value:
        raise ArgumentError(argument, "is an empty string; give it at least one character")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise ArgumentError(argument, f"{value!r} is not valid Unicode text: {error.reason}") from error
    if size > MAX_NAME_BYTES:
        raise ArgumentError(argument, f"has {size} bytes in UTF-8; at most {MAX_NAME_BYTES} are allowed")
    return value


def tenants(value: object, argument: str = "tenant") -> tuple[str, ...]:
    """One tenant's name or several, each once, in the order given.

    Raises
    ------
    ArgumentError
        No name, a wrong one, or none at all.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return (name(value, argument),)
    names = tuple(dict.fromkeys(name(one, f"{argument}[{i}]") for i, one in enumerate(value)))
    if not names:
        raise ArgumentError(argument, "names no tenant; pass at least one")
    return names


def record_ids(ids: Sequence[str] | None, n: int, tenants: str | list[str] = "") -> list[str]:
    """Ids of ``n`` records, each once for a tenant; None numbers them "0" to "n - 1".

    Raises
    ------
    ArgumentError
        Wrong number, not str, empty, too long, or one id twice.
    """
    if ids is None:
        return [str(i) for i in range(n)]
    if isinstance(ids, (str, bytes)):
        raise ArgumentError("ids", "is a single string; pass a list of strings, one for each vector")
    if not isinstance(ids, (Sequence, np.ndarray)):
        raise ArgumentError("ids", f"is a {type(ids).__name__}; pass a list of strings in the order of the vectors")
    result = list(ids.tolist() if isinstance(ids, np.ndarray) else ids)
    if len(result) != n:
        raise ArgumentError("ids", f"{len(result)} ids for {n} vectors; pass one id for each vector")
    for i, value in enumerate(result):
        if type(value) is not str or not 0 < len(value) <= MAX_NAME_BYTES or not value.isascii():
            name(value, f"ids[{i}]")
    several = not isinstance(tenants, str) and len(tenants) == n
    keys: list[Any] = list(zip(tenants, result, strict=True)) if several else result
    if len(set(keys)) != n:
        raise ArgumentError("ids", f"{_first_repeat(keys)!r} is given twice; ids must be distinct in one call")
    return result


def names(ids: object, argument: str, *, twice: bool = False) -> list[str]:
    """Ids of records that are meant to exist; ``twice``: one may be given again.

    Raises
    ------
    ArgumentError
        Not a list of strings, a wrong one, or one given twice.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ArgumentError(argument, f"is a {type(ids).__name__}; pass a list of strings")
    found = [name(value, f"{argument}[{i}]") for i, value in enumerate(ids)]
    if not twice and len(set(found)) != len(found):
        raise ArgumentError(argument, f"{_first_repeat(found)!r} is given twice; give every id once")
    return found


def owners(tenant: object) -> str | list[str]:
    """Whose records are to be written: one name, or one for each record.

    Raises
    ------
    ArgumentError
    """
    if isinstance(tenant, (str, bytes)) or not isinstance(tenant, Iterable):
        return name(tenant, "tenant")
    if not isinstance(tenant, (Sequence, np.ndarray)):
        raise ArgumentError(
            "tenant", f"is a {type(tenant).__name__}; pass one name, or a list with one for each record"
        )
    return [name(value, f"tenant[{i}]") for i, value in enumerate(tenant)]


def seconds(value: object, argument: str) -> float:
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= float(value) < 1e9:
        raise ArgumentError(argument, f"must be a number of seconds from 0 on, got {value!r}")
    return float(value)


def _first_repeat(values: list[Any]) -> Any:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return ""


def positive(value: object, argument: str, most: int) -> int:
    """An integer from 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= most:
        raise ArgumentError(argument, f"must be an integer from 1 to {most}, got {value!r}")
    return int(value)


def given(value: object, default: int, argument: str, most: int) -> int:
    """An integer from 1 to ``most``, or the default for None."""
    return default if value is None else positive(value, argument, most)


def collection_name(value: object, argument: str = "name") -> str:
    """A collection's name: 1 to 128 letters, digits, ``.``, ``_`` or ``-``, the first a letter or digit."""
    if not isinstance(value, str) or not COLLECTION_NAME.fullmatch(value):
        raise ArgumentError(
            argument, f"{value!r} is not a collection name: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or digit"
        )
    return value


def share(value: object, argument: str) -> float:
    """A number above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < float(value) <= 1:
        raise ArgumentError(argument, f"must be a number above 0 and at most 1, got {value!r}")
    return float(value)


def whole(value: object, argument: str) -> int:
    """An integer from 0 on."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ArgumentError(argument, f"must be an integer from 0 on, got {value!r}")
    return int(value)


def prune_ratio(value: object, settings: Settings) -> float:
    """A ratio of true distances above 1; inner products have none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not float(value) > 1:
        raise ArgumentError("prune", f"must be a ratio of distances above 1, got {value!r}")
    if settings.metric_name == "ip":
        raise ArgumentError("prune", "works on distances; with metric 'ip' use nprobe or recall")
    return float(value)


def fraction(value: object, argument: str) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= float(value) <= 1:
        raise ArgumentError(argument, f"must be a number from 0 to 1, got {value!r}")
    return float(value)


def texts(value: object) -> tuple[list[str] | None, bool]:
    """Questions in words, and whether it is a single one; None when there is none."""
    if value is None:
        return None, False
    if isinstance(value, str):
        return [value], True
    if not isinstance(value, Iterable):
        raise ArgumentError("text", f"must be a str or a list of them, got {type(value).__name__}")
    found = list(value)
    for i, one in enumerate(found):
        if not isinstance(one, str):
            raise ArgumentError(f"text[{i}]", f"must be str, got {type(one).__name__}")
    return found, False


def documents(value: Any, n: int) -> list[Any]:
    """A list with something for each of n records; what a document is, the caller checks."""
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise ArgumentError(
            "documents", f"is a {type(value).__name__}; pass a list with a text or None for each record"
        )
    if len(value) != n:
        raise ArgumentError("documents", f"{len(value)} documents for {n} records; pass one, or None, for each")
    return list(value)


def as_many_texts(found: list[str] | None, n: int) -> None:
    """Refuse another number of texts than of vectors."""
    if found is not None and len(found) != n:
        raise ArgumentError("text", f"{len(found)} texts for {n} vectors; pass one for each")


def included(include: object) -> frozenset[str]:
    """What is to come with ids."""
    if isinstance(include, str) or not isinstance(include, Iterable):
        raise ArgumentError("include", f"must be a list, got {include!r}; name some of {', '.join(INCLUDABLE)}")
    found = list(include)
    for one in found:
        if one not in INCLUDABLE:
            raise ArgumentError("include", f"{one!r} is not known; name some of {', '.join(INCLUDABLE)}")
    return frozenset(found)


def cursor(value: object) -> str | None:
    """The id behind which a page begins, from what the page before gave."""
    if value is None:
        return None
    try:
        return name(base64.urlsafe_b64decode(str(value).encode("ascii")).decode(), "cursor")
    except (ValueError, ArgumentError) as error:
        raise ArgumentError("cursor", f"{value!r} is none; pass `records.cursor` of the page before") from error
