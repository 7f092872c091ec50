"""Commits that do not wait for the disk: what everybody sees at once, and what a power loss leaves."""

import os
import shutil
import subprocess
import sys
import uuid

import numpy as np
import pytest

from ramet.storage import durability
from ramet.storage.backup import backup
from ramet.storage.compact import compact
from ramet.storage.durability import SYNCED, read_sync_point
from ramet.storage.errors import AccessError, CorruptionError, StorageError
from ramet.storage.verify import verify, verify_path
from tests.storage import past
from tests.storage.test_fork import in_child
from tests.storage.world import Store

PAGE = 4096
FILES = ("catalog.mdb", "postings.bin", "rows.bin", "vectors.bin")

GROW = """
import os, sys
from pathlib import Path
from tests.storage import past
from tests.storage.world import Store
with Store.open(Path(sys.argv[1])) as store, store.read() as snapshot:
    step = snapshot.meta("step")
model = past.replayed(Path(sys.argv[1]).with_name(f"replay {step} {os.getpid()}"), step, 15)
store = Store.open(Path(sys.argv[1]))
past.grow(store, model, int(sys.argv[2]), 15)
print(model.step, flush=True)
os.kill(os.getpid(), 9)
"""


def make(path, rounds=2):
    return past.make(path, rounds, 15, durability="batch")


def grow_in_a_process_that_dies(path, rounds):
    root = str(past.Path(past.__file__).parents[2])
    dead = subprocess.run(
        [sys.executable, "-c", GROW, str(path), str(rounds)], capture_output=True, text=True, cwd=root
    )
    assert dead.returncode == -9, dead.stderr
    return int(dead.stdout)


def step_of(store):
    with store.read() as snapshot:
        past.assert_right(snapshot)
        return snapshot.meta("step")


@pytest.fixture
def rarely(monkeypatch):
    """No sync points for reasons of time."""
    monkeypatch.setattr(durability, "SYNC_INTERVAL_S", 3600.0)


def copied(path):
    """Every file as it is now."""
    return {name: (path / name).read_bytes() for name in (*FILES, SYNCED)}


def lose_power(target, states, rng):
    """What a disk may hold that was synced at the first of these states: of every page, any version since."""
    target.mkdir()
    for name in FILES:
        versions = [state[name] for state in states]
        size = len(versions[int(rng.integers(len(versions)))])
        size = max(size, len(versions[0]))
        content = bytearray(size)
        eager = rng.random()
        for at in range(0, size, PAGE):
            last = int(rng.integers(len(versions))) if rng.random() < eager else 0
            page = versions[last][at : at + PAGE]
            content[at : at + len(page)] = page[: size - at]
        (target / name).write_bytes(content)
    (target / SYNCED).write_bytes(states[0][SYNCED])


def after_restart(monkeypatch):
    boot = uuid.uuid4().bytes
    monkeypatch.setattr(durability, "boot_id", lambda: boot)


def assert_recovers(target, step, monkeypatch):
    """Open what a power loss left: it is the state of that step, sound, and can be written."""
    with monkeypatch.context() as patch:
        after_restart(patch)
        with Store.open(target) as store:
            assert step_of(store) == step
            past.assert_sound(store)
            with store.write() as writer:
                tenant = writer.ensure_tenant("after")
                rows = writer.append_rows(tenant, ["x", "y"], np.zeros((2, 16), np.uint8))
                writer.see_rows(tenant, np.array([rows, rows + 1]), [None, None])
            assert verify(store).ok
        with Store.open(target) as store, store.read() as snapshot:
            assert snapshot.rows_of(tenant, ["x", "y"]).tolist() == [rows, rows + 1]


def test_what_a_power_loss_leaves_is_the_last_sync_point(tmp_path, monkeypatch, rarely):
    store, model = make(tmp_path / "c")
    rng, n_newer = np.random.default_rng(1), 0
    for _ in range(4):
        past.grow(store, model, int(rng.integers(1, 3)), 15)
        store.flush()
        states = [copied(tmp_path / "c")]
        synced = model.step
        for _ in range(int(rng.integers(1, 6))):
            past.grow(store, model, 1, 15)
            states.append(copied(tmp_path / "c"))
        assert {state[SYNCED] for state in states} == {states[0][SYNCED]}
        for _ in range(12):
            target = tmp_path / "lost"
            lose_power(target, states, rng)
            n_newer += any((target / name).read_bytes() != states[0][name] for name in FILES)
            assert_recovers(target, synced, monkeypatch)
            shutil.rmtree(target)
    assert n_newer > 30
    past.assert_sound(store)


