"""Transactions: all or nothing, one at a time."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from ramet.storage.datafile import DataFile
from ramet.storage.errors import ClosedError, DuplicateIdError, StorageError, StorageFullError, WriterBusyError
from ramet.storage.homes import HomeTable
from ramet.storage.transaction import WriteTransaction
from ramet.storage.verify import verify
from tests.storage import world
from tests.storage.world import Store


def other_process(*words):
    """Run a command of world.py in a process of its own."""
    command = [sys.executable, world.__file__, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_writer_sees_its_own_changes(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    with store.write() as writer:
        world.write_step(writer, model, 3)
        world.write_step(writer, model, 4)
        world.assert_same(writer, model)
        with store.read() as snapshot:
            world.assert_same(snapshot, world.replayed(2))
    world.assert_sound(store, model)


def test_an_exception_rolls_everything_back(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "c").iterdir() if path.suffix == ".bin"}
    with pytest.raises(RuntimeError), store.write() as writer:
        world.write_step(writer, world.replayed(2), 3)
        raise RuntimeError
    assert sizes == {name: (tmp_path / "c" / name).stat().st_size for name in sizes}
    world.assert_sound(store, model)
    with pytest.raises(ClosedError):
        writer.ensure_tenant("late")
    world.commit(store, model, 3)
    world.assert_sound(store, model)


def test_duplicate_ids_are_refused_and_the_writer_goes_on(tmp_path):
    store, model = world.make(tmp_path / "c", 1)
    with store.write() as writer:
        tenant = model.owners[0]
        with pytest.raises(DuplicateIdError) as caught:
            writer.append_rows(tenant, ["fresh", model.names[0], model.names[1]], world.vectors_of([0, 1, 2]))
        assert sorted(caught.value.ids) == sorted(model.names[:2])
        with pytest.raises(ValueError):
            writer.append_rows(tenant, ["fresh"], None)
        with pytest.raises(ValueError):
            writer.append_rows(tenant + 1, ["fresh"], world.vectors_of([0]))
        assert writer.append_rows(tenant, [], world.vectors_of([])) == model.n_rows
        world.write_step(writer, model, 2)
    world.assert_sound(store, model)


def test_entries_of_the_engine_can_be_replaced_and_deleted(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            writer.set_meta("a", {"ü": [1, None]})
            writer.put_blob("b", bytes(100_000))
            with pytest.raises(TypeError):
                writer.set_meta("c", object())
            with pytest.raises(ValueError):
                writer.put_blob("", b"x")
        with store.write() as writer:
            assert (writer.meta("a"), writer.blob("b")) == ({"ü": [1, None]}, bytes(100_000))
            writer.set_meta("a", None)
            writer.put_blob("b", b"")
        with store.read() as snapshot:
            assert (snapshot.meta("a"), snapshot.blob("b")) == (None, b"")
        with store.write() as writer:
            writer.put_blob("b", None)
            assert writer.blob("b") is None
            for n_bytes in (300_000, 20_000, 3_000):  # a smaller one over a larger one of the same transaction
                writer.put_blob("b", bytes(n_bytes))
        assert verify(store).ok


def test_homes_of_several_tenants_are_kept_apart(tmp_path):
    with Store.create(tmp_path / "c", world.SETTINGS) as store, store.write() as writer:
        owner, guest = writer.ensure_tenant("owner"), writer.ensure_tenant("guest")
        writer.append_rows(owner, ["a", "b"], world.vectors_of([0, 1]))
        table = HomeTable(
            owners=np.array([owner, owner], np.uint32),
            starts=np.array([0, 1, 4]),
            tenants=np.array([owner, owner, owner, guest], np.uint32),
            cells=np.array([5, 6, 7, 9], np.uint32),
        )
        writer.put_home_table(np.array([0, 1]), table)
        assert (writer.homes(0).lists, writer.homes(1).lists) == ([(0, 5)], [(0, 6), (0, 7), (1, 9)])
        assert writer.homes_of(np.array([1])).cells.tolist() == [6, 7, 9]
        writer.put_homes(1, owner, owner, np.array([0, 1]), np.array([5], np.uint32))
        assert writer.homes(1).lists == [(0, 5)]
        for first, starts in ((1, [0, 1, 1]), (0, [0, 2]), (0, [1, 0]), (-1, [0, 0])):
            with pytest.raises(ValueError):
                writer.put_homes(first, owner, owner, np.array(starts), np.array([5], np.uint32))


def test_cells_can_be_read_by_number_and_replaced(tmp_path):
    every = np.array([7, 3, 5], np.uint32)
    with Store.create(tmp_path / "c", world.SETTINGS) as store:
        with store.write() as writer:
            writer.put_cells(every, np.array([3, world.NO_PARENT, 3], np.uint32), every * 2, world.payload_of(every))
            with pytest.raises(ValueError):
                writer.put_cells(every[[0, 0]], every[:2], every[:2], world.payload_of(every[:2]))
            writer.put_cells(every[:1], every[1:2], every[:1], world.payload_of(every[:1], 1))
        with store.read() as snapshot:
            table = snapshot.cells()
            assert (table.cells.tolist(), table.parents.tolist()) == ([3, 5, 7], [world.NO_PARENT, 3, 3])
            assert table.levels.tolist() == [6, 10, 7]
            chosen = snapshot.cells(np.array([7, 3], np.uint32))
            assert (chosen.payload[0] == world.payload_of([7], 1)).all()
            assert (chosen.payload[1] == world.payload_of([3])).all()
            with pytest.raises(StorageError, match="cell 4"):
                snapshot.cells(np.array([4], np.uint32))


def test_one_writer_at_a_time_in_a_process(tmp_path):
    store, _ = world.make(tmp_path / "c", 1)
    with store.write():
        begun = time.monotonic()
        with pytest.raises(WriterBusyError, match=str(os.getpid())):
            store.write(timeout_s=0.1)
        assert 0.1 <= time.monotonic() - begun < 1
    model = world.replayed(1)
    waiting = threading.Barrier(4)

    def work():
        waiting.wait()
        for _ in range(5):
            with store.write() as writer:
                world.write_step(writer, model, model.batch + 1, 3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.batch == 21
    world.assert_sound(store, model)


def test_one_writer_at_a_time_over_processes(tmp_path):
    store, model = world.make(tmp_path / "c", 1)
    with other_process("lock", tmp_path / "c", 60) as other:
        assert other.stdout.readline() == "writing\n"
        with pytest.raises(WriterBusyError, match=f"process {other.pid}") as caught:
            store.write(timeout_s=0.05)
        assert caught.value.pid == other.pid
        with store.read() as snapshot:  # readers do not wait
            world.assert_same(snapshot, model)
        store.close()
        del store, snapshot
        begun = time.monotonic()
        store = Store.open(tmp_path / "c")  # neither does opening
        assert time.monotonic() - begun < 1
        other.send_signal(signal.SIGKILL)
        other.wait()
        world.commit(store, model, 2)
    world.assert_sound(store, model)


def test_a_step_that_fails_half_way_cannot_be_committed(tmp_path, monkeypatch):
    store, model = world.make(tmp_path / "c", 1)

    def full(self, offset, content):
        raise OSError(28, "No space left on device")

    writer = store.write()
    with monkeypatch.context() as patch:
        patch.setattr(DataFile, "write", full)
        with pytest.raises(StorageFullError, match="rows.bin"):
            writer.append_rows(0, ["x"], world.vectors_of([0]))
    with pytest.raises(StorageError, match="earlier step"):
        writer.set_meta("a", 1)
    with pytest.raises(StorageError, match="earlier step"):
        writer.commit()
    world.assert_sound(store, model)
    world.commit(store, model, 2)
    world.assert_sound(store, model)


def test_data_is_durable_before_the_commit_that_refers_to_it(tmp_path, monkeypatch):
    store, model = world.make(tmp_path / "c", 1)
    events = []

    def logged(kind, function):
        def wrapped(self, *arguments):
            events.append((kind, getattr(self, "path", self)))
            return function(self, *arguments)

        return wrapped

    monkeypatch.setattr(DataFile, "write", logged("write", DataFile.write))
    real_sync = os.fdatasync
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: (events.append(("sync", os.readlink(f"/proc/self/fd/{fd}"))), real_sync(fd))
    )
    real_save = WriteTransaction._save_counters

    def save(self, txn):
        real_save(self, txn)
        events.append(("saved", None))

    monkeypatch.setattr(WriteTransaction, "_save_counters", save)
    world.commit(store, model, 2)
    kinds = [kind for kind, _ in events]
    assert kinds.index("saved") > max(i for i, kind in enumerate(kinds) if kind == "write")
    written = {str(path) for kind, path in events if kind == "write"}
    assert {path for kind, path in events if kind == "sync"} == written
    assert len(written) == 3


def test_a_second_process_sees_commits_and_makes_its_own(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    with other_process("hold", tmp_path / "c", 0) as reader:
        assert reader.stdout.readline() == "holding\n"
        with store.read() as old:
            with other_process("write", tmp_path / "c", 3, 8, 0) as writer:
                for k in range(3, 9):
                    assert writer.stdout.readline() == f"{k}\n"
                    with store.read() as snapshot:
                        assert snapshot.meta("batch") >= k
            assert writer.returncode == 0
            world.assert_same(old, model)
        model = world.replayed(8)
        world.commit(store, model, 9)
        world.assert_sound(store, model)
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "same\n"
    with other_process("check", tmp_path / "c", 0) as again:
        assert again.stdout.read() == "9\n"
    assert again.returncode == 0


def test_the_place_of_a_dead_reader_does_not_hold_space_for_ever(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    with other_process("hold", tmp_path / "c", 0) as reader:
        reader.stdout.readline()
        reader.kill()
        reader.wait()
    ends = []
    for _ in range(6):
        with store.write() as writer:
            for tenant in set(model.owners):
                world.write_lists(
                    writer, model, tenant, sorted({cell for owner, cell in model.lists if owner == tenant})
                )
            ends.append(writer.end_page)
    assert ends[-1] == ends[-3]
    world.assert_sound(store, model)
