"""A collection with a past: records granted to several tenants, long ids, rows, lists and tenants that are gone.

Rows are known by serial numbers here, which a compaction does not change. Every commit stores the digest of what the
collection should say, so any process can tell whether a snapshot is right.

As a program: ``python past.py COMMAND ARGUMENTS`` does one thing in a process of its own (see the end of the file).
"""

import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ramet.storage.datafile import DataFile
from ramet.storage.homes import HomeTable
from ramet.storage.postings import ListBatch, ListEdit
from ramet.storage.store import Store
from ramet.storage.verify import verify
from ramet.storage.writer import Writer

SETTINGS = {"n_factors": 2, "code_bytes": 24, "cell_bytes": 12, "vector_bytes": 16}
N_CELLS = 9


def stretch(word, n):
    """Bytes that occur nowhere else."""
    return hashlib.shake_128(word.encode()).digest(n)


def vector_of(serial):
    return stretch(f"vector {serial}", 16)


def codes_of(serial):
    return stretch(f"codes {serial}", 24)


def factors_of(serial):
    return tuple(np.frombuffer(stretch(f"factors {serial}", 8), np.uint32).tolist())


def id_of(serial):
    kind = serial % 5
    return f"{serial:06}#{stretch(f'id {serial}', 4).hex()}" + ("", "", "ü", "-" * 30, "/" * 90)[kind]


@dataclass
class Past:
    """What the collection should say."""

    tenants: dict = field(default_factory=dict)  # name -> number
    owners: dict = field(default_factory=dict)  # serial -> tenant number; live ones only
    homes: dict = field(default_factory=dict)  # serial -> [(tenant number, cell)]
    lists: dict = field(default_factory=dict)  # (tenant number, cell) -> serials in order
    rows: dict = field(default_factory=dict)  # serial -> row, as long as nothing was compacted
    n_serials: int = 0
    step: int = 0

    def said(self):
        """The same as `said_by` of a snapshot."""
        names = {number: name for name, number in self.tenants.items()}
        viewers = {serial: {self.owners[serial]} | {t for t, _ in self.homes[serial]} for serial in self.owners}
        return {
            name: {
                "ids": {
                    id_of(serial): (names[self.owners[serial]], vector_of(serial), tuple(self.homes[serial]))
                    for serial in sorted(self.owners, key=lambda serial: id_of(serial).encode())
                    if number in viewers[serial]
                },
                "lists": {
                    cell: [(id_of(serial), factors_of(serial), codes_of(serial)) for serial in held]
                    for (tenant, cell), held in sorted(self.lists.items())
                    if tenant == number
                },
            }
            for name, number in sorted(self.tenants.items())
        }


def said_by(snapshot, check=True):
    """Everything that a snapshot says, without row numbers."""
    said = {}
    names = {member.number: member.name for member in snapshot.members()}
    for name, n in sorted(snapshot.tenants().items()):
        number = snapshot.tenant_number(name)
        ids, rows = snapshot.ids_of_tenant(number)
        assert len(ids) == n
        assert snapshot.ids_of(rows) == ids
        assert snapshot.rows_of(number, ids).tolist() == rows.tolist()
        assert list(snapshot.visible(number)) == sorted(rows.tolist())
        vectors = snapshot.vectors(rows)
        homes = [snapshot.homes(row) for row in rows.tolist()]
        lists = {}
        for cell in snapshot.lists(number).cells.tolist():
            content = snapshot.read_list(number, cell, check=check)
            listed = snapshot.ids_of(content.rows)
            factors = [tuple(column) for column in content.factors.T.tolist()]
            lists[cell] = list(zip(listed, factors, map(bytes, content.codes), strict=True))
        said[name] = {
            "ids": {
                row_id: (names[home.owner], bytes(vector), tuple(home.lists))
                for row_id, vector, home in zip(ids, vectors, homes, strict=True)
            },
            "lists": lists,
        }
    return said


def digest(said):
    return hashlib.sha256(repr(said).encode()).hexdigest()


def assert_right(snapshot):
    """Compare a snapshot with the digest in it."""
    assert digest(said_by(snapshot)) == snapshot.meta("digest")


def grow(store, past, rounds=3, n=60):
    """Some transactions more: records come, are granted to others, and go; then tidy things are stored, too."""
    for _ in range(rounds):
        past.step += 1
        with store.write() as writer:
            rng = np.random.default_rng(past.step)
            past.rows = {}
            for number in past.tenants.values():
                ids, rows = writer.ids_of_tenant(number)
                past.rows.update({int(name[:6]): row for name, row in zip(ids, rows.tolist(), strict=True)})
            _come(writer, past, rng, n)
            _grant(writer, past, rng)
            _go(writer, past, rng)
            _tidy(writer, past)


