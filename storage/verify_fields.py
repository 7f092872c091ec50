"""Verification of the filter tables: visible rows against ids, values and numbers against each other and the rest."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.storage import catalog
from ramet.storage.evidence import Evidence
from ramet.storage.field_keys import (
    CHUNK_BITS,
    CHUNK_KEY,
    DATE,
    ELEMENT,
    EMPTY,
    END,
    EXISTS,
    LONG_ELEMENT,
    NUMBER,
    PAIR,
    PAIR_KEY,
    Pairs,
    bitmap_of,
    deserialized,
    pair_keys,
)
from ramet.storage.format import CATALOG
from ramet.storage.number_pages import MOST
from ramet.storage.reader import I64

# Metadata of more bytes than this, checksum included, has a field: it is more than "{}".
_NO_FIELD_BYTES = 8 + 2


@dataclass(slots=True)
class _Field:
    """What was found of a tenant's field."""

    exists: BitMap = field(default_factory=BitMap)
    single: BitMap = field(default_factory=BitMap)
    """Rows with a value that is no list, or with an empty list: each has one."""
    elements: BitMap = field(default_factory=BitMap)
    n_single: int = 0
    """Entries of the rows in `single`: as many as rows, when no row has two."""

    def add(self, rows: BitMap) -> None:
        self.single |= rows
        self.n_single += len(rows)

    def problem(self) -> str | None:
        """Say what does not fit together."""
        found = self.single | self.elements
        if found != self.exists:
            odd = found ^ self.exists
            return f"expected one value for each of {len(self.exists)} rows, found otherwise for rows {_some(odd)}"
        if self.n_single != len(self.single) or self.single & self.elements:
            return (
                f"expected one value a row, found {self.n_single} for {len(self.single)} rows, or lists beside values"
            )
        return None


def _some(rows: BitMap) -> str:
    return ", ".join(map(str, list(rows[:5]))) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def check_fields(evidence: Evidence, tenants: I64, rows: I64) -> None:
    """Check the tables of visible rows, values and numbers.

    Parameters
    ----------
    evidence : Evidence
    tenants, rows : arrays of int64, shape (n,)
        Every id's tenant and row.
    """
    visible = _visible(evidence)
    named = {int(tenant): bitmap_of(rows[tenants == tenant]) for tenant in np.unique(tenants).tolist()}
    if catalog.range_is_empty(evidence.txn, catalog.VISIBLE):
        visible = named  # nobody who wrote here asked for filters
    for tenant in sorted(visible.keys() | named.keys()):
        said, there = named.get(tenant, BitMap()), visible.get(tenant, BitMap())
        for odd, what in ((said - there, "expected rows that it has ids for"), (there - said, "expected no rows")):
            if odd:
                evidence.findings.add(CATALOG, f"visible rows of tenant {tenant}", f"{what}: {_some(odd)}")
    fields: dict[tuple[int, bytes], _Field] = {}
    _check_values(evidence, visible, fields)
    _check_numbers(evidence, visible, fields)
    for (tenant, name), found in fields.items():
        problem = found.problem()
        if problem:
            evidence.findings.add(CATALOG, _name(tenant, name), problem)
    evidence.findings.count("fields", len(fields))
    _check_metadata(evidence, visible, fields)


def _name(tenant: int, name: bytes) -> str:
    return f"field {name.decode(errors='replace')!r} of tenant {tenant}"


def _bitmap(evidence: Evidence, where: str, chunk: bytes, value: bytes) -> BitMap | None:
    """Return the bitmap of a chunk, or note what is wrong with it."""
    number = CHUNK_KEY.unpack(chunk)[0]
    try:
        found = deserialized(value)
    except ValueError as error:
        evidence.findings.add(CATALOG, where, f"expected a roaring bitmap, found {error}")
        return None
    if not found or found.min() >> CHUNK_BITS != number or found.max() >> CHUNK_BITS != number:
        evidence.findings.add(CATALOG, where, f"expected rows of chunk {number}, found {_some(found) or 'none'}")
        return None
    return found


def _visible(evidence: Evidence) -> dict[int, BitMap]:
    """Return the visible rows of each tenant."""
    found: dict[int, BitMap] = {}
    for key, value in evidence.table(catalog.VISIBLE, 6):
        tenant = catalog.U32_KEY.unpack(key[:4])[0]
        rows = _bitmap(evidence, f"visible rows of tenant {tenant}", key[4:], value)
        if rows is not None:
            found.setdefault(tenant, BitMap()).update(rows)
            evidence.findings.count("visible", len(rows))
    return found


