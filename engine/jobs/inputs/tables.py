"""Tables: Parquet and Arrow files, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ramet.engine.arguments import positive, whole
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.jobs.inputs.blocks import DTYPES, MOST_ROWS, Block, InputOptions, failed
from ramet.engine.jobs.inputs.columns import METADATA, Columns, chosen
from ramet.engine.jobs.inputs.table_rows import Piece, block_of
from ramet.engine.settings import MAX_DIM

BATCH = 16_384
"""Rows that Parquet decodes at once, at most."""

MOST_IN_FILE = 1 << 31
"""Rows of a file; a collection has no more."""

_LOOKED_AT = 64
_FILE_MAGIC = b"ARROW1"


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "arrow") from error
    return pyarrow


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """An `InputFile` with columns."""

    path: Path
    format: str
    n_bytes: int
    n_rows: int | None
    """None: a stream of Arrow, which does not say."""
    dim: int | None
    dtype: str | None
    columns: Columns

    @property
    def has(self) -> frozenset[str]:
        """By its columns."""
        return self.columns.has | ({METADATA} if self.columns.metadata else set())

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Blocks of rows; row groups (Parquet) or the bodies of batches before the first block are not decoded."""
        most, number = positive(max_rows, "max_rows", MOST_ROWS), whole(first_block, "first_block")
        parts: list[Piece] = []
        first = number * most
        for piece in _PIECES[self.format](self.path, self._names(), first, most):
            while piece.end > first:
                parts.append(piece.taken(first, first + most))
                if piece.end < first + most:
                    break
                yield block_of(self, first, parts)
                parts, first = [], first + most
        if parts:
            yield block_of(self, first, parts)

    def _names(self) -> list[str]:
        columns = self.columns
        every = (columns.id, columns.vector, columns.text, columns.tenant, *(columns.metadata or ()))
        return list(dict.fromkeys(name for name in every if name is not None))


def _parquet_pieces(path: Path, names: list[str], start: int, most: int) -> Iterator[Piece]:
    """Batches from the row group on in which ``start`` is; a row group that is damaged is one piece without rows."""
    arrow = _arrow()
    with _parquet(arrow, path) as file:
        end = 0
        for group in range(file.metadata.num_row_groups):
            first, end = end, end + file.metadata.row_group(group).num_rows
            if end <= start:
                continue
            try:
                batches = file.iter_batches(min(most, BATCH), [group], names, use_threads=False)
                for batch in batches:
                    yield Piece(first, first + len(batch), _validated(arrow, batch.select(names)))
                    first += len(batch)
                problem = "has fewer rows than it says"
            except (arrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
                problem = str(error)
            if first < end:
                yield Piece(first, end, None, f"row group {group} cannot be read from here on: {problem}")


@contextmanager
def _parquet(arrow: Any, path: Path) -> Iterator[Any]:
    # Without pre_buffer, or it holds whole row groups of compressed columns.
    file = arrow.parquet.ParquetFile(path, memory_map=False, pre_buffer=False, page_checksum_verification=True)
    try:
        yield file
    finally:
        file.close()


def _arrow_pieces(path: Path, names: list[str], start: int, most: int) -> Iterator[Piece]:
    """Record batches; what comes after a damaged one of a stream is not found again."""
    arrow = _arrow()
    with arrow.OSFile(str(path)) as source:
        if not _is_file(path):
            yield from _streamed(arrow, source, names)
            return
        plain = arrow.ipc.open_file(source)
        sparse = [plain.schema.get_field_index(name) for name in names]
        reader = arrow.ipc.open_file(source, options=arrow.ipc.IpcReadOptions(included_fields=sparse))
        first = 0
        for number in range(reader.num_record_batches):
            try:
                batch = reader.get_batch(number)
            except (arrow.ArrowException, OSError, ValueError) as error:
                yield Piece(first, plain.count_rows(), None, f"batch {number} cannot be read: {error}")
                return
            last = first + len(batch)
            if last > start:
                yield _piece(arrow, first, batch, names)
            first = last


def _streamed(arrow: Any, source: Any, names: list[str]) -> Iterator[Piece]:
    first = 0
    reader = arrow.ipc.open_stream(source)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (arrow.ArrowException, OSError, ValueError) as error:
            yield Piece(first, first + 1, None, f"the stream cannot be read from here on: {error}")
            return
        yield _piece(arrow, first, batch, names)
        first += len(batch)


def _piece(arrow: Any, first: int, batch: Any, names: list[str]) -> Piece:
    last = first + len(batch)
    try:
        return Piece(first, last, _validated(arrow, batch.select(names)))
    except (arrow.ArrowException, ValueError, TypeError, KeyError) as error:
        return Piece(first, last, None, f"the batch is damaged: {error}")


def _validated(arrow: Any, batch: Any) -> Any:
    """A batch whose offsets and lengths were looked at, in as few types as possible.

    Strings are bytes, as only some of them may be no UTF-8; times and days are microseconds in UTC.
    """
    return arrow.RecordBatch.from_arrays([_plain(arrow, one) for one in batch.columns], names=batch.schema.names)


def _plain(arrow: Any, column: Any) -> Any:
    kinds = arrow.types
    if kinds.is_dictionary(column.type):
        column.validate(full=True)
        column = column.dictionary_decode()
    if kinds.is_large_string(column.type):
        column = column.view(arrow.large_binary())
    elif kinds.is_string(column.type):
        column = column.view(arrow.binary())
    column.validate(full=True)
    if kinds.is_timestamp(column.type) or kinds.is_date(column.type):
        exact = getattr(column.type, "unit", "") != "ns"  # nanoseconds are cut off
        column = column.cast(arrow.timestamp("us", getattr(column.type, "tz", None)), safe=exact)
    return column


_PIECES: dict[str, Callable[[Path, list[str], int, int], Iterator[Piece]]] = {
    "parquet": _parquet_pieces,
    "arrow": _arrow_pieces,
}


def _is_file(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_FILE_MAGIC)) == _FILE_MAGIC


