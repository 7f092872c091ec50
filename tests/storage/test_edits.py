"""Posting lists that change row by row, tenants that come and go, and what readers learn of it."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ramet.storage import tenants
from ramet.storage.errors import CorruptionError
from ramet.storage.format import PAGE_BYTES
from ramet.storage.postings import ListBatch, ListEdit
from ramet.storage.verify import verify
from tests.storage import world
from tests.storage.world import Store

N_ROWS = 400


def edit_of(changes):
    """The edit for {cell: (rows that come, rows that leave)}."""
    added = [row for come, _ in changes.values() for row in come]
    rows = np.array(added, np.uint32)
    return ListEdit(
        cells=np.array(list(changes), np.uint32),
        add=ListBatch(
            starts=np.cumsum([0] + [len(come) for come, _ in changes.values()]),
            rows=rows,
            factors=world.factors_of(rows),
            codes=world.codes_of(rows),
        ),
        drop_starts=np.cumsum([0] + [len(leave) for _, leave in changes.values()]),
        drop_rows=np.array([row for _, leave in changes.values() for row in leave], np.uint32),
    )


def write_homes(writer, tenant, lists):
    """Say of all rows in which of the lists {cell: rows} they are."""
    held = {}
    for cell, rows in lists.items():
        for row in rows:
            held.setdefault(row, []).append(cell)
    for row in range(N_ROWS):
        own = np.array(held.get(row, []), np.uint32)
        writer.put_homes(row, tenant, tenant, np.array([0, len(own)]), own)


def fill(store):
    with store.write() as writer:
        tenant = writer.ensure_tenant("t")
        writer.append_rows(tenant, [f"r{i}" for i in range(N_ROWS)], world.vectors_of(np.arange(N_ROWS)))
        writer.see_rows(tenant, np.arange(N_ROWS), [None] * N_ROWS)
        writer.edit_lists(tenant, edit_of({99: (range(N_ROWS), [])}), 0.0)  # every row has a list
    return tenant


def assert_lists(reader, lists):
    directory = reader.lists(0)
    assert directory.cells.tolist() == sorted(lists)
    for cell, rows in lists.items():
        content = reader.read_list(0, cell)
        assert sorted(content.rows.tolist()) == sorted(rows)
        assert (content.factors == world.factors_of(content.rows)).all()
        assert (content.codes == world.codes_of(content.rows)).all()


steps = st.lists(
    st.tuples(
        st.dictionaries(
            st.integers(0, 5),
            st.tuples(st.lists(st.integers(0, N_ROWS - 1), max_size=120), st.integers(0, 100)),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from([0.0, 0.3, 2.0]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_edited_lists_are_those_of_a_dict(tmp_path_factory, plan):
    store = Store.create(tmp_path_factory.mktemp("edits") / "c", world.SETTINGS)
    fill(store)
    lists = {99: list(range(N_ROWS))}
    held = []
    for wanted, slack, hold in plan:
        if hold:
            held.append((store.read(), {cell: list(rows) for cell, rows in lists.items()}))
        changes = {}
        for cell, (come, share) in wanted.items():
            old = lists.get(cell, [])
            leave = old[: len(old) * share // 100]
            come = sorted(set(come) - set(old))
            if come or leave:
                changes[cell] = (come, leave)
                lists[cell] = [row for row in old if row not in set(leave)] + come
        lists = {cell: rows for cell, rows in lists.items() if rows}
        with store.write() as writer:
            counts = writer.edit_lists(0, edit_of(changes), slack)
            assert counts.tolist() == [len(lists.get(cell, [])) for cell in changes]
            assert_lists(writer, lists)
            write_homes(writer, 0, lists)
        with store.read() as snapshot:
            assert_lists(snapshot, lists)
    for snapshot, then in held:
        assert_lists(snapshot, then)
        snapshot.close()
    report = verify(store)
    assert report.ok, report.problems[:3]
    store.close()


def test_a_list_grows_in_place_while_there_is_room_and_moves_when_there_is_none(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        fill(store)
        with store.write() as writer:
            writer.edit_lists(0, edit_of({1: (range(10), [])}), 0.0)
            page = int(writer.lists(0).pages[0])
        capacity = store.layout.capacity_for(1)
        with store.write() as writer, store.read() as before:
            writer.edit_lists(0, edit_of({1: (range(10, capacity), [])}), 0.0)
            assert int(writer.lists(0).pages[0]) == page
            assert before.read_list(0, 1, check=True).rows.tolist() == list(range(10))
        with store.write() as writer:
            writer.edit_lists(0, edit_of({1: ([capacity], [])}), 1.0)
            moved = writer.lists(0)
            assert int(moved.pages[0]) != page
            assert store.layout.capacity_for(int(moved.n_pages[0])) >= 2 * capacity


def test_an_edit_never_hides_damage(tmp_path):
    """Whatever stays of a list is compared with its checksum before it is summed again."""
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        fill(store)
        with store.write() as writer:
            writer.edit_lists(0, edit_of({1: (range(10), [])}), 1.0)
            page = int(writer.lists(0).pages[0])
        with open(store.path / "postings.bin", "rb+") as file:
            file.seek(page * PAGE_BYTES)
            file.write(b"\x63")
        for changes in ({1: ([20], [])}, {1: ([], [3])}):
            with pytest.raises(CorruptionError, match=r"postings\.bin.*tenant 0, cell 1"), store.write() as writer:
                writer.edit_lists(0, edit_of(changes), 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({1: ([N_ROWS], [])}, "names row"),
        ({99: ([], [3, 3])}, "row 3 is to leave"),
        ({1: ([], [5])}, "row 5 is to leave"),
    ],
)
def test_edits_that_make_no_sense_are_refused(tmp_path, changes, words):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        fill(store)
        with pytest.raises(ValueError, match=words), store.write() as writer:
            writer.edit_lists(0, edit_of(changes), 0.0)
        with store.read() as snapshot:
            assert_lists(snapshot, {99: range(N_ROWS)})


def test_readers_learn_which_lists_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(tenants, "LOG_FROM_RECORDS", 100)
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        fill(store)
        cells = list(range(32))
        with store.write() as writer:
            writer.edit_lists(0, edit_of({cell: ([1], []) for cell in cells}), 0.0)
        with store.read() as snapshot:
            member = snapshot.member(0)
            assert snapshot.changes(member, member.changed).cells.tolist() == []
            assert snapshot.changes(member, member.changed - 1).cells.tolist() == cells
        then = member.changed
        for i in range(3):
            with store.write() as writer:
                writer.edit_lists(0, edit_of({i: ([2], []), 1000 + i: ([3], [])}), 0.0)
                writer.delete_list(0, 20 + i)
        with store.read() as snapshot:
            assert snapshot.changes(snapshot.member(0), then).cells.tolist() == [0, 1, 2, 20, 21, 22, 1000, 1001, 1002]
        for i in range(2 * tenants.LOG_TRANSACTIONS):
            with store.write() as writer:
                writer.edit_lists(0, edit_of({i: ([10 + i], [])}), 0.0)
            with store.read() as snapshot:
                member = snapshot.member(0)
                assert member.n_log <= tenants.LOG_TRANSACTIONS
                assert snapshot.changes(member, member.changed - 1).cells.tolist() == [i]
        with store.read() as snapshot:
            assert snapshot.changes(snapshot.member(0), then) is None
        with store.write() as writer:
            writer.touch(0, moved=[7, 5])
        with store.read() as snapshot:
            assert snapshot.changes(snapshot.member(0), snapshot.txn_id - 1).moved.tolist() == [5, 7]
        report = verify(store)
        assert not [p for p in report.problems if "log" in str(p)]


def test_many_rewritten_lists_do_not_grow_the_file(tmp_path):
    """Two versions of every list and some fragments are enough space for any number of rewrites."""
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        fill(store)
        rng = np.random.default_rng(0)
        lists = {cell: [] for cell in range(100, 250)}
        ends = []
        for _ in range(40):
            changes = {}
            for cell in lists:
                leave = lists[cell][:]
                come = sorted(rng.choice(N_ROWS, int(rng.integers(1, 200)), replace=False).tolist())
                changes[cell] = (
                    [row for row in come if row not in set(leave)],
                    [r for r in leave if r not in set(come)],
                )
                lists[cell] = come
            with store.write() as writer:
                writer.edit_lists(0, edit_of(changes), 0.0)
                ends.append(writer.end_page)
        assert ends[-1] < 1.6 * ends[9]


def test_ids_are_bound_to_several_tenants_and_a_tenant_is_forgotten(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            a, b = writer.ensure_tenant("a"), writer.ensure_tenant("b")
            first = writer.new_rows(["x", "y" * 100], world.vectors_of([0, 1]))
            writer.bind_ids(a, ["x", "y" * 100], np.array([0, 1]))
            writer.bind_ids(b, ["x"], np.array([0]))
            writer.bind_ids(b, ["x"], np.array([0]))  # again: nothing new
            assert (first, writer.tenants(), writer.n_live) == (0, {"a": 2, "b": 1}, 2)
            assert writer.slot_ids(np.array([1, 0])) == ["y" * 100, "x"]
            assert (writer.vectors(np.array([1])) == world.vectors_of([1])).all()
            with pytest.raises(IndexError):
                writer.vectors(np.array([2]))
        with store.write() as writer:
            assert writer.unbind_ids(a, ["x", "nobody"]) == 1
            assert writer.unbind_ids(a, ["y" * 100]) == 1
            assert writer.unbind_ids(b, ["x"]) == 1
            writer.drop_rows(np.array([0, 1]))
            writer.delete_tenant(b)
        with store.read() as snapshot:
            assert (snapshot.tenants(), snapshot.n_live, snapshot.n_rows) == ({"a": 0}, 0, 2)
            assert snapshot.tenant_number("b") is None
        with store.write() as writer:
            assert writer.ensure_tenant("b") == 2  # numbers are not used again
        assert verify(store).ok


def test_children_and_waiting_lists(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            cells = np.arange(4, dtype=np.uint32)
            parents = np.array([world.NO_PARENT, 0, 0, 1], np.uint32)
            writer.put_cells(cells, parents, np.array([0, 1, 1, 2], np.uint32), world.payload_of(cells))
            assert writer.n_cells == 4
            writer.put_children(0, np.array([1, 2], np.uint32))
            writer.put_children(1, np.array([3], np.uint32))
            tenant = writer.ensure_tenant("t")
            writer.set_pending(tenant, np.array([3, 1], np.uint32), np.array([], np.uint32))
        with store.read() as snapshot:
            assert snapshot.children(0).tolist() == [1, 2]
            assert snapshot.children(3).tolist() == []
            assert snapshot.pending() == snapshot.pending(tenant) == [(0, 1), (0, 3)]
        assert verify(store).ok
        with store.write() as writer:
            writer.set_pending(tenant, np.array([2], np.uint32), np.array([1, 3], np.uint32))
            assert writer.pending() == [(0, 2)]
            writer.put_children(1, np.array([], np.uint32))
            writer.delete_cells(np.array([3], np.uint32))
        assert verify(store).ok
        with store.read() as snapshot:
            assert snapshot.cells().cells.tolist() == [0, 1, 2]
