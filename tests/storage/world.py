"""A little world to store: batches of records that are the same in every process, a model of them, and a comparison.

As a program: ``python world.py COMMAND ARGUMENTS`` does one thing in a process of its own (see the end of the file).
"""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ramet.storage.datafile import DataFile
from ramet.storage.errors import StorageError
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store
from ramet.storage.verify import verify, verify_path
from ramet.storage.writer import Writer

SETTINGS = {"n_factors": 2, "code_bytes": 24, "cell_bytes": 12, "vector_bytes": 16, "dim": 4, "name": "wörld"}
N_CELLS = 6
NO_PARENT = 0xFFFFFFFF


def vectors_of(rows):
    """Full-precision bytes of rows, made from the row number alone."""
    return (np.asarray(rows, np.uint64)[:, None] * 2654435761 + np.arange(16, dtype=np.uint64) * 97).astype(np.uint8)


def factors_of(rows):
    rows = np.asarray(rows, np.uint32)
    return np.stack([rows * np.uint32(3) + np.uint32(1), rows ^ np.uint32(0xDEADBEEF)])


def codes_of(rows):
    return (np.asarray(rows, np.uint64)[:, None] * 40503 + np.arange(24, dtype=np.uint64) * 31).astype(np.uint8)


def payload_of(cells, salt=0):
    return (np.asarray(cells, np.uint64)[:, None] * 7 + np.arange(12, dtype=np.uint64) + salt).astype(np.uint8)


