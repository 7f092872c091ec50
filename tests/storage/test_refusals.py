"""What the operating system refuses comes out as an error of this room, and leaves nothing open."""

import errno
import fcntl
import os

import pytest

from ramet.storage import catalog, lmdbfile
from ramet.storage.backup import backup
from ramet.storage.errors import CorruptionError, ExistsError, MissingError, StorageError, StorageFullError
from ramet.storage.lock import WriterLock
from ramet.storage.verify import verify, verify_path
from tests.storage import world
from tests.storage.test_rights import NOBODY, as_nobody, needs_root, open_place
from tests.storage.world import Store

__all__ = ["open_place"]

TRY = """
import sys
from pathlib import Path
from ramet.storage.store import Store
settings = {"n_factors": 0, "code_bytes": 1, "cell_bytes": 1, "vector_bytes": 0}
for act in (Store.open, lambda path: Store.create(path, settings)):
    try:
        act(Path(sys.argv[1]))
    except BaseException as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_lock_that_the_file_system_does_not_give_is_not_held(tmp_path, monkeypatch, code):
    store, model = world.make(tmp_path / "c", 1)
    before = len(os.listdir("/proc/self/fd"))

    def refused(fd, operation):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refused)
        with pytest.raises(StorageError, match=r"writer\.lock cannot be locked: .*local file system"):
            store.write()
    assert len(os.listdir("/proc/self/fd")) == before
    world.commit(store, model, 2)
    world.assert_sound(store, model)


def test_a_lock_without_its_number_is_held(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ramet.storage.lock.os.pwrite", full)
    lock = WriterLock(tmp_path, 0)
    with pytest.raises(StorageError, match="being written by another writer"):
        WriterLock(tmp_path, 0)
    lock.release()
    WriterLock(tmp_path, 0).release()


def test_verifying_a_broken_catalog_leaves_no_file_open(tmp_path, monkeypatch):
    store, _ = world.make(tmp_path / "c", 1)
    monkeypatch.setattr(lmdbfile, "structure_problems", lambda path: ["page 3 is broken"])
    before = len(os.listdir("/proc/self/fd"))
    for report in (verify(store), verify_path(tmp_path / "c")):
        assert (report.ok, report.checked["files"]) == (False, 3)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("kind", ["short", "flipped", "long"])
@pytest.mark.parametrize("table", ["name", "number"])
def test_a_damaged_tenant_is_not_believed(tmp_path, kind, table):
    store, _ = world.make(tmp_path / "c", 1)
    name = next(iter(world.replayed(1).tenants))
    key = catalog.TENANTS + name.encode() if table == "name" else catalog.MEMBERS + bytes(4)
    with store.write() as writer:
        txn = writer._reading()
        value = txn.get(key)
        if kind == "long":
            catalog.put_summed(txn, key, value[8:] + b"\xff")
        else:
            txn.put(key, value[:5] if kind == "short" else value[:8] + bytes([value[8] ^ 1]) + value[9:])
    with store.read() as snapshot:
        asked = (
            [lambda: snapshot.tenant_number(name)] if table == "name" else [snapshot.tenants, lambda: snapshot.count(0)]
        )
        for ask in asked:
            with pytest.raises(CorruptionError, match="damaged at"):
                ask()
    assert not verify(store).ok


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "lone\udcff\ud800", "a/" * 3000])
def test_a_path_that_cannot_be_is_refused(tmp_path, name):
    store, _ = world.make(tmp_path / "c", 1)
    acts = [Store.open, verify_path, lambda path: Store.create(path, world.SETTINGS), lambda path: backup(store, path)]
    for act in acts:
        with pytest.raises(StorageError, match="choose another path"):
            act(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_every_name_that_the_file_system_allows_will_do(tmp_path):
    with Store.create(tmp_path / ("n" * 255), world.SETTINGS) as store:
        backup(store, tmp_path / ("b" * 255))


def test_a_file_among_the_parents_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "c", tmp_path / "file" / "deep" / "c"):
        with pytest.raises(StorageError, match="Not a directory") as caught:
            Store.create(path, world.SETTINGS)
        assert not isinstance(caught.value, ExistsError)
        with pytest.raises(MissingError):
            Store.open(path)


@needs_root
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400])
def test_an_unreadable_parent_is_named_and_left_alone(open_place, mode):
    (open_place / "p").mkdir()
    os.chown(open_place / "p", NOBODY, NOBODY)
    (open_place / "p").chmod(mode)
    opened, created = as_nobody(TRY, open_place / "p" / "c").splitlines()
    assert opened.startswith("MissingError" if mode == 0o300 else "AccessError")
    assert created.startswith("AccessError") and str(open_place / "p") in created
    assert list((open_place / "p").iterdir()) == []


def test_a_full_directory_for_temporary_files_is_named(tmp_path, monkeypatch):
    store, _ = world.make(tmp_path / "c", 1)
    (tmp_path / "small").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "small"))

    def full(source, target, n_bytes):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lmdbfile, "copy_range", full)
        for act in (lambda: verify(store), lambda: verify_path(tmp_path / "c")):
            with pytest.raises(StorageFullError, match="no room for .*small: verify.*TMPDIR") as caught:
                act()
            assert caught.value.path == str(tmp_path / "small")
    assert list((tmp_path / "small").iterdir()) == []
    (tmp_path / "small").rmdir()
    with pytest.raises(StorageError, match="small"):
        verify(store)
    monkeypatch.setattr("tempfile.mkdtemp", lambda *arguments: full(0, 0, 0))
    with pytest.raises(StorageFullError, match="small"):
        verify(store)