def _lists_changed(writer, past, tenant, come, leave):
    """Change the lists of a tenant in the model and the collection: {cell: serials} each."""
    cells = sorted({*come, *leave})
    if not cells:
        return
    added = [serial for cell in cells for serial in come.get(cell, [])]
    gone = [past.rows[serial] for cell in cells for serial in leave.get(cell, [])]
    factors = np.array([factors_of(serial) for serial in added], np.uint32).reshape(-1, 2).T
    codes = np.frombuffer(b"".join(map(codes_of, added)), np.uint8).reshape(-1, 24)
    edit = ListEdit(
        cells=np.array(cells, np.uint32),
        add=ListBatch(
            starts=np.cumsum([0] + [len(come.get(cell, [])) for cell in cells]),
            rows=np.array([past.rows[serial] for serial in added], np.uint32),
            factors=np.ascontiguousarray(factors),
            codes=codes,
        ),
        drop_starts=np.cumsum([0] + [len(leave.get(cell, [])) for cell in cells]),
        drop_rows=np.array(gone, np.uint32),
    )
    writer.edit_lists(tenant, edit, 0.3)
    for cell in cells:
        away = set(leave.get(cell, []))
        held = [serial for serial in past.lists.get((tenant, cell), []) if serial not in away]
        held += come.get(cell, [])
        past.lists[tenant, cell] = held
        if not held:
            del past.lists[tenant, cell]


def _homes_changed(writer, past, serials):
    serials = sorted(serials, key=past.rows.get)
    flat = [home for serial in serials for home in past.homes[serial]]
    table = HomeTable(
        owners=np.array([past.owners[serial] for serial in serials], np.uint32),
        starts=np.cumsum([0] + [len(past.homes[serial]) for serial in serials]),
        tenants=np.array([tenant for tenant, _ in flat], np.uint32),
        cells=np.array([cell for _, cell in flat], np.uint32),
    )
    writer.put_home_table(np.array([past.rows[serial] for serial in serials]), table)


def _enter(writer, past, tenant, serials, rng):
    """Put records into one or two lists of a tenant each."""
    come = {}
    for serial in serials:
        for cell in rng.choice(N_CELLS, size=int(rng.integers(1, 3)), replace=False).tolist():
            come.setdefault(cell, []).append(serial)
            past.homes[serial].append((tenant, cell))
    _lists_changed(writer, past, tenant, come, {})
    _homes_changed(writer, past, serials)


def _come(writer, past, rng, n):
    for name in (f"tenant-{past.step % 3}", f"guest-{past.step}"):
        tenant = past.tenants.setdefault(name, writer.ensure_tenant(name))
        serials = list(range(past.n_serials, past.n_serials + int(rng.integers(1, n))))
        past.n_serials += len(serials)
        vectors = np.frombuffer(b"".join(map(vector_of, serials)), np.uint8).reshape(-1, 16)
        first = writer.append_rows(tenant, list(map(id_of, serials)), vectors)
        writer.see_rows(tenant, np.arange(first, first + len(serials)), [None] * len(serials))
        past.rows.update(zip(serials, range(first, first + len(serials)), strict=True))
        past.owners.update(dict.fromkeys(serials, tenant))
        past.homes.update({serial: [] for serial in serials})
        _enter(writer, past, tenant, serials, rng)


def _grant(writer, past, rng):
    name = f"tenant-{(past.step + 1) % 3}"
    tenant = past.tenants.setdefault(name, writer.ensure_tenant(name))
    others = [
        serial
        for serial, owner in past.owners.items()
        if owner != tenant and all(viewer != tenant for viewer, _ in past.homes[serial])
    ]
    chosen = [serial for serial in others if rng.random() < 0.2]
    if chosen:
        rows = np.array([past.rows[serial] for serial in chosen])
        writer.bind_ids(tenant, list(map(id_of, chosen)), rows)
        writer.see_rows(tenant, rows, [None] * len(rows))
        _enter(writer, past, tenant, chosen, rng)


