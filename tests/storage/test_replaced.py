"""Directories that somebody deletes or replaces while they are open, and stores closed while they begin to read."""

import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from ramet.storage import core, lmdbfile, transaction
from ramet.storage.backup import backup
from ramet.storage.errors import ClosedError, CorruptionError, MissingError
from ramet.storage.verify import verify, verify_path
from tests.storage import world
from tests.storage.world import Store

REPLACE = """
import shutil, sys
from pathlib import Path
from tests.storage import world
shutil.rmtree(sys.argv[1])
world.make(Path(sys.argv[1]), 4)[0].close()
"""


def replace(path):
    """Let another process delete a collection and make one of 4 batches there."""
    root = str(world.Path(world.__file__).parents[2])
    subprocess.run([sys.executable, "-c", REPLACE, str(path)], check=True, cwd=root)


def assert_new_one_is_whole(path):
    assert verify_path(path).ok
    look = [sys.executable, world.__file__, "check", str(path), "0"]
    assert subprocess.run(look, check=True, capture_output=True, text=True).stdout == "4\n"


def test_an_old_handle_never_writes_into_the_collection_that_replaced_its_own(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    assert store.is_current()
    replace(tmp_path / "c")
    assert not store.is_current()
    with pytest.raises(MissingError, match="'c' .* was deleted or replaced while it was open; open it again"):
        world.commit(store, world.replayed(2), 3)
    with pytest.raises(MissingError, match="deleted or replaced"):
        verify(store)
    with store.read() as snapshot:
        world.assert_same(snapshot, model)
    backup(store, tmp_path / "rescued")
    with Store.open(tmp_path / "rescued") as rescued:
        world.assert_sound(rescued, model)
    assert_new_one_is_whole(tmp_path / "c")
    with Store.open(tmp_path / "c") as new:  # in this process too, although the old one is open still
        world.commit(new, world.replayed(4), 5)
        world.assert_sound(new, world.replayed(5))
    store.close()
    assert not store.is_current()


@pytest.mark.parametrize("ending", ["commit", "abort"])
def test_a_writer_at_work_stays_with_its_own_files(tmp_path, ending):
    store, model = world.make(tmp_path / "c", 2)
    writer = store.write()
    world.write_step(writer, model, 3)
    replace(tmp_path / "c")
    try:
        writer.commit() if ending == "commit" else writer.abort()
    except MissingError:
        assert ending == "commit"
    assert_new_one_is_whole(tmp_path / "c")


@pytest.mark.parametrize("moment", ["lock", "files"])
def test_a_replacement_while_a_writer_begins_is_noticed(tmp_path, moment, monkeypatch):
    """Between the first look and the files being opened: nothing may be written or cut."""
    store, _ = world.make(tmp_path / "c", 2)
    name = {"lock": "WriterLock", "files": "committed_ends"}[moment]
    whole = getattr(transaction, name)

    def late(*arguments):
        monkeypatch.setattr(transaction, name, whole)
        replace(tmp_path / "c")
        return whole(*arguments)

    monkeypatch.setattr(transaction, name, late)
    with pytest.raises(MissingError, match="deleted or replaced"):
        store.write()
    assert_new_one_is_whole(tmp_path / "c")


def test_a_data_file_of_another_collection_is_refused_by_the_writer(tmp_path):
    store, _ = world.make(tmp_path / "c", 2)
    world.make(tmp_path / "other", 3)[0].close()
    foreign = (tmp_path / "other" / "rows.bin").read_bytes()
    os.replace(tmp_path / "other" / "rows.bin", tmp_path / "c" / "rows.bin")
    with pytest.raises(world.StorageError, match=r"rows\.bin.*collection"):
        store.write()
    assert (tmp_path / "c" / "rows.bin").read_bytes() == foreign
    (tmp_path / "c" / "rows.bin").unlink()
    with pytest.raises(CorruptionError, match=r"rows\.bin"):
        store.write()


def test_a_deleted_collection_is_named_and_nothing_is_made_in_its_place(tmp_path):
    store, _ = world.make(tmp_path / "c", 1)
    shutil.rmtree(tmp_path / "c")
    (tmp_path / "c").mkdir()
    assert not store.is_current()
    with pytest.raises(MissingError, match="deleted or replaced"):
        store.write()
    assert list((tmp_path / "c").iterdir()) == []


def test_only_the_open_catalog_is_lengthened(tmp_path, monkeypatch):
    world.make(tmp_path / "c", 1)[0].close()
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"x")
    monkeypatch.setattr(lmdbfile, "catalog_end", lambda fd, path: 1 << 30)
    with open(tmp_path / "c" / "catalog.mdb", "rb") as file:
        for path in (foreign, tmp_path / "nothing"):
            with pytest.raises(MissingError):
                lmdbfile.extend_to_end(file.fileno(), path)
    assert foreign.read_bytes() == b"x"


def test_a_renamed_collection_opens_under_its_new_name(tmp_path):
    store, model = world.make(tmp_path / "c", 1)
    os.rename(tmp_path / "c", tmp_path / "d")
    with Store.open(tmp_path / "d") as renamed:
        assert renamed.is_current()
        world.commit(renamed, model, 2)
        world.assert_sound(renamed, model)
    store.close()


class Racing(set):
    """The tokens of a core's readers, with something that happens in another thread just before one comes in."""

    happens = None

    def add(self, token):
        happens, self.happens = self.happens, None
        if happens:
            thread = threading.Thread(target=happens)
            thread.start()
            thread.join()
        super().add(token)


def test_a_store_closed_while_it_begins_to_read_or_write_is_closed(tmp_path, monkeypatch):
    store, _ = world.make(tmp_path / "c", 1)
    shared = store._core
    shared.reading = Racing()
    shared.reading.happens = store.close
    with pytest.raises(ClosedError, match="'c'"):
        store.read()
    assert (shared.reading, shared.env, shared.fds) == (set(), None, {})
    store = Store.open(tmp_path / "c")
    lock = transaction.WriterLock
    monkeypatch.setattr(transaction, "WriterLock", lambda *arguments: (store.close(), lock(*arguments))[1])
    with pytest.raises(ClosedError, match="'c'"):
        store.write()


def test_a_read_that_has_begun_outlives_the_close(tmp_path, monkeypatch):
    store, model = world.make(tmp_path / "c", 1)
    shared, refreshed = store._core, core.Core.refreshed
    shared.state = None  # so that the read has to decode it
    monkeypatch.setattr(core.Core, "refreshed", lambda self, txn: (store.close(), refreshed(self, txn))[1])
    with store.read() as snapshot:
        world.assert_same(snapshot, model)
    assert shared.env is None


def test_threads_that_read_while_others_close_see_closed_stores_only(tmp_path):
    world.make(tmp_path / "c", 1)[0].close()
    wrong = []

    def look(store):
        try:
            while True:
                with store.read() as snapshot:
                    snapshot.ids_of([0])
        except ClosedError:
            pass
        except BaseException as error:
            wrong.append(error)

    for _ in range(30):
        store = Store.open(tmp_path / "c")
        threads = [threading.Thread(target=look, args=(store,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        store.close()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_an_older_transaction_gets_mappings_of_its_own(tmp_path):
    store, model = world.make(tmp_path / "c", 1)
    shared = store._core
    with shared.env.begin() as older:
        world.commit(store, model, 2)
        with store.read() as newer:
            known = shared.state
            state = shared.refreshed(older)
            assert state.txn_id < known.txn_id
            assert not set(map(id, state.mappings.values())) & set(map(id, known.mappings.values()))
            assert shared.state is known
            assert newer.ids_of(np.arange(model.n_rows)) == model.names
