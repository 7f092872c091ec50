"""Argument checks: each names the argument, what was found, and what to pass."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.arguments import COLLECTION_NAME as COLLECTION_NAME
from ramet.engine.arguments import DEFAULT_TENANT as DEFAULT_TENANT
from ramet.engine.arguments import MAX_K as MAX_K
from ramet.engine.arguments import MAX_NAME_BYTES as MAX_NAME_BYTES
from ramet.engine.arguments import Vectors as Vectors
from ramet.engine.arguments import as_many_texts as as_many_texts
from ramet.engine.arguments import collection_name as collection_name
from ramet.engine.arguments import cursor as cursor
from ramet.engine.arguments import fraction as fraction
from ramet.engine.arguments import given as given
from ramet.engine.arguments import included as included
from ramet.engine.arguments import name as name
from ramet.engine.arguments import names as names
from ramet.engine.arguments import numeric as numeric
from ramet.engine.arguments import owners as owners
from ramet.engine.arguments import positive as positive
from ramet.engine.arguments import prune_ratio as prune_ratio
from ramet.engine.arguments import record_ids as record_ids
from ramet.engine.arguments import rows_of
from ramet.engine.arguments import seconds as seconds
from ramet.engine.arguments import shaped as shaped
from ramet.engine.arguments import share as share
from ramet.engine.arguments import tenants as tenants
from ramet.engine.arguments import texts as texts
from ramet.engine.arguments import whole as whole
from ramet.engine.arguments import why_bad as why_bad
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings
from ramet.engine.sharded.manifest import is_sharded
from ramet.index.kernels.check import first_bad_row, first_fraction
from ramet.storage.format import CATALOG

_BLOCK = 65_536


def stored_form(vectors: object, settings: Settings, argument: str = "vectors") -> Vectors:
    """Vectors in the collection's dtype, checked.

    Parameters
    ----------
    vectors : array-like (n, dim)
        Any layout and any numeric dtype whose values the collection's dtype can hold.

    Returns
    -------
    array (n, dim) of the collection's dtype, C order
        The argument itself where it has that form already (a mapped file stays mapped).

    Raises
    ------
    ArgumentError
        Wrong shape or dimension, empty, NaN or infinity, zero vector under cosine, values out of range.
    """
    array = shaped(numeric(vectors, argument), settings, argument)
    target = settings.dtype
    if target.kind == "f":
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(array, dtype=target)
    else:
        result = _integers(array, target, argument)
    bad = _first_bad(result, settings.metric.unit)
    if bad >= 0:
        raise ArgumentError(argument, f"row {bad} {why_bad(result[bad])}")
    return result


def _first_bad(vectors: Vectors, no_zero: bool) -> int:
    """``first_bad_row`` in blocks, since kernels know no float16."""
    if vectors.dtype != np.float16:
        return int(first_bad_row(vectors, no_zero))
    for first in range(0, len(vectors), _BLOCK):
        bad = first_bad_row(vectors[first : first + _BLOCK].astype(np.float32), no_zero)
        if bad >= 0:
            return first + int(bad)
    return -1


def _integers(array: Vectors, target: np.dtype[Any], argument: str) -> Vectors:
    """Integers of the target dtype, refused when a value would change."""
    if array.dtype == target:
        return np.ascontiguousarray(array)
    info = np.iinfo(target)
    low, high = array.min(), array.max()
    if not (low >= info.min and high <= info.max):  # NaN fails as well
        raise ArgumentError(argument, f"{target.name} holds {info.min} to {info.max}, values are {low} to {high}")
    if array.dtype.kind == "f":
        for first in range(0, len(array), _BLOCK):
            row = first_fraction(np.ascontiguousarray(array[first : first + _BLOCK], dtype=np.float64))
            if row >= 0:
                raise ArgumentError(argument, f"row {first + row} has fractions; {target.name} holds whole numbers")
    return np.ascontiguousarray(array.astype(target))


def query_form(vectors: object, settings: Settings, argument: str = "vectors") -> tuple[npt.NDArray[np.float32], bool]:
    """Queries as float32 (n, dim), C order, and whether the caller gave a single one, of shape (dim,)."""
    if type(vectors) is np.ndarray and vectors.dtype == np.float32:
        array: Vectors = vectors
    else:
        array = numeric(vectors, argument)
    array, single = rows_of(array, settings.dim, argument)
    if settings.dtype.kind != "f" and len(array):
        array = _integers(array, settings.dtype, argument)
    if array.dtype == np.float32:
        queries = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):
            queries = np.ascontiguousarray(array, dtype=np.float32)
    if not queries.flags.writeable:
        queries = queries.copy()  # to the compiler a read-only array is another type: it would compile everything again
    bad = first_bad_row(queries, settings.metric.unit)
    if bad >= 0:
        raise ArgumentError(argument, f"query {bad} {why_bad(queries[bad])}")
    return queries, single


def batch(
    ids: object, vectors: object, tenant: object, settings: Settings
) -> tuple[list[str], Vectors, npt.NDArray[np.bool_] | None, str | list[str]]:
    """Records that are to be written: ids, vectors in the stored form, which have none, and whose they are.

    Raises
    ------
    ArgumentError
        In any of the records: then none may be written.
    """
    if ids is None:
        raise ArgumentError("ids", "is None; give every record an id, by which it can be replaced or deleted")
    whose = owners(tenant)
    block, bare = with_gaps(vectors, ids, settings)
    found = record_ids(ids, len(block), whose)  # type: ignore[arg-type]
    if not isinstance(whose, str) and len(whose) != len(found):
        raise ArgumentError("tenant", f"{len(whose)} tenants for {len(found)} records; pass one name, or one for each")
    return found, block, bare, whose


def with_gaps(vectors: object, ids: object, settings: Settings) -> tuple[Vectors, npt.NDArray[np.bool_] | None]:
    """Vectors in the stored form, zeros where there is none, and where that is; None: nowhere."""
    if vectors is None:
        n = len(ids) if isinstance(ids, Sized) else 0
        return np.zeros((n, settings.dim), settings.dtype), np.ones(n, bool) if n else None
    if _is_nothing(vectors, settings.dim):
        return np.empty((0, settings.dim), settings.dtype), None
    if not isinstance(vectors, (list, tuple)) or all(one is not None for one in vectors):
        return stored_form(vectors, settings), None
    bare = np.array([one is None for one in vectors], bool)
    filling = next((one for one in vectors if one is not None), None)
    if filling is None:
        return np.zeros((len(bare), settings.dim), settings.dtype), bare
    block = stored_form([filling if one is None else one for one in vectors], settings)  # rows keep their numbers
    block[bare] = 0
    return block, bare


def _is_nothing(vectors: object, dim: int) -> bool:
    """Whether an argument is an empty list, or an array of no vectors of that dimension."""
    if not isinstance(vectors, Sized) or len(vectors):
        return False
    return getattr(vectors, "shape", (0,)) in ((0,), (0, 0), (0, dim))


def collection_path(path: Path) -> Path:
    """Absolute path of a collection that is to be made: a good name, not inside another collection."""
    path = path.absolute()
    collection_name(path.name, "path")
    for parent in path.parents:
        if (parent / CATALOG).is_file() or is_sharded(parent):
            raise ArgumentError("path", f"{path} lies inside the collection {parent}; choose a place outside")
    return path