def _field_of(key: bytes, tail: int) -> tuple[int, bytes, int] | None:
    """Return tenant, field and kind of a key without its table; None when it has no such shape."""
    end = key.find(b"\0", 4)
    if end < 5 or len(key) < end + 2 + tail:
        return None
    return catalog.U32_KEY.unpack(key[:4])[0], key[4:end], key[end + 1]


def _unseen(evidence: Evidence, where: str, rows: BitMap, seen: BitMap | None) -> None:
    odd = rows - seen if seen else rows
    if odd:
        evidence.findings.add(CATALOG, where, f"expected rows that the tenant sees, found {_some(odd)}")


def _check_values(evidence: Evidence, visible: dict[int, BitMap], fields: dict[tuple[int, bytes], _Field]) -> None:
    """Check every entry of VALUES, and note which rows have a value."""
    findings = evidence.findings
    for key, value in evidence.table(catalog.VALUES, 0):
        findings.count("values", 1)
        shape = _field_of(key, len(END) + CHUNK_KEY.size)
        if shape is None or not EXISTS <= shape[2] <= EMPTY or key[-4:-2] != END:
            findings.add(CATALOG, f"value {key!r}", "expected tenant, field, kind, value and chunk")
            continue
        tenant, name, kind = shape
        where = f"value {key[len(name) + 5 : -4]!r} in {_name(tenant, name)}"
        rows = _bitmap(evidence, where, key[-2:], value)
        if rows is None:
            continue
        _unseen(evidence, where, rows, visible.get(tenant))
        found = fields.setdefault((tenant, name), _Field())
        if kind == EXISTS:
            found.exists |= rows
        elif kind in (ELEMENT, LONG_ELEMENT):
            found.elements |= rows
        else:
            found.add(rows)


def _check_numbers(evidence: Evidence, visible: dict[int, BitMap], fields: dict[tuple[int, bytes], _Field]) -> None:
    """Check every page of NUMBERS, and note which rows have a value."""
    findings, before, last = evidence.findings, b"", b""
    for key, value in evidence.table(catalog.NUMBERS, 0):
        findings.count("number_pages", 1)
        shape = _field_of(key, PAIR_KEY.size)
        if shape is None or shape[2] not in (NUMBER, DATE) or len(key) != len(shape[1]) + 6 + PAIR_KEY.size:
            findings.add(CATALOG, f"numbers {key!r}", "expected tenant, field, kind, value and row")
            continue
        tenant, name, _ = shape
        start, first = key[: -PAIR_KEY.size], key[-PAIR_KEY.size :]
        where = f"page {first.hex()} of numbers in {_name(tenant, name)}"
        if not 0 < len(value) <= MOST * PAIR.itemsize or len(value) % PAIR.itemsize:
            findings.add(CATALOG, where, f"expected 1 to {MOST} pairs of 12 bytes, found {len(value)} bytes")
            continue
        pairs = np.frombuffer(value, PAIR)
        names = pair_keys(pairs)
        if names[: PAIR.itemsize] != first or not _rises(pairs) or (start == before and first <= last):
            findings.add(CATALOG, where, "expected pairs that rise from the one in the key on, found others")
        before, last = start, names[-PAIR.itemsize :]
        rows = bitmap_of(pairs["row"])
        _unseen(evidence, where, rows, visible.get(tenant))
        found = fields.setdefault((tenant, name), _Field())
        found.n_single += len(pairs)
        found.single |= rows


def _rises(pairs: Pairs) -> bool:
    codes: npt.NDArray[np.uint64] = pairs["code"]
    rows = pairs["row"]
    return bool(((codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (rows[1:] > rows[:-1]))).all())


def _check_metadata(evidence: Evidence, visible: dict[int, BitMap], fields: dict[tuple[int, bytes], _Field]) -> None:
    """Check that a tenant finds a row by some field exactly when the row has metadata."""
    described = [
        catalog.U32_KEY.unpack(key)[0]
        for key, value in evidence.table(catalog.METADATA, 4)
        if len(value) > _NO_FIELD_BYTES
    ]
    with_metadata = BitMap(described)
    with_field: dict[int, BitMap] = {}
    for (tenant, name), found in fields.items():
        if name.startswith(b"$"):  # a mark of the engine's, which is not in the metadata
            continue
        with_field.setdefault(tenant, BitMap()).update(found.exists)
    for tenant in sorted(visible.keys() | with_field.keys()):
        there = with_field.get(tenant, BitMap())
        wanted = visible.get(tenant, BitMap()) & with_metadata
        for odd, what in (
            (wanted - there, "expected fields for rows"),
            (there - wanted, "expected no fields for rows"),
        ):
            if odd:
                evidence.findings.add(CATALOG, f"fields of tenant {tenant}", f"{what} {_some(odd)}")
