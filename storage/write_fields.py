"""What a writer can do to the filter tables: rows come into a tenant's sight with their metadata, and leave it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.storage import catalog
from ramet.storage.field_batch import FieldBatch, Record, by_field, value_keys
from ramet.storage.field_keys import CHUNK_BITS, CHUNK_KEY, codes_of, deserialized, field_prefix, serialized
from ramet.storage.fields import FieldReader
from ramet.storage.format import CATALOG
from ramet.storage.number_pages import add_pairs, drop_pairs
from ramet.storage.reader import I64
from ramet.storage.transaction import WriteTransaction

# Values up to this length lie inside the leaves of LMDB's tree, whatever their key.
_INSIDE_BYTES = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Records whose rows share a bitmap."""

    key: bytes
    rows: list[int]
    fields: dict[str, FieldBatch]


class FieldWriter(WriteTransaction, FieldReader):
    """Visible rows and the values of their metadata."""

    def see_rows(self, tenant: int, rows: npt.NDArray[Any], metadata: Sequence[Record | None]) -> None:
        """Let a tenant see rows, and find them by their metadata; rows that it sees already are passed over.

        Parameters
        ----------
        tenant : int
        rows : array of int, shape (n,)
            In any order.
        metadata : sequence of dict or None, of length n
            Field -> str, bool, int, float (no NaN), datetime or list of str.

        Raises
        ------
        ValueError
            There is no such tenant, a row is named twice, or the lengths differ.
        TypeError
            A value is of another type.
        """
        numbers, order = self._checked(tenant, rows, metadata)
        seen = self._seen(tenant, numbers)
        new = numbers[~seen], [metadata[i] for i in order[~seen].tolist()]
        chunks = _chunked(*new)
        entries, pairs = _entries(tenant, chunks), _numbers(tenant, chunks)
        with self._step(CATALOG) as txn:
            self._touch(tenant)
            for key, more in entries:
                self._put_grown(txn, key, more)
            for prefix, codes, holders in pairs:
                add_pairs(txn, prefix, codes, holders)

    def unsee_rows(self, tenant: int, rows: npt.NDArray[Any], metadata: Sequence[Record | None]) -> None:
        """Take rows out of a tenant's sight; those that it does not see are passed over.

        Parameters
        ----------
        tenant : int
        rows : array of int, shape (n,)
            In any order.
        metadata : sequence of dict or None, of length n
            What `see_rows` was given for them.

        Raises
        ------
        ValueError, TypeError
            As `see_rows`.
        """
        numbers, order = self._checked(tenant, rows, metadata)
        seen = self._seen(tenant, numbers)
        old = numbers[seen], [metadata[i] for i in order[seen].tolist()]
        chunks = _chunked(*old)
        entries, pairs = _entries(tenant, chunks), _numbers(tenant, chunks)
        with self._step(CATALOG) as txn:
            self._touch(tenant)
            for key, gone in entries:
                self._put_shrunk(txn, key, gone)
            for prefix, codes, holders in pairs:
                drop_pairs(txn, prefix, codes, holders)

    def forget_fields(self, tenant: int) -> None:
        """Delete everything that the filter tables hold of a tenant."""
        with self._step(CATALOG) as txn:
            for table in (catalog.VISIBLE, catalog.VALUES, catalog.NUMBERS):
                catalog.delete_range(txn, table + catalog.U32_KEY.pack(tenant))

    def _checked(self, tenant: int, rows: npt.NDArray[Any], metadata: Sequence[Record | None]) -> tuple[I64, I64]:
        """Return the rows in order, and their order in the arguments."""
        numbers = np.asarray(rows, np.int64)
        if len(numbers) != len(metadata):
            raise ValueError(f"{len(metadata)} metadata for {len(numbers)} rows; give every row its own, or None")
        if self.member(tenant) is None:
            raise ValueError(f"there is no tenant of number {tenant}; make it with ensure_tenant")
        order = np.argsort(numbers)
        numbers = numbers[order]
        if (numbers[1:] == numbers[:-1]).any():
            raise ValueError("a row is named twice: give every row once")
        if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < self.n_rows:
            raise ValueError(f"rows from {numbers[0]} to {numbers[-1]} do not all exist: there are {self.n_rows}")
        return numbers, order

    def _seen(self, tenant: int, rows: I64) -> npt.NDArray[np.bool_]:
        """Tell which of rising rows a tenant sees."""
        txn, prefix = self._reading(), catalog.VISIBLE + catalog.U32_KEY.pack(tenant)
        values = [txn.get(prefix + CHUNK_KEY.pack(chunk)) for chunk in np.unique(rows >> CHUNK_BITS).tolist()]
        seen = self._united([value for value in values if value is not None], "visible rows", tenant)
        if not seen:
            return np.zeros(len(rows), np.bool_)
        return np.fromiter((row in seen for row in rows.tolist()), np.bool_, len(rows))

    def _put_grown(self, txn: Any, key: bytes, rows: list[int]) -> None:
        """Add rows, which rise and are of the key's chunk, to a bitmap."""
        old = txn.get(key)
        if old is None:
            txn.put(key, serialized(rows, rows[0] >> CHUNK_BITS))
            return
        bitmap = self._bitmap(key, old)
        bitmap.update(rows)
        bitmap.run_optimize()
        if len(old) > _INSIDE_BYTES:
            txn.delete(key)  # as in catalog.put_summed: a smaller value may not take the pages of a larger one
        txn.put(key, bitmap.serialize())

    def _put_shrunk(self, txn: Any, key: bytes, rows: list[int]) -> None:
        """Take rows out of a bitmap; delete it when none is left."""
        old = txn.get(key)
        if old is None:
            return
        bitmap = self._bitmap(key, old)
        bitmap -= BitMap(rows)
        if len(old) > _INSIDE_BYTES or not bitmap:
            txn.delete(key)
        if bitmap:
            bitmap.run_optimize()
            txn.put(key, bitmap.serialize())

    def _bitmap(self, key: bytes, value: bytes) -> BitMap:
        try:
            return deserialized(value)
        except ValueError as error:
            raise self._damaged(f"entry {key[1:]!r} of table {key[0]}", "a roaring bitmap", error) from error


