"""From a filter to the bitmap of the rows that match it, for one tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.engine.where import DATES, NUMBERS, AllOf, Among, AnyOf, Between, Contains, Exists, Filter, Not
from ramet.storage.field_keys import DATE, NUMBER, codes_of
from ramet.storage.fields import FieldReader

Rows = npt.NDArray[np.int64]
MetadataOf = Callable[[Rows], Sequence["dict[str, Any] | None"]]

_KIND = {NUMBERS: NUMBER, DATES: DATE}
_LAST_CODE = 0xFFFFFFFFFFFFFFFF

# Rows whose metadata is read at once.
_TOGETHER = 4096


def matching(reader: FieldReader, tenant: int, filter: Filter, document_metadata: MetadataOf) -> BitMap:
    """Return the rows of a tenant that match a filter: all of them, and no other.

    Parameters
    ----------
    reader : Snapshot or Writer
    tenant : int
        By its number; an unknown one has no rows.
    filter : Filter
    document_metadata : callable
        Metadata of rows, int64 of shape (n,). Called only for strings too long for the filter's tables
        (`field_keys.MAX_STRING_BYTES`), and only when their order or content is asked for.

    Returns
    -------
    BitMap
        Owned by the caller.

    Raises
    ------
    CorruptionError
        The tables of the filter are damaged.
    """
    return _Matching(reader, tenant, document_metadata).rows(filter)


class _Matching:
    """One filter at work on one tenant's tables."""

    def __init__(self, reader: FieldReader, tenant: int, document_metadata: MetadataOf) -> None:
        self._reader = reader
        self._tenant = tenant
        self._metadata = document_metadata
        self._visible: BitMap | None = None

    def rows(self, node: Filter) -> BitMap:
        """Rows that match; of a negation, the tenant's other rows."""
        if isinstance(node, Not):
            return self._every() - self.rows(node.part)
        if isinstance(node, AllOf):
            return self._all(node)
        if isinstance(node, AnyOf):
            return BitMap.union(*[self.rows(part) for part in node.parts])
        if isinstance(node, Among):
            return self._among(node)
        if isinstance(node, Between):
            return self._between(node)
        if isinstance(node, Exists):
            return self._reader.rows_with_field(self._tenant, node.field)
        return self._containing(node)

    def _every(self) -> BitMap:
        if self._visible is None:
            self._visible = self._reader.visible(self._tenant)
        return self._visible

    def _all(self, node: AllOf) -> BitMap:
        """The cheap parts first, and none any more when nothing is left; negations only take away."""
        left: BitMap | None = None
        for part in sorted(node.parts, key=_cost):
            if left is not None and not left:
                break
            if isinstance(part, Not):
                left = (self._every() if left is None else left) - self.rows(part.part)
            else:
                found = self.rows(part)
                left = found if left is None else left & found
        assert left is not None
        return left

    def _among(self, node: Among) -> BitMap:
        reader, tenant, field = self._reader, self._tenant, node.field
        found = []
        if node.texts:
            found.append(reader.rows_with_strings(tenant, field, node.texts))
        found += [reader.rows_with_bool(tenant, field, flag) for flag in node.bools]
        for kind, values in ((NUMBER, node.numbers), (DATE, node.dates)):
            if values:
                found.append(reader.rows_with_codes(tenant, field, kind, codes_of(kind, values)))
        if node.missing:
            found.append(self._every() - reader.rows_with_field(tenant, field))
        return found[0] if len(found) == 1 else BitMap.union(*found) if found else BitMap()

    def _between(self, node: Between) -> BitMap:
        if node.kind in _KIND:
            low, high = _codes_between(node)
            return self._reader.rows_between_codes(self._tenant, node.field, _KIND[node.kind], low, high)
        without = (node.without_low, node.without_high)
        found = self._reader.rows_between_strings(self._tenant, node.field, node.low, node.high, without=without)
        return found | self._long_strings(node.field, lambda text: _is_between(text, node))

    def _containing(self, node: Contains) -> BitMap:
        found = self._reader.rows_with_element(self._tenant, node.field, node.text)
        found |= self._reader.rows_with_part(self._tenant, node.field, node.text)
        return found | self._long_strings(node.field, lambda text: node.text in text)

    def _long_strings(self, field: str, fits: Callable[[str], bool]) -> BitMap:
        """Rows whose field is a string too long for the tables, and fits: their metadata is read."""
        rows = np.asarray(self._reader.rows_with_long_string(self._tenant, field).to_array(), np.int64)
        found = BitMap()
        for first in range(0, len(rows), _TOGETHER):
            part = rows[first : first + _TOGETHER]
            for row, record in zip(part.tolist(), self._metadata(part), strict=True):
                text = record.get(field) if record else None
                if isinstance(text, str) and fits(text):
                    found.add(row)
        return found


def _cost(node: Filter) -> int:
    """Which parts of an $and to look at first: those that read little, and negations, which need the others, last."""
    if isinstance(node, Not):
        return 4
    if isinstance(node, (Among, Exists)):
        return 0
    if isinstance(node, Between):
        return 1
    return 3 if isinstance(node, Contains) else 2


def _codes_between(node: Between) -> tuple[int, int]:
    """First and last code inside the limits; the first is above the last when there is none."""
    kind, low, high = _KIND[node.kind], 0, _LAST_CODE
    if node.low is not None:
        low = int(codes_of(kind, [node.low])[0]) + node.without_low
    if node.high is not None:
        high = int(codes_of(kind, [node.high])[0]) - node.without_high
    return low, high


def _is_between(text: str, node: Between) -> bool:
    if node.low is not None and (text < node.low or (node.without_low and text == node.low)):
        return False
    return node.high is None or text < node.high or (text == node.high and not node.without_high)
