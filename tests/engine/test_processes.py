"""Other processes: reopening, readers beside each other, forks, kills."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ramet
from ramet.storage.errors import WriterBusyError
from tests.engine.world import vectors

QUERY = """
import sys, json, numpy as np, ramet
docs = ramet.connect(sys.argv[1], create=False).collection("c")
queries = np.load(sys.argv[2])
for _ in range(int(sys.argv[3])):
    hits = docs.query(queries, 5)
print(json.dumps([hits.ids, docs.count()]))
"""

BUILD = """
import sys, numpy as np, ramet
docs = ramet.connect(sys.argv[1]).create_collection("c", 16, "l2", exist_ok=True)
docs.build(np.load(sys.argv[2]), progress=lambda stage, done: print(stage, done, flush=True))
"""


def run(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, **options)


@pytest.fixture
def built(tmp_path):
    data = vectors(5000, 16)
    collection = ramet.connect(tmp_path / "db").create_collection("c", 16, "l2")
    collection.build(data)
    np.save(tmp_path / "q.npy", data[:20])
    return collection, data, tmp_path


def test_another_process_finds_the_same(built):
    collection, data, path = built
    process = run(QUERY, path / "db", path / "q.npy", 1)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.decode().strip() == __import__("json").dumps([collection.query(data[:20], 5).ids, 5000])


def test_several_processes_read_at_once(built):
    _, _, path = built
    processes = [run(QUERY, path / "db", path / "q.npy", 20) for _ in range(3)]
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1


def test_threads_share_a_collection(built):
    from concurrent.futures import ThreadPoolExecutor

    collection, data, _ = built
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: collection.query(data[i], 1).ids[0], range(200)))
    assert found == [str(i) for i in range(200)]


def _child_query(collection, data, results):
    results.put((collection.query(data[:50], 1).ids, collection.query(data[3], 2).ids, collection.count()))


def test_a_forked_child_and_its_parent_both_go_on(built):
    collection, data, _ = built
    before = collection.query(data[:50], 1).ids
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child_query, args=(collection, data, results))
    child.start()
    batch, single, count = results.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert (batch, single[0], count) == (before, "3", 5000)
    assert collection.query(data[:50], 1).ids == before


def test_a_second_writer_waits_and_then_is_told_who_holds_the_collection(built):
    collection, _, _ = built
    with collection._store.write(), pytest.raises(WriterBusyError, match=str(os.getpid())):
        collection._store.write(timeout_s=0.2).__enter__()


@pytest.mark.parametrize("round_", range(6))
def test_a_killed_build_leaves_the_collection_empty_or_complete(tmp_path, round_):
    data = vectors(20_000, 16)
    np.save(tmp_path / "x.npy", data)
    process = run(BUILD, tmp_path / "db", tmp_path / "x.npy")
    for line in process.stdout:  # die at another place in each round
        if line.startswith((b"assign 1.0", b"write", b"measure")):
            time.sleep([0.0, 0.005, 0.02, 0.05, 0.1, 0.2][round_])
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with ramet.connect(tmp_path / "db") as db:
        collection = db.collection("c")
        assert collection.verify().ok
        assert collection.count() in (0, 20_000)
        if collection.count() == 0:
            collection.build(data)
        hits = collection.query(data[:100], 1)
        assert [ids[0] for ids in hits.ids] == [str(i) for i in range(100)]


def test_a_failed_build_leaves_the_collection_empty(tmp_path):
    collection = ramet.connect(tmp_path).create_collection("c", 16, "l2")

    def stop(stage, done):
        if stage == "write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.build(vectors(3000, 16), progress=stop)
    assert collection.count() == 0
    assert collection.verify().ok
    collection.build(vectors(3000, 16))
    assert collection.count() == 3000


def test_a_backup_opens_and_verifies(built):
    collection, data, path = built
    collection.backup(path / "copies" / "monday")
    with ramet.connect(path / "copies") as db:
        copy = db.collection("monday")
        assert copy.verify().ok
        assert copy.query(data[:50], 3).ids == collection.query(data[:50], 3).ids
        assert copy.stats()["tenants"] == collection.stats()["tenants"]


def test_an_interrupted_batch_waits_for_its_threads(built, monkeypatch):
    """They read mapped files that are given back when the collection is closed."""
    import threading

    from ramet.engine import threads

    monkeypatch.setattr(threads, "n_cores", lambda: 2)
    running = threading.Event()
    states = []

    def work(first, last):
        running.set()
        time.sleep(0.2)
        states.append(first)
        if len(states) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.in_pieces(work, 80, 2, 10)
    done = len(states)
    assert running.is_set()
    assert done <= 3  # the pieces that were running, and no later one
    time.sleep(0.5)
    assert len(states) == done


def test_overlapping_builds_leave_blas_as_it_was():
    from threadpoolctl import threadpool_info

    from ramet.engine.builder import one_blas_thread

    def limits():
        return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

    before = limits()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(limits()) == {1}
    second.__exit__(None, None, None)
    assert limits() == before


def test_a_collection_made_again_by_somebody_else_is_opened_anew(tmp_path):
    other = ramet.connect(tmp_path)
    with ramet.connect(tmp_path) as db:
        db.create_collection("a", 16, "l2").build(vectors(50, 16))
        other.delete_collection("a")
        again = db.create_collection("a", 32, "cosine")
        assert (again.dim, again.metric, again.count()) == (32, "cosine", 0)


def test_graph_navigation_works_in_a_forked_child(tmp_path):
    data = vectors(9000, 16)
    collection = ramet.connect(tmp_path).create_collection("c", 16, "l2")
    collection.build(data, list_size=12, navigation="hnsw")
    before = collection.query(data[:50], 1).ids
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child_query, args=(collection, data, results))
    child.start()
    assert results.get(timeout=60)[0] == before
    child.join(60)
