"""The file of the keys: made whole, read again when it changed, refused when it is not what was written."""

import os
import stat
import threading
import time

import lmdb
import pytest

from ramet.storage import keyring as module
from ramet.storage.errors import CorruptionError, DuplicateIdError, FormatError, MissingError
from ramet.storage.keyring import Keyring
from tests.storage.test_fork import in_child

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def names(ring):
    return sorted(ring.contents().entries)


def test_nothing_is_made_before_the_first_key(tmp_path):
    ring = Keyring(tmp_path)
    assert names(ring) == []
    with pytest.raises(MissingError):
        ring.change("a", dict)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_files_are_for_their_owner_only(tmp_path, mask):
    before = os.umask(mask)
    try:
        ring = Keyring(tmp_path)
        ring.insert("a", {"x": 1})
        assert names(ring) == ["a"]
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".ramet").stat().st_mode) == 0o700
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".ramet").iterdir()}
    assert found == {"keys.mdb": 0o600, "keys.mdb-lock": 0o600}


def test_what_another_object_wrote_is_seen_at_once_and_the_same_is_not_read_twice(tmp_path):
    one, two = Keyring(tmp_path), Keyring(tmp_path)
    for n in range(20):
        one.insert(f"k{n}", {"n": n})
        assert names(two) == sorted(f"k{i}" for i in range(n + 1))
        assert two.contents() is two.contents()
        two.change(f"k{n}", lambda entry: {**entry, "more": "x" * 300})
        assert one.contents().entries[f"k{n}"]["more"] == "x" * 300
        one.change(f"k{n}", lambda entry: {"n": entry["n"]})
        assert dict(two.contents().entries[f"k{n}"]) == {"n": n}


