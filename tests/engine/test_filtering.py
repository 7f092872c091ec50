"""Filters find exactly the records that the oracle names, whatever came and went before."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramet.engine import filtering, where
from ramet.storage import number_pages
from ramet.storage.compact import compact
from ramet.storage.field_keys import number_codes
from ramet.storage.verify import verify
from tests.engine.filter_world import FILTERS, METADATA, World

CHOSEN = st.lists(st.integers(0, 100), max_size=12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 1), st.lists(METADATA, max_size=12)),
        st.tuples(st.just("grant"), st.integers(0, 1), CHOSEN),
        st.tuples(st.just("go"), st.integers(0, 1), CHOSEN),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("compact")),
    ),
    max_size=8,
)


@pytest.fixture
def small_pages(monkeypatch):
    for name, value in {"MOST": 6, "FILL": 4, "FEW": 2}.items():
        monkeypatch.setattr(number_pages, name, value)


def assert_sound(store):
    assert [str(problem) for problem in verify(store).problems] == []


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.lists(METADATA, min_size=1, max_size=25), steps=STEPS, wanted=st.lists(FILTERS, min_size=4, max_size=8))
def test_every_filter_finds_what_the_oracle_says(small_pages, first, steps, wanted):
    with tempfile.TemporaryDirectory() as directory, World(Path(directory) / "c") as world:
        world.come(0, first)
        for step, *arguments in steps:
            getattr(world, step)(*arguments)
        with world.store.read() as snapshot:
            world.assert_matches(snapshot, wanted)
        assert_sound(world.store)
        world.compact()
        assert_sound(world.store)
        with world.store.write() as writer:
            world.assert_matches(writer, wanted)


def some_metadata(rng, n):
    """Records as they are met: few values, many values, numbers, gaps."""
    return [
        {
            "lang": ["en", "de", "fr"][int(rng.integers(3))],
            "year": int(rng.integers(1990, 2020)),
            "price": float(rng.random()) if rng.random() < 0.9 else None,
            "url": f"https://example.org/{rng.integers(1 << 60):x}",
            "ok": bool(rng.random() < 0.5),
            "tags": [f"tag-{i}" for i in np.flatnonzero(rng.random(6) < 0.3)],
        }
        for _ in range(n)
    ]


MANY = [
    {"lang": "en"},
    {"lang": {"$ne": "en"}, "ok": True},
    {"year": 2000},
    {"year": {"$in": [1991, 1995, 2003, 1700]}},
    {"year": {"$gte": 2000, "$lt": 2010}},
    {"price": {"$gt": 0.5}},
    {"price": {"$gt": 0.2, "$lte": 0.2001}},
    {"price": None},
    {"price": {"$nin": [None]}, "tags": "tag-3"},
    {"url": {"$contains": "/7"}},
    {"url": {"$gte": "https://example.org/8"}},
    {"tags": {"$nin": ["tag-1", "tag-2"]}},
    {"tags": {"$contains": "tag-5"}},
    {"$or": [{"lang": "de", "year": {"$lt": 1995}}, {"$not": {"price": {"$lt": 0.9}}}]},
]


def skip_rows(store, n):
    """Use up row numbers, to come to the next chunk soon."""
    with store.write() as writer:
        first = writer.new_rows(["nobody's"] * n, None)
        writer.drop_rows(np.arange(first, first + n))


def test_many_records_over_several_chunks_of_rows(tmp_path):
    rng = np.random.default_rng(3)
    world = World(tmp_path / "c")
    skip_rows(world.store, 62_000)
    for n in (3_000, 1, 2_500):
        world.come(0, some_metadata(rng, n))
        world.grant(0, rng.integers(0, 10_000, 800).tolist())
    skip_rows(world.store, 62_000)
    world.come(0, some_metadata(rng, 3_000))
    with world.store.read() as snapshot:
        assert {row >> 16 for row in snapshot.visible(0)} == {0, 1, 2}
        world.assert_matches(snapshot, MANY)
    assert_sound(world.store)
    for _ in range(3):
        world.go(0, rng.integers(0, 100_000, 2_500).tolist())
        world.grant(1, rng.integers(0, 100_000, 300).tolist())
    with world.store.read() as snapshot:
        world.assert_matches(snapshot, MANY)
    assert_sound(world.store)
    world.compact()
    world.reopen()
    assert_sound(world.store)
    with world.store.read() as snapshot:
        assert max(snapshot.visible(0)) < 1 << 16
        world.assert_matches(snapshot, MANY)


def test_a_tenant_is_forgotten_as_a_whole(tmp_path):
    world = World(tmp_path / "c")
    world.come(0, some_metadata(np.random.default_rng(0), 500))
    world.come(1, some_metadata(np.random.default_rng(1), 500))
    with world.store.write() as writer:
        writer.forget_fields(0)
        assert not writer.visible(0)
        assert not filtering.matching(writer, 0, where.parse({"lang": {"$ne": "xx"}}), None)
        ids, _ = writer.ids_of_tenant(0)
        writer.unbind_ids(0, ids)
        world.said[0] = {}
        world.assert_matches(writer, MANY)
    with world.store.read() as snapshot:
        world.assert_matches(snapshot, MANY)


def test_what_everybody_lost_leaves_no_byte_after_a_compaction(tmp_path):
    world = World(tmp_path / "c")
    secrets, numbers = [f"secret-{i:03}" for i in range(300)], np.arange(300) + 0.123456789
    fields = [{"a": s, "tags": [s + "!"], s: 1, "n": n} for s, n in zip(secrets, numbers, strict=True)]
    world.come(0, [*fields, {"a": "kept", "n": 7}])
    world.go(0, [i for i, name in enumerate(sorted(world.said[0])) if name != "id-300"])
    compact(world.store)
    world.store.close()
    content = (tmp_path / "c" / "catalog.mdb").read_bytes()
    assert b"kept" in content
    assert b"secret" not in content
    for code in number_codes(numbers):
        assert code.tobytes() not in content
        assert code.byteswap().tobytes() not in content


def test_a_bitmap_and_a_page_grow_and_shrink_through_every_size(tmp_path):
    """Containers of roaring change their kind at 4096 rows, and values of LMDB their place at about 2000 bytes."""
    world = World(tmp_path / "c")
    rng = np.random.default_rng(5)
    for n in (1, 2, 100, 900, 1_500, 2_500):
        world.come(0, [{"n": float(rng.integers(3)), "odd": bool(i % 2), "s": f"{i % 5}"} for i in range(n)])
    wanted = [{"n": 1.0}, {"odd": True}, {"s": {"$gte": "3"}}, {"odd": {"$exists": False}}]
    for left in (4_500, 4_200, 3_000, 1_000, 50, 1, 0):
        ids = rng.permutation(sorted(world.said[0]))
        gone = [sorted(world.said[0]).index(name) for name in ids[left:]]
        world.go(0, gone)
        assert len(world.said[0]) == left
        assert_sound(world.store)
        with world.store.read() as snapshot:
            world.assert_matches(snapshot, wanted)
