"""Compactions while other processes read, write, fork and die."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from ramet.storage import compact_catalog, core, registry, swap, transaction, verify
from ramet.storage.compact import compact
from ramet.storage.errors import ForkError, MissingError, StorageError
from ramet.storage.format import CATALOG
from ramet.storage.lock import WriterLock
from tests.storage import past
from tests.storage.test_fork import in_child
from tests.storage.world import Store

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def process(*words):
    command = [sys.executable, past.__file__, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def no_exchange(*arguments):
    swap.ctypes.set_errno(22)
    return -1


def test_a_process_that_reads_all_the_time_sees_right_answers_only(tmp_path):
    store, model = past.make(tmp_path / "c", 2, 20)
    with process("look", tmp_path / "c", 10) as reader:
        assert reader.stdout.readline() == "looking\n"
        for _ in range(25):
            compact(store)
            past.grow(store, model, 1, 20)
        answer, _ = reader.communicate("stop\n")
    assert reader.returncode == 0
    steps, numbers, n = map(int, answer.split())
    assert steps > 3
    assert numbers >= steps
    assert n >= numbers
    past.assert_sound(store)


def test_threads_read_and_write_while_one_compacts(tmp_path):
    store, model = past.make(tmp_path / "c", 2, 20)
    stop, wrong, guard = threading.Event(), [], threading.Lock()

    def work(step):
        try:
            while not stop.is_set():
                step()
        except BaseException as error:
            wrong.append(error)

    def look():
        with store.read() as snapshot:
            past.assert_right(snapshot)

    def change():
        with guard:
            past.grow(store, model, 1, 8)
        stop.wait(0.05)  # the lock goes to whoever asks first, and who has just had it is the first

    threads = [threading.Thread(target=work, args=(step,)) for step in (look, look, change)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            compact(store, timeout_s=60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    past.assert_sound(store)
    assert [known for known in registry._cores.values() if known.path == store.path] == [
        store._core
    ]  # the old ones closed


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_writer_of_another_process_goes_on_in_the_new_directory(tmp_path, moment, monkeypatch):
    """One that opened the old directory, and one that waits for its lock when it is exchanged."""
    store, _ = past.make(tmp_path / "c", 2)
    with process("add", tmp_path / "c", 20) as writer:
        assert writer.stdout.readline() == "open\n"
        if moment == "while":
            finish = compact_catalog.Building.finish

            def late(self, *arguments):
                writer.stdin.write("go\n")
                writer.stdin.flush()
                finish(self, *arguments)
                threading.Event().wait(0.2)

            monkeypatch.setattr(compact_catalog.Building, "finish", late)
        compact(store)
        answer, _ = writer.communicate("go\n")
    assert (answer, writer.returncode) == ("added\n", 0)
    with store.read() as snapshot:
        assert snapshot.meta("added") == 1
    past.assert_sound(store)


@pytest.mark.parametrize(("how", "n_last"), [("exchange", 1000), ("steps", 16)])
def test_a_compaction_that_dies_at_any_step_leaves_the_old_or_the_new_collection(tmp_path, how, n_last):
    past.make(tmp_path / "c", 2, 15)[0].close()

    def crash(point):
        place = tmp_path / f"at {point}" / "c"
        shutil.copytree(tmp_path / "c", place)
        with process("crash", place, point, how) as dead:
            said = dead.communicate()[0].split()
        with Store.open(place) as store:
            past.assert_sound(store)
            with store.read() as snapshot:
                n_rows = snapshot.n_rows
            compact(store)
            past.assert_sound(store)
        assert [entry.name for entry in place.parent.iterdir()] == ["c"]
        assert dead.returncode == (0 if said else 9)
        return n_rows, said

    new, (_, n_points) = crash(100_000)
    found = [crash(point)[0] for point in range(max(int(n_points) - n_last, 0), int(n_points))]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] == new
    assert found.count(new) > 6  # the removal of the old directory has steps, too


def test_a_file_system_that_cannot_exchange(tmp_path, monkeypatch):
    store, model = past.make(tmp_path / "c")
    other = Store.open(tmp_path / "c")
    monkeypatch.setattr(swap._libc, "renameat2", no_exchange)
    compact(store)
    past.grow(other, model, 1)
    past.assert_sound(store)
    rename = os.rename

    def failing(source, target):
        if str(target).endswith("c"):
            monkeypatch.setattr(os, "rename", rename)
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StorageError, match="Input/output"):
        compact(store)
    past.assert_sound(store)
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


def test_a_directory_left_aside_is_put_back_by_whoever_opens(tmp_path):
    past.make(tmp_path / "c")[0].close()
    aside = swap.candidate_beside(tmp_path / "c").with_name(swap.candidate_beside(tmp_path / "c").name + swap.ASIDE)
    os.rename(tmp_path / "c", aside)
    with pytest.raises(MissingError):
        Store.open(tmp_path / "d")
    with Store.open(tmp_path / "c") as store:
        past.assert_sound(store)
    assert verify.verify_path(tmp_path / "c").ok
    assert not aside.exists()


def test_what_others_are_at_work_on_is_not_swept_away(tmp_path):
    store, _ = past.make(tmp_path / "c", 1)
    names = {kind: swap.candidate_beside(tmp_path / "c") for kind in ("left", "busy")}
    names["other"] = swap.candidate_beside(tmp_path / "d")
    for directory in names.values():
        directory.mkdir()
        (directory / CATALOG).write_bytes(b"x")
    lock = WriterLock(names["busy"], 0)
    compact(store)
    assert {kind: directory.exists() for kind, directory in names.items()} == {
        "left": False, "busy": True, "other": True,
    }  # fmt: skip
    lock.release()
    compact(store)
    assert not names["busy"].exists()


def test_a_forked_child_goes_over_too(tmp_path):
    store, model = past.make(tmp_path / "c", 2)
    other = Store.open(tmp_path / "c")
    read, write = os.pipe()

    def child():
        os.close(write)
        os.read(read, 1)  # the parent has compacted
        past.assert_sound(store)
        past.grow(other, model, 1)
        compact(other)
        past.assert_sound(store)
        return "went over"

    found = []
    thread = threading.Thread(target=lambda: found.append(in_child(child)))
    thread.start()
    while thread.is_alive() and not _has_child():
        pass
    compact(store)
    os.close(write)
    thread.join()
    os.close(read)
    assert found == ["went over"]
    past.assert_sound(store)
    past.assert_sound(other)


def _has_child():
    with open(f"/proc/self/task/{threading.main_thread().native_id}/children") as main:
        tasks = [main.read()]
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as children:
                tasks.append(children.read())
        except OSError:
            continue
    return any(part.strip() for part in tasks)


def test_a_child_forked_in_the_midst_of_a_compaction_leaves_it_alone(tmp_path, monkeypatch):
    store, _ = past.make(tmp_path / "c", 2)
    finish, found = compact_catalog.Building.finish, []

    def child():
        try:
            store.read()
        except ForkError:
            return "refused"
        return "read"

    def forking(self, *arguments):
        found.append(in_child(child))
        finish(self, *arguments)

    monkeypatch.setattr(compact_catalog.Building, "finish", forking)
    compact(store)
    assert found == ["refused"]
    past.assert_sound(store)


def compact_elsewhere(path):
    with process("compact", path) as other:
        other.communicate()
    assert other.returncode == 0


def first_compacting(monkeypatch, owner, name, path):
    """Let another process compact just before a function is called for the first time."""
    whole = getattr(owner, name)

    def late(*arguments, **named):
        monkeypatch.setattr(owner, name, whole)
        compact_elsewhere(path)
        return whole(*arguments, **named)

    monkeypatch.setattr(owner, name, late)


@pytest.mark.parametrize("name", ["check_catalog_size", "_rights", "check_header", "committed_ends"])
def test_a_directory_exchanged_while_it_is_opened(tmp_path, monkeypatch, name):
    past.make(tmp_path / "c", 2)[0].close()
    first_compacting(monkeypatch, core, name, tmp_path / "c")
    with Store.open(tmp_path / "c") as store:
        assert store._core.is_current()
        past.assert_sound(store)


@pytest.mark.parametrize("name", ["_check_state", "_checked_files", "check_rows"])
@pytest.mark.parametrize("look", ["store", "path"])
def test_a_directory_exchanged_while_it_is_verified(tmp_path, monkeypatch, name, look):
    store, _ = past.make(tmp_path / "c", 2)
    first_compacting(monkeypatch, verify, name, tmp_path / "c")
    report = verify.verify(store) if look == "store" else verify.verify_path(tmp_path / "c")
    assert report.problems == []
    past.assert_sound(store)


def test_a_directory_exchanged_while_a_writer_begins(tmp_path, monkeypatch):
    store, model = past.make(tmp_path / "c", 2)
    first_compacting(monkeypatch, transaction, "WriterLock", tmp_path / "c")
    past.grow(store, model, 1)
    past.assert_sound(store)


@pytest.mark.parametrize("act", [verify.verify, Store.write, Store.read, compact])
def test_a_directory_exchanged_right_after_a_look_at_the_path(tmp_path, monkeypatch, act):
    store, _ = past.make(tmp_path / "c", 2)
    whole = core.Core.is_current

    def looking(self):
        found = whole(self)
        monkeypatch.setattr(core.Core, "is_current", whole)
        compact_elsewhere(tmp_path / "c")
        return found

    monkeypatch.setattr(core.Core, "is_current", looking)
    done = act(store)
    if act in (Store.write, Store.read):
        done.__exit__(None, None, None)
    monkeypatch.setattr(core.Core, "is_current", whole)
    past.assert_sound(store)
