"""Reads of the filter tables: which rows of a tenant have a value, as bitmaps."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pyroaring import BitMap

from ramet.storage import catalog
from ramet.storage.field_keys import (
    BOOL,
    ELEMENT,
    END,
    EXISTS,
    LONG,
    LONG_ELEMENT,
    PAIR,
    PAIR_KEY,
    STRING,
    TAIL_BYTES,
    bitmap_of,
    escaped,
    field_prefix,
    string_bound,
    string_suffix,
    united,
)
from ramet.storage.number_pages import pages_between, pages_with
from ramet.storage.reader import U64, CatalogReader, storage_errors

_LAST_CHUNK = b"\xff\xff"
_LAST_ROW = 0xFFFFFFFF


class FieldReader(CatalogReader):
    """Rows by the values of their metadata, per tenant; base of `Snapshot` and `Writer`.

    Every bitmap belongs to the caller. A tenant or field that does not exist has no rows.
    """

    __slots__ = ()

    @storage_errors
    def visible(self, tenant: int) -> BitMap:
        """Return the rows that a tenant sees, by its number.

        Raises
        ------
        CorruptionError
            An entry is no bitmap. So it is for all reads of this class.
        """
        prefix = catalog.VISIBLE + catalog.U32_KEY.pack(tenant)
        values = [value for _, value in catalog.scan(self._reading(), prefix)]
        return self._united(values, "visible rows", tenant)

    @storage_errors
    def rows_with_field(self, tenant: int, field: str) -> BitMap:
        """Return the rows that have a field, of whatever type."""
        return self._rows_at(tenant, field, [field_prefix(catalog.VALUES, tenant, field, EXISTS) + END])

    @storage_errors
    def rows_with_bool(self, tenant: int, field: str, value: bool) -> BitMap:
        """Return the rows whose field is True, or is False."""
        key = field_prefix(catalog.VALUES, tenant, field, BOOL) + bytes((value,)) + END
        return self._rows_at(tenant, field, [key])

    @storage_errors
    def rows_with_strings(self, tenant: int, field: str, texts: Iterable[str], *, in_lists: bool = True) -> BitMap:
        """Return the rows whose field is one of some strings, or is a list that holds one of them.

        Parameters
        ----------
        tenant : int
        field : str
        texts : iterable of str
        in_lists : bool
            Look into lists, too.
        """
        txn, texts = self._reading(), list(texts)
        prefix = field_prefix(catalog.VALUES, tenant, field, 0)[:-1]
        keys = [prefix + string_suffix(text, STRING, LONG) for text in texts]
        if in_lists and any(
            not catalog.range_is_empty(txn, prefix + bytes((kind,))) for kind in (ELEMENT, LONG_ELEMENT)
        ):
            keys += [prefix + string_suffix(text, ELEMENT, LONG_ELEMENT) for text in texts]
        return self._rows_at(tenant, field, sorted(keys))

    @storage_errors
    def rows_with_element(self, tenant: int, field: str, text: str) -> BitMap:
        """Return the rows whose field is a list that holds a string."""
        prefix = field_prefix(catalog.VALUES, tenant, field, 0)[:-1]
        return self._rows_at(tenant, field, [prefix + string_suffix(text, ELEMENT, LONG_ELEMENT)])

    @storage_errors
    def rows_with_long_string(self, tenant: int, field: str) -> BitMap:
        """Return the rows whose field is a string too long for a key: its order and content are not in these tables."""
        prefix = field_prefix(catalog.VALUES, tenant, field, LONG)
        return self._united([value for _, value in catalog.scan(self._reading(), prefix)], field, tenant)

    @storage_errors
    def rows_between_strings(
        self, tenant: int, field: str, low: str | None, high: str | None, *, without: tuple[bool, bool] = (False, False)
    ) -> BitMap:
        """Return the rows whose field is a string between two; long strings (`rows_with_long_string`) are left out.

        Parameters
        ----------
        tenant : int
        field : str
        low, high : str or None
            None for no limit.
        without : (bool, bool)
            Leave out the lower limit itself, and the upper one.
        """
        prefix = field_prefix(catalog.VALUES, tenant, field, STRING)
        first, last = prefix, prefix + _LAST_CHUNK
        if low is not None:
            first = string_bound(prefix, low) + (END + _LAST_CHUNK + b"\0" if without[0] else b"")
        if high is not None:
            last = string_bound(prefix, high) + (b"" if without[1] else END + _LAST_CHUNK)
        cursor, values = self._reading().cursor(), []
        if cursor.set_range(first):
            for key, value in cursor.iternext():
                if key > last:
                    break
                values.append(value)
        return self._united(values, field, tenant)

    @storage_errors
    def rows_with_part(self, tenant: int, field: str, text: str) -> BitMap:
        """Return the rows whose field is a string with another inside it; long strings are left out.

        Reads every string of the field.
        """
        prefix, part = field_prefix(catalog.VALUES, tenant, field, STRING), escaped(text)
        n, entries = len(prefix), catalog.scan(self._reading(), prefix)
        return self._united([value for key, value in entries if part in key[n:-TAIL_BYTES]], field, tenant)

    @storage_errors
    def rows_with_codes(self, tenant: int, field: str, kind: int, codes: U64) -> BitMap:
        """Return the rows whose number (kind `NUMBER`) or point in time (`DATE`) has one of some codes."""
        wanted = np.unique(codes)
        prefix = field_prefix(catalog.NUMBERS, tenant, field, kind)
        marks = wanted.astype(">u8").tobytes()
        values = pages_with(self._reading().cursor(), prefix, [marks[i : i + 8] for i in range(0, len(marks), 8)])
        pairs = self._pairs(values, field, tenant)
        if len(wanted) == 1:
            return bitmap_of(pairs["row"][pairs["code"] == wanted[0]])
        return bitmap_of(pairs["row"][np.isin(pairs["code"], wanted)])

    @storage_errors
    def rows_between_codes(self, tenant: int, field: str, kind: int, low: int, high: int) -> BitMap:
        """Return the rows whose number (kind `NUMBER`) or date (`DATE`) has a code from low to high, both included."""
        if low > high:
            return BitMap()
        prefix = field_prefix(catalog.NUMBERS, tenant, field, kind)
        bounds = PAIR_KEY.pack(low, 0), PAIR_KEY.pack(high, _LAST_ROW)
        values = pages_between(self._reading().cursor(), prefix, *bounds)
        pairs = self._pairs(values, field, tenant)
        if not len(pairs):
            return BitMap()
        # Only the first and the last page reach over the limits.
        first, last = len(values[0]) // PAIR.itemsize, len(values[-1]) // PAIR.itemsize
        begin = int(np.searchsorted(pairs["code"][:first], np.uint64(low), "left"))
        end = int(np.searchsorted(pairs["code"][len(pairs) - last :], np.uint64(high), "right"))
        return bitmap_of(pairs["row"][begin : len(pairs) - last + end])

    def _rows_at(self, tenant: int, field: str, keys: Sequence[bytes]) -> BitMap:
        """Return the rows of values whose keys, without the chunk, are given."""
        cursor, values = self._reading().cursor(), []
        for start in keys:
            n = len(start)
            found = cursor.set_range(start)
            while found and cursor.key()[:n] == start:
                values.append(cursor.value())
                found = cursor.next()
        return self._united(values, field, tenant)

    def _united(self, values: list[bytes], what: str, tenant: int) -> BitMap:
        try:
            return united(values)
        except ValueError as error:
            raise self._damaged(f"{what!r} of tenant {tenant}", "roaring bitmaps", error) from error

    def _pairs(self, values: list[bytes], field: str, tenant: int) -> Any:
        try:
            return np.frombuffer(b"".join(values), PAIR)
        except ValueError as error:
            raise self._damaged(f"numbers in {field!r} of tenant {tenant}", "pairs of 12 bytes", error) from error