def test_a_power_loss_while_several_processes_write_and_die(tmp_path, monkeypatch, rarely):
    """Whoever writes after somebody else makes a sync point first, since that one's protection may be gone."""
    store, model = make(tmp_path / "c")
    rng = np.random.default_rng(2)
    for turn in range(3):
        step = grow_in_a_process_that_dies(tmp_path / "c", 2)
        assert step == model.step + 2
        model = past.replayed(tmp_path / f"replay {turn}", step, 15)
        assert step_of(store) == step
        states = [copied(tmp_path / "c")]
        for _ in range(3):
            past.grow(store, model, 1, 15)  # the first of them syncs what the dead one left
            states.append(copied(tmp_path / "c"))
        states[0][SYNCED] = states[1][SYNCED]
        for _ in range(8):
            target = tmp_path / "lost"
            lose_power(target, states, rng)
            assert_recovers(target, step, monkeypatch)
            shutil.rmtree(target)
    past.assert_sound(store)


def test_commits_are_seen_at_once_and_survive_the_death_of_their_process(tmp_path, rarely):
    store, model = make(tmp_path / "c")
    other = Store.open(tmp_path / "c")
    for _ in range(3):
        before = model.step
        step = grow_in_a_process_that_dies(tmp_path / "c", 3)
        assert step_of(store) == step_of(other) == step == before + 3
        model = past.replayed(tmp_path / f"replay {step}", step, 15)
        past.grow(other, model, 1, 15)
        assert step_of(store) == model.step
    past.assert_sound(store)


def test_sync_points_by_time_by_flush_and_by_close(tmp_path, monkeypatch):
    monkeypatch.setattr(durability, "SYNC_INTERVAL_S", 3600.0)
    store, model = make(tmp_path / "c")
    other = Store.open(tmp_path / "c")

    def n_behind():
        with other.read() as snapshot:
            return snapshot.txn_id - read_sync_point(tmp_path / "c").txn

    assert n_behind() == 2
    store.flush()
    assert n_behind() == 0
    past.grow(store, model, 3, 15)
    assert n_behind() == 3
    monkeypatch.setattr(durability, "SYNC_INTERVAL_S", 0.0)
    past.grow(store, model, 1, 15)
    assert n_behind() == 0
    monkeypatch.setattr(durability, "SYNC_INTERVAL_S", 3600.0)
    past.grow(store, model, 2, 15)
    assert n_behind() == 2
    held = store.read()
    store.close()
    assert n_behind() == 0
    held.close()
    writer = other.write()
    writer.set_meta("late", 1)
    other.close()
    writer.commit()  # nobody is left who could flush it
    with Store.open(tmp_path / "c") as other:
        assert n_behind() == 0


def test_the_end_of_a_process_is_a_close(tmp_path):
    make(tmp_path / "c")[0].close()
    program = """if True:
        import sys
        from pathlib import Path
        from ramet.storage import durability
        from ramet.storage.store import Store
        durability.SYNC_INTERVAL_S = 3600.0
        store = Store.open(Path(sys.argv[1]))
        for i in range(3):
            with store.write() as writer:
                writer.set_meta("late", i)
        """
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "c")], check=True)
    with Store.open(tmp_path / "c") as store, store.read() as snapshot:
        assert read_sync_point(tmp_path / "c").txn == snapshot.txn_id
        assert snapshot.meta("late") == 2


ONCE = """
import sys
from pathlib import Path
from ramet.storage.store import Store
store = Store.open(Path(sys.argv[1]))
for _ in range(2):  # the first makes a sync point, the second is behind it
    with store.write() as writer:
        writer.set_meta("once", 1)
for line in sys.stdin:
    store.read().close()
    print("read", flush=True)
"""


