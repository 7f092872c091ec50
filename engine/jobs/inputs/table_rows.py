"""Columns of tables as the records of a block."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ramet.engine.jobs.inputs.blocks import Block, Rejected, Vectors
from ramet.engine.jobs.inputs.checking import without
from ramet.engine.jobs.inputs.columns import METADATA, as_id, spread
from ramet.engine.metadata import date_of

if TYPE_CHECKING:
    from ramet.engine.jobs.inputs.tables import TableFile

Bad = dict[int, tuple[str, str]]


class Piece:
    """Rows ``first`` to ``end`` of a file: a batch of columns, or the reason why they cannot be read.

    Parameters
    ----------
    first, end : int
    batch : pyarrow.RecordBatch or None
        Strings as bytes.
    problem : str
    """

    def __init__(self, first: int, end: int, batch: Any, problem: str = "") -> None:
        self.first, self.end, self.batch, self.problem = first, end, batch, problem

    def taken(self, first: int, end: int) -> Piece:
        """The rows of it that are from ``first`` on and before ``end``; nothing is copied."""
        first, end = max(first, self.first), min(end, self.end)
        batch = None if self.batch is None else self.batch.slice(first - self.first, end - first)
        return Piece(first, end, batch, self.problem)


def block_of(file: TableFile, first: int, pieces: list[Piece]) -> Block:
    """Records of pieces that follow each other."""
    parts = [_part(file, first, piece) for piece in pieces if piece.batch is not None]
    lost = [
        Rejected(file.path, piece.first, "unreadable", piece.problem, piece.end - piece.first)
        for piece in pieces
        if piece.batch is None
    ]
    columns = file.columns

    def joined(name: str, there: object) -> Any:
        return None if there is None else [value for part in parts for value in getattr(part, name)]

    vectors = [part.vectors for part in parts if part.vectors is not None]
    none = np.empty((0, file.dim or 0), file.dtype or "float32") if columns.vector is not None else None
    return Block(
        file=file.path,
        first=first,
        rows=np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)]),
        vectors=(vectors[0] if len(vectors) == 1 else np.concatenate(vectors)) if vectors else none,
        ids=joined("ids", columns.id),
        texts=joined("texts", columns.text),
        metadata=joined("metadata", columns.metadata or None),
        tenants=joined("tenants", columns.tenant),
        rejected=sorted([*lost, *(one for part in parts for one in part.rejected)], key=lambda one: one.row),
    )


def _part(file: TableFile, first: int, piece: Piece) -> Block:
    columns, batch, bad = file.columns, piece.batch, Bad()
    vectors = _vectors(file, batch.column(columns.vector), bad) if columns.vector is not None else None
    ids = _strings(batch, columns.id, "bad_id", bad)
    texts = _strings(batch, columns.text, "missing_text" if vectors is None else "", bad)
    tenants = _strings(batch, columns.tenant, "bad_tenant", bad)
    metadata = _metadata(batch, columns.metadata, columns.own, bad) if columns.metadata else None
    rows = np.arange(piece.first, piece.end, dtype=np.int64)
    block = Block(
        file=file.path, first=first, rows=rows, vectors=vectors, ids=ids, texts=texts, metadata=metadata,
        tenants=tenants,
    )  # fmt: skip
    return without(block, bad)


def _vectors(file: TableFile, column: Any, bad: Bad) -> Vectors:
    """An array (n, dim), zeros where a record has no vector of the right length."""
    n, dim = len(column), file.dim or 0
    found: Vectors = np.zeros((n, dim), file.dtype)
    there = np.asarray(column.is_valid())
    for i in np.flatnonzero(~there).tolist():
        bad[i] = "missing_vector", "has no vector"
    lengths = np.asarray(column.value_lengths().fill_null(0), np.int64) if n else np.zeros(0, np.int64)
    for i in np.flatnonzero(there & (lengths != dim)).tolist():
        bad[i] = "ragged", f"has a vector of {lengths[i]} values, the file's have {dim}"
        there[i] = False
    values = (column if there.all() else column.take(np.flatnonzero(there))).flatten()
    known = np.asarray(values.is_valid()).reshape(-1, max(dim, 1)).all(axis=1)
    for i in np.flatnonzero(there)[~known].tolist():
        bad[i] = "not_finite", "has a vector with nulls in it"
    if values.null_count:
        values = values.fill_null(0)
    with np.errstate(over="ignore"):
        found[there] = values.to_numpy(zero_copy_only=False).reshape(-1, max(dim, 1))
    return found


def _strings(batch: Any, name: str | None, missing: str, bad: Bad) -> Any:
    """Values of a column of strings or whole numbers; ``missing``: the reason why a record without one is bad."""
    if name is None:
        return None
    found: list[Any] = []
    for i, value in enumerate(batch.column(name).to_pylist()):
        if value is None and missing:
            bad.setdefault(i, (missing, f"has nothing in {name!r}"))
        found.append(as_id(_decoded(value, name, i, bad)))
    return found


def _decoded(value: Any, name: str, i: int, bad: Bad) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        bad.setdefault(i, ("bad_utf8", f"byte {error.start} of {name!r} is not UTF-8: {error.reason}"))
        return None


def _metadata(batch: Any, names: tuple[str, ...], own: bool, bad: Bad) -> list[dict[str, Any] | None]:
    columns = [_values(batch.column(name), name, bad) for name in names]
    found: list[dict[str, Any] | None] = []
    for i, values in enumerate(zip(*columns, strict=True)):
        fields = {}
        for name, value in zip(names, values, strict=True):
            text = _decoded(value, name, i, bad)
            if text is not None:
                fields[name] = _object(text) if own and name == METADATA else text
        found.append(spread(fields, own))
    return found


def _values(column: Any, name: str, bad: Bad) -> list[Any]:
    """Values as Python has them; those of times are microseconds."""
    if not str(column.type).startswith("timestamp"):
        values: list[Any] = column.to_pylist()
        return values
    found: list[Any] = []
    for i, moment in enumerate(column.cast("int64").to_pylist()):
        try:
            found.append(None if moment is None else date_of(moment))
        except OverflowError:
            bad.setdefault(i, ("bad_metadata", f"{name!r} is outside the years 1 to 9999"))
            found.append(None)
    return found


def _object(value: Any) -> Any:
    """An object of a column ``metadata``, which may be its JSON."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