def test_an_id_is_given_once_and_a_failing_change_changes_nothing(tmp_path):
    ring = Keyring(tmp_path)
    ring.insert("a", {"x": 1})
    with pytest.raises(DuplicateIdError):
        ring.insert("a", {"x": 2})
    with pytest.raises(ZeroDivisionError):
        ring.change("a", lambda entry: {"x": 1 // 0})
    with pytest.raises(MissingError):
        ring.change("b", dict)
    assert dict(ring.contents().entries["a"]) == {"x": 1}


def test_entries_cannot_be_changed_by_who_reads_them(tmp_path):
    ring = Keyring(tmp_path)
    ring.insert("a", {"x": 1})
    with pytest.raises(TypeError):
        ring.contents().entries["a"]["x"] = 2
    with pytest.raises(TypeError):
        ring.contents().entries["b"] = {}


def test_a_deleted_or_exchanged_file_is_noticed(tmp_path):
    ring = Keyring(tmp_path / "one")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    ring.insert("a", {})
    Keyring(tmp_path / "two").insert("b", {})
    assert names(ring) == ["a"]
    os.replace(tmp_path / "two" / ".ramet" / "keys.mdb", ring.path)
    time.sleep(module.LOOK_S)
    assert names(ring) == ["b"]
    ring.path.unlink()
    time.sleep(module.LOOK_S)
    assert names(ring) == []
    ring.insert("c", {})
    assert names(ring) == ["c"]


def test_a_file_that_is_written_over_in_place_is_noticed_and_ends_no_process(tmp_path):
    """As `cp` does with a backup: the same inode, empty for a moment, and maybe the same number of transactions."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Keyring(tmp_path / "one"), Keyring(tmp_path / "two")
    one.insert("a", {})
    two.insert("b", {})
    other = two.path.read_bytes()
    assert names(one) == ["a"] and one.contents().txn == two.contents().txn
    for _ in range(3):
        names(one)
    with one.path.open("r+b") as file:
        file.truncate(0)
        with pytest.raises(CorruptionError):
            one.contents()
        file.write(other)
    time.sleep(module.LOOK_S)
    assert names(one) == ["b"]


def test_damage_is_refused_without_showing_what_is_stored(tmp_path):
    ring = Keyring(tmp_path)
    ring.insert("a", {"sha256": "f00dfeed" * 8})
    sound = ring.path.read_bytes()
    at = sound.rindex(b"f00dfeed")
    damaged = sound[:at] + b"0" + sound[at + 1 :]
    for content, kind in [
        (damaged, CorruptionError),
        (sound[:5000], CorruptionError),
        (sound[:8192], CorruptionError),
        (b"", CorruptionError),
        (b"\0" * len(sound), FormatError),
        (b"x" * len(sound), FormatError),
    ]:
        (ring.path.with_name("other")).write_bytes(content)
        os.replace(ring.path.with_name("other"), ring.path)
        for attempt in (lambda: ring.contents(), lambda: ring.insert("b", {})):
            with pytest.raises(kind) as caught:
                attempt()
            assert "f00dfeed"[1:] not in str(caught.value)
    (ring.path.with_name("other")).write_bytes(sound)
    os.replace(ring.path.with_name("other"), ring.path)
    assert names(ring) == ["a"]


def test_a_foreign_lmdb_file_and_another_version_are_refused(tmp_path):
    ring = Keyring(tmp_path)
    ring.path.parent.mkdir()
    with lmdb.open(str(ring.path), subdir=False, lib_version=0) as environment, environment.begin(write=True) as txn:
        txn.put(b"a", b"b")
    with pytest.raises(FormatError, match="without its entries"):
        ring.contents()
    ring.path.unlink()
    ring.insert("a", {})
    with lmdb.open(str(ring.path), subdir=False, lib_version=0) as environment, environment.begin(write=True) as txn:
        name = b"\x01format_version"
        txn.put(name, module._summed(name, 2))
    with pytest.raises(FormatError, match="format version 2"):
        ring.contents()


def test_a_short_file_that_is_sound_is_read(tmp_path):
    """As a writer leaves it that dies between its commit and the end of its call."""
    ring = Keyring(tmp_path)
    ring.insert("a", {})
    with lmdb.open(str(ring.path), subdir=False, lib_version=0) as environment:
        with environment.begin(write=True) as txn:  # takes pages at the end, and gives them back
            for n in range(2000):
                txn.put(b"z%d" % n, b"x" * 1000)
            for n in range(2000):
                txn.delete(b"z%d" % n)
    assert names(ring) == ["a"]
    ring.insert("b", {})
    assert names(Keyring(tmp_path)) == ["a", "b"]


def test_children_of_a_fork_read_and_write(tmp_path):
    ring = Keyring(tmp_path)
    ring.insert("a", {})
    assert names(ring) == ["a"]

    def child():
        ring.insert("b", {})
        inner = in_child(lambda: ring.insert("c", {}) or names(ring))
        return [inner, names(ring)]

    assert in_child(child) == str([str(["a", "b", "c"]), ["a", "b", "c"]])
    assert names(ring) == ["a", "b", "c"]


def test_forks_while_other_threads_read_and_write(tmp_path):
    ring = Keyring(tmp_path)
    ring.insert("first", {})
    stop = threading.Event()
    wrong = []

    def work(name):
        n = 0
        while not stop.is_set():
            try:
                ring.insert(f"{name}{n}", {"n": n})
                assert f"{name}{n}" in ring.contents().entries
            except BaseException as error:
                wrong.append(error)
                return
            n += 1

    threads = [threading.Thread(target=work, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    try:
        for n in range(8):
            time.sleep(0.01)

            def child(n=n):
                ring.insert(f"child{n}", {})
                return f"child{n}" in ring.contents().entries

            assert in_child(child) == "True"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert {f"child{n}" for n in range(8)} <= set(names(ring))


def test_threads_and_processes_that_make_the_file_at_once_share_one(tmp_path):
    start = threading.Barrier(4)
    wrong = []

    def work(n):
        start.wait()
        try:
            assert in_child(lambda: Keyring(tmp_path).insert(f"c{n}", {}) or "done") == "done"
            Keyring(tmp_path).insert(f"p{n}", {})
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert names(Keyring(tmp_path)) == sorted([f"c{n}" for n in range(4)] + [f"p{n}" for n in range(4)])
    assert {path.name for path in (tmp_path / ".ramet").iterdir()} == {"keys.mdb", "keys.mdb-lock"}