def test_room_is_used_again_after_a_sync_point(tmp_path, monkeypatch):
    """Neither the process that writes keeps old pages, nor one that wrote before and reads now."""
    store, _ = make(tmp_path / "c")
    store.flush()

    def sizes():
        return [(tmp_path / "c" / name).stat().st_size for name in ("catalog.mdb", "postings.bin")]

    def churn(n):
        for i in range(n):
            with store.write() as writer:
                content = writer.read_list(0, int(cell))
                starts = np.array([0, len(content.rows)])
                writer.write_lists(0, np.array([cell]), starts, content.rows, content.factors, content.codes)
                writer.put_blob("churn", bytes([i % 251]) * 20000)

    with store.read() as snapshot:
        cell = snapshot.lists(0).cells[0]
    monkeypatch.setattr(durability, "SYNC_INTERVAL_S", 0.0)
    command = [sys.executable, "-c", ONCE, str(tmp_path / "c")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as once:

        def read():
            once.stdin.write("read\n")
            once.stdin.flush()
            assert once.stdout.readline() == "read\n"

        read()
        churn(2)
        read()
        churn(20)
        before = sizes()
        churn(100)
        assert sizes() == before
        once.communicate()


def test_pages_of_a_sync_point_wait_for_the_next(tmp_path, rarely):
    store, model = make(tmp_path / "c")
    store.flush()
    with store.read() as snapshot:
        end = snapshot.end_page
        lists = [(member.number, snapshot.lists(member.number)) for member in snapshot.members()]
    used = {page for _, directory in lists for page in directory.pages.tolist()}
    past.grow(store, model, 8, 15)
    with store.read() as snapshot:
        for member in snapshot.members():
            assert not {page for page in snapshot.lists(member.number).pages.tolist() if page < end} - used
    past.assert_sound(store)


def test_nothing_is_put_back_without_need(tmp_path, monkeypatch):
    """After a clean end, and for a user who may not write; a state that was synced is read as it is."""
    store, model = make(tmp_path / "c")
    store.close()
    after_restart(monkeypatch)
    before = copied(tmp_path / "c")
    with Store.open(tmp_path / "c") as store:
        assert step_of(store) == model.step
        assert copied(tmp_path / "c") == before
        past.grow(store, model, 1, 15)
        assert read_sync_point(tmp_path / "c").boot == durability.boot_id()
        past.assert_sound(store)


def test_what_cannot_be_put_back_is_named(tmp_path, monkeypatch, rarely):
    store, model = make(tmp_path / "c")
    store.flush()
    past.grow(store, model, 1, 15)
    for name in ("rights", "verify", "short", "damaged"):
        shutil.copytree(tmp_path / "c", tmp_path / name)
    after_restart(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(
            durability, "WriterLock", lambda path, timeout_s: (_ for _ in ()).throw(durability.ReadOnlyError(path))
        )
        with pytest.raises(AccessError, match="put back"):
            Store.open(tmp_path / "rights")
    assert verify_path(tmp_path / "verify").ok
    with Store.open(tmp_path / "verify") as opened:
        assert step_of(opened) == model.step - 1
    os.truncate(tmp_path / "short" / "catalog.mdb", 3 * PAGE)
    content = bytearray((tmp_path / "damaged" / SYNCED).read_bytes())
    content[100] ^= 1
    (tmp_path / "damaged" / SYNCED).write_bytes(content)
    for name, match in (("short", r"catalog\.mdb"), ("damaged", r"synced\.meta")):
        with pytest.raises(CorruptionError, match=match):
            Store.open(tmp_path / name)
        assert not verify_path(tmp_path / name).ok


def test_backups_compactions_and_forks(tmp_path, monkeypatch, rarely):
    store, model = make(tmp_path / "c")
    backup(store, tmp_path / "copy")
    assert not (tmp_path / "copy" / SYNCED).exists()
    compact(store)
    assert not (tmp_path / "c" / SYNCED).exists()
    past.grow(store, model, 2, 15)

    def child():
        past.grow(store, model, 1, 15)
        past.assert_sound(store)
        store.close()
        return "grown"

    assert in_child(child) == "grown"
    model = past.replayed(tmp_path / "replay", model.step + 1, 15)
    assert step_of(store) == model.step
    past.grow(store, model, 1, 15)
    store.close()
    after_restart(monkeypatch)
    for name in ("c", "copy"):
        with Store.open(tmp_path / name) as opened:
            past.assert_sound(opened)
            assert opened.settings["durability"] == "batch"


def test_settings_say_when_a_commit_is_on_the_disk(tmp_path):
    for wrong in ("never", None, 1, ["batch"]):
        with pytest.raises(ValueError, match="durability.*commit, batch"):
            Store.create(tmp_path / "c", {**past.SETTINGS, "durability": wrong})
    store, _ = past.make(tmp_path / "c", 1, durability="commit")
    store.flush()
    store.close()
    assert not (tmp_path / "c" / SYNCED).exists()


def test_a_machine_that_does_not_tell_its_boot_id_cannot_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(durability, "_BOOT_ID", "/nowhere")
    store = Store.create(tmp_path / "c", {**past.SETTINGS, "durability": "batch"})
    with pytest.raises(StorageError, match="durability 'commit'"):
        store.write()
