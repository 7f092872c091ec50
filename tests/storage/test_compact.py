"""Compactions: the same collection in fewer bytes, under new row numbers."""

import shutil

import numpy as np
import pytest

from ramet.storage import catalog, compact_files, renumber
from ramet.storage.backup import backup
from ramet.storage.compact import compact
from ramet.storage.errors import CorruptionError, MissingError, ReadOnlyError, StorageFullError, WriterBusyError
from ramet.storage.format import PAGE_BYTES
from ramet.storage.swap import exchange
from ramet.storage.verify import verify, verify_path
from tests.storage import past, world
from tests.storage.world import Store


def rest_of(snapshot):
    """What a snapshot says beside ids, rows and lists."""
    cells = snapshot.cells()
    return (
        (cells.cells.tolist(), cells.parents.tolist(), cells.levels.tolist(), bytes(cells.payload)),
        snapshot.children(0).tolist(),
        snapshot.pending(),
        [snapshot.blob(name) for name in ("large", "small", "none")],
        [snapshot.meta(key) for key in ("step", "digest", "none")],
        [(member.number, member.name, member.n_records) for member in snapshot.members()],
        (snapshot.header.n_tenants, snapshot.header.n_cells, snapshot.header.collection),
        snapshot.core.settings,
    )


def names_beside(path):
    return sorted(entry.name for entry in path.parent.iterdir())


@pytest.mark.parametrize("cell_order", [None, [4, 1, 8, 0]])
@pytest.mark.parametrize("pieces", ["large", "small"])
def test_everything_is_as_before_but_the_row_numbers(tmp_path, monkeypatch, cell_order, pieces):
    if pieces == "small":
        monkeypatch.setattr(compact_files, "TOGETHER_BYTES", 1)
        monkeypatch.setattr(renumber, "TOGETHER", 7)
        monkeypatch.setattr("ramet.storage.compact_catalog.TOGETHER", 7)
        monkeypatch.setattr("ramet.storage.compact_catalog.COMMIT_BYTES", 1000)
    store, model = past.make(tmp_path / "c")
    order = None if cell_order is None else np.array(cell_order, np.uint32)
    for n_more in (3, 1, 0):
        with store.read() as snapshot:
            before, rest, n_rows, txn = past.said_by(snapshot), rest_of(snapshot), snapshot.n_rows, snapshot.txn_id
        report = compact(store, cell_order=order)
        with store.read() as snapshot:
            assert before == past.said_by(snapshot) == model.said()
            assert rest_of(snapshot) == rest
            assert (snapshot.n_rows, snapshot.txn_id > txn) == (snapshot.n_live, True)
            assert (report.n_rows_before, report.n_rows_after) == (n_rows, len(model.owners))
            assert report.n_bytes_after < report.n_bytes_before or n_more == 0
            assert_in_order(snapshot, cell_order or [])
        past.assert_sound(store)
        assert names_beside(tmp_path / "c") == ["c"]
        past.grow(store, model, n_more)
        past.assert_sound(store)


def assert_in_order(snapshot, cell_order):
    """Rows and lists lie as `compact` promises."""
    place = {cell: i for i, cell in enumerate(cell_order)}

    def key_of(row):
        homes = snapshot.homes(row)
        first = next((cell for tenant, cell in homes.lists if tenant == homes.owner), None)
        return homes.owner, place.get(first, 100 + (first or 0))

    keys = [key_of(row) for row in range(snapshot.n_rows)]
    assert keys == sorted(keys)
    page = 1
    for member in snapshot.members():
        directory = snapshot.lists(member.number)
        lists = zip(
            directory.cells.tolist(), directory.pages.tolist(), directory.n_pages.tolist(), directory.counts.tolist(),
            strict=True,
        )  # fmt: skip
        for _, start, n_pages, count in sorted(lists, key=lambda found: place.get(found[0], 100 + found[0])):
            assert (start, n_pages) == (page, snapshot.core.layout.pages_for(count))
            page += n_pages
    assert snapshot.end_page == page


