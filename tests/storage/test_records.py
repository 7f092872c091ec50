"""Ids, slots and homes as bytes."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.storage import records
from ramet.storage.catalog import MAX_ID_BYTES
from ramet.storage.errors import DuplicateIdError
from ramet.storage.homes import HomeTable, decode_homes
from tests.storage import world
from tests.storage.world import Store

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
words = st.integers(0, 2**32 - 1)
homes = st.lists(st.tuples(words, st.lists(st.tuples(words, words), max_size=5)), max_size=20)


@given(st.lists(texts | st.just("a\0") | st.just("a"), unique=True, max_size=40))
def test_ids_are_sorted_by_their_bytes(names):
    order = records.sorted_order(records.encode_ids(names))
    assert [names[i].encode() for i in order] == sorted(name.encode() for name in names)


@given(st.lists(texts, min_size=1, max_size=10), st.integers(0, 9))
def test_an_id_given_twice_is_refused_by_name(names, i):
    twice = names[i % len(names)]
    with pytest.raises(DuplicateIdError) as caught:
        records.sorted_order(records.encode_ids([*names, twice]))
    assert twice in caught.value.ids


@pytest.mark.parametrize("wrong", ["", "x" * (MAX_ID_BYTES + 1), "\ud800"])
def test_an_id_that_cannot_be_kept_is_refused(wrong):
    with pytest.raises(ValueError):
        records.encode_ids(["good", wrong])


@given(homes)
def test_encoded_homes_are_those_of_the_naive_twin_and_decode_to_the_same(rows):
    table = HomeTable(
        owners=np.array([owner for owner, _ in rows], np.uint32),
        starts=np.cumsum([0] + [len(own) for _, own in rows]),
        tenants=np.array([tenant for _, own in rows for tenant, _ in own], np.uint32),
        cells=np.array([cell for _, own in rows for _, cell in own], np.uint32),
    )
    packed = table.encoded()
    naive = [
        struct.pack("<IH", owner, len(own)) + b"".join(struct.pack("<II", *pair) for pair in own) for owner, own in rows
    ]
    assert packed == naive
    for value, (owner, own) in zip(packed, rows, strict=True):
        assert (decode_homes(value).owner, decode_homes(value).lists) == (owner, own)
    again = HomeTable.decoded(packed)
    for field in ("owners", "starts", "tenants", "cells"):
        assert (getattr(again, field) == getattr(table, field)).all()


@pytest.mark.parametrize("wrong", [b"", b"\1\0\0\0\1\0", struct.pack("<IH2I", 1, 2, 3, 4), b"\0" * 9])
def test_damaged_homes_are_refused(wrong):
    with pytest.raises((struct.error, ValueError)):
        HomeTable.decoded([struct.pack("<IH2I", 1, 1, 3, 4), wrong])


@pytest.mark.parametrize(
    ("longest", "width"), [(1, 8), (7, 8), (8, 16), (23, 24), (24, 40), (39, 40), (40, 64), (63, 64), (400, 64)]
)
def test_the_first_append_decides_the_width_of_a_slot(tmp_path, longest, width):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            tenant = writer.ensure_tenant("t")
            writer.append_rows(tenant, ["a", "b" * longest], world.vectors_of([0, 1]))
        with store.write() as writer:
            writer.append_rows(tenant, ["c" * 480, "ü" * 240, "z\0"], world.vectors_of([2, 3, 4]))
        with store.read() as snapshot:
            assert snapshot.ids_of([4, 3, 2, 1, 0]) == ["z\0", "ü" * 240, "c" * 480, "b" * longest, "a"]
            assert snapshot.rows_of(tenant, ["c" * 480, "ü" * 240, "z", "z\0"]).tolist() == [2, 3, -1, 4]
            assert (tmp_path / "c" / "rows.bin").stat().st_size == 4096 + 5 * width
            for wrong in (5, -1):
                with pytest.raises(IndexError):
                    snapshot.ids_of([wrong])


def test_equal_ids_of_two_tenants_are_two_records(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            for name in ("a", "b"):
                writer.append_rows(writer.ensure_tenant(name), ["x"], world.vectors_of([0]))
        with store.read() as snapshot:
            assert [snapshot.rows_of(tenant, ["x"]).tolist() for tenant in (0, 1, 2)] == [[0], [1], [-1]]
            assert snapshot.tenants() == {"a": 1, "b": 1}


def test_ids_may_come_in_any_order_and_between_each_other(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{value:x}" for value in rng.permutation(2000)]
    with Store.create(tmp_path / "c", {**world.SETTINGS, "vector_bytes": 0}) as store:
        for start in range(0, 2000, 400):
            with store.write() as writer:
                writer.append_rows(writer.ensure_tenant("t"), names[start : start + 400], None)
        with store.read() as snapshot:
            assert snapshot.ids_of(np.arange(2000)) == names
            assert snapshot.rows_of(0, names).tolist() == list(range(2000))