def open_table(path: Path, kind: str, options: InputOptions) -> TableFile:
    """A Parquet or Arrow file.

    Raises
    ------
    ArgumentError
        It is damaged, or has neither vectors nor texts, or a column that was named is not there.
    MissingPackageError
        pyarrow is not installed.
    """
    arrow = _arrow()
    try:
        schema, n_rows = _facts(arrow, path, kind)
        columns = _columns(arrow, path, schema, options)
        dtype = dim = None
        if columns.vector is not None:
            dtype = _dtype(arrow, path, schema.field(columns.vector))
            dim = _dim(arrow, path, kind, schema.field(columns.vector))
        if n_rows is not None and not 0 <= n_rows <= MOST_IN_FILE:
            raise failed(path, f"says that it has {n_rows} rows; up to {MOST_IN_FILE} are read from a file: divide it")
    except ArgumentError:
        raise
    except (arrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise failed(path, f"is no {kind} file that can be read: {error}") from error
    return TableFile(
        path=path, format=kind, n_bytes=path.stat().st_size, n_rows=n_rows, dim=dim, dtype=dtype, columns=columns
    )


def _facts(arrow: Any, path: Path, kind: str) -> tuple[Any, int | None]:
    """Schema, and number of rows where the file says it."""
    if kind == "parquet":
        with _parquet(arrow, path) as file:
            return file.schema_arrow, int(file.metadata.num_rows)
    with arrow.OSFile(str(path)) as source:
        if not _is_file(path):
            return arrow.ipc.open_stream(source).schema, None
        reader = arrow.ipc.open_file(source)
        return reader.schema, int(reader.count_rows())


def _columns(arrow: Any, path: Path, schema: Any, options: InputOptions) -> Columns:
    if len(set(schema.names)) != len(schema.names):
        raise failed(path, "has several columns of one name; rename them")
    kinds = arrow.types
    types = {one.name: one.type for one in schema}
    plain = {name: kind.value_type if kinds.is_dictionary(kind) else kind for name, kind in types.items()}
    texts = [name for name, kind in plain.items() if kinds.is_string(kind) or kinds.is_large_string(kind)]
    possible = {
        "id": [*texts, *(name for name, kind in plain.items() if kinds.is_integer(kind))],
        "vector": [name for name, kind in plain.items() if _is_vector(arrow, kind)],
        "text": texts,
    }
    found = chosen(path, options, schema.names, possible)
    for what, column in (("text", found.text), ("tenant", found.tenant)):
        if column is not None and column not in texts:
            raise failed(path, f"has {what}s of type {types[column]} in {column!r}; write strings")
    if found.id is not None and found.id not in possible["id"]:
        raise failed(path, f"has ids of type {types[found.id]} in {found.id!r}; write strings or whole numbers")
    if found.own:
        held = (name for name, kind in plain.items() if name not in found.taken and _is_held(arrow, name, kind))
        found = replace(found, metadata=tuple(held))
    return found


def _is_list(arrow: Any, kind: Any) -> bool:
    kinds = arrow.types
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _is_vector(arrow: Any, kind: Any) -> bool:
    return _is_list(arrow, kind) and _is_number(arrow, kind.value_type)


def _is_number(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_floating(kind) or arrow.types.is_integer(kind))


def _is_held(arrow: Any, name: str, kind: Any) -> bool:
    """Whether metadata can hold values of a type."""
    kinds = arrow.types
    if _is_list(arrow, kind):
        return bool(kinds.is_string(kind.value_type) or kinds.is_large_string(kind.value_type))
    if kinds.is_struct(kind):
        return name == METADATA
    checks = (kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_string, kinds.is_large_string)
    return any(check(kind) for check in (*checks, kinds.is_timestamp, kinds.is_date))


def _dtype(arrow: Any, path: Path, column: Any) -> str:
    if not _is_list(arrow, column.type):
        raise failed(path, f"has column {column.name!r} of type {column.type}; vectors are lists of numbers")
    inner = str(column.type.value_type.to_pandas_dtype().__name__) if _is_number(arrow, column.type.value_type) else ""
    if inner not in DTYPES:
        shown = column.type.value_type
        raise failed(path, f"has vectors of {shown} in {column.name!r}; they are {', '.join(DTYPES)}: cast them")
    return DTYPES[inner]


def _dim(arrow: Any, path: Path, kind: str, column: Any) -> int | None:
    """Of the first vector, where the type does not say it."""
    dim = None
    if arrow.types.is_fixed_size_list(column.type):
        dim = int(column.type.list_size)
    else:
        for piece in _PIECES[kind](path, [column.name], 0, _LOOKED_AT):
            if piece.batch is not None and (known := piece.batch.column(0).drop_null()):
                dim = len(known[0])
                break
    if dim is not None and not 1 <= dim <= MAX_DIM:
        raise failed(path, f"has vectors of {dim} values in {column.name!r}; 1 to {MAX_DIM} are possible")
    return dim
