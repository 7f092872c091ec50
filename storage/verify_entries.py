"""Verification of the small tables: meta, tenants, cells, blobs, logs."""

import json
import struct
from collections.abc import Iterator

import numpy as np

from ramet.storage import catalog, tenants
from ramet.storage.errors import CorruptionError
from ramet.storage.evidence import Evidence
from ramet.storage.format import CATALOG
from ramet.storage.reader import I64

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
    cells = _check_cells(evidence)
    _check_children(evidence, cells)
    cursor = evidence.txn.cursor()
    for there in (cursor.first(), cursor.last()):  # the bytes of the tables follow each other, so the ends tell
        if there and not catalog.META <= cursor.key()[:1] <= catalog.LAST_TABLE:
            findings.add(CATALOG, f"entry {cursor.key()!r}", "belongs to no table")
    return _check_tenants(evidence)


def _summed(evidence: Evidence, table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, content) of the entries that match their checksum."""
    for key, value in evidence.table(table, 0):
        try:
            yield key, catalog.unsummed(table + key, value, evidence.path)
        except CorruptionError as error:
            evidence.findings.add_error(error, CATALOG)


def check_content(evidence: Evidence, rows: I64) -> None:
    """Check that documents are text, and that what is stored for a row belongs to one that has an id."""
    findings = evidence.findings
    live = np.zeros(evidence.header.n_rows + 1, np.bool_)
    live[rows] = True
    for table, name, counter in (
        (catalog.DOCUMENTS, "document", "documents"),
        (catalog.METADATA, "metadata", "metadata"),
        (catalog.TOKENS, "token codes", "token_codes"),
    ):
        for key, content in _summed(evidence, table):
            findings.count(counter, 1)
            row = min(int.from_bytes(key, "big"), evidence.header.n_rows)
            if len(key) != 4 or not live[row]:
                findings.add(CATALOG, f"{name} of row {int.from_bytes(key, 'big')}", "expected a record, found none")
            if wrong := _whole_codes(content) if table == catalog.TOKENS else _utf8(content):
                findings.add(CATALOG, f"{name} of row {row}", wrong)


def _utf8(content: bytes) -> str:
    """What is wrong with a text."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"expected UTF-8, found {error}"
    return ""


def _whole_codes(content: bytes) -> str:
    """What is wrong with token codes."""
    if len(content) % catalog.TOKEN_BYTES:
        return f"expected a multiple of {catalog.TOKEN_BYTES} bytes, found {len(content)}"
    return ""


def _check_cells(evidence: Evidence) -> dict[int, int]:
    """Check the cells; return the parent of each."""
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
    return parents


def _check_children(evidence: Evidence, parents: dict[int, int]) -> None:
    """Check that children exist and name their parent."""
    findings = evidence.findings
    for key, content in _summed(evidence, catalog.CHILDREN):
        cell = int.from_bytes(key, "big")
        children = [int.from_bytes(content[i : i + 4], "little") for i in range(0, len(content), 4)]
        wrong = [child for child in children if parents.get(child) != cell]
        if len(key) != 4 or cell not in parents or wrong or len(set(children)) != len(children):
            findings.add(CATALOG, f"children of cell {cell}", f"expected cells below it, found {wrong or children}")


def _check_tenants(evidence: Evidence) -> dict[int, int]:
    """Check names, numbers, logs and waiting lists; return the tenants, number -> records."""
    findings = evidence.findings
    known: dict[int, tenants.Member] = {}
    for key, content in _summed(evidence, catalog.MEMBERS):
        number = int.from_bytes(key, "big")
        try:
            known[number] = tenants.decode_member(number, content)
        except (struct.error, UnicodeDecodeError) as error:
            findings.add(CATALOG, f"tenant {number}", f"expected a sound entry, found {error}")
        if len(key) != 4 or number >= evidence.header.n_tenants:
            findings.add(CATALOG, f"tenant {number}", f"expected a number below {evidence.header.n_tenants}")
    numbers: set[int] = set()
    for key, content in _summed(evidence, catalog.TENANTS):
        findings.count("tenants", 1)
        number = int.from_bytes(content, "little")
        member = known.get(number)
        if number in numbers or member is None or member.name.encode() != key:
            findings.add(CATALOG, f"tenant {key!r}", f"expected a number of its own, found {number}")
        numbers.add(number)
    for number in known.keys() - numbers:
        findings.add(CATALOG, f"tenant {number}", "expected a name that leads to it, found none")
    _check_logs(evidence, known)
    return {number: member.n_records for number, member in known.items()}


def _check_logs(evidence: Evidence, known: dict[int, tenants.Member]) -> None:
    """Check that logs and waiting lists are of known tenants and of the length that these say."""
    n_logs = dict.fromkeys(known, 0)
    for key, value in evidence.table(catalog.LOG, catalog.LOG_KEY.size):
        number, txn = catalog.LOG_KEY.unpack(key)
        n_logs[number] = n_logs.get(number, 0) + 1
        member = known.get(number)
        if len(value) % 4 or len(value) < 4 or member is None or not member.logged < txn <= member.changed:
            evidence.findings.add(CATALOG, f"log of tenant {number}, transaction {txn}", f"unexpected: {value[:16]!r}")
    for number, n in n_logs.items():
        if number in known and known[number].n_log != n:
            evidence.findings.add(
                CATALOG, f"log of tenant {number}", f"expected {known[number].n_log} entries, found {n}"
            )
    for key, _ in evidence.table(catalog.PENDING, catalog.PAIR_KEY.size):
        number, cell = catalog.PAIR_KEY.unpack(key)
        if number not in known:
            evidence.findings.add(CATALOG, f"waiting list (tenant {number}, cell {cell})", "expected a known tenant")
