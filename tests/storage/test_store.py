"""Making, opening and closing collections; what is refused and how."""

import gc
import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import lmdb
import numpy as np
import pytest

from ramet._error import RametError
from ramet.storage import errors
from ramet.storage.errors import ClosedError, CorruptionError, ExistsError, FormatError, MissingError, StorageError
from ramet.storage.verify import verify_path
from tests.storage import world
from tests.storage.world import Store


def test_a_new_collection_is_empty_and_keeps_its_settings(tmp_path):
    settings = {**world.SETTINGS, "nested": {"α": [1, 2.5, None]}}
    Store.create(tmp_path / "deep" / "er" / "c", settings).close()
    with Store.open(tmp_path / "deep" / "er" / "c") as store, store.read() as snapshot:
        assert store.settings == settings
        assert (snapshot.n_rows, snapshot.n_live, snapshot.end_page) == (0, 0, 1)
        assert (snapshot.tenants(), snapshot.tenant_number("t"), snapshot.count(0)) == ({}, None, 0)
        assert (len(snapshot.lists(0)), len(snapshot.cells())) == (0, 0)
        assert snapshot.ids_of([]) == []
        assert snapshot.vectors([]).shape == (0, 16)
        assert (snapshot.blob("b"), snapshot.meta("m")) == (None, None)
        assert snapshot.homes(0).lists == []
        with pytest.raises(MissingError, match="tenant 0, cell 7"):
            snapshot.read_list(0, 7)
    assert verify_path(tmp_path / "deep" / "er" / "c").ok


