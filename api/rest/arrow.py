"""Records as an Arrow IPC stream, for those who have pyarrow."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson

from ramet import ArgumentError, MissingPackageError

COLUMNS = ("id", "vector", "document", "metadata", "tenant")

# Of Arrow's Message.fbs: types of headers, numbers of a message's fields, and of one of a record batch.
_SCHEMA, _RECORD_BATCH = 1, 3
_HEADER_TYPE, _HEADER, _COMPRESSION = 1, 2, 3


def read_arrow(body: bytes, most: int) -> dict[str, Any]:
    """Columns of a stream: ``ids``, and ``vectors``, ``documents``, ``metadata`` and ``tenant`` where they are there.

    Parameters
    ----------
    body : bytes
    most : int
        Rows that are taken, at most.

    Raises
    ------
    MissingPackageError
        pyarrow is not installed.
    ArgumentError
        Not an Arrow stream, a column of another type or name, compressed, or too large.
    """
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise MissingPackageError("pyarrow", "arrow") from error
    try:
        _refuse_compressed(pyarrow, body)
        table = _table(pyarrow, body, most)
        found = {name: _column(pyarrow, name, table.column(name)) for name in table.column_names}
    except ArgumentError:
        raise
    except (pyarrow.ArrowException, struct.error, IndexError, OSError, ValueError) as error:
        raise ArgumentError("body", f"is not an Arrow stream of records: {error}") from error
    if "id" not in found:
        raise ArgumentError("body", "has no column id; every record needs one")
    plural = {"id": "ids", "vector": "vectors", "document": "documents", "metadata": "metadata", "tenant": "tenant"}
    return {plural[name]: column for name, column in found.items()}


def _table(pyarrow: Any, body: bytes, most: int) -> Any:
    """The whole stream, validated, without copying."""
    batches, n_rows = [], 0
    with pyarrow.ipc.open_stream(body) as stream:
        names = stream.schema.names
        if len(set(names)) != len(names) or not set(names) <= set(COLUMNS):
            raise ArgumentError("body", f"has columns {names}; there are {', '.join(COLUMNS)}, each once")
        for batch in stream:
            batch.validate(full=True)  # offsets and lengths of a foreign file are not to be believed
            n_rows += batch.num_rows
            if n_rows > most:
                raise ArgumentError("body", f"has more than {most} records, which are taken in one call at most")
            batches.append(batch)
        return pyarrow.Table.from_batches(batches, stream.schema)


def _refuse_compressed(pyarrow: Any, body: bytes) -> None:
    """Refuse compressed batches: a few bytes of them can be gigabytes of memory."""
    for message in pyarrow.ipc.MessageReader.open_stream(body):
        content = message.metadata.to_pybytes()
        table = _Table(content, struct.unpack_from("<I", content)[0])
        kind = content[table.at(_HEADER_TYPE)] if table.has(_HEADER_TYPE) else 0
        if kind not in (_SCHEMA, _RECORD_BATCH):
            raise ArgumentError("body", "has dictionaries or tensors; write plain columns")
        if kind == _RECORD_BATCH and table.follow(_HEADER).has(_COMPRESSION):
            raise ArgumentError("body", "is compressed; write the stream without compression")


class _Table:
    """A table of a flatbuffer: just enough to see which fields are there."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at
        self._fields = at - struct.unpack_from("<i", content, at)[0]
        if self._fields < 0:
            raise IndexError("a flatbuffer that points out of itself")

    def _offset(self, field: int) -> int:
        place = 4 + 2 * field
        size = struct.unpack_from("<H", self._content, self._fields)[0]
        return struct.unpack_from("<H", self._content, self._fields + place)[0] if place < size else 0

    def has(self, field: int) -> bool:
        return self._offset(field) != 0

    def at(self, field: int) -> int:
        return self._at + self._offset(field)

    def follow(self, field: int) -> _Table:
        at = self.at(field)
        return _Table(self._content, at + struct.unpack_from("<I", self._content, at)[0])


def _column(pyarrow: Any, name: str, column: Any) -> Any:
    """One column as the engine takes it."""
    if name == "vector":
        return _vectors(pyarrow, column.combine_chunks())
    if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
        raise ArgumentError("body", f"has column {name} of type {column.type}; write it as utf8")
    values = column.to_pylist()
    if name == "metadata":
        return [None if text is None else _metadata(text, i) for i, text in enumerate(values)]
    if name in ("id", "tenant") and column.null_count:
        raise ArgumentError("body", f"has column {name} with nulls; every record needs one")
    return values


def _metadata(text: str, i: int) -> Any:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ArgumentError(f"metadata[{i}]", f"is not JSON: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise ArgumentError(f"metadata[{i}]", "is no JSON object; write field -> value, or null")
    return found


def _vectors(pyarrow: Any, column: Any) -> Any:
    """An array (n, dim), or a list with None where a record has no vector."""
    if isinstance(column, pyarrow.ChunkedArray):  # what an empty column stays
        column = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], column.type)
    kinds = pyarrow.types
    if not (kinds.is_list(column.type) or kinds.is_large_list(column.type) or kinds.is_fixed_size_list(column.type)):
        raise ArgumentError("body", f"has column vector of type {column.type}; write lists of numbers")
    inner = column.type.value_type
    if not (kinds.is_floating(inner) or kinds.is_integer(inner)):
        raise ArgumentError("body", f"has vectors of {inner}; write numbers")
    there = np.ones(len(column), bool) if not column.null_count else ~np.asarray(column.is_null())
    kept = column.drop_null() if column.null_count else column
    values = kept.flatten()
    if values.null_count:
        raise ArgumentError("body", "has vectors with nulls in them; a whole vector may be null")
    n = len(kept)
    dim = len(values) // n if n else 0
    lengths = None if kinds.is_fixed_size_list(column.type) else np.asarray(kept.value_lengths())
    if lengths is not None and n and not (lengths == dim).all():
        raise ArgumentError("body", "has vectors of different lengths")
    block = np.array(values.to_numpy(zero_copy_only=False)).reshape(n, dim)
    if there.all():
        return block
    rows = iter(block)
    return [next(rows) if known else None for known in there.tolist()]
