"""Verification of the small tables: meta, tenants, cells, blobs."""

import json
from collections.abc import Iterator

from ramet.storage import catalog
from ramet.storage.catalog import TENANT_VALUE
from ramet.storage.errors import CorruptionError
from ramet.storage.evidence import Evidence
from ramet.storage.format import CATALOG

_NO_PARENT = 0xFFFFFFFF


def check_entries(evidence: Evidence) -> dict[int, int]:
    """Check the tables whose entries carry checksums; return the tenants, number -> records."""
    findings = evidence.findings
    for key, content in _summed(evidence, catalog.META):
        try:
            json.loads(content)
        except ValueError as error:
            findings.add(CATALOG, f"meta entry {key!r}", f"expected JSON, found {error}")
        findings.count("meta", 1)
    findings.count("blobs", sum(1 for _ in _summed(evidence, catalog.BLOBS)))
    _check_cells(evidence)
    cursor = evidence.txn.cursor()
    for there in (cursor.first(), cursor.last()):  # the bytes of the tables follow each other, so the ends tell
        if there and not catalog.META <= cursor.key()[:1] <= catalog.FREE:
            findings.add(CATALOG, f"entry {cursor.key()!r}", "belongs to no table")
    return _check_tenants(evidence)


def _summed(evidence: Evidence, table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, content) of the entries that match their checksum."""
    for key, value in evidence.table(table, 0):
        try:
            yield key, catalog.unsummed(table + key, value, evidence.path)
        except CorruptionError as error:
            evidence.findings.add_error(error, CATALOG)


def _check_cells(evidence: Evidence) -> None:
    findings, size = evidence.findings, evidence.settings["cell_bytes"]
    parents: dict[int, int] = {}
    for key, content in _summed(evidence, catalog.CELLS):
        findings.count("cells", 1)
        if len(key) != 4 or len(content) != catalog.CELL_HEAD.size + size:
            findings.add(CATALOG, f"cell {key.hex()}", f"expected {size} bytes of payload, found {len(content) - 8}")
        else:
            parents[catalog.U32_KEY.unpack(key)[0]] = catalog.CELL_HEAD.unpack_from(content)[0]
    for cell, parent in parents.items():
        if parent != _NO_PARENT and parent not in parents:
            findings.add(CATALOG, f"cell {cell}", f"expected a parent that exists, found {parent}")


def _check_tenants(evidence: Evidence) -> dict[int, int]:
    findings = evidence.findings
    tenants: dict[int, int] = {}
    for key, content in _summed(evidence, catalog.TENANTS):
        findings.count("tenants", 1)
        number, n_records = TENANT_VALUE.unpack(content) if len(content) == TENANT_VALUE.size else (_NO_PARENT, 0)
        if number in tenants or number >= evidence.header.n_tenants:
            below = evidence.header.n_tenants
            findings.add(CATALOG, f"tenant {key!r}", f"expected a number of its own below {below}, found {number}")
        tenants[number] = n_records
    return tenants
