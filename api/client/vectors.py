"""Vectors of a caller, in the form in which they are sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ramet.api.client.values import Array
from ramet.engine import arguments
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings

Gaps = list[Any]
"""Vectors as lists of numbers, None where a record has none."""


def records_form(vectors: object, settings: Settings) -> Array | Gaps | None:
    """Vectors of records: an array (n, dim), lists when some records have none, None when no record has one.

    The array is of the collection's dtype wherever that changes no value; the server checks the rest.

    Raises
    ------
    ArgumentError
        No numbers, or another dimension.
    """
    if vectors is None:
        return None
    if isinstance(vectors, (list, tuple)) and any(one is None for one in vectors):
        return _with_gaps(list(vectors), settings)
    if _is_nothing(vectors, settings.dim):
        return np.empty((0, settings.dim), settings.dtype)
    return narrowed(arguments.shaped(arguments.numeric(vectors, "vectors"), settings, "vectors"), settings)


def _is_nothing(vectors: Any, dim: int) -> bool:
    """Whether an argument is an empty list, or an array of no vectors of that dimension."""
    return hasattr(vectors, "__len__") and len(vectors) == 0 and getattr(vectors, "shape", (0,)) in (
        (0,), (0, 0), (0, dim),
    )  # fmt: skip


def _with_gaps(vectors: list[Any], settings: Settings) -> Gaps | None:
    filling = next((one for one in vectors if one is not None), None)
    if filling is None:
        return [None] * len(vectors)
    whole = [filling if one is None else one for one in vectors]  # rows keep their numbers
    block = narrowed(arguments.shaped(arguments.numeric(whole, "vectors"), settings, "vectors"), settings)
    refuse_endless(block, "row")
    return [None if one is None else row for one, row in zip(vectors, block.tolist(), strict=True)]


def refuse_endless(block: Array, row: str, argument: str = "vectors") -> None:
    """Refuse NaN and infinity, which JSON does not have.

    Raises
    ------
    ArgumentError
    """
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise ArgumentError(argument, f"{row} {bad} {arguments.why_bad(block[bad])}")


def narrowed(array: Array, settings: Settings) -> Array:
    """Vectors in the collection's dtype, or as they are where integers would be other values in it."""
    target = settings.dtype
    if array.dtype == target:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(target)
        if target.kind == "f" or bool((cast == array).all()):
            return cast
    return array.astype(array.dtype.newbyteorder("<") if array.dtype.itemsize <= 8 else np.float64)


def query_form(vectors: object, settings: Settings, argument: str = "vectors") -> tuple[Array, bool]:
    """Queries as an array (n, dim), and whether it is a single one, of shape (dim,).

    float32 for collections of floats, else as given.

    Raises
    ------
    ArgumentError
    """
    array = arguments.numeric(vectors, argument)
    array, single = arguments.rows_of(array, settings.dim, argument)
    if settings.dtype.kind != "f":
        return narrowed(array, settings), single
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False), single
