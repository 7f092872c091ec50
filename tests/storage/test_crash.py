"""A writer that dies at any instant leaves the last committed state."""

import random
import subprocess
import sys
import time

import pytest

from ramet.storage import lmdbfile
from ramet.storage.verify import verify_path
from tests.storage import world
from tests.storage.world import Store


def command(*words):
    return [sys.executable, world.__file__, *map(str, words)]


def test_a_writer_killed_at_any_time_leaves_its_last_commit(tmp_path):
    store, _ = world.make(tmp_path / "c", 1)
    store.close()
    del store
    rng, last = random.Random(7), 1
    for _ in range(12):
        writing = command("write", tmp_path / "c", last + 1, last + 500, 0)
        with subprocess.Popen(writing, stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()  # it is at it now
            time.sleep(rng.uniform(0, 0.03))
            writer.kill()
            said = writer.stdout.read().split()
        with Store.open(tmp_path / "c") as store:
            with store.read() as snapshot:
                last = snapshot.meta("batch")
            assert last >= int(said[-1] if said else 0)
            world.assert_sound(store, world.replayed(last))
        del store, snapshot
    assert last > 12


@pytest.mark.parametrize("point", range(7))
def test_a_writer_that_dies_at_each_step_of_a_commit(tmp_path, point):
    """Points: the three files written, `commit` called, the three files synced."""
    store, model = world.make(tmp_path / "c", 2)
    dead = subprocess.run(command("crash", tmp_path / "c", point), check=False)
    assert dead.returncode == 9
    world.assert_sound(store, model)
    world.commit(store, model, 3)
    world.assert_sound(store, model)


def test_the_crash_test_covers_every_step(tmp_path):
    store, _ = world.make(tmp_path / "c", 2)
    alive = subprocess.run(command("crash", tmp_path / "c", 7), check=False, stdout=subprocess.PIPE, text=True)
    assert alive.stdout == "survived\n"
    world.assert_sound(store, world.replayed(3))


def test_a_catalog_left_short_by_a_dead_writer_is_lengthened(tmp_path, monkeypatch):
    """LMDB leaves the last pages of a file unwritten when they are free; see `lmdbfile.extend_to_end`."""
    store, model = world.make(tmp_path / "c", 3)
    file = tmp_path / "c" / "catalog.mdb"
    rng = random.Random(1)

    def missing():
        with open(file, "rb") as opened:
            return lmdbfile.catalog_end(opened.fileno(), file) - file.stat().st_size

    with monkeypatch.context() as patch:
        patch.setattr(lmdbfile, "extend_to_end", lambda fd, path: None)  # dies before it comes to that
        for _ in range(300):
            with store.write() as writer:
                for _ in range(rng.randrange(6)):
                    content = rng.randbytes(rng.randrange(200_000)) if rng.random() < 0.6 else None
                    writer.put_blob(f"blob {rng.randrange(5)}", content)
            if missing() > 0:
                break
    assert missing() > 0
    store.close()
    assert verify_path(tmp_path / "c").ok
    assert missing() == 0
    with Store.open(tmp_path / "c") as store:
        world.assert_sound(store, model)
