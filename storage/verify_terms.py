"""Verification of words: fragments against their keys, each row's postings against its length, sums against texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from ramet.storage import catalog
from ramet.storage.errors import CorruptionError
from ramet.storage.evidence import Evidence
from ramet.storage.format import CATALOG
from ramet.storage.reader import I64, U64
from ramet.storage.terms import (
    EVERY_TEXT,
    FRAGMENT,
    MAX_COUNT,
    MAX_TERM_BYTES,
    TEXTS_VALUE,
    Texts,
    frequencies_in,
    lengths_in,
    rows_in,
    text_lengths_in,
)

# Bytes of fragments that are looked at together.
PIECE_BYTES = 4 << 20

_NO_TEXTS = Texts(documents=0, words=0, dropped=0)


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What the postings of one tenant say about each row; arrays over all rows, cleaned between tenants."""

    frequencies: U64
    """Sum over the words."""
    lengths: I64
    """Length of the row, -1 for no posting."""
    rough: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether a count was too large to be stored."""
    rows: list[U64] = field(default_factory=list)
    """Rows that were touched."""

    def clear(self) -> None:
        """Forget a tenant."""
        for rows in self.rows:
            self.frequencies[rows], self.lengths[rows], self.rough[rows] = 0, -1, False
        self.rows = []


def check_terms(evidence: Evidence, tenants: dict[int, int]) -> None:
    """Check the tables of words and texts.

    Parameters
    ----------
    evidence : Evidence
    tenants : dict
        Tenant number -> records.
    """
    findings, n_rows = evidence.findings, evidence.header.n_rows
    texts = _texts(evidence, tenants)
    sums = _Sums(frequencies=np.zeros(n_rows, np.uint64), lengths=np.full(n_rows, -1), rough=np.zeros(n_rows, np.bool_))
    for prefix, entries in groupby(evidence.table(catalog.TERMS, 0), lambda item: item[0][:4]):
        tenant = int.from_bytes(prefix, "big")
        if len(prefix) != 4 or tenant not in texts:
            findings.add(CATALOG, f"words of tenant {tenant}", "expected an entry of its texts, found none")
        every = _check_words(evidence, tenant, entries, sums)
        _check_rows(evidence, tenant, every, texts.pop(tenant, _NO_TEXTS), sums)
        sums.clear()
    for tenant, said in texts.items():
        if said.documents or said.words:
            findings.add(CATALOG, f"texts of tenant {tenant}", f"expected {said.documents} rows with text, found none")


def _texts(evidence: Evidence, tenants: dict[int, int]) -> dict[int, Texts]:
    """Check the table of texts; return what it says, by tenant."""
    found: dict[int, Texts] = {}
    for key, value in evidence.table(catalog.TEXTS, 4):
        tenant = catalog.U32_KEY.unpack(key)[0]
        try:
            content = catalog.unsummed(catalog.TEXTS + key, value, evidence.path)
        except CorruptionError as error:
            evidence.findings.add_error(error, CATALOG)
            continue
        evidence.findings.count("texts", 1)
        if len(content) != TEXTS_VALUE.size or tenant not in tenants:
            evidence.findings.add(CATALOG, f"texts of tenant {tenant}", f"expected a known tenant, found {content!r}")
            continue
        documents, words, dropped = TEXTS_VALUE.unpack(content)
        found[tenant] = Texts(documents=documents, words=words, dropped=dropped)
        if documents > tenants[tenant]:
            what = f"expected at most {tenants[tenant]}, found {documents}"
            evidence.findings.add(CATALOG, f"texts of tenant {tenant}", what)
    return found


def _check_words(evidence: Evidence, tenant: int, entries: Iterator[tuple[bytes, bytes]], sums: _Sums) -> U64:
    """Check the fragments of a tenant and sum them up by row; return the list of rows with text."""
    every, last = [np.empty(0, np.uint64)], (b"", -1)
    for piece in _pieces(entries):
        parsed: list[U64] = []
        for key, value in piece:
            postings, what = _fragment(key, value, evidence.header.n_rows)
            term = key[4:-5]
            if not what and last[0] == key[:-4] and last[1] >= int(rows_in(postings[:1])[0]):
                what = f"expected rows above {last[1]}, found {int(rows_in(postings[:1])[0])}"
            if what:
                evidence.findings.add(CATALOG, f"postings of {term!r} of tenant {tenant} from {key[-4:].hex()}", what)
                continue
            last = (key[:-4], int(rows_in(postings[-1:])[0]))
            (every if term == EVERY_TEXT else parsed).append(postings)
        evidence.findings.count("fragments", len(piece))
        if parsed:
            _sum_up(evidence, tenant, np.concatenate(parsed), sums)
    return np.concatenate(every)


def _pieces(entries: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield entries in lists of about `PIECE_BYTES`."""
    piece: list[tuple[bytes, bytes]] = []
    n_bytes = 0
    for item in entries:
        piece.append(item)
        n_bytes += len(item[1])
        if n_bytes > PIECE_BYTES:
            yield piece
            piece, n_bytes = [], 0
    yield piece


