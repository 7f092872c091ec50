"""Words in the catalog: how fragments fill, what is refused, what verify finds, what a compaction leaves."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from ramet.storage import catalog, compact_terms, terms
from ramet.storage.compact import compact
from ramet.storage.errors import CorruptionError
from ramet.storage.store import Store
from ramet.storage.terms import FRAGMENT, MAX_TERM_BYTES, Texts, encoded_term, term_key
from ramet.storage.verify import verify

SIZES = {"n_factors": 0, "code_bytes": 0, "cell_bytes": 0, "vector_bytes": 0}


def made(path, n_rows, docs=None):
    """A collection with a tenant of number 0, its rows, and words for the first of them."""
    store = Store.create(path, SIZES)
    with store.write() as writer:
        writer.ensure_tenant("t")
        writer.append_rows(0, [f"r{i}" for i in range(n_rows)], None)
        writer.see_rows(0, np.arange(n_rows), [None] * n_rows)
        if docs is not None:
            writer.add_words(0, np.arange(len(docs)), docs)
    return store


def add(store, rows, docs, tenant=0):
    with store.write() as writer:
        writer.add_words(tenant, rows, docs)


def fragments(reader, word, tenant=0):
    """Rows of every fragment of a word."""
    base = term_key(tenant, encoded_term(word) if word else b"")
    found = []
    for key, value in catalog.scan(reader.transaction, base):
        rows = (np.frombuffer(value, "<u8") >> 32).tolist()
        assert key == base + rows[0].to_bytes(4, "big")
        found.append(rows)
    return found


def test_postings_hold_row_frequency_and_length(tmp_path):
    store = made(tmp_path / "c", 5)
    add(store, [3, 1, 4], [["b", "a", "b"], [], ["a"] * 70_000])
    with store.read() as snapshot:
        a, b, none = snapshot.postings(0, ["a", "b", "c"])
        texts = snapshot.text_rows(0)
        assert terms.rows_in(a).tolist() == [3, 4]
        assert terms.frequencies_in(a).tolist() == [1, 65535]
        assert terms.lengths_in(a).tolist() == [3, 65535]
        assert (terms.rows_in(b).tolist(), terms.frequencies_in(b).tolist()) == ([3], [2])
        assert (len(none), none.dtype) == (0, np.uint64)
        assert terms.rows_in(texts).tolist() == [1, 3, 4]
        assert terms.text_lengths_in(texts).tolist() == [0, 3, 70_000]
        assert snapshot.texts(0) == Texts(documents=3, words=70_003, dropped=0)
    assert verify(store).ok


def test_rows_in_order_leave_full_fragments(tmp_path):
    store = made(tmp_path / "c", 1000)
    for first in range(0, 1000, 70):
        rows = range(first, min(first + 70, 1000))
        add(store, list(rows), [["w"]] * len(rows))
    with store.read() as snapshot:
        for word in ("w", ""):
            assert [len(rows) for rows in fragments(snapshot, word)] == [FRAGMENT] * 4 + [1000 - 4 * FRAGMENT]


def test_rows_that_come_between_split_evenly(tmp_path):
    store = made(tmp_path / "c", 1000)
    even = list(range(0, 1000, 2))
    add(store, even, [["w"]] * len(even))
    add(store, [101], [["w"]])
    with store.read() as snapshot:
        found = fragments(snapshot, "w")
    assert sorted([*even, 101]) == [row for rows in found for row in rows]
    assert [len(rows) for rows in found] == [120, 121, FRAGMENT, 20]
    for row in range(103, 300, 2):
        add(store, [row], [["w"]])
    with store.read() as snapshot:
        assert all(len(rows) > 1 for rows in fragments(snapshot, "w"))
    assert verify(store).ok


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=6))
def test_cuts_hold_everything_in_fragments_that_fit(sequences):
    counts = np.array([n for n, _ in sequences], np.int64)
    of, starts = terms.fragment_cuts(counts, np.array([full for _, full in sequences], np.bool_))
    sizes = np.diff(starts)
    assert ((sizes > 0) & (sizes <= FRAGMENT)).all()
    assert np.bincount(of, sizes, len(counts)).astype(int).tolist() == counts.tolist()
    for i, (n, full) in enumerate(sequences):
        mine = sizes[of == i].tolist()
        assert len(mine) == -(-n // FRAGMENT)
        assert all(size == FRAGMENT for size in mine[:-1]) if full else max(mine, default=0) - min(mine, default=0) <= 1


def test_no_value_takes_a_page_of_its_own(tmp_path):
    longest = "é" * (MAX_TERM_BYTES // 2)
    store = made(tmp_path / "c", 1000, [[longest, longest + "é", "w"]] * 1000)
    with store.read() as snapshot:
        assert snapshot.transaction.stat()["overflow_pages"] == 0
        assert len(fragments(snapshot, longest)[0]) == FRAGMENT


def test_long_words_are_cut_and_stay_apart(tmp_path):
    words = ["x" * n for n in (95, 96, 97, 98, 5000)] + ["x" * 5000 + "y", "日本" * 40, "日本" * 41]
    encoded = [encoded_term(word) for word in words]
    assert len(set(encoded)) == len(words)
    assert all(len(term) <= MAX_TERM_BYTES and term.decode() for term in encoded)
    store = made(tmp_path / "c", len(words), [[word] for word in words])
    with store.read() as snapshot:
        assert [terms.rows_in(found).tolist() for found in snapshot.postings(0, words)] == [[i] for i in range(8)]


def test_words_that_begin_like_others_stay_apart(tmp_path):
    store = made(tmp_path / "c", 3, [["ab"], ["ab\1"], ["abc", "a"]])
    with store.read() as snapshot:
        found = snapshot.postings(0, ["ab", "ab\1", "abc", "a"])
    assert [terms.rows_in(one).tolist() for one in found] == [[0], [1], [2], [2]]


def test_what_makes_no_sense_is_refused_and_changes_nothing(tmp_path):
    store = made(tmp_path / "c", 3, [["a"], ["b"]])
    with store.write() as writer:
        for arguments, message in [
            ((0, [0, 1], [["a"]]), "2 rows need as many docs"),
            ((0, [3], [["a"]]), "there are 3"),
            ((0, [-1], [["a"]]), "there are 3"),
            ((0, [1, 1], [["a"], ["b"]]), "named twice"),
            ((7, [1], [["a"]]), "no tenant"),
            ((0, [2], [["a\0b"]]), "zero byte"),
            ((0, [2], [["a", ""]]), "at least one character"),
        ]:
            with pytest.raises(ValueError, match=message):
                writer.add_words(*arguments)
        for arguments, message in [((0, [3]), "there are 3"), ((0, [1, 1]), "named twice"), ((7, [1]), "no tenant")]:
            with pytest.raises(ValueError, match=message):
                writer.drop_words(*arguments)
        writer.add_words(0, [], [])
        writer.drop_words(0, [])
        writer.drop_words(0, [2])  # has no text
    with store.read() as snapshot:
        assert snapshot.texts(0) == Texts(documents=2, words=2, dropped=0)
        assert [len(found) for found in snapshot.postings(0, ["a", "b"])] == [1, 1]
        with pytest.raises(ValueError, match="at least one character"):
            snapshot.postings(0, [""])


def test_a_rolled_back_writer_leaves_nothing(tmp_path):
    store = made(tmp_path / "c", 3, [["a"]])
    with pytest.raises(KeyError), store.write() as writer:
        writer.add_words(0, [1], [["a", "b"]])
        assert writer.texts(0).documents == 2
        raise KeyError
    with store.read() as snapshot:
        assert snapshot.texts(0).documents == 1
        assert [len(found) for found in snapshot.postings(0, ["a", "b"])] == [1, 0]


def test_a_snapshot_keeps_its_words(tmp_path):
    store = made(tmp_path / "c", 3, [["a"]])
    with store.read() as snapshot:
        add(store, [1], [["a"]])
        with store.write() as writer:
            writer.drop_words(0, [0])
        assert terms.rows_in(snapshot.postings(0, ["a"])[0]).tolist() == [0]
        assert snapshot.texts(0) == Texts(documents=1, words=1, dropped=0)
    with store.read() as snapshot:
        assert terms.rows_in(snapshot.postings(0, ["a"])[0]).tolist() == [0, 1]
        assert snapshot.texts(0) == Texts(documents=1, words=1, dropped=1)


def test_forgetting_a_tenant_leaves_the_others(tmp_path):
    store = made(tmp_path / "c", 3, [["a"], ["b"]])
    with store.write() as writer:
        writer.ensure_tenant("u")
        writer.ensure_tenant("v")
        for tenant in (1, 2):
            writer.bind_ids(tenant, ["r0"], np.array([0]))
            writer.see_rows(tenant, np.array([0]), [None])
            writer.add_words(tenant, [0], [["a"]])
    with store.write() as writer:
        writer.unbind_ids(1, ["r0"])
        writer.unsee_rows(1, np.array([0]), [None])
        writer.forget_words(1)
        writer.forget_words(1)
    with store.read() as snapshot:
        assert [snapshot.texts(tenant).documents for tenant in (0, 1, 2)] == [2, 0, 1]
        assert [len(snapshot.postings(tenant, ["a"])[0]) for tenant in (0, 1, 2)] == [1, 0, 1]
    assert verify(store).ok


@pytest.mark.parametrize("piece", [1, 16 << 20])
def test_a_compaction_leaves_no_byte_of_what_was_deleted(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(compact_terms, "PIECE_BYTES", piece)
    docs = [["everywhere", f"onlyhere{i}x", f"group{i % 3}"] for i in range(600)]
    store = made(tmp_path / "c", 600, docs)
    gone = [i for i in range(600) if i % 3 == 1]
    with store.write() as writer:
        writer.unbind_ids(0, [f"r{i}" for i in gone])
        writer.unsee_rows(0, gone, [None] * len(gone))
        writer.drop_words(0, gone)
        writer.drop_rows(np.array(gone))
    compact(store)
    content = (tmp_path / "c" / "catalog.mdb").read_bytes()
    assert b"group1" not in content
    assert not any(f"onlyhere{i}x".encode() in content for i in gone)
    assert b"onlyhere3x" in content
    left = [i for i in range(600) if i % 3 != 1]
    with store.read() as snapshot:
        assert snapshot.texts(0) == Texts(documents=400, words=1200, dropped=0)
        assert [len(rows) for rows in fragments(snapshot, "everywhere")] == [240, 160]
        rows = snapshot.rows_of(0, [f"r{i}" for i in left]).tolist()
        for i, row in zip(left, rows, strict=True):
            assert terms.rows_in(snapshot.postings(0, [f"onlyhere{i}x"])[0]).tolist() == [row]
    assert verify(store).ok


def test_a_compaction_that_orders_rows_anew_orders_postings_anew(tmp_path):
    store = made(tmp_path / "c", 500, [["w"] * (i + 1) for i in range(500)])
    with store.write() as writer:
        writer.ensure_tenant("u")
        for row in range(500):  # by owner, then by cell
            writer.put_homes(row, row % 2, 0, np.array([0, 1]), np.array([500 - row], np.uint32))
    compact(store)
    with store.read() as snapshot:
        rows = snapshot.rows_of(0, [f"r{i}" for i in range(500)])
        assert (np.diff(rows) != 1).any()
        (found,) = snapshot.postings(0, ["w"])
        lengths = dict(zip(terms.rows_in(found).tolist(), terms.lengths_in(found).tolist(), strict=True))
        assert lengths == {row: i + 1 for i, row in enumerate(rows.tolist())}
        assert terms.text_lengths_in(snapshot.text_rows(0)).tolist() == [lengths[row] for row in range(500)]


def damage(store, word, change):
    """Change the first fragment of a word as no engine would: (key, postings) -> (key, postings)."""
    with store.write() as writer:
        txn = writer._reading()
        key, value = next(catalog.scan(txn, term_key(0, encoded_term(word) if word else b"")))
        txn.delete(key)
        key, postings = change(key, np.frombuffer(value, "<u8").copy())
        txn.put(key, postings if isinstance(postings, bytes) else postings.tobytes())


ROW = np.uint64(1 << 32)
DAMAGES = {
    "cut": ("a", lambda key, value: (key, value.tobytes()[:-3]), "8 bytes"),
    "empty": ("a", lambda key, value: (key, b""), "240 postings"),
    "too long": ("a", lambda key, value: (key, np.tile(value, 100)), "240 postings"),
    "order": ("a", lambda key, value: (key, value[[0, 2, 1, 3]]), "rising rows"),
    "twice": ("a", lambda key, value: (key, value[[0, 1, 1, 2, 3]]), "rising rows"),
    "row too large": ("a", lambda key, value: (key, np.append(value, ROW * np.uint64(77))), "rows below"),
    "first row": ("a", lambda key, value: (key[:-1] + b"\3", value), "the row of the key"),
    "key": ("a", lambda key, value: (key[:7], value), "expected a key"),
    "frequency": ("a", lambda key, value: (key, value + np.uint64(1 << 16)), "in all postings"),
    "no frequency": ("a", lambda key, value: (key, value - np.uint64(1 << 16)), "frequencies of at least 1"),
    "length": ("a", lambda key, value: (key, value + np.uint64(1)), "one length"),
    "posting lost": ("a", lambda key, value: (key, value[:-1]), "in all postings"),
    "row without text": ("", lambda key, value: (key, value[:-1]), "rows that left"),
    "length of text": ("", lambda key, value: (key, value + np.uint64(1)), "length that its texts say"),
    "stranger": ("", lambda key, value: (key, np.append(value, ROW * np.uint64(4))), "a row that it sees"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_verify_names_damaged_words(tmp_path, kind):
    word, change, message = DAMAGES[kind]
    store = made(tmp_path / "c", 5, [["a", "b"], ["a"], ["b", "a"], ["a", "c", "a"]])
    with store.write() as writer:
        writer.unbind_ids(0, ["r4"])
        writer.unsee_rows(0, [4], [None])
        writer.drop_rows(np.array([4]))
    report = verify(store)
    assert report.ok
    assert (report.checked["texts"], report.checked["fragments"]) == (1, 4)
    damage(store, word, change)
    report = verify(store)
    assert not report.ok
    assert any(message in str(problem) for problem in report.problems), list(map(str, report.problems))


def test_verify_compares_fragments_of_a_word(tmp_path):
    store = made(tmp_path / "c", 600, [["a"]] * 600)
    damage(store, "a", lambda key, value: (key, np.delete(np.append(value, ROW * np.uint64(500) | value[0]), 100)))
    assert any("rows above 500" in str(problem) for problem in verify(store).problems)


def test_verify_misses_tables(tmp_path):
    store = made(tmp_path / "c", 2, [["a"]])
    with store.write() as writer:
        writer._reading().delete(catalog.TEXTS + bytes(4))
    assert any("an entry of its texts" in str(problem) for problem in verify(store).problems)
    store = made(tmp_path / "d", 2, [["a"]])
    with store.write() as writer:
        txn = writer._reading()
        for key, _ in list(catalog.scan(txn, catalog.TERMS)):
            txn.delete(key)
    assert any("1 rows with text, found none" in str(problem) for problem in verify(store).problems)
    with store.write() as writer:
        txn = writer._reading()
        txn.put(catalog.TEXTS + bytes(4), b"12345678" * 4)
    assert any("checksum" in str(problem) for problem in verify(store).problems)


@pytest.mark.parametrize("kind", ["cut", "order", "row too large"])
def test_damaged_words_are_not_read_nor_written_on_nor_compacted(tmp_path, kind):
    store = made(tmp_path / "c", 5, [["a", "b"], ["a"], ["b", "a"], ["a"]])
    damage(store, "a", DAMAGES[kind][1])
    with store.read() as snapshot, pytest.raises(CorruptionError, match="postings of b'a'"):
        snapshot.postings(0, ["b", "a"])
    if kind != "row too large":
        with pytest.raises(CorruptionError, match="postings"), store.write() as writer:
            writer.add_words(0, [4], [["a"]])
        with store.read() as snapshot:
            assert snapshot.texts(0).documents == 4
    if kind != "order":
        with pytest.raises(CorruptionError, match="words of tenant 0"):
            compact(store)