def test_rows_that_are_in_no_list_come_last(tmp_path):
    store, _ = past.make(tmp_path / "c", 2)
    with store.write() as writer:
        tenant = writer.ensure_tenant("a")
        bare = writer.append_rows(tenant, ["bare 1", "bare 2"], np.zeros((2, 16), np.uint8))
        writer.see_rows(tenant, np.array([bare, bare + 1]), [None, None])
        model = past.Past(tenants={"tenant-2": writer.ensure_tenant("tenant-2")}, n_serials=500, step=2)
        past._come(writer, model, np.random.default_rng(0), 60)
    compact(store)
    with store.read() as snapshot:
        rows = snapshot.rows_of(tenant, ["bare 1", "bare 2"]).tolist()
        assert rows == [snapshot.n_rows - 2, snapshot.n_rows - 1]
        assert bare != rows[0]
    assert verify(store).ok


def test_an_empty_collection_and_one_that_lost_all_its_rows(tmp_path):
    store = Store.create(tmp_path / "c", {**past.SETTINGS, "vector_bytes": 0})
    assert compact(store).n_rows_after == 0
    with store.write() as writer:
        tenant = writer.ensure_tenant("t")
        writer.append_rows(tenant, ["x" * 60], None)
        writer.see_rows(tenant, np.array([0]), [None])
    with store.write() as writer:
        writer.unbind_ids(tenant, ["x" * 60])
        writer.unsee_rows(tenant, np.array([0]), [None])
        writer.drop_rows(np.array([0]))
    report = compact(store)
    assert (report.n_rows_before, report.n_rows_after) == (1, 0)
    assert verify(store).ok
    with store.write() as writer:
        writer.append_rows(tenant, ["short"], None)
        writer.see_rows(tenant, np.array([0]), [None])
    with store.read() as snapshot:
        assert snapshot.id_bytes == 8
    assert verify(store).ok


def test_slots_become_as_wide_as_the_ids_that_are_left(tmp_path):
    store = Store.create(tmp_path / "c", past.SETTINGS)
    with store.write() as writer:
        tenant = writer.ensure_tenant("t")
        writer.append_rows(tenant, ["a", "b" * 30], np.zeros((2, 16), np.uint8))
        writer.append_rows(tenant, ["c" * 200], np.zeros((1, 16), np.uint8))
        writer.see_rows(tenant, np.arange(3), [None] * 3)
    for gone, width in (("d", 64), ("c" * 200, 40), ("b" * 30, 8)):
        with store.write() as writer:
            rows = writer.rows_of(tenant, [gone])
            if writer.unbind_ids(tenant, [gone]):
                writer.unsee_rows(tenant, rows, [None])
                writer.drop_rows(rows)
        compact(store)
        with store.read() as snapshot:
            assert snapshot.id_bytes == width
            ids, rows = snapshot.ids_of_tenant(tenant)
            assert snapshot.ids_of(rows) == ids
        assert verify(store).ok


def test_what_was_deleted_is_in_no_file(tmp_path):
    store, model = past.make(tmp_path / "c", 6)

    def found():
        content = b"".join(file.read_bytes() for file in (tmp_path / "c").iterdir())
        parts = (lambda s: past.id_of(s).encode(), past.vector_of, past.codes_of)
        return {serial: [part(serial) in content for part in parts] for serial in range(model.n_serials)}

    assert sum(map(any, (there for serial, there in found().items() if serial not in model.owners))) > 100
    compact(store)
    for serial, there in found().items():
        assert there == [serial in model.owners] * 3


def test_snapshots_from_before_stay_as_they_are(tmp_path):
    store, model = past.make(tmp_path / "c")
    with store.read() as old:
        before, mappings = past.said_by(old), old.mappings
        for _ in range(2):
            compact(store)
            past.grow(store, model, 1)
            assert past.said_by(old) == before
            with Store.open(tmp_path / "c") as other, other.read() as new:
                past.assert_right(new)
                assert not set(map(id, new.mappings)) & set(map(id, mappings))
    past.assert_sound(store)


