"""Forking with open collections: the child may go on, and never harms the parent."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from ramet.storage.errors import ForkError
from tests.storage import world

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_child(function, timeout_s=20.0):
    """Run a function in a forked child and return what it printed or raised as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        words = "died"
        try:
            words = str(function())
        except BaseException as error:
            words = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, words.encode())
            os._exit(0)
    os.close(write)
    deadline = time.monotonic() + timeout_s
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_the_child_of_an_idle_parent_reads_and_writes(tmp_path):
    store, model = world.make(tmp_path / "c", 2)

    def child():
        with store.read() as snapshot:
            world.assert_same(snapshot, model)
        world.commit(store, model, 3)
        world.assert_sound(store, model)
        return in_child(lambda: world.assert_sound(store, model) or "grandchild too")

    assert in_child(child) == "grandchild too"
    with store.read() as snapshot:
        world.assert_same(snapshot, world.replayed(3))
    after = world.replayed(3)
    world.commit(store, after, 4)
    world.assert_sound(store, after)


def test_snapshots_of_the_parent_survive_whatever_the_child_does(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    with store.read() as snapshot:

        def child():
            try:
                snapshot.lists(0)
            except ForkError:
                pass
            else:
                return "no ForkError"
            snapshot.close()
            own = world.replayed(2)
            for k in range(3, 7):  # rewrites the lists that the parent's snapshot reads
                world.commit(store, own, k)
            return "done"

        assert in_child(child) == "done"
        listed = store._core.env.readers()
        assert str(os.getpid()) in listed
        world.assert_same(snapshot, model)
    world.assert_sound(store, world.replayed(6))


def test_a_writer_of_the_parent_is_no_use_to_the_child(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    with store.write() as writer:
        world.write_step(writer, model, 3)

        def child():
            try:
                writer.set_meta("batch", 99)
            except ForkError:
                writer.__exit__(None, None, None)
                return in_child_error(store)
            return "no ForkError"

        assert "was being written" in in_child(child)
    world.assert_sound(store, model)
    world.commit(store, model, 4)
    world.assert_sound(store, model)


def in_child_error(store):
    try:
        store.read()
    except ForkError as error:
        return str(error)
    return "no error"


def test_the_lock_goes_with_the_writer_and_not_with_its_children(tmp_path):
    store, model = world.make(tmp_path / "c", 1)
    read, write = os.pipe()
    with store.write():
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)  # stay alive while the parent goes on
            os._exit(0)
    world.commit(store, model, 2)
    os.close(write)
    os.close(read)
    os.waitpid(pid, 0)
    world.assert_sound(store, model)


def test_forks_out_of_a_pool_of_busy_readers(tmp_path):
    store, model = world.make(tmp_path / "c", 2)
    stop, failures = threading.Event(), []
    rows = np.arange(model.n_rows)

    def work():
        try:
            while not stop.is_set():
                with store.read() as snapshot:
                    snapshot.lists(0)
                    snapshot.blob("blob")
                    assert snapshot.ids_of(rows) == model.names
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            assert in_child(lambda: world.assert_same(store.read(), model) or "same") == "same"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    world.commit(store, model, 3)
    world.assert_sound(store, model)


def test_a_child_that_exits_the_long_way_does_not_hang(tmp_path):
    """With the collection at rest, being read and being written at the moment of the fork."""
    world.make(tmp_path / "c", 1)[0].close()
    program = f"""
        import os, sys
        from pathlib import Path
        from ramet.storage.store import Store
        store = Store.open(Path({str(tmp_path / "c")!r}))
        held = {{"rest": lambda: None, "read": store.read, "write": store.write}}[sys.argv[1]]()
        if os.fork() == 0:
            sys.exit(0)
        assert os.wait()[1] == 0
    """
    for kind in ("rest", "read", "write"):
        subprocess.run([sys.executable, "-c", textwrap.dedent(program), kind], check=True, timeout=20)
