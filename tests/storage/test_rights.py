"""Directories that may not be written or not be read, and disks that are full."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ramet
from ramet.storage.errors import StorageFullError
from tests.storage import world
from tests.storage.world import Store

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user and mount file systems")
NOBODY = 65534

LOOK = """
import sys
from pathlib import Path
from ramet.storage.store import Store
from ramet.storage.verify import verify
path = Path(sys.argv[1])
try:
    store = Store.open(path)
    with store.read() as snapshot:
        print(snapshot.n_rows, store.read_only, snapshot.ids_of([0]), verify(store).ok)
    store.write()
except Exception as error:
    print(type(error).__name__, error)
"""


def as_nobody(program, *words):
    """Run a program as a user without rights, and return what it says.

    The interpreter and the sources may lie where that user cannot look, so it imports first and steps down then.
    """
    down = "import os, encodings.idna, lmdb._envid, lmdb.verify\n"
    down += "import ramet.storage.verify, ramet.storage.store, ramet.storage.backup\n"
    down += f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    command = [sys.executable, "-c", down + program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_place():
    """A directory that every user can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="ramet-rights-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@needs_root
@pytest.mark.parametrize("lock_file", [True, False])
def test_a_collection_of_somebody_else_opens_read_only(open_place, lock_file):
    store, model = world.make(open_place / "c", 2)
    store.close()
    del store
    if not lock_file:
        (open_place / "c" / "catalog.mdb-lock").unlink()
    said = as_nobody(LOOK, open_place / "c").splitlines()
    assert said[0] == f"{model.n_rows} True {model.names[:1]} True"
    assert said[1].startswith("ReadOnlyError") and str(open_place / "c") in said[1]
    assert (open_place / "c" / "catalog.mdb-lock").exists() == lock_file


@needs_root
def test_a_directory_on_a_read_only_file_system(open_place):
    store, model = world.make(open_place / "c", 2)
    store.close()
    del store
    target = open_place / "mounted"
    target.mkdir()
    mount(["--bind", str(open_place / "c"), str(target)])
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(target)], check=True, capture_output=True)
        said = subprocess.run([sys.executable, "-c", LOOK, target], capture_output=True, text=True, check=True).stdout
        assert said.splitlines()[0] == f"{model.n_rows} True {model.names[:1]} True"
        assert said.splitlines()[1].startswith("ReadOnlyError")
    finally:
        subprocess.run(["umount", str(target)], check=True)


@needs_root
def test_a_directory_that_may_not_be_looked_into_is_named(open_place):
    world.make(open_place / "c", 1)[0].close()
    (open_place / "c").chmod(0o700)
    said = as_nobody(LOOK, open_place / "c")
    assert said.startswith("AccessError") and str(open_place / "c") in said
    (open_place / "c").chmod(0o755)
    (open_place / "c" / "rows.bin").chmod(0o600)
    said = as_nobody(LOOK, open_place / "c")
    assert said.startswith("AccessError") and "rows.bin" in said
    make = "from pathlib import Path\nfrom ramet.storage.store import Store\ntry:\n    Store.create(Path(%r), %r)\n"
    make += "except Exception as error:\n    print(type(error).__name__, error)\n"
    said = as_nobody(make % (str(open_place / "new"), world.SETTINGS))
    assert said.startswith("AccessError") and "new" in said


def mount(words):
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(open_place):
    """A file system of 3 MiB."""
    target = open_place / "small"
    target.mkdir()
    mount(["-t", "tmpfs", "-o", "size=3m", "none", str(target)])
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


@needs_root
def test_a_full_disk_costs_the_transaction_and_nothing_else(small_disk):
    store, model = world.make(small_disk / "c", 2)
    ballast = small_disk / "ballast"
    for n_free in (4, 60, 200, 400):  # KiB that are left: so it runs full at one file or the other
        room = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - n_free * 1024)))
        with pytest.raises(StorageFullError, match="No space|no room|full"):
            for k in range(model.batch + 1, 100):
                world.commit(store, world.replayed(k - 1), k)
                model = world.replayed(k)
        with store.read() as snapshot:
            world.assert_same(snapshot, model)
        ballast.unlink()
        model = world.replayed(model.batch)
        world.commit(store, model, model.batch + 1)
        world.assert_sound(store, model)
    store.close()
    with Store.open(small_disk / "c") as store:
        world.assert_sound(store, model)


def test_the_package_under_test_is_this_one():
    assert Path(ramet.__file__).resolve().parts[-3:] == ("api", "python", "__init__.py")
