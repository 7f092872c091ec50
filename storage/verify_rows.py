"""Verification of the rows: ids against rows.bin, checksums of row blocks, counters."""

import numpy as np

from ramet.storage import catalog, records
from ramet.storage.evidence import Evidence
from ramet.storage.format import (
    BLOCK_ROWS,
    CATALOG,
    PAGE_BYTES,
    ROWS,
    SUMS_ROWS,
    SUMS_VECTORS,
    VECTORS,
    checksum,
    concatenated,
)
from ramet.storage.reader import I64, U32, U64
from ramet.storage.records import EncodedIds

# Blocks of rows read at a time.
BLOCKS_PER_PIECE = 256


def check_rows(evidence: Evidence, tenants: dict[int, int], owners: U32, viewers: U64) -> tuple[I64, I64]:
    """Check rows.bin, vectors.bin and the table of ids.

    Parameters
    ----------
    evidence : Evidence
    tenants : dict
        Tenant number -> records.
    owners : array of uint32, shape (n_rows,)
        Owner of each row according to its homes, 0xFFFFFFFF where it has none.
    viewers : array of uint64, rising
        row << 32 | tenant for every tenant that has the row in one of its lists.

    Returns
    -------
    (array of int64, array of int64), shape (n,)
        Tenant and row of every id.
    """
    _check_blocks(evidence, SUMS_ROWS, ROWS, evidence.header.id_width)
    vector_bytes = evidence.settings["vector_bytes"]
    if vector_bytes:
        _check_blocks(evidence, SUMS_VECTORS, VECTORS, vector_bytes)
    numbers, rows, ids = _ids(evidence)
    _check_counts(evidence, tenants, numbers, len(np.unique(rows)))
    _check_owners(evidence, numbers, rows, ids, owners)
    _check_viewers(evidence, numbers, rows, owners, viewers)
    _check_slots(evidence, rows, ids)
    return numbers, rows


def _check_blocks(evidence: Evidence, number: int, name: str, stride: int) -> None:
    """Compare every block of 256 rows with its checksum."""
    findings, n_rows = evidence.findings, evidence.header.n_rows
    stored = {
        catalog.U32_KEY.unpack(key[1:])[0]: value
        for key, value in evidence.table(catalog.SUMS, catalog.SUMS_KEY.size)
        if key[0] == number
    }
    piece = BLOCKS_PER_PIECE * BLOCK_ROWS
    for start in range(0, n_rows, piece):
        end = min(start + piece, n_rows)
        content = evidence.read(name, PAGE_BYTES + start * stride, (end - start) * stride)
        for block, a, b in records.blocks_between(start, end):
            found = catalog.SUM_VALUE.pack(checksum(content[(a - start) * stride : (b - start) * stride]))
            expected = stored.pop(block, b"")
            findings.count("row_blocks", 1)
            if found != expected:
                what = f"expected checksum {expected[::-1].hex() or 'entry'}, found {found[::-1].hex()}"
                findings.add(name, f"rows {a} to {b - 1}", what)
    for block in stored:
        findings.add(CATALOG, f"checksum of block {block} of {name}", f"expected blocks of {n_rows} rows only")


def _ids(evidence: Evidence) -> tuple[I64, I64, list[bytes]]:
    """Return tenant, row and id of every entry of the table of ids whose row exists."""
    findings, n_rows = evidence.findings, evidence.header.n_rows
    numbers: list[bytes] = []
    values: list[bytes] = []
    ids: list[bytes] = []
    for key, value in evidence.table(catalog.IDS, 0):
        if len(key) <= 4 or len(value) != 4 or int.from_bytes(value, "little") >= n_rows:
            findings.add(CATALOG, f"id {key[4:]!r}", f"expected a row below {n_rows}, found {value!r}")
            continue
        numbers.append(key[:4])
        values.append(value)
        ids.append(key[4:])
    findings.count("ids", len(ids))
    tenants = concatenated(numbers, 4).view(">u4").ravel().astype(np.int64)
    return tenants, concatenated(values, 4).view("<u4").ravel().astype(np.int64), ids


