"""Damage is found, named, and never ends the process."""

import os
import subprocess
import sys

import pytest

from ramet.storage.errors import StorageError
from ramet.storage.findings import MAX_PROBLEMS
from ramet.storage.verify import verify, verify_path
from tests.storage import world
from tests.storage.world import Store


@pytest.mark.parametrize("name", ["postings.bin", "rows.bin", "vectors.bin", "catalog.mdb"])
def test_flipped_bits_are_noticed_or_harmless_and_never_crash(tmp_path, name):
    """In a process of its own, which asserts that no flip changes what is read while verify says all is well."""
    store, _ = world.make(tmp_path / "c", 3)
    store.close()
    del store
    flips = [sys.executable, world.__file__, "flips", str(tmp_path / "c"), name, "3", "60"]
    done = subprocess.run(flips, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    unnoticed, changed = map(int, done.stdout.split())
    assert unnoticed < 60
    assert changed or name == "catalog.mdb"


@pytest.mark.parametrize("kind", ["zeros", "swapped", "garbage", "cut"])
def test_a_torn_catalog_is_noticed(tmp_path, kind):
    store, _ = world.make(tmp_path / "c", 3)
    store.close()
    del store
    file = tmp_path / "c" / "catalog.mdb"
    whole = file.read_bytes()
    pages = len(whole) // 4096
    for page in range(2, pages, 5):
        torn = bytearray(whole)
        place = slice(4096 * page, 4096 * page + 4096)
        other = 4096 * ((page + 7) % pages)
        torn[place] = {"zeros": bytes(4096), "swapped": whole[other : other + 4096], "garbage": b"\x99" * 4096}.get(
            kind, whole[place]
        )
        file.write_bytes(torn[: place.start] if kind == "cut" else torn)
        if verify_path(tmp_path / "c").ok:  # the page was free: then nothing may have changed
            with Store.open(tmp_path / "c") as store, store.read() as snapshot:
                world.assert_same(snapshot, world.replayed(3))
            del store, snapshot
    file.write_bytes(whole)
    assert verify_path(tmp_path / "c").ok


def damaged(tmp_path, change):
    """Verify a collection to which a writer has done something that no engine would."""
    store, _ = world.make(tmp_path / "c", 2)
    with store.write() as writer:
        change(writer, writer._reading())
    report = verify(store)
    assert not report.ok
    return [str(problem) for problem in report.problems]


def first_key(txn, table):
    cursor = txn.cursor()
    assert cursor.set_range(table)
    return cursor.key(), cursor.value()


def test_contradictions_in_the_catalog_are_named(tmp_path):
    from ramet.storage import catalog

    def wrong_home(writer, txn):
        key, value = first_key(txn, catalog.HOMES)
        txn.put(key, value[:10] + b"\x63\0\0\0" + value[14:])

    def home_missing(writer, txn):
        txn.delete(first_key(txn, catalog.HOMES)[0])

    def wrong_row(writer, txn):
        key, value = first_key(txn, catalog.IDS)
        txn.put(key, b"\1\0\0\0" if value != b"\1\0\0\0" else b"\2\0\0\0")

    def row_too_large(writer, txn):
        txn.put(first_key(txn, catalog.IDS)[0], b"\xff\xff\xff\0")

    def id_lost(writer, txn):
        txn.delete(first_key(txn, catalog.IDS)[0])

    def long_id_lost(writer, txn):
        txn.delete(first_key(txn, catalog.LONG_IDS)[0])

    def overlap(writer, txn):
        key, value = first_key(txn, catalog.LISTS)
        txn.put(key[:-4] + b"\0\0\0\x63", value)

    def outside(writer, txn):
        key, value = first_key(txn, catalog.LISTS)
        txn.put(key, b"\xff" * 7 + value[7:])

    def list_lost(writer, txn):
        txn.delete(first_key(txn, catalog.LISTS)[0])

    def counter(writer, txn):
        txn.delete(first_key(txn, catalog.MEMBERS)[0])

    def name_lost(writer, txn):
        txn.delete(first_key(txn, catalog.TENANTS)[0])

    def log_lost(writer, txn):
        txn.put(catalog.LOG + catalog.LOG_KEY.pack(0, 1), b"\0\0\0\0")

    def waiting_stranger(writer, txn):
        txn.put(catalog.PENDING + catalog.PAIR_KEY.pack(77, 1), b"\1")

    def stepchild(writer, txn):
        catalog.put_summed(txn, catalog.CHILDREN + catalog.U32_KEY.pack(1), b"\2\0\0\0")

    def sum_lost(writer, txn):
        txn.delete(first_key(txn, catalog.SUMS)[0])

    def cell(writer, txn):
        key, value = first_key(txn, catalog.CELLS)
        txn.put(key, value[:-1] + bytes([value[-1] ^ 1]))

    def meta(writer, txn):
        key = catalog.META + b"engine/batch"
        txn.put(key, txn.get(key)[:-1] + b"7")

    def stranger(writer, txn):
        txn.put(b"\x7fkey", b"value")

    expected = {
        wrong_home: "cell 99",
        home_missing: "found that it does not",
        wrong_row: "rows.bin: row ",
        row_too_large: "expected a row below",
        id_lost: "n_live",
        long_id_lost: "long id of row",
        overlap: "expected one owner",
        outside: "expected an extent below page",
        list_lost: "found neither list nor free",
        counter: "expected a known tenant",
        name_lost: "expected a name that leads to it",
        log_lost: "log of tenant 0",
        waiting_stranger: "waiting list (tenant 77, cell 1)",
        stepchild: "children of cell 1",
        sum_lost: "expected checksum entry",
        cell: "table 3",
        meta: "engine/batch",
        stranger: "belongs to no table",
    }
    for change, words in expected.items():
        problems = damaged(tmp_path / change.__name__, change)
        assert any(words in problem for problem in problems), (change.__name__, problems[:5])


def test_a_file_that_shrinks_under_an_open_collection_is_reported(tmp_path):
    store, _ = world.make(tmp_path / "c", 3)
    for name in ("postings.bin", "rows.bin", "vectors.bin"):
        os.truncate(tmp_path / "c" / name, 6000)
    report = verify(store)
    files = {problem.file for problem in report.problems}
    assert {"postings.bin", "rows.bin", "vectors.bin"} <= files
    assert len(report.problems) <= MAX_PROBLEMS + 1
    assert all(problem.where and problem.what for problem in report.problems)
    with pytest.raises(StorageError):
        store.write()


def test_verification_beside_a_busy_writer_finds_nothing(tmp_path):
    store, _ = world.make(tmp_path / "c", 2, 5)
    writing = [sys.executable, world.__file__, "write", str(tmp_path / "c"), "3", "60", "5"]
    with subprocess.Popen(writing, stdout=subprocess.PIPE, text=True) as writer:
        n = 0
        while writer.poll() is None and n < 200:
            report = verify(store) if n % 2 else verify_path(tmp_path / "c")
            assert report.ok, [str(problem) for problem in report.problems[:3]]
            n += 1
            writer.stdout.readline()
        writer.communicate()
    assert writer.returncode == 0
    assert n > 1
