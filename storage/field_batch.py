"""Metadata of many records, sorted by field and value: what goes into the filter tables, and out of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ramet.storage import catalog
from ramet.storage.field_keys import (
    BOOL,
    DATE,
    ELEMENT,
    EMPTY,
    END,
    EXISTS,
    LONG,
    LONG_ELEMENT,
    NUMBER,
    STRING,
    string_suffix,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Record = Mapping[str, Any]


def microseconds(value: datetime) -> int:
    """Return the microseconds from 1970 to a point in time; one without a time zone is in UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - EPOCH) // _MICROSECOND


class FieldBatch:
    """One field of many records: rows by value. Rows are added in rising order."""

    __slots__ = ("bools", "dates", "elements", "empty", "numbers", "rows", "strings")

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.strings: dict[str, list[int]] = {}
        self.elements: dict[str, list[int]] = {}
        self.bools: tuple[list[int], list[int]] = ([], [])
        self.empty: list[int] = []
        self.numbers: tuple[list[float], list[int]] = ([], [])
        self.dates: tuple[list[int], list[int]] = ([], [])

    def add(self, row: int, value: Any) -> None:
        """Note the value of a row.

        Raises
        ------
        TypeError
            It is neither str, bool, int, float, datetime nor a list of str.
        """
        self.rows.append(row)
        if isinstance(value, str):
            self.strings.setdefault(value, []).append(row)
        elif isinstance(value, bool):
            self.bools[value].append(row)
        elif isinstance(value, (int, float)):
            self.numbers[0].append(value)
            self.numbers[1].append(row)
        elif isinstance(value, datetime):
            self.dates[0].append(microseconds(value))
            self.dates[1].append(row)
        elif isinstance(value, list):
            for element in dict.fromkeys(value):
                self.elements.setdefault(element, []).append(row)
            if not value:
                self.empty.append(row)
        else:
            raise TypeError(f"metadata holds str, bool, int, float, datetime and lists of str, got {value!r}")

    def bitmaps(self) -> Iterator[tuple[bytes, list[int]]]:
        """Yield (kind and value as the key has them, rows) of everything that VALUES holds."""
        yield bytes((EXISTS,)) + END, self.rows
        for flag, rows in enumerate(self.bools):
            if rows:
                yield bytes((BOOL, flag)) + END, rows
        if self.empty:
            yield bytes((EMPTY,)) + END, self.empty
        for text, rows in self.strings.items():
            yield string_suffix(text, STRING, LONG), rows
        for text, rows in self.elements.items():
            yield string_suffix(text, ELEMENT, LONG_ELEMENT), rows

    def pairs(self) -> Iterator[tuple[int, list[Any], list[int]]]:
        """Yield (kind, values, rows) of what NUMBERS holds."""
        for kind, (values, rows) in ((NUMBER, self.numbers), (DATE, self.dates)):
            if rows:
                yield kind, values, rows


def by_field(rows: Sequence[int], metadata: Iterable[Record | None]) -> dict[str, FieldBatch]:
    """Return the fields of records, whose rows rise.

    Raises
    ------
    TypeError
        A value is of a type that metadata does not have.
    """
    found: dict[str, FieldBatch] = {}
    for row, record in zip(rows, metadata, strict=True):
        if record:
            for field, value in record.items():
                batch = found.get(field)
                if batch is None:
                    batch = found[field] = FieldBatch()
                batch.add(row, value)
    return found


def value_keys(tenant: int, fields: Mapping[str, FieldBatch], chunk: bytes) -> Iterator[tuple[bytes, list[int]]]:
    """Yield (key of VALUES, rows) for fields of records whose rows are of one chunk."""
    start = catalog.VALUES + catalog.U32_KEY.pack(tenant)
    for field, batch in fields.items():
        prefix = start + field.encode() + b"\0"
        for suffix, rows in batch.bitmaps():
            yield prefix + suffix + chunk, rows