def test_other_stores_and_backups_go_over(tmp_path):
    store, model = past.make(tmp_path / "c")
    other = Store.open(tmp_path / "c")
    compact(store)
    assert other.is_current()
    past.assert_sound(other)
    compact(store)
    past.grow(other, model, 1)
    compact(store)
    backup(other, tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        past.assert_sound(copy)
        compact(copy)
        past.assert_sound(copy)
    other.close()
    assert not other.is_current()
    compact(store)
    past.assert_sound(store)


def test_a_note_of_a_compaction_that_died_is_taken_back(tmp_path):
    store, model = past.make(tmp_path / "c")
    writer = store.write()
    with pytest.raises(KeyError):  # as if it died after the commit
        writer.supersede({}.popitem)
    with store.read() as snapshot:
        assert snapshot.is_superseded
        past.assert_right(snapshot)
    backup(store, tmp_path / "copy")
    past.assert_sound(store)
    past.grow(store, model, 1)
    for path in ("c", "copy"):
        with Store.open(tmp_path / path) as opened, opened.read() as snapshot:
            assert not snapshot.is_superseded
    past.assert_sound(store)


def test_a_directory_that_somebody_else_replaced_is_missed_with_the_note_too(tmp_path):
    store, _ = past.make(tmp_path / "c")
    with pytest.raises(KeyError):
        store.write().supersede({}.popitem)
    with store.read() as snapshot:
        before = past.said_by(snapshot)
    shutil.rmtree(tmp_path / "c")
    for comes in (lambda: past.make(tmp_path / "c", 1)[0].close(), lambda: None):
        with store.read() as snapshot:
            assert past.said_by(snapshot) == before
        for change in (store.write, lambda: compact(store)):
            with pytest.raises(MissingError, match="deleted or replaced"):
                change()
        assert not store.is_current()
        comes()
    assert verify_path(tmp_path / "c").ok


@pytest.mark.parametrize("name", ["postings.bin", "rows.bin", "vectors.bin", "catalog.mdb"])
def test_damage_ends_a_compaction_and_changes_nothing(tmp_path, name):
    store, _ = past.make(tmp_path / "c")
    with store.read() as snapshot:
        member = snapshot.members()[0]
        row = int(snapshot.ids_of_tenant(member.number)[1][0])
        page = int(snapshot.lists(member.number).pages[0])
        blob = snapshot.blob("large")
        width = snapshot.id_bytes
    store.close()
    del store
    file = tmp_path / "c" / name
    content = bytearray(file.read_bytes())
    at = {
        "postings.bin": page * PAGE_BYTES,
        "rows.bin": PAGE_BYTES + row * width + 1,
        "vectors.bin": PAGE_BYTES + row * 16,
        "catalog.mdb": content.rfind(blob[:100]) + 50,
    }[name]
    content[at] ^= 1
    file.write_bytes(content)
    with Store.open(tmp_path / "c") as store:
        with pytest.raises(CorruptionError, match=name):
            compact(store)
        with store.read() as snapshot:
            assert not snapshot.is_superseded
    assert bytes(content) == file.read_bytes()
    assert names_beside(tmp_path / "c") == ["c"]


def test_a_full_disk_leaves_the_collection_as_it_was(tmp_path, monkeypatch):
    store, model = past.make(tmp_path / "c", 3, 20)
    said, left = model.said(), 0

    def filling(function):
        def wrapped(*arguments, **named):
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
            return function(*arguments, **named)

        return wrapped

    for point in range(1000):
        left = point
        with monkeypatch.context() as patch:
            patch.setattr("ramet.storage.datafile.DataFile.write", filling(world.DataFile.write))
            patch.setattr("ramet.storage.catalog.put_sorted", filling(catalog.put_sorted))
            patch.setattr("ramet.storage.compact.exchange", filling(exchange))
            try:
                compact(store)
            except StorageFullError:
                pass
            else:
                break
        with store.read() as snapshot:
            assert not snapshot.is_superseded
            assert past.said_by(snapshot) == said
        assert names_beside(tmp_path / "c") == ["c"]
    assert point > 30
    past.assert_sound(store)


def test_arguments_locks_and_rights(tmp_path, monkeypatch):
    store, _ = past.make(tmp_path / "c", 1)
    with pytest.raises(ValueError, match="twice"):
        compact(store, cell_order=np.array([3, 1, 3], np.uint32))
    with store.write(), pytest.raises(WriterBusyError):
        compact(store, timeout_s=0.05)
    (tmp_path / "c" / "postings.bin").chmod(0o640)
    (tmp_path / "c").chmod(0o750)
    (tmp_path / "link").symlink_to(tmp_path / "c")
    with Store.open(tmp_path / "link") as linked:
        compact(linked)
        past.assert_sound(linked)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "c" / "postings.bin").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o750
    assert names_beside(tmp_path / "c") == ["c", "link"]
    past.assert_sound(store)
    monkeypatch.setattr(Store._usable(store), "read_only", True)
    with pytest.raises(ReadOnlyError):
        compact(store)
