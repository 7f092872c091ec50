"""Backups of a live collection."""

import os
import subprocess
import sys

import pytest

from ramet.storage.backup import backup
from ramet.storage.errors import CorruptionError, ExistsError, StorageFullError
from ramet.storage.verify import verify_path
from tests.storage import world
from tests.storage.world import Store


def test_a_backup_is_a_collection_of_its_own(tmp_path):
    store, model = world.make(tmp_path / "c", 3)
    backup(store, tmp_path / "deep" / "copy")
    world.commit(store, world.replayed(3), 4)
    with Store.open(tmp_path / "deep" / "copy") as copy:
        assert copy.settings == store.settings
        world.assert_sound(copy, model)
        world.commit(copy, model, 4)
        world.commit(copy, model, 5)
        world.assert_sound(copy, model)
    world.assert_sound(store, world.replayed(4))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]


def test_a_backup_of_an_empty_collection(tmp_path):
    store = Store.create(tmp_path / "c", {**world.SETTINGS, "vector_bytes": 0})
    backup(store, tmp_path / "copy")
    assert verify_path(tmp_path / "copy").ok


def test_what_is_there_already_is_not_overwritten(tmp_path):
    store, _ = world.make(tmp_path / "c", 1)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_text("x")
    for target in ("copy", "c"):
        with pytest.raises(ExistsError, match=target):
            backup(store, tmp_path / target)
    assert (tmp_path / "copy" / "mine").read_text() == "x"


def test_backups_beside_a_busy_writer_are_whole_states(tmp_path):
    store, _ = world.make(tmp_path / "c", 2, 20)
    writing = [sys.executable, world.__file__, "write", str(tmp_path / "c"), "3", "80", "20"]
    seen = []
    with subprocess.Popen(writing, stdout=subprocess.PIPE, text=True) as writer:
        writer.stdout.readline()
        while writer.poll() is None and len(seen) < 6:
            target = tmp_path / f"copy{len(seen)}"
            backup(store, target)
            assert verify_path(target).ok
            with Store.open(target) as copy, copy.read() as snapshot:
                seen.append(snapshot.meta("batch"))
            for _ in range(5):
                writer.stdout.readline()
        writer.communicate()
    assert writer.returncode == 0
    assert len(seen) > 1
    assert seen == sorted(set(seen))


def test_a_failed_backup_leaves_nothing_behind(tmp_path, monkeypatch):
    store, _ = world.make(tmp_path / "c", 2)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ramet.storage.backup.copy_range", full)
        with pytest.raises(StorageFullError):
            backup(store, tmp_path / "copy")
    os.truncate(tmp_path / "c" / "postings.bin", 4096)
    with pytest.raises(CorruptionError, match="postings.bin"):
        backup(store, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_copies_between_file_systems_without_kernel_help(tmp_path, monkeypatch):
    store, model = world.make(tmp_path / "c", 2)

    def refused(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refused)
    backup(store, tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        world.assert_sound(copy, model)