def _check_counts(evidence: Evidence, tenants: dict[int, int], numbers: I64, n_rows: int) -> None:
    """Compare the counters with the table of ids."""
    findings = evidence.findings
    found = dict(zip(*(column.tolist() for column in np.unique(numbers, return_counts=True)), strict=True))
    for number in sorted(tenants.keys() | found.keys()):
        said, there = tenants.get(number), found.get(number, 0)
        if said != there:
            expected = "a known tenant" if said is None else f"{said} records"
            findings.add(CATALOG, f"tenant {number}", f"expected {expected}, found {there} ids")
    if evidence.header.n_live != n_rows:
        findings.add(CATALOG, "meta entry 'n_live'", f"expected {n_rows}, found {evidence.header.n_live}")


def _check_owners(evidence: Evidence, numbers: I64, rows: I64, ids: list[bytes], owners: U32) -> None:
    """Check that every row has one id, and that its owner sees it."""
    findings = evidence.findings
    order = np.lexsort((numbers, rows))
    later = order[1:][rows[order[1:]] == rows[order[:-1]]]
    first = order[np.searchsorted(rows[order], rows[later])]
    for i, j in zip(first.tolist(), later.tolist(), strict=True):
        if ids[i] != ids[j]:
            findings.add(CATALOG, f"row {rows[i]}", f"expected one id, found several: {ids[i]!r}, {ids[j]!r}")
    seen = np.unique(rows)
    owned = np.unique(rows[owners[rows] == numbers])
    for row in np.setdiff1d(seen[owners[seen] != 0xFFFFFFFF], owned).tolist():
        what = f"expected tenant {owners[row]} as the owner to see it, found that it does not"
        findings.add(CATALOG, f"homes of row {row}", what)
    nameless = owners != 0xFFFFFFFF
    nameless[rows] = False
    for row in np.flatnonzero(nameless).tolist():
        findings.add(CATALOG, f"homes of row {row}", "expected an id for a row that has homes, found none")


def _check_viewers(evidence: Evidence, numbers: I64, rows: I64, owners: U32, viewers: U64) -> None:
    """Check that a tenant has a row in its lists exactly when it has the row's id."""
    shift = np.uint64(32)
    known = owners[rows] != 0xFFFFFFFF  # of a row without homes nothing is said
    named = np.unique(rows[known].astype(np.uint64) << shift | numbers[known].astype(np.uint64))
    for pair in np.setdiff1d(named, viewers).tolist():
        what = f"expected a list of tenant {pair & 0xFFFFFFFF}, which has its id, found none"
        evidence.findings.add(CATALOG, f"homes of row {pair >> 32}", what)
    for pair in np.setdiff1d(viewers, named).tolist():
        what = f"expected no list of tenant {pair & 0xFFFFFFFF}, which does not have its id"
        evidence.findings.add(CATALOG, f"homes of row {pair >> 32}", what)


def _check_slots(evidence: Evidence, rows: I64, ids: list[bytes]) -> None:
    """Compare the ids with the slots of rows.bin and the table of long ids."""
    findings, width = evidence.findings, evidence.header.id_width
    long_ids = {catalog.U32_KEY.unpack(key)[0]: value for key, value in evidence.table(catalog.LONG_IDS, 4)}
    if ids and not width:
        findings.add(CATALOG, "meta entry 'id_width'", "expected a width, found 0")
        return
    content = evidence.read(ROWS, PAGE_BYTES, evidence.header.n_rows * width) if ids else np.zeros(0, dtype=np.uint8)
    there = len(content) // width if width else 0
    slots = content[: there * width].reshape(there, width) if width else content.reshape(0, 1)
    if there < evidence.header.n_rows:
        return  # the short file is a problem of its own, and the checksums name the rows
    if ids:
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        expected, too_long = records.pack_slots(EncodedIds(encoded=ids, lengths=lengths), width)
        for i in np.flatnonzero((slots[rows] != expected).any(axis=1)).tolist():
            what = f"expected {ids[i]!r}, found {slots[rows[i]].tobytes()!r}"
            findings.add(ROWS, f"row {rows[i]}", what)
        for i in too_long.tolist():
            found = long_ids.get(int(rows[i]))
            if found != ids[i]:
                findings.add(CATALOG, f"long id of row {rows[i]}", f"expected {ids[i]!r}, found {found!r}")
        for row in set(rows[too_long].tolist()):  # several tenants may see one
            long_ids.pop(row, None)
    for row, name in long_ids.items():
        findings.add(CATALOG, f"long id of row {row}", f"expected none, found {name!r}")
