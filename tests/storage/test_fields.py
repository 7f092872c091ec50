"""The filter tables: pages of numbers, refusals, damage that is found."""

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from ramet.storage import catalog, field_keys, number_pages
from ramet.storage.errors import CorruptionError
from ramet.storage.field_keys import DATE, NUMBER, PAIR, codes_of, field_prefix
from ramet.storage.store import Store
from ramet.storage.verify import verify
from tests.storage import world

PREFIX = catalog.NUMBERS + b"some field"
CODES = st.integers(0, 6)
PAIRS = st.lists(st.tuples(CODES, st.integers(0, 9)), max_size=40)
RECORD = {"s": "text", "n": 3, "x": 1.5, "b": True, "t": ["a", "b"], "d": datetime(2024, 1, 1, tzinfo=UTC), "e": []}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A collection whose writers are all rolled back."""
    with Store.create(tmp_path_factory.mktemp("pages") / "c", world.SETTINGS) as store:
        yield store


def assert_pages(txn, expected, most, few):
    """The pages hold these pairs in order, in neither too many nor too large pages, between foreign neighbours."""
    pages = list(catalog.scan(txn, PREFIX))
    found = []
    for key, value in pages:
        pairs = np.frombuffer(value, PAIR).tolist()
        assert 0 < len(pairs) <= most
        assert key == PREFIX + field_keys.PAIR_KEY.pack(*pairs[0])
        found += pairs
    assert found == sorted(expected)
    assert txn.get(PREFIX + b"!" * 12) is None
    for neighbour in (catalog.NUMBERS + b"some fielc", catalog.NUMBERS + b"some fiele"):
        assert txn.get(neighbour + bytes(12)) == b"other"


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), PAIRS), max_size=8), small=st.booleans())
def test_pages_hold_what_was_added_and_not_dropped(scratch, steps, small):
    most, fill, few = (6, 4, 2) if small else (3, 2, 1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MOST": most, "FILL": fill, "FEW": few}.items():
            patch.setattr(number_pages, name, value)
        writer = scratch.write()
        try:
            txn, model = writer._reading(), set()
            for neighbour in (catalog.NUMBERS + b"some fielc", catalog.NUMBERS + b"some fiele"):
                txn.put(neighbour + bytes(12), b"other")
            for adds, pairs in steps:
                chosen = [pair for pair in dict.fromkeys(pairs) if not (adds and pair in model)]
                if not chosen:
                    continue
                codes, rows = (np.array(column) for column in zip(*chosen, strict=True))
                change = number_pages.add_pairs if adds else number_pages.drop_pairs
                change(txn, PREFIX, codes.astype(np.uint64), rows.astype(np.uint32))
                model = model | set(chosen) if adds else model - set(chosen)
                assert_pages(txn, model, most, few)
        finally:
            writer.abort()


def test_pages_are_full_when_numbers_rise_and_joined_when_they_go(scratch):
    writer = scratch.write()
    txn = writer._reading()
    for first in range(0, 60_000, 3_000):
        codes = np.arange(first, first + 3_000, dtype=np.uint64)
        number_pages.add_pairs(txn, PREFIX, codes, codes.astype(np.uint32))
    n_pages = sum(1 for _ in catalog.scan(txn, PREFIX))
    assert n_pages < 60_000 / number_pages.MOST * 1.1
    for rest in range(1, 10):  # one in ten stays
        codes = np.arange(rest, 60_000, 10, dtype=np.uint64)
        number_pages.drop_pairs(txn, PREFIX, codes, codes.astype(np.uint32))
    left = [len(value) // PAIR.itemsize for _, value in catalog.scan(txn, PREFIX)]
    assert sum(left) == 6_000
    assert len(left) < 6_000 / number_pages.FEW * 1.2
    writer.abort()


NUMBERS = st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53))


@given(NUMBERS, NUMBERS)
def test_codes_of_numbers_sort_as_numbers(a, b):
    first, second = codes_of(NUMBER, [a, b]).tolist()
    assert (first < second, first == second) == (a < b, a == b)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_codes_of_dates_sort_as_dates(a, b):
    first, second = codes_of(DATE, [a, b]).tolist()
    assert (first < second, first == second) == (a < b, a == b)


TEXT = st.text(st.sampled_from("\0\1aü\uffff𐀀"), max_size=5)


@given(TEXT, TEXT)
def test_keys_of_strings_sort_as_strings_and_none_begins_with_another(a, b):
    first, second = (field_keys.string_suffix(text, 3, 5) for text in (a, b))
    assert (first < second, first == second) == (a < b, a == b)
    assert a == b or not second.startswith(first)


@given(st.lists(st.one_of(st.integers(0, 200), st.integers(0, 1 << 20), st.integers(2**31 - 70_000, 2**31 - 1))))
def test_bitmaps_of_rows_in_any_order(rows):
    assert field_keys.bitmap_of(np.array(rows, np.uint32)) == BitMap(rows)


@pytest.mark.parametrize("n", [4096, 4097, 5_000, 70_000, 200_000])
@pytest.mark.parametrize("span", [1, 3, 300])
def test_bitmaps_of_many_rows(n, span):
    rows = np.random.default_rng(n).integers(0, n * span, n).astype(np.uint32) + np.uint32(130_000)
    assert field_keys.bitmap_of(rows) == BitMap(rows.tolist())
    assert field_keys.bitmap_of(np.concatenate([rows, rows[:9]])) == BitMap(rows.tolist())
    assert BitMap.deserialize(field_keys.bitmap_of(rows).serialize()) == BitMap(rows.tolist())


def filled(path, n=40):
    """A collection of two tenants with metadata, and its store."""
    store = Store.create(path, world.SETTINGS)
    with store.write() as writer:
        for name in ("a", "b"):
            tenant = writer.ensure_tenant(name)
            first = writer.append_rows(tenant, [f"{name}{i}" for i in range(n)], world.vectors_of(np.arange(n)))
            rows = np.arange(first, first + n)
            for row in rows.tolist():
                key = catalog.METADATA + catalog.U32_KEY.pack(row)
                catalog.put_summed(writer._reading(), key, b'{"some": "JSON"}')
            writer.see_rows(tenant, rows, [RECORD | {"n": i, "s": f"text {i % 3}"} for i in range(n)])
    return store


def test_refused_arguments_change_nothing(tmp_path):
    store = filled(tmp_path / "c")
    with store.write() as writer:
        for call in (writer.see_rows, writer.unsee_rows):
            for tenant, rows, metadata, words in (
                (9, [0], [None], "no tenant of number 9"),
                (0, [0, 0], [None, None], "twice"),
                (0, [0, 1], [None], "1 metadata for 2 rows"),
                (0, [80], [None], "do not all exist"),
                (0, [-1], [None], "do not all exist"),
            ):
                with pytest.raises(ValueError, match=words):
                    call(tenant, np.array(rows), metadata)
        with pytest.raises(TypeError, match="datetime and lists of str"):
            writer.see_rows(1, np.array([0]), [{"f": b"x"}])
        with pytest.raises(OverflowError):
            writer.see_rows(1, np.array([0]), [{"f": 10**400}])
        writer.see_rows(0, np.array([], np.int64), [])
        writer.see_rows(0, np.arange(3), [{"not": "looked at, as the tenant sees these rows"}] * 3)
        writer.unsee_rows(1, np.arange(3), [RECORD] * 3)
    with store.read() as snapshot:
        assert snapshot.visible(0) == BitMap(range(40))
        assert snapshot.visible(1) == BitMap(range(40, 80))
        assert not snapshot.rows_with_field(0, "not")
    assert verify(store).ok


def test_rows_with_ids_that_nobody_sees_are_no_sound_collection(tmp_path):
    store = Store.create(tmp_path / "c", world.SETTINGS)
    with store.write() as writer:
        tenant = writer.ensure_tenant("a")
        writer.append_rows(tenant, [f"a{i}" for i in range(5)], world.vectors_of(np.arange(5)))
        other = writer.ensure_tenant("b")
        first = writer.append_rows(other, ["b"], world.vectors_of(np.arange(1)))
        writer.see_rows(other, np.array([first]), [None])
    with store.read() as snapshot:
        assert not snapshot.visible(tenant)
    assert "visible rows of tenant 0" in str(verify(store).problems[0])


def test_a_reader_of_another_process_finds_the_same(tmp_path):
    store = filled(tmp_path / "c")
    store.close()
    program = (
        "import sys; from pathlib import Path; from ramet.storage.store import Store\n"
        "with Store.open(Path(sys.argv[1])) as store, store.read() as snapshot:\n"
        "    print(list(snapshot.rows_with_strings(1, 's', ['text 1'])), list(snapshot.rows_with_bool(0, 'b', True)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "c"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"{list(range(41, 80, 3))} {list(range(40))}"


def entry(txn, tenant, field, kind, table=catalog.VALUES):
    return next(catalog.scan(txn, field_prefix(table, tenant, field, kind)))


def value_lost(txn):
    txn.delete(entry(txn, 0, "s", field_keys.STRING)[0])
    return "field 's' of tenant 0: expected one value"


def value_twice(txn):
    key, value = entry(txn, 0, "s", field_keys.STRING)
    txn.put(key.replace(b"text 0", b"text 9"), value)
    return "field 's' of tenant 0: expected one value a row"


def value_of_other_rows(txn):
    key, _ = entry(txn, 0, "b", field_keys.BOOL)
    txn.put(key, BitMap(range(41)).serialize())
    return "expected rows that the tenant sees, found 40"


def value_of_another_chunk(txn):
    key, value = entry(txn, 0, "b", field_keys.BOOL)
    txn.put(key[:-1] + b"\1", value)
    return "expected rows of chunk 1, found 0, 1"


def value_is_no_bitmap(txn):
    txn.put(entry(txn, 1, "b", field_keys.BOOL)[0], b"garbage")
    return "expected a roaring bitmap"


def value_is_empty(txn):
    txn.put(entry(txn, 1, "b", field_keys.BOOL)[0], b"")
    return "expected a roaring bitmap"


def value_without_a_field(txn):
    txn.put(catalog.VALUES + bytes(4) + b"\0\3x\0\1\0\0", BitMap([1]).serialize())
    return "expected tenant, field, kind, value and chunk"


def list_beside_a_value(txn):
    key, value = entry(txn, 0, "s", field_keys.STRING)
    txn.put(key.replace(b"\0\3", b"\0\4"), value)
    return "or lists beside values"


def field_lost(txn):
    for table in (catalog.VALUES, catalog.NUMBERS):
        for key, _ in list(catalog.scan(txn, table + bytes(4))):
            txn.delete(key)
    return "fields of tenant 0: expected fields for rows 0, 1, 2, 3, 4 and 35 more"


def metadata_lost(txn):
    txn.delete(catalog.METADATA + catalog.U32_KEY.pack(3))
    return "fields of tenant 0: expected no fields for rows 3"


def page_lost(txn):
    txn.delete(entry(txn, 0, "n", NUMBER, catalog.NUMBERS)[0])
    return "field 'n' of tenant 0: expected one value"


def page_cut(txn):
    key, value = entry(txn, 0, "n", NUMBER, catalog.NUMBERS)
    txn.put(key, value[:-1])
    return "expected 1 to 150 pairs of 12 bytes"


def page_in_disorder(txn):
    key, value = entry(txn, 0, "n", NUMBER, catalog.NUMBERS)
    txn.put(key, value[:12] + value[24:36] + value[12:24] + value[36:])
    return "expected pairs that rise"


def page_key_wrong(txn):
    key, value = entry(txn, 0, "d", DATE, catalog.NUMBERS)
    txn.delete(key)
    txn.put(key[:-1] + b"\x63", value)
    return "expected pairs that rise from the one in the key on"


def page_of_no_kind(txn):
    key, value = entry(txn, 0, "n", NUMBER, catalog.NUMBERS)
    txn.put(key.replace(b"n\0\x08", b"n\0\x63"), value)
    return "expected tenant, field, kind, value and row"


def visible_lost(txn):
    txn.delete(catalog.VISIBLE + bytes(6))  # that of the other tenant is left
    return "visible rows of tenant 0: expected rows that it has ids for: 0, 1, 2, 3, 4 and 35 more"


def visible_of_others(txn):
    txn.put(catalog.VISIBLE + bytes(6), BitMap(range(41)).serialize())
    return "visible rows of tenant 0: expected no rows: 40"


def visible_key_wrong(txn):
    txn.put(catalog.VISIBLE + bytes(7), BitMap([1]).serialize())
    return "the key has a wrong length"


@pytest.mark.parametrize(
    "damage",
    [
        value_lost, value_twice, value_of_other_rows, value_of_another_chunk, value_is_no_bitmap, value_is_empty,
        value_without_a_field, list_beside_a_value, field_lost, metadata_lost, page_lost, page_cut, page_in_disorder,
        page_key_wrong, page_of_no_kind, visible_lost, visible_of_others, visible_key_wrong,
    ],
)  # fmt: skip
def test_damage_is_found_and_named(tmp_path, damage):
    store = filled(tmp_path / "c")
    assert verify(store).checked.keys() >= {"visible", "values", "number_pages", "fields"}
    with store.write() as writer:
        said = damage(writer._reading())
    problems = [str(problem) for problem in verify(store).problems]
    assert any(said in problem for problem in problems), problems


def test_reads_of_damaged_entries_say_so(tmp_path):
    store = filled(tmp_path / "c")
    with store.write() as writer:
        value_is_no_bitmap(writer._reading())
        page_cut(writer._reading())
    with store.read() as snapshot:
        with pytest.raises(CorruptionError, match="'b' of tenant 1"):
            snapshot.rows_with_bool(1, "b", True)
        with pytest.raises(CorruptionError, match="numbers in 'n'"):
            snapshot.rows_between_codes(0, "n", NUMBER, 0, 2**64 - 1)
    writer = store.write()
    with pytest.raises(CorruptionError, match="roaring bitmap"):
        writer.unsee_rows(1, np.array([41]), [{"b": True}])
    writer.abort()
