"""Posting lists, their extents, and the free space they leave."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.storage.errors import CorruptionError
from ramet.storage.extents import FreeRun, best_fit, merged
from ramet.storage.format import PAGE_BYTES
from ramet.storage.verify import verify
from tests.storage import world
from tests.storage.world import Store


@pytest.fixture
def filled(tmp_path):
    """A collection with 500 rows of one tenant and no lists."""
    store = Store.create(tmp_path / "c", world.SETTINGS)
    with store.write() as writer:
        tenant = writer.ensure_tenant("t")
        writer.append_rows(tenant, [str(i) for i in range(500)], world.vectors_of(np.arange(500)))
        writer.see_rows(tenant, np.arange(500), [None] * 500)
    yield store
    store.close()


def put(writer, lists, slack=0.0):
    """Write lists of tenant 0, given as a dict from cell to rows."""
    starts = np.cumsum([0] + [len(rows) for rows in lists.values()])
    rows = np.array([row for part in lists.values() for row in part], np.uint32)
    cells = np.array(list(lists), np.uint32)
    writer.write_lists(0, cells, starts, rows, world.factors_of(rows), world.codes_of(rows), slack)


def test_lists_are_consecutive_in_the_order_given(filled):
    with filled.write() as writer:
        put(writer, {9: range(100), 2: [], 5: range(300, 500), 0: [7]})
    with filled.read() as snapshot:
        directory = snapshot.lists(0)
        assert directory.cells.tolist() == [0, 2, 5, 9]
        place = dict(zip(directory.cells.tolist(), directory.pages.tolist(), strict=True))
        length = dict(zip(directory.cells.tolist(), directory.n_pages.tolist(), strict=True))
        assert place[9] == 1
        assert [place[2], place[5], place[0]] == [1 + length[9], place[2] + length[2], place[5] + length[5]]
        assert snapshot.end_page == place[0] + length[0]
        for cell, rows in {9: range(100), 2: [], 5: range(300, 500), 0: [7]}.items():
            content = snapshot.read_list(0, cell, check=True)
            assert content.rows.tolist() == list(rows)
            assert (content.codes == world.codes_of(rows)).all()


def test_a_list_larger_than_the_write_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr("ramet.storage.postings.BUFFER_BYTES", 3 * PAGE_BYTES)
    store, model = world.make(tmp_path / "c", 4)
    world.assert_sound(store, model)


def test_slack_leaves_room_in_the_extent(filled):
    with filled.write() as writer:
        put(writer, {1: range(400)}, slack=0.5)
    with filled.read() as snapshot:
        assert filled.layout.capacity_for(int(snapshot.lists(0).n_pages[0])) >= 600


def test_factors_may_be_float32(filled):
    factors = np.linspace(-1, 1, 20, dtype=np.float32).reshape(2, 10)
    with filled.write() as writer:
        rows = np.arange(10, dtype=np.uint32)
        writer.write_lists(0, np.array([1], np.uint32), np.array([0, 10]), rows, factors, world.codes_of(rows))
    with filled.read() as snapshot:
        assert (snapshot.read_list(0, 1).factors.view(np.float32) == factors).all()


def test_wrong_lists_are_refused_and_change_nothing(filled):
    rows = np.arange(10, dtype=np.uint32)
    good = (0, np.array([1, 2], np.uint32), np.array([0, 4, 10]), rows, world.factors_of(rows), world.codes_of(rows))
    wrong = {
        0: 7,
        1: np.array([1, 1], np.uint32),
        2: np.array([0, 11, 10]),
        3: rows + 495,
        4: world.factors_of(rows)[:1],
        5: world.codes_of(rows)[:9],
    }
    with filled.write() as writer:
        for place, argument in wrong.items():
            with pytest.raises(ValueError):
                writer.write_lists(*good[:place], argument, *good[place + 1 :])
        assert writer.end_page == 1
    with filled.read() as snapshot:
        assert len(snapshot.lists(0)) == 0


def test_a_replaced_extent_is_reused_only_when_no_snapshot_can_see_it(filled):
    def pages():
        with filled.read() as snapshot:
            return set(snapshot.lists(0).pages.tolist())

    with filled.write() as writer:
        put(writer, {1: range(50)})
    old = filled.read()
    for first in range(100, 400, 100):  # the old snapshot holds page 1
        with filled.write() as writer:
            put(writer, {1: range(first, first + 50)})
        assert pages() != {1}
    assert old.read_list(0, 1, check=True).rows.tolist() == list(range(50))
    old.close()
    with filled.read() as snapshot:
        end = snapshot.end_page
    seen = set()
    for first in range(0, 500, 50):
        with filled.write() as writer:
            put(writer, {1: range(first, first + 50)})
        seen |= pages()
    assert 1 in seen
    with filled.read() as snapshot:
        assert snapshot.end_page == end  # nothing grew any more
        snapshot.read_list(0, 1, check=True)


def test_deleted_lists_are_gone_and_their_pages_are_found_again(filled):
    with filled.write() as writer:
        put(writer, {1: range(200), 2: range(200, 500)})
    with filled.write() as writer:
        assert writer.delete_list(0, 1)
        assert not writer.delete_list(0, 1)
        assert not writer.delete_list(5, 1)
    with filled.read() as snapshot:
        assert snapshot.lists(0).cells.tolist() == [2]
        end = snapshot.end_page
    with filled.write() as writer:
        put(writer, {3: range(100)})
        put(writer, {3: range(150)})  # replaced within the transaction: its extent is free at once
        assert writer.end_page == end
    report = verify(filled)
    assert all("names" in str(problem) or "home" in str(problem) for problem in report.problems)  # none was put


def test_a_damaged_list_is_found_when_asked(filled):
    with filled.write() as writer:
        put(writer, {1: range(50)})
    with open(filled.path / "postings.bin", "rb+") as file:
        file.seek(PAGE_BYTES + 8)
        file.write(b"\xff")
    with filled.read() as snapshot:
        assert len(snapshot.read_list(0, 1).rows) == 50
        with pytest.raises(CorruptionError, match=r"postings\.bin.*tenant 0, cell 1.*pages 1 to .*checksum"):
            snapshot.read_list(0, 1, check=True)


runs = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=12)


@given(runs)
def test_merged_runs_cover_the_same_pages_and_never_touch(gaps):
    page, made = 1, []
    for gap, n in gaps:
        page += gap - 1
        made.append(FreeRun(page=page, n_pages=n, keys=((1, page),), txn=n))
        page += n
    joined = merged(reversed(made))
    covered = [page for run in joined for page in range(run.page, run.page + run.n_pages)]
    assert covered == [page for run in made for page in range(run.page, run.page + run.n_pages)]
    assert all(a.page + a.n_pages < b.page for a, b in pairwise(joined))
    assert sorted(key for run in joined for key in run.keys) == sorted(key for run in made for key in run.keys)
    for n in range(1, 9):
        fit = best_fit(joined, n)
        longer = [run.n_pages for run in joined if run.n_pages >= n]
        assert (fit is None) == (not longer)
        assert fit is None or joined[fit].n_pages == min(longer)