def _go(writer, past, rng):
    """Some rows go, and all of the guest of the step before with its tenant."""
    guest = past.tenants.get(f"guest-{past.step - 1}")
    gone = [serial for serial, owner in past.owners.items() if owner == guest or rng.random() < 0.3]
    for tenant in past.tenants.values():
        leave = {}
        for serial in gone:
            for viewer, cell in past.homes[serial]:
                if viewer == tenant:
                    leave.setdefault(cell, []).append(serial)
        _lists_changed(writer, past, tenant, {}, leave)
        writer.unbind_ids(tenant, list(map(id_of, gone)))
        writer.unsee_rows(tenant, np.array([past.rows[serial] for serial in gone], np.int64), [None] * len(gone))
    writer.drop_rows(np.array([past.rows[serial] for serial in gone], np.int64))
    for serial in gone:
        del past.owners[serial], past.homes[serial]
    if guest is not None:
        writer.delete_tenant(guest)
        del past.tenants[f"guest-{past.step - 1}"]


def _tidy(writer, past):
    cells = np.arange(N_CELLS, dtype=np.uint32)
    payload = (cells[:, None] + past.step + np.zeros(12)).astype(np.uint8)
    writer.put_cells(cells, np.where(cells == 0, 0xFFFFFFFF, 0).astype(np.uint32), np.minimum(cells, 1), payload)
    writer.put_children(0, cells[1:])
    writer.set_pending(past.tenants["tenant-1"], cells[: past.step % N_CELLS], cells)
    writer.put_blob("large", b"blob" * 3000 * (past.step % 3))
    writer.put_blob("small", b"%d" % past.step)
    writer.set_meta("step", past.step)
    writer.set_meta("digest", digest(past.said()))


def make(path, rounds=4, n=60, **settings):
    """A collection after some transactions, and its model."""
    store, past = Store.create(Path(path), {**SETTINGS, **settings}), Past()
    grow(store, past, rounds, n)
    return store, past


def replayed(path, rounds, n=60):
    """The model alone, made beside the path."""
    store, past = make(path, rounds, n)
    store.close()
    return past


def assert_sound(store):
    with store.read() as snapshot:
        assert_right(snapshot)
    report = verify(store)
    assert report.ok, [str(problem) for problem in report.problems[:5]]


# ------------------------------------------------------------------------------------------------ other processes


def say(*words):
    print(*words, flush=True)


def command_look(path, every):
    """Read over and over until a line comes in, through one store and through new ones; say how many were seen."""
    import select

    steps, numbers, n = set(), set(), 0
    with Store.open(Path(path)) as store:
        say("looking")
        while not select.select([sys.stdin], [], [], 0)[0]:
            with store.read() as snapshot:
                assert_right(snapshot)
                steps.add(snapshot.meta("step"))
                numbers.add(snapshot.txn_id)
            with Store.open(Path(path)) as other, other.read() as snapshot:
                assert_right(snapshot)
            if n % int(every) == 0:
                assert_sound(store)
            n += 1
    say(len(steps), len(numbers), n)


def command_add(path, timeout_s):
    """Open, say so, wait for a line, then wait for the lock and commit."""
    store = Store.open(Path(path))
    say("open")
    sys.stdin.readline()
    with store.write(float(timeout_s)) as writer:
        writer.set_meta("added", 1)
    say("added")


def command_compact(path):
    from ramet.storage.compact import compact

    compact(Store.open(Path(path)))


def command_crash(path, point):
    """Compact and die at the point of that number, or say how many there are."""
    left = int(point)

    def dying(function):
        def wrapped(*arguments, **named):
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return function(*arguments, **named)

        return wrapped

    def stepwise(new, place):
        """What a file system that cannot exchange leaves, and a removal that takes several steps."""
        (swap._exchange_in_steps if how == "steps" else whole)(new, place)

    from ramet.storage import compact, compact_catalog, swap

    how, whole = sys.argv[4], compact.exchange
    DataFile.write, DataFile.sync = dying(DataFile.write), dying(DataFile.sync)
    compact_catalog.Building.put = dying(compact_catalog.Building.put)
    compact_catalog.Building.finish = dying(compact_catalog.Building.finish)
    Writer.supersede = dying(Writer.supersede)
    compact.exchange = dying(stepwise)
    compact.sync_directory = dying(compact.sync_directory)
    os.rename = dying(os.rename)
    os.unlink = dying(os.unlink)
    os.rmdir = dying(os.rmdir)
    compact.compact(Store.open(Path(path)))
    say("survived", int(point) - left)


if __name__ == "__main__":
    globals()[f"command_{sys.argv[1]}"](*sys.argv[2:4])
