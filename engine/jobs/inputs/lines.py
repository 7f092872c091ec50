"""JSON lines: one record a line, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine.arguments import positive, whole
from ramet.engine.jobs.inputs.blocks import MOST_ROWS, Block, InputOptions, Rejected, Vectors, failed
from ramet.engine.jobs.inputs.columns import METADATA, Columns, as_id, chosen, spread
from ramet.engine.settings import MAX_DIM

MAX_LINE = 64 << 20
"""Bytes of a line at most."""

LOOKED_AT = 100
"""Good lines from whose fields it is seen what the records have."""

LOOKED_AT_BYTES = 16 << 20
"""Where looking ends at the latest."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 20
_BROKEN = (EOFError, OSError, zlib.error)
_NUMBERS = {int, float}


class BadLine(Exception):
    """A line that is no record: reason and detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesFile:
    """An `InputFile` of JSON lines."""

    path: Path
    n_bytes: int
    dim: int | None
    has: frozenset[str]
    columns: Columns
    format: str = "jsonl"
    n_rows: int | None = None

    @property
    def dtype(self) -> str | None:
        """Of vectors: JSON's numbers are read as float32."""
        return None if self.dim is None else "float32"

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Blocks of lines; those before the first block are passed over without a look at what is in them."""
        most, number = positive(max_rows, "max_rows", MOST_ROWS), whole(first_block, "first_block")
        with _Lines(self.path) as lines:
            lines.skip(number * most)
            while not lines.ended:
                first, found = lines.number, _Found(self)
                for row, line in lines.take(most):
                    found.add(row, line)
                if lines.number > first:
                    yield found.block(first)


class _Lines:
    """Lines of a file, in order."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            packed = file.read(2) == _GZIP
        self._file: Any = gzip.open(path) if packed else open(path, "rb", buffering=_BUFFER)
        self._error: Exception | None = None
        self.number = 0
        """Of the next line."""
        self.ended = False

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def skip(self, until: int) -> None:
        """Go to the line of that number, if there is one."""
        try:
            while self.number < until and not self.ended:
                there = self._file.peek(1)
                n = there.count(b"\n")
                if n:
                    n = min(n, until - self.number)
                    self._file.read(_after(there, n))
                    self.number += n
                else:
                    self._discard()
                    self.number += 1
                self.ended = not self._file.peek(1)
        except _BROKEN as error:
            self._error = error
            self.ended = self.number < until  # then an earlier block tells of it

    def take(self, most: int) -> Iterator[tuple[int, bytes | BadLine]]:
        """The next lines with their numbers, blank ones left out."""
        for _ in range(most):
            try:
                line = self._line()
            except _BROKEN as error:
                self.ended = True
                self.number += 1
                yield self.number - 1, _broken(error)
                return
            if line == b"":
                self.ended = True
                return
            self.number += 1
            if isinstance(line, BadLine) or line.strip():
                yield self.number - 1, line

    def _line(self) -> bytes | BadLine:
        if self._error is not None:
            raise self._error
        line: bytes = self._file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            self._discard()
            return BadLine("too_long", f"has more than {MAX_LINE} bytes, which a line may have at most")
        if self.number == 0 and line == _BOM:
            return b"\n"
        return line.removeprefix(_BOM) if self.number == 0 else line

    def _discard(self) -> None:
        """Read to the end of the line."""
        while (part := self._file.readline(_BUFFER)) and not part.endswith(b"\n"):
            pass


def _after(content: bytes, n: int) -> int:
    """Where the line behind the ``n``-th line break begins."""
    at = -1
    for _ in range(n):
        at = content.index(b"\n", at + 1)
    return at + 1


def _broken(error: Exception) -> BadLine:
    reason = "truncated" if isinstance(error, EOFError) else "unreadable"
    return BadLine(reason, f"the file cannot be read from here on: {error}")