def _chunked(rows: I64, metadata: list[Record | None]) -> list[_Chunk]:
    """Sort records whose rows rise by chunk, field and value."""
    starts = np.flatnonzero(np.diff(rows >> CHUNK_BITS, prepend=-1)).tolist()
    found, numbers = [], rows.tolist()
    for first, last in pairwise([*starts, len(numbers)]):
        part = numbers[first:last]
        fields = by_field(part, metadata[first:last])
        found.append(_Chunk(key=CHUNK_KEY.pack(part[0] >> CHUNK_BITS), rows=part, fields=fields))
    return found


def _entries(tenant: int, chunks: list[_Chunk]) -> list[tuple[bytes, list[int]]]:
    """Return (key of VISIBLE or VALUES, rows), in the order of the keys: neighbours are written together."""
    start = catalog.VISIBLE + catalog.U32_KEY.pack(tenant)
    entries = [(start + chunk.key, chunk.rows) for chunk in chunks]
    entries += [entry for chunk in chunks for entry in value_keys(tenant, chunk.fields, chunk.key)]
    entries.sort(key=_key_of)
    return entries


def _key_of(entry: tuple[bytes, list[int]]) -> bytes:
    return entry[0]


def _numbers(tenant: int, chunks: list[_Chunk]) -> list[tuple[bytes, npt.NDArray[np.uint64], npt.NDArray[np.uint32]]]:
    """Return (start of the keys of NUMBERS, codes, rows) for every field and kind, in the order of the keys."""
    found: dict[bytes, tuple[list[Any], list[int], int]] = {}
    for chunk in chunks:
        for field, batch in chunk.fields.items():
            for kind, values, rows in batch.pairs():
                entry = found.setdefault(field_prefix(catalog.NUMBERS, tenant, field, kind), ([], [], kind))
                entry[0].extend(values)
                entry[1].extend(rows)
    return [
        (prefix, codes_of(kind, values), np.array(rows, np.uint32))
        for prefix, (values, rows, kind) in sorted(found.items(), key=lambda item: item[0])
    ]
