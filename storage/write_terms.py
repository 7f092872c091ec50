"""What a writer can do to words: postings of new rows, rows that leave, tenants that go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.format import CATALOG
from ramet.storage.reader import I64, U64
from ramet.storage.terms import (
    EVERY_TEXT,
    FRAGMENT,
    ROW_SHIFT,
    TEXTS_VALUE,
    Flags,
    TermReader,
    encoded_term,
    fragment_cuts,
    fragment_entries,
    packed,
    rows_in,
    tenant_key,
    text_lengths_in,
)
from ramet.storage.transaction import WriteTransaction


class _Numbers(dict[str, int]):
    """Numbers for words, in the order in which they come."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """New postings, by term and row."""

    terms: list[bytes]
    """Rising; the first one is `EVERY_TEXT`."""
    starts: I64
    """Postings of term i are ``starts[i]:starts[i + 1]``."""
    postings: U64


@dataclass(slots=True)
class _Places:
    """Fragments that new postings fall into, one after the other: a place is a fragment, or the end of a term."""

    bases: list[bytes] = field(default_factory=list)
    """`term_key` of each place."""
    keys: list[bytes] = field(default_factory=list)
    """Key of the fragment that is there, empty for none."""
    values: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    """Place i takes the new postings ``starts[i]:starts[i + 1]``."""
    last: list[bool] = field(default_factory=list)
    """Whether no fragment of the term follows."""


class TermWriter(WriteTransaction, TermReader):
    """Words."""

    def add_words(self, tenant: int, rows: npt.ArrayLike, docs: Sequence[Sequence[str]]) -> None:
        """Let a tenant find rows by their words.

        A row that comes again, whether the tenant sees it or not, is counted once; its words never change.

        Parameters
        ----------
        tenant : int
        rows : array of int, shape (n,)
            In any order; cheapest when they are above all that the tenant had.
        docs : sequence of n sequences of str
            Words of each row, as often as they occur; none for a text without words.

        Raises
        ------
        ValueError
            The tenant or a row does not exist, a row is named twice, the lengths differ, or a word is empty or holds a
            zero byte.
        CorruptionError
            Postings that are there are damaged.
        StorageFullError
        """
        numbers = self._text_rows(tenant, rows)
        if len(numbers) != len(docs):
            raise ValueError(f"{len(numbers)} rows need as many docs, got {len(docs)}")
        if not len(numbers):
            return
        batch = _batch(numbers, docs)
        with self._step(CATALOG) as txn:
            come = self._merge_words(txn, tenant, batch)
            new = text_lengths_in(batch.postings[: len(numbers)][come[: len(numbers)]])
            known = self.texts(tenant)
            self._put_texts(
                txn, tenant, known.documents + len(new), known.words + int(new.sum()), known.dropped
            )  # fmt: skip

    def drop_words(self, tenant: int, rows: npt.ArrayLike) -> None:
        """Take rows out of what a tenant finds and counts; those without text are passed over.

        Their postings stay until a compaction: readers leave out what the tenant does not see.

        Parameters
        ----------
        tenant : int
        rows : array of int, shape (n,)

        Raises
        ------
        ValueError
            The tenant or a row does not exist, or a row is named twice.
        CorruptionError
            The list of rows with text is damaged.
        """
        numbers = np.sort(self._text_rows(tenant, rows))
        if not len(numbers):
            return
        with self._step(CATALOG) as txn:
            places = _located(txn, tenant, [EVERY_TEXT], np.array([0, len(numbers)]), numbers, skip_full=False)
            old, of = self._postings_at(places)
            stays = ~np.isin(rows_in(old), numbers)
            counts = np.bincount(of[stays], minlength=len(places.keys))
            _replace(txn, places, old[stays], counts, np.array(places.last))
            gone = text_lengths_in(old[~stays])
            known = self.texts(tenant)
            documents, words = known.documents - len(gone), known.words - int(gone.sum())
            if documents < 0 or words < 0:
                raise self._damaged(f"texts of tenant {tenant}", f"at least {len(gone)} rows", known)
            if len(gone):
                self._put_texts(txn, tenant, documents, words, known.dropped + len(gone))

    def forget_words(self, tenant: int) -> None:
        """Delete everything about a tenant's words."""
        with self._step(CATALOG) as txn:
            catalog.delete_range(txn, tenant_key(tenant))
            txn.delete(catalog.TEXTS + catalog.U32_KEY.pack(tenant))

    def _text_rows(self, tenant: int, rows: npt.ArrayLike) -> U64:
        """Return row numbers after a check."""
        numbers = np.asarray(rows, np.int64).ravel()
        if self.member(tenant) is None:
            raise ValueError(f"there is no tenant of number {tenant}; make it with ensure_tenant")
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.n_rows:
            raise ValueError(f"rows are from {numbers.min()} to {numbers.max()}, but there are {self.n_rows}")
        if len(np.unique(numbers)) != len(numbers):
            raise ValueError("a row is named twice: give every row once")
        return numbers.astype(np.uint64)

    def _put_texts(self, txn: Any, tenant: int, documents: int, words: int, dropped: int) -> None:
        content = TEXTS_VALUE.pack(documents, words, dropped)
        catalog.put_summed(txn, catalog.TEXTS + catalog.U32_KEY.pack(tenant), content)

    def _merge_words(self, txn: Any, tenant: int, batch: _Batch) -> Flags:
        """Write new postings among those that are there; return which of them were not there."""
        new = batch.postings
        places = _located(txn, tenant, batch.terms, batch.starts, rows_in(new), skip_full=True)
        old, of_old = self._postings_at(places)
        n_new = np.diff(np.array(places.starts))
        of_new = np.repeat(np.arange(len(n_new)), n_new)
        old_keys, new_keys = _keyed(of_old, old), _keyed(of_new, new)
        at = np.searchsorted(old_keys, new_keys)
        come = np.ones(len(new), np.bool_)
        inside = at < len(old)
        come[inside] = old_keys[at[inside]] != new_keys[inside]
        old[at[~come]] = new[~come]
        merged = np.empty(len(old) + int(come.sum()), np.uint64)
        taken = np.zeros(len(merged), np.bool_)
        taken[at[come] + np.arange(int(come.sum()))] = True
        merged[taken], merged[~taken] = new[come], old
        counts = np.bincount(of_old, minlength=len(n_new)) + np.bincount(of_new[come], minlength=len(n_new))
        _replace(txn, places, merged, counts, np.array(places.last))
        return come

    def _postings_at(self, places: _Places) -> tuple[U64, I64]:
        """Return the postings that are at places, and the place of each."""
        sizes = np.fromiter(map(len, places.values), np.int64, len(places.values))
        if (sizes % 8).any():
            bad = int(np.flatnonzero(sizes % 8)[0])
            raise self._damaged(f"postings {places.keys[bad]!r}", "8-byte postings", places.values[bad])
        old = np.frombuffer(b"".join(places.values), "<u8").astype(np.uint64)
        of = np.repeat(np.arange(len(sizes)), sizes // 8)
        keys = _keyed(of, old)
        if (keys[1:] <= keys[:-1]).any():
            bad = int(of[np.flatnonzero(keys[1:] <= keys[:-1])[0]])
            raise self._damaged(f"postings {places.keys[bad]!r}", "rising rows", places.values[bad])
        return old, of


def _keyed(of: I64, postings: U64) -> U64:
    """Return numbers that sort postings by place, then by row."""
    return of.astype(np.uint64) << ROW_SHIFT | rows_in(postings)


def _batch(rows: U64, docs: Sequence[Sequence[str]]) -> _Batch:
    """Count the words of rows: one posting for each word that a row has."""
    lengths = np.fromiter(map(len, docs), np.int64, len(docs))
    numbers = _Numbers()
    said = np.fromiter(map(numbers.__getitem__, chain.from_iterable(docs)), np.int64, int(lengths.sum()))
    encoded = [encoded_term(word) for word in numbers]
    terms = sorted(set(encoded))
    place = dict(zip(terms, range(len(terms)), strict=True))
    # Sorted by term and row; 32 bits are sorted twice as fast as 64, and do for most batches.
    bits = len(rows).bit_length()
    kind: Any = np.uint32 if bits + len(terms).bit_length() <= 32 else np.uint64
    rank = np.fromiter(map(place.__getitem__, encoded), kind, len(encoded)) << kind(bits)
    order = np.argsort(rows, kind="stable")
    by_row = np.empty(len(rows), kind)
    by_row[order] = np.arange(len(rows), dtype=kind)
    tokens = np.sort(rank[said] | np.repeat(by_row, lengths))
    firsts = np.flatnonzero(np.append(True, tokens[1:] != tokens[:-1])) if len(tokens) else np.empty(0, np.int64)
    frequencies = np.diff(np.append(firsts, len(tokens))).astype(np.uint64)
    of_row = order[tokens[firsts] & kind((1 << bits) - 1)]
    of_term = (tokens[firsts] >> kind(bits)).astype(np.int64)
    postings = packed(rows[of_row], frequencies, lengths[of_row].astype(np.uint64))
    every = rows[order] << ROW_SHIFT | lengths[order].astype(np.uint64)
    counts = np.bincount(of_term, minlength=len(terms))
    return _Batch(
        terms=[EVERY_TEXT, *terms],
        starts=np.cumsum(np.concatenate([[0, len(rows)], counts])),
        postings=np.concatenate([every, postings]),
    )


def _located(txn: Any, tenant: int, terms: list[bytes], starts: I64, rows: U64, *, skip_full: bool) -> _Places:
    """Find the fragments that rows fall into: of each term the rows ``starts[i]:starts[i + 1]``, rising.

    With `skip_full`, the last fragment of a term is left alone when it is full and all rows come behind it.
    """
    places, prefix = _Places(), tenant_key(tenant)
    bounds = starts.tolist()
    if catalog.range_is_empty(txn, prefix):
        n = len(terms)
        return _Places([prefix + term + b"\0" for term in terms], [b""] * n, [b""] * n, bounds, [True] * n)
    cursor, encoded = txn.cursor(), rows.astype(">u4").view("V4").tolist()
    for i, term in enumerate(terms):
        base, at, end = prefix + term + b"\0", bounds[i], bounds[i + 1]
        while at < end:
            key, value, following = _fragment_for(cursor, base, base + encoded[at])
            if following is not None:
                stop = at + int(np.searchsorted(rows[at:end], np.uint64(int.from_bytes(following[-4:], "big"))))
            else:
                stop = end
                if skip_full and len(value) == 8 * FRAGMENT and value[:-5:-1] < encoded[at]:
                    key, value = b"", b""
            places.bases.append(base)
            places.keys.append(key)
            places.values.append(value)
            places.starts.append(stop)
            places.last.append(following is None)
            at = stop
    return places


def _fragment_for(cursor: Any, base: bytes, wanted: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Return key and value of the fragment that a row belongs into, and the key of the one behind it.

    That is the last one that begins at the row or before, else the first one of the term; both empty when it has none.
    """
    found = cursor.set_range(wanted)
    key = cursor.key() if found else b""
    ahead = key.startswith(base)
    if key != wanted:
        before = cursor.prev() if found else cursor.last()
        if before and cursor.key().startswith(base):
            key_before, value = cursor.item()
            return key_before, value, key if ahead else None
        if not ahead:
            return b"", b"", None
        cursor.set_range(wanted)
    value = cursor.value()
    following = cursor.key() if cursor.next() else b""
    return key, value, following if following.startswith(base) else None


def _replace(txn: Any, places: _Places, postings: U64, counts: I64, last: Flags) -> None:
    """Write postings to their places, `counts` of them each, in fragments; delete the fragments that were there."""
    of, starts = fragment_cuts(counts, last)
    keys, values = fragment_entries(places.bases, postings, of, starts)
    for key in sorted(set(places.keys).difference(keys)):
        if key:
            txn.delete(key)
    catalog.put_sorted(txn, keys, values)