@dataclass(slots=True)
class _Found:
    """The records of a block."""

    file: LinesFile
    rows: list[int] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    metadata: list[dict[str, Any] | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def add(self, row: int, line: bytes | BadLine) -> None:
        """Take the record of a line, or tell what is wrong with it."""
        columns, has = self.file.columns, self.file.columns.has
        try:
            record = parsed(line)
            if not has:
                raise BadLine("missing_vector", "is not read, as the first lines of the file are no records")
            vector = _vector(record.get(columns.vector or ""), self.file.dim) if "vectors" in has else None
            name = _string(as_id(record.get(columns.id or "")), "bad_id", columns.id) if "ids" in has else ""
            tenant = _string(record.get(columns.tenant or ""), "bad_tenant", columns.tenant) if "tenants" in has else ""
            text = _text(record.get(columns.text or ""), columns.text, vector is None) if "texts" in has else None
        except BadLine as bad:
            self.rejected.append(Rejected(self.file.path, row, bad.reason, bad.detail))
            return
        self.rows.append(row)
        self.ids.append(name)
        self.tenants.append(tenant)
        self.texts.append(text)
        self.metadata.append(_metadata(record, columns))
        if vector is not None:
            self.vectors.append(vector)

    def block(self, first: int) -> Block:
        """What was found."""
        has, path, vectors = self.file.has, self.file.path, None
        if "vectors" in has:
            vectors = np.stack(self.vectors) if self.vectors else np.empty((0, self.file.dim or 0), np.float32)
        return Block(
            file=path,
            first=first,
            rows=np.array(self.rows, np.int64),
            vectors=vectors,
            ids=self.ids if "ids" in has else None,
            texts=self.texts if "texts" in has else None,
            metadata=self.metadata,
            tenants=self.tenants if "tenants" in has else None,
            rejected=self.rejected,
        )


def parsed(line: bytes | BadLine) -> dict[str, Any]:
    """The object on a line.

    Raises
    ------
    BadLine
    """
    if isinstance(line, BadLine):
        raise line
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise BadLine("bad_utf8", f"byte {error.start} is not UTF-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise BadLine("bad_json", f"{error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise BadLine("bad_json", str(error)) from error
    if not isinstance(record, dict):
        raise BadLine("bad_json", 'is no object; each line is one, such as {"id": "a", "vector": [0.1, 0.2]}')
    return record


def _vector(value: Any, dim: int | None) -> Vectors:
    if value is None:
        raise BadLine("missing_vector", "has no vector")
    if type(value) is not list or not set(map(type, value)) <= _NUMBERS:
        raise BadLine("bad_vector", "has a vector that is no list of numbers")
    if len(value) != dim:
        raise BadLine("ragged", f"has a vector of {len(value)} values, the file's have {dim}")
    try:
        with np.errstate(over="ignore"):
            return np.array(value, np.float32)
    except OverflowError as error:
        raise BadLine("not_finite", f"has a value beyond float32: {error}") from error


def _string(value: Any, reason: str, name: str | None) -> str:
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is a {type(value).__name__}"
        raise BadLine(reason, f"the field {name!r} {found}; write a string")
    return value


def _text(value: Any, name: str | None, needed: bool) -> str | None:
    if value is None and needed:
        raise BadLine("missing_text", f"the field {name!r} is missing")
    return None if value is None else _string(value, "bad_text", name)


def _metadata(record: dict[str, Any], columns: Columns) -> dict[str, Any] | None:
    if columns.metadata is not None:
        return spread({name: record[name] for name in columns.metadata if name in record}, own=False)
    taken = columns.taken
    fields = spread({name: value for name, value in record.items() if name not in taken}, own=True)
    return {name: value for name, value in (fields or {}).items() if _held(value)} or None


def _held(value: Any) -> bool:
    """Whether the type of a value is one that metadata can hold."""
    return all(type(one) is str for one in value) if type(value) is list else not isinstance(value, dict)


def open_lines(path: Path, options: InputOptions) -> LinesFile:
    """A file of JSON lines; the first `LOOKED_AT` good ones show what the records have.

    Raises
    ------
    ArgumentError
        There is neither a vector nor a text in them, or a field that was named is not there.
    """
    first: dict[str, Any] = {}
    n_good = n_bytes = 0
    with _Lines(path) as lines:
        for _, line in lines.take(LOOKED_AT_BYTES):
            try:
                record = parsed(line)
            except BadLine:
                record = {}
            for name, value in record.items():
                if value is not None:
                    first.setdefault(name, value)
            n_good += bool(record)
            n_bytes += len(line) if isinstance(line, bytes) else MAX_LINE
            if n_good == LOOKED_AT or n_bytes > LOOKED_AT_BYTES:
                break
    size = path.stat().st_size
    if not n_good:
        return LinesFile(path=path, n_bytes=size, dim=None, has=frozenset(), columns=Columns())
    columns = chosen(path, options, {*first, *(options.metadata_columns or ())}, _possible(first))
    dim = len(_numbers(path, columns.vector, first[columns.vector])) if columns.vector is not None else None
    return LinesFile(path=path, n_bytes=size, dim=dim, has=columns.has | {METADATA}, columns=columns)


def _possible(first: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": [name for name, value in first.items() if type(value) in (str, int)],
        "vector": [name for name, value in first.items() if type(value) is list],
        "text": [name for name, value in first.items() if type(value) is str],
    }


def _numbers(path: Path, name: str, value: Any) -> list[float]:
    if type(value) is not list or not 1 <= len(value) <= MAX_DIM or not set(map(type, value)) <= _NUMBERS:
        raise failed(
            path, f"has no vector in {name!r}: a list of 1 to {MAX_DIM} numbers; name the field by vector_column"
        )
    return value
