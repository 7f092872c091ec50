"""Words in a compaction: postings of rows that their tenants see, under new row numbers, in full fragments."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ramet.storage import catalog
from ramet.storage.compact_files import Source
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG
from ramet.storage.reader import I64, U64
from ramet.storage.renumber import new_rows
from ramet.storage.terms import (
    TEXTS_VALUE,
    Flags,
    fragment_cuts,
    fragment_entries,
    rows_in,
    term_key,
    with_rows,
)

Put = Callable[[Sequence[bytes], Sequence[bytes]], None]

# Bytes of fragments that are handled together, whole terms only.
PIECE_BYTES = 16 << 20

_TENANT_BYTES = 5


def put_terms(source: Source, put: Put) -> None:
    """Write the tables of words and of texts.

    A row leaves a tenant's words when it is not in the list of those with text that the tenant sees, and a word goes
    with its last row: nothing that was deleted is left.

    Parameters
    ----------
    source : Source
    put : callable
        Takes keys, which rise from call to call, and values.

    Raises
    ------
    CorruptionError
        Postings do not parse, or of a row that does not live.
    """
    seen = np.zeros(len(source.numbering.new), np.bool_)
    fragments = catalog.scan(source.snapshot.transaction, catalog.TERMS)
    for prefix, of_tenant in groupby(fragments, lambda item: item[0][:_TENANT_BYTES]):
        tenant = catalog.U32_KEY.unpack(prefix[1:])[0]
        rows = rows_in(source.snapshot.text_rows(tenant))
        seen[rows] = True
        for piece in _whole_terms(of_tenant):
            put(*_renumbered(source, tenant, piece, seen))
        seen[rows] = False
    for key, value in catalog.scan(source.snapshot.transaction, catalog.TEXTS):
        content = catalog.unsummed(key, value, source.path)
        documents, words, _ = TEXTS_VALUE.unpack(content)
        put([key], [catalog.summed(key, TEXTS_VALUE.pack(documents, words, 0))])


def _whole_terms(fragments: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield fragments in lists of about `PIECE_BYTES` that end with the last one of a term."""
    piece: list[tuple[bytes, bytes]] = []
    n_bytes = 0
    for item in fragments:
        if n_bytes > PIECE_BYTES and item[0][:-4] != piece[-1][0][:-4]:
            yield piece
            piece, n_bytes = [], 0
        piece.append(item)
        n_bytes += len(item[1])
    yield piece


def _renumbered(
    source: Source, tenant: int, piece: list[tuple[bytes, bytes]], seen: Flags
) -> tuple[list[bytes], list[bytes]]:
    """Return the entries of some terms with the rows that are seen, under their new numbers."""
    bases = [base for base, _ in groupby(key[:-4] for key, _ in piece)]
    if any(base != term_key(tenant, base[_TENANT_BYTES:-1]) for base in bases):
        raise _damaged(source, tenant, "keys of a word, a zero byte and a row", bases[:8])
    postings, of = _parsed(source, tenant, piece, bases)
    stays = seen[rows_in(postings)]
    postings, of = postings[stays], of[stays]
    where = f"words of tenant {tenant}"
    renumbered = with_rows(postings, new_rows(source.numbering, rows_in(postings), source.path, where))
    order = np.lexsort((renumbered, of))
    counts = np.bincount(of, minlength=len(bases))
    return fragment_entries(bases, renumbered[order], *fragment_cuts(counts, np.ones(len(bases), np.bool_)))


def _parsed(source: Source, tenant: int, piece: list[tuple[bytes, bytes]], bases: list[bytes]) -> tuple[U64, I64]:
    """Return the postings of fragments, and the number of the term of each."""
    sizes = np.array([len(value) for _, value in piece])
    if (sizes % 8).any():
        raise _damaged(source, tenant, "8-byte postings", sizes[sizes % 8 > 0][:8].tolist())
    postings = np.frombuffer(b"".join([value for _, value in piece]), "<u8").astype(np.uint64)
    if len(postings) and int(rows_in(postings).max()) >= len(source.numbering.new):
        raise _damaged(source, tenant, f"rows below {len(source.numbering.new)}", rows_in(postings).max())
    place = dict(zip(bases, range(len(bases)), strict=True))
    return postings, np.repeat([place[key[:-4]] for key, _ in piece], sizes // 8)


def _damaged(source: Source, tenant: int, expected: str, found: Any) -> CorruptionError:
    return CorruptionError(source.path / CATALOG, f"words of tenant {tenant}", expected, found)