def id_of(tenant, k, i):
    """Ids of several kinds: short, unicode, too long for a slot, ending in a zero byte."""
    kinds = (f"{tenant}:{k}:{i}", f"ü{i}–{k}", f"{k}/{i}/" + "x" * 70, f"{k}.{i}\0")
    return kinds[0] if i % 7 else kinds[i // 7 % 4]


@dataclass
class Model:
    """What the collection should say, in dicts."""

    batch: int = 0
    tenants: dict = field(default_factory=dict)  # name -> number
    ids: dict = field(default_factory=dict)  # (tenant number, id) -> row
    names: list = field(default_factory=list)  # row -> id
    owners: list = field(default_factory=list)  # row -> tenant number
    lists: dict = field(default_factory=dict)  # (tenant number, cell) -> rows in order

    @property
    def n_rows(self):
        return len(self.names)

    def homes(self, row):
        return sorted(key for key, rows in self.lists.items() if row in set(rows))


def batch(k, n=None):
    """Batch number k: tenant's name, number of rows, and the cells of each row."""
    rng = np.random.default_rng(k)
    n = int(rng.integers(1, 300)) if n is None else n
    cells = [sorted(rng.choice(N_CELLS, size=int(rng.integers(1, 3)), replace=False).tolist()) for _ in range(n)]
    return f"tenant-{k % 3}", n, cells


def apply(model, k, n=None):
    """Add batch k to the model; return what a writer has to do."""
    name, n, cells = batch(k, n)
    tenant = model.tenants.setdefault(name, len(model.tenants))
    first = model.n_rows
    touched = set()
    for i in range(n):
        row_id = id_of(tenant, k, i)
        model.ids[tenant, row_id] = first + i
        model.names.append(row_id)
        model.owners.append(tenant)
        for cell in cells[i]:
            model.lists.setdefault((tenant, cell), []).append(first + i)
            touched.add(cell)
    model.batch = k
    return name, tenant, first, n, cells, sorted(touched)


def write_step(writer, model, k, n=None):
    """Apply batch k to the model and, through an open writer, to a collection."""
    name, tenant, first, n, cells, touched = apply(model, k, n)
    assert writer.ensure_tenant(name) == tenant
    every = np.arange(N_CELLS, dtype=np.uint32)
    parents = np.where(every == 0, NO_PARENT, 0).astype(np.uint32)
    writer.put_cells(every, parents, (every > 0).astype(np.uint32), payload_of(every, k))
    rows = np.arange(first, first + n)
    assert writer.append_rows(tenant, model.names[first:], vectors_of(rows)) == first
    writer.see_rows(tenant, rows, [None] * n)
    write_lists(writer, model, tenant, touched)
    starts = np.cumsum([0] + [len(own) for own in cells])
    writer.put_homes(first, tenant, tenant, starts, np.array([c for own in cells for c in own], np.uint32))
    writer.set_meta("batch", k)
    writer.put_blob("blob", f"batch {k} ".encode() * (50 * (k % 7)))


def write_lists(writer, model, tenant, cells, slack=0.0):
    """Write the model's lists of some cells of a tenant."""
    contents = [model.lists.get((tenant, cell), []) for cell in cells]
    starts = np.cumsum([0] + [len(rows) for rows in contents])
    rows = np.array([row for part in contents for row in part], np.uint32)
    writer.write_lists(tenant, np.array(cells, np.uint32), starts, rows, factors_of(rows), codes_of(rows), slack)


def commit(store, model, k, n=None):
    """One whole transaction: batch k."""
    with store.write() as writer:
        write_step(writer, model, k, n)


def replayed(n_batches, n=None):
    """The model after batches 1 to n_batches."""
    model = Model()
    for k in range(1, n_batches + 1):
        apply(model, k, n)
    return model


def make(path, n_batches=3, n=None):
    """A collection with the given batches in it, and its model."""
    store, model = Store.create(Path(path), SETTINGS), Model()
    for k in range(1, n_batches + 1):
        commit(store, model, k, n)
    return store, model


def assert_same(reader, model):
    """Compare everything that a snapshot or a writer says with the model."""
    assert reader.n_rows == reader.n_live == model.n_rows
    assert reader.meta("batch") == (model.batch or None)
    counts = {name: sum(owner == number for owner in model.owners) for name, number in model.tenants.items()}
    assert reader.tenants() == counts
    for name, number in model.tenants.items():
        assert reader.tenant_number(name) == number
        assert reader.count(number) == counts[name]
        own = sorted(cell for tenant, cell in model.lists if tenant == number)
        directory = reader.lists(number)
        assert directory.cells.tolist() == own
        assert directory.counts.tolist() == [len(model.lists[number, cell]) for cell in own]
        ids = [name for (tenant, name) in model.ids if tenant == number]
        assert set(reader.visible(number)) == {row for (tenant, _), row in model.ids.items() if tenant == number}
        assert reader.rows_of(number, [*ids, "nobody"]).tolist() == [*(model.ids[number, name] for name in ids), -1]
    held = {}
    for key, rows in model.lists.items():
        for row in rows:
            held.setdefault(row, []).append(key)
    for row in range(model.n_rows):
        homes = reader.homes(row)
        assert (homes.owner, sorted(homes.lists)) == (model.owners[row], sorted(held.get(row, [])))
    if model.batch:
        assert (reader.cells().payload == payload_of(range(N_CELLS), model.batch)).all()
        assert reader.blob("blob") == f"batch {model.batch} ".encode() * (50 * (model.batch % 7))
    if isinstance(reader, Snapshot):
        assert_same_files(reader, model)


def assert_same_files(snapshot, model):
    """Compare what a snapshot reads from the data files with the model."""
    rows = np.arange(model.n_rows)
    assert snapshot.ids_of(rows) == model.names
    assert (snapshot.vectors(rows) == vectors_of(rows)).all()
    for (tenant, cell), listed in model.lists.items():
        content = snapshot.read_list(tenant, cell, check=True)
        assert content.rows.tolist() == listed
        assert (content.factors == factors_of(listed)).all()
        assert (content.codes == codes_of(listed)).all()


def assert_sound(store, model):
    """Compare a collection with the model, and verify it."""
    with store.read() as snapshot:
        assert_same(snapshot, model)
    report = verify(store)
    assert report.ok, [str(problem) for problem in report.problems[:5]]
    assert report.checked["ids"] == model.n_rows


# ------------------------------------------------------------------------------------------------ other processes


def say(*words):
    print(*words, flush=True)


def command_write(path, first, last, n):
    """Commit batches first to last, saying each."""
    store = Store.open(Path(path))
    model = replayed(int(first) - 1, int(n) or None)
    for k in range(int(first), int(last) + 1):
        commit(store, model, k, int(n) or None)
        say(k)


def command_check(path, n):
    """Compare the newest state with the model of its batch."""
    with Store.open(Path(path)) as store, store.read() as snapshot:
        k = snapshot.meta("batch")
        assert_same(snapshot, replayed(k, int(n) or None))
        say(k)


def command_hold(path, seconds):
    """Hold a snapshot until a line comes in, then read everything again."""
    with Store.open(Path(path)) as store, store.read() as snapshot:
        model = replayed(snapshot.meta("batch"))
        assert_same(snapshot, model)
        say("holding")
        sys.stdin.readline()
        assert_same(snapshot, model)
        say("same")


def command_lock(path, seconds):
    """Begin to write and keep at it."""
    with Store.open(Path(path)).write() as writer:
        writer.ensure_tenant("held")
        say("writing")
        time.sleep(float(seconds))


def command_crash(path, point):
    """Commit a batch and die at the point of that number: before, between and after the writes, syncs, the commit."""
    left = int(point)

    def dying(function):
        def wrapped(*arguments):
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return function(*arguments)

        return wrapped

    DataFile.write = dying(DataFile.write)
    DataFile.sync = dying(DataFile.sync)
    Writer.commit = dying(Writer.commit)
    store = Store.open(Path(path))
    with store.read() as snapshot:
        model = replayed(snapshot.meta("batch"))
    commit(store, model, model.batch + 1)
    say("survived")


def command_flips(path, name, seed, n):
    """Damage a file of a collection n times, one place at a time; verify and read; report what went unnoticed."""
    file, rng = Path(path) / name, np.random.default_rng(int(seed))
    with Store.open(Path(path)) as store, store.read() as snapshot:
        model = replayed(snapshot.meta("batch"))
    del store, snapshot
    size, unnoticed, changed = file.stat().st_size, 0, 0
    for _ in range(int(n)):
        at, mask = int(rng.integers(size)), 1 << int(rng.integers(8))
        with open(file, "rb+") as opened:
            opened.seek(at)
            old = opened.read(1)
            opened.seek(at)
            opened.write(bytes([old[0] ^ mask]))
            opened.flush()
            noticed = not verify_path(Path(path)).ok
            try:
                if not noticed or name != "catalog.mdb":  # whoever reads a damaged catalog unverified is on his own
                    with Store.open(Path(path)) as store, store.read() as snapshot:
                        assert_same(snapshot, model)
                    del store, snapshot
                unnoticed += not noticed
            except (AssertionError, StorageError):
                changed += 1
                assert noticed, f"bit {mask} of byte {at} changes the content and goes unnoticed"
            opened.seek(at)
            opened.write(old)
    say(unnoticed, changed)


if __name__ == "__main__":
    globals()[f"command_{sys.argv[1]}"](*sys.argv[2:])
