"""Records in a file of JSON Lines, plain or gzipped: one object a line, and every error with the line's number."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

from ramet.api.cli.inputs import InputError
from ramet.api.cli.values import with_dates

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")

# What the Python arguments are called in a line.
FIELDS: Mapping[str, str] = {
    "documents": "text",
    "ids": "id",
    "metadata": "metadata",
    "tenant": "tenant",
    "texts": "text",
    "vectors": "vector",
}


def is_lines(path: Path) -> bool:
    """Tell from its name whether a file holds JSON Lines.

    Examples
    --------
    >>> is_lines(Path("a.jsonl")), is_lines(Path("A.JSONL.GZ")), is_lines(Path("a.npy"))
    (True, True, False)
    """
    return path.name.lower().endswith(ENDINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Lines that are handled together."""

    path: Path
    numbers: list[int]
    """Of the lines, from 1."""

    records: list[dict[str, Any]]
    """Their objects; datetimes in metadata are Python's, and `document` is called `text`."""

    read: float
    """Share of the file that is read, 0 to 1."""

    def __len__(self) -> int:
        return len(self.records)

    def column(self, field: str) -> list[Any] | None:
        """One field of all records, None where it is missing; None when no record has it."""
        found = [record.get(field) for record in self.records]
        return found if any(value is not None for value in found) else None

    def error(self, i: int, problem: str) -> InputError:
        """What is wrong with a record."""
        return line_error(self.path, self.numbers[i], problem)

    def check(self, check: Callable[[Piece], object]) -> None:
        """Run a check of the engine over the records, and name the line that it refuses.

        Raises
        ------
        InputError
            With file, line and field.
        ArgumentError
            The fault is not of a line but of an option.
        """
        from ramet import ArgumentError

        try:
            check(self)
            return
        except ArgumentError as error:
            if _field(error.argument) is None:
                raise
        for i in range(len(self)):  # one by one: not every message says which record it is about
            one = Piece(path=self.path, numbers=[self.numbers[i]], records=[self.records[i]], read=self.read)
            try:
                check(one)
            except ArgumentError as error:
                named = _field(error.argument)
                if named is None:
                    raise
                raise one.error(0, f"{named}: {error.problem.removeprefix('row 0 ')}") from error


def _field(argument: str) -> str | None:
    """What an argument, such as `metadata[0]['year']`, is called in a line; None: it is an option."""
    name, _, rest = argument.partition("[")
    if name not in FIELDS or (name == "tenant" and not rest):
        return None
    return FIELDS[name] + rest.partition("]")[2]


def line_error(path: Path, number: int, problem: str) -> InputError:
    """What is wrong with a line of a file."""
    return InputError(f"{path}, line {number}: {problem}")


def pieces(path: Path, size: int, known: tuple[str, ...]) -> Iterator[Piece]:
    """Read a file piece by piece; empty lines are passed over.

    Parameters
    ----------
    path : Path
    size : int
        Records of a piece, at most.
    known : tuple of str
        Fields that a line may have; `id` is one that it must have.

    Raises
    ------
    InputError
        No such file; or a line that is no JSON object, has no id or a field that is not known.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    total = max(1, path.stat().st_size)
    numbers: list[int] = []
    records: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in _numbered(path, file):
            if not line.strip():
                continue
            numbers.append(number)
            records.append(_record(path, number, line, known))
            if len(records) == size:
                yield Piece(path=path, numbers=numbers, records=records, read=min(1.0, file.tell() / total))
                numbers, records = [], []
    if records:
        yield Piece(path=path, numbers=numbers, records=records, read=1.0)


def _numbered(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers."""
    stream: Any = gzip.GzipFile(fileobj=file) if path.name.lower().endswith(".gz") else file
    lines = enumerate(stream, start=1)
    number = 0
    while True:
        try:
            number, line = next(lines)
        except StopIteration:
            return
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise line_error(path, number + 1, f"the file is not gzip, or is cut off or damaged ({error})") from error
        yield number, line


def _record(path: Path, number: int, line: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    """Read one line."""
    try:
        found = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise line_error(path, number, f"not UTF-8 text ({error})") from error
    except (ValueError, RecursionError) as error:
        raise line_error(path, number, f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise line_error(path, number, 'not a JSON object; write {"id": "...", ...}')
    if "document" in found and "text" in known:
        if "text" in found:
            raise line_error(path, number, "has both text and document, which are two names of one field")
        found["text"] = found.pop("document")
    for field in found:
        if field not in known:
            raise line_error(path, number, _unknown(field, known))
    if found.get("id") is None:
        raise line_error(path, number, "has no id, by which a record can be replaced or deleted")
    return _dated(path, number, found)


def _unknown(field: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(field, known, 1)
    meant = f", do you mean {near[0]}?" if near else ";"
    return f"unknown field {field!r}{meant} there are {', '.join(known)}, and what else you have goes into metadata"


def _dated(path: Path, number: int, record: dict[str, Any]) -> dict[str, Any]:
    """Turn what stands for datetimes in the metadata into such."""
    fields = record.get("metadata")
    if isinstance(fields, dict):
        try:
            record["metadata"] = {name: with_dates(value) for name, value in fields.items()}
        except (ValueError, RecursionError) as error:
            raise line_error(path, number, f"metadata: {error}") from error
    return record
