"""A writer that dies at any instant leaves the last committed state."""

import random
import subprocess
import sys
import time

import pytest

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
    """LMDB may leave the last page of a file unwritten when it is free; see `lmdbfile.extend_to_end`."""
    store, model = world.make(tmp_path / "c", 3)
    store.close()
    del store
    catalog = tmp_path / "c" / "catalog.mdb"
    meta_page = bytearray(catalog.read_bytes())
    # A state whose last pages are free and missing: claim one page more, and put it on the list of free pages by
    # making the walker see nothing wrong.
    from ramet.storage import lmdbfile

    with open(catalog, "rb+") as file:
        newest = max(lmdbfile.read_metas(file.fileno(), catalog), key=lambda meta: meta.txn)
        at = newest.slot * newest.page_bytes + lmdbfile._TXN_AT - 8
        file.seek(at)
        file.write((newest.last_page + 1).to_bytes(8, "little"))
    monkeypatch.setattr(lmdbfile, "structure_problems", lambda path: [])
    with Store.open(tmp_path / "c") as store, store.read() as snapshot:
        world.assert_same(snapshot, model)
    assert catalog.stat().st_size == len(meta_page) + newest.page_bytes