def _fragment(key: bytes, value: bytes, n_rows: int) -> tuple[U64, str]:
    """Return the postings of a fragment, and what is wrong with it; empty for nothing."""
    none = np.empty(0, np.uint64)
    term = key[4:-5]
    if len(key) < 9 or key[-5] or 0 in term or len(term) > MAX_TERM_BYTES:
        return none, f"expected a key of a tenant, a word, a zero byte and a row, found {key!r}"
    if not value or len(value) % 8 or len(value) > 8 * FRAGMENT:
        return none, f"expected 1 to {FRAGMENT} postings of 8 bytes, found {len(value)} bytes"
    postings = np.frombuffer(value, "<u8").astype(np.uint64)
    rows = rows_in(postings)
    if int(rows[0]) != int.from_bytes(key[-4:], "big"):
        return none, f"expected the row of the key first, found {rows[0]}"
    if (rows[1:] <= rows[:-1]).any() or int(rows[-1]) >= n_rows:
        return none, f"expected rising rows below {n_rows}, found {rows[:8].tolist()}"
    if term != EVERY_TEXT and not frequencies_in(postings).all():
        return none, "expected frequencies of at least 1, found 0"
    return postings, ""


def _sum_up(evidence: Evidence, tenant: int, postings: U64, sums: _Sums) -> None:
    """Add postings to the sums of their rows; the length of a row is the same in all of them."""
    rows, frequencies, lengths = rows_in(postings), frequencies_in(postings), lengths_in(postings).astype(np.int64)
    touched = np.unique(rows)
    sums.rows.append(touched)
    np.add.at(sums.frequencies, rows, frequencies)
    sums.rough[rows[(frequencies == MAX_COUNT) | (lengths == MAX_COUNT)]] = True
    unknown = sums.lengths[rows] < 0
    sums.lengths[rows[unknown]] = lengths[unknown]
    for row in np.unique(rows[sums.lengths[rows] != lengths]).tolist():
        where = f"words of row {row} of tenant {tenant}"
        evidence.findings.add(CATALOG, where, f"expected one length, found several: {sums.lengths[row]} and others")


def _check_rows(evidence: Evidence, tenant: int, every: U64, said: Texts, sums: _Sums) -> None:
    """Compare the sums of a tenant with its list of rows with text, that with its ids, and all with its texts."""
    findings, where = evidence.findings, f"texts of tenant {tenant}"
    listed, exact = rows_in(every), text_lengths_in(every)
    if (len(every), int(exact.sum())) != (said.documents, said.words):
        what = f"expected {said.documents} rows with {said.words} words, found {len(every)} with {exact.sum()}"
        findings.add(CATALOG, where, what)
    found = np.unique(np.concatenate([np.empty(0, np.uint64), *sums.rows]))
    strange = np.setdiff1d(found, listed)
    if len(strange) > said.dropped:
        what = f"expected at most {said.dropped} rows that left, found {len(strange)} that it does not list"
        findings.add(CATALOG, where, f"{what}, the first one {strange[0]}")
    exactly = ~sums.rough[found] & (sums.frequencies[found].astype(np.int64) != sums.lengths[found])
    for row in found[exactly].tolist():
        what = f"expected {sums.lengths[row]} words in all postings, found {sums.frequencies[row]}"
        findings.add(CATALOG, f"words of row {row} of tenant {tenant}", what)
    lengths = np.maximum(sums.lengths[listed], 0)
    for row in listed[lengths != np.minimum(exact, MAX_COUNT).astype(np.int64)].tolist():
        findings.add(CATALOG, f"words of row {row} of tenant {tenant}", "expected the length that its texts say")
    prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
    ids = [int.from_bytes(value, "little") for _, value in catalog.scan(evidence.txn, prefix)]
    for row in np.setdiff1d(listed, np.array(ids, np.uint64)).tolist():
        findings.add(CATALOG, f"words of row {row} of tenant {tenant}", "expected a row that it sees")