def test_creation_is_all_or_nothing(tmp_path, monkeypatch):
    with pytest.raises(ValueError):
        Store.create(tmp_path / "a", {})

    def broken(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ramet.storage.store.pack_header", broken)
    with pytest.raises(errors.StorageFullError, match="No space"):
        Store.create(tmp_path / "b", world.SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_creation_refuses_what_is_there_already(tmp_path):
    (tmp_path / "empty").mkdir()
    Store.create(tmp_path / "empty", world.SETTINGS)
    (tmp_path / "file").write_text("x")
    for name in ("empty", "file"):
        with pytest.raises(ExistsError, match=name):
            Store.create(tmp_path / name, world.SETTINGS)
    assert (tmp_path / "file").read_text() == "x"


def test_racing_creators_make_one_collection(tmp_path):
    def attempt(_):
        try:
            return Store.create(tmp_path / "c", world.SETTINGS)
        except ExistsError:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [store for store in pool.map(attempt, range(8)) if store is not None]
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", ["nothing", "empty", "file"])
def test_opening_where_there_is_no_collection(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(MissingError, match=name):
        Store.open(tmp_path / name)


def test_stores_on_one_directory_share_their_files(tmp_path):
    first, model = world.make(tmp_path / "c", 1)
    (tmp_path / "link").symlink_to(tmp_path / "c")
    second = Store.open(tmp_path / "link")
    snapshot = second.read()
    first.close()
    first.close()
    with pytest.raises(ClosedError):
        first.read()
    world.commit(second, model, 2)
    second.close()
    world.assert_same(snapshot, world.replayed(1))  # it outlives both stores
    third = Store.open(tmp_path / "c")
    with third.read() as newer:
        world.assert_same(newer, model)
    snapshot.close()
    snapshot.close()
    with pytest.raises(ClosedError):
        snapshot.lists(0)
    with pytest.raises(ClosedError):
        snapshot.ids_of([0])


def test_a_closed_collection_leaves_nothing_open(tmp_path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    store, _ = world.make(tmp_path / "c", 2)
    with store, store.read() as snapshot:
        snapshot.lists(0)
    del store, snapshot
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    with open("/proc/self/maps") as maps:
        assert str(tmp_path) not in maps.read()


def test_many_threads_open_and_read_at_once(tmp_path):
    store, model = world.make(tmp_path / "c", 3)
    store.close()
    start = threading.Barrier(4)

    def look(_):
        start.wait()
        for _ in range(30):
            with Store.open(tmp_path / "c") as own, own.read() as snapshot:
                assert snapshot.ids_of(np.arange(model.n_rows)) == model.names

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))


def rewrite_meta(path, key, change):
    """Change one META entry through LMDB itself, checksum included."""
    from ramet.storage import catalog

    with lmdb.open(str(path / "catalog.mdb"), subdir=False, max_dbs=16) as env, env.begin(write=True) as txn:
        content = catalog.get_summed(txn, catalog.META + key.encode(), path)
        catalog.put_summed(txn, catalog.META + key.encode(), json.dumps(change(json.loads(content))).encode())


def test_another_format_version_is_refused_by_name(tmp_path):
    world.make(tmp_path / "c", 1)[0].close()
    rewrite_meta(tmp_path / "c", "format_version", lambda version: version + 1)
    with pytest.raises(FormatError, match=r"catalog\.mdb.*format version 3, found format version 4"):
        Store.open(tmp_path / "c")
    report = verify_path(tmp_path / "c")
    assert any("format version 3" in problem.what for problem in report.problems)


def test_a_foreign_file_is_refused_by_name(tmp_path):
    for name in ("postings.bin", "rows.bin", "vectors.bin"):
        path = tmp_path / name[0] / "c"
        world.make(path, 1)[0].close()
        with open(path / name, "rb+") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
        with pytest.raises(FormatError, match=f"{name}.*PNG"):
            Store.open(path)
        assert not verify_path(path).ok


def test_a_file_of_another_collection_is_refused(tmp_path):
    for name in ("a", "b"):
        world.make(tmp_path / name, 1)[0].close()
    (tmp_path / "a" / "rows.bin").write_bytes((tmp_path / "b" / "rows.bin").read_bytes())
    with pytest.raises(FormatError, match="rows.bin"):
        Store.open(tmp_path / "a")


def test_a_foreign_catalog_is_refused_by_name(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "catalog.mdb").write_bytes(b"hello" * 5000)
    (tmp_path / "other").mkdir()
    with lmdb.open(str(tmp_path / "other" / "catalog.mdb"), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    for name in ("text", "other"):
        with pytest.raises(FormatError, match=r"catalog\.mdb"):
            Store.open(tmp_path / name)
        assert not verify_path(tmp_path / name).ok


@pytest.mark.parametrize("name", ["postings.bin", "rows.bin", "vectors.bin", "catalog.mdb"])
def test_a_truncated_or_missing_file_is_refused_by_name(tmp_path, name):
    store, _ = world.make(tmp_path / "c", 2)
    store.close()
    del store
    size = (tmp_path / "c" / name).stat().st_size
    for short in (size - 4096, 4096, 100, 0):
        os.truncate(tmp_path / "c" / name, short)
        with pytest.raises(CorruptionError, match=name):
            Store.open(tmp_path / "c")
        report = verify_path(tmp_path / "c")
        assert any(problem.file == name for problem in report.problems)
    (tmp_path / "c" / name).unlink()
    with pytest.raises(StorageError, match="no collection" if name == "catalog.mdb" else name):
        Store.open(tmp_path / "c")


def test_a_file_truncated_while_open_is_noticed_at_the_next_commit(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    os.truncate(tmp_path / "c" / "vectors.bin", 5000)
    with pytest.raises(CorruptionError, match="vectors.bin"):
        world.commit(store, model, 3)


def test_every_error_is_a_ramet_error_and_survives_pickling():
    made = [
        CorruptionError("f", "page 3", 1, 2),
        FormatError("f", "a", "b"),
        errors.WriterBusyError("p", 12, 0.5),
        errors.DuplicateIdError([str(i) for i in range(20)], 20),
        ExistsError("p"),
        errors.ReadOnlyError("p"),
        errors.ReadLimitError(5),
        errors.AccessError("p", "denied"),
        errors.StorageFullError("p", "full"),
        ClosedError("it"),
        MissingError("nothing"),
    ]
    for error in made:
        assert isinstance(error, RametError)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    drawn = {name for name in vars(errors) if name.endswith("Error") and name != "RametError"}
    assert all(name in errors.__doc__ for name in drawn)
