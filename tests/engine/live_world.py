"""A little world of live collections: limits so small that trees get deep, a dict as the model, other processes.

As a program (``python live_world.py read|nursery``) it answers JSON lines: a reader that keeps its collection open
while others write, or a nursery that forks writers which die in the middle.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

import ramet
from ramet.engine import builder, curves, live, placement, rebalance, remeasure, searcher
from ramet.index import defaults
from ramet.storage import tenants
from ramet.storage.datafile import DataFile
from ramet.storage.format import COPY, ROW_MASK
from ramet.storage.writer import Writer

SOAK = int(os.environ.get("RAMET_SOAK_STEPS", "0"))
"""Steps of a long run (`make soak`); 0: the short run of every test."""

DIM = 6
CHUNK = 256
KINDS = {
    "sq8-l2": ("float32", "sq8", "l2"),
    "none-cosine": ("float32", "none", "cosine"),
    "int8-l2": ("int8", "none", "l2"),
    "sq8-ip": ("float32", "sq8", "ip"),
    "none-ip": ("float32", "none", "ip"),
    "sq8-cosine": ("float32", "sq8", "cosine"),
}

SMALL = {
    defaults: {
        "SPLIT_LENGTH": 24, "SPLIT_SINGLE": 16, "SPLIT_ROWS": 12, "MERGE_LENGTH": 6, "MERGE_SINGLE": 4,
        "FLAT_CELLS": 24, "LIST_SIZE": 8, "NEAR_LISTS": 8,
    },
    placement: {"STORED_FROM": 25},
    tenants: {"LOG_FROM_RECORDS": 40, "LOG_TRANSACTIONS": 8},
    live: {"CHUNK": CHUNK},
    rebalance: {"WAVE_LISTS": 6, "WAVE_SHARE": 16},
    curves: {"OWN_FROM": 32},
    remeasure: {"OWN_FROM": 32, "LEAST": 10, "MOST": 20},
    builder: {"HELD_OUT_FROM": 400},
    searcher: {"LEAST_CHANGED": 8},
}  # fmt: skip


def shrunk():
    """Small limits, as long as the block lasts."""
    stack = ExitStack()
    for module, values in SMALL.items():
        stack.enter_context(mock.patch.multiple(module, **values))
    return stack


# -------------------------------------------------------------------------------------------------------------- vectors


def points(seed, n, spread, dtype):
    """Vectors around one of eight centres: identical ones (spread 0), near ones, far ones."""
    rng = np.random.default_rng([seed, n])
    centres = np.random.default_rng(5).normal(size=(8, DIM)) * 2
    made = centres[rng.integers(8, size=n if spread else 1)] + spread * rng.normal(size=(n, DIM))
    if dtype == "int8":
        return np.clip(np.round(made * 20), -127, 127).astype(np.int8) | 1
    return made.astype(np.float32)


def distances(vectors, query, metric):
    """From a query to vectors, in float64."""
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    if metric == "l2":
        return np.square(vectors - query).sum(axis=1)
    inner = vectors @ query
    return -inner if metric == "ip" else 1 - inner / np.linalg.norm(query) / np.linalg.norm(vectors, axis=1)


# ---------------------------------------------------------------------------------------------------------------- model


@dataclass
class Known:
    """A record: its vector, and who sees it beside its owner."""

    vector: np.ndarray
    viewers: set = field(default_factory=set)


@dataclass
class Model:
    """What the collection should say."""

    tenants: set = field(default_factory=set)
    records: dict = field(default_factory=dict)  # (owner, id) -> Known

    def seen(self, tenant):
        """id -> (owner, vector) of all that a tenant sees."""
        return {
            name: (owner, known.vector)
            for (owner, name), known in self.records.items()
            if tenant == owner or tenant in known.viewers
        }

    def owned(self, tenant):
        return sorted(name for owner, name in self.records if owner == tenant)

    def steps(self, operation):
        """The models after each transaction of an operation, one after the other; what it raises is raised at once.

        The last is the one after the whole of it, and comes with what the call returns.
        """
        model = copy.deepcopy(self)
        return getattr(model, f"_{operation['op']}")(operation)

    def _upsert(self, operation):
        names, owners, action = operation["ids"], operation["tenants"], operation["on_conflict"]
        vectors = vectors_in(operation)
        for owner in dict.fromkeys(owners):
            seen = self.seen(owner)
            mine = [name for name, whose in zip(names, owners, strict=True) if whose == owner]
            if action == "error" and any(name in seen for name in mine):
                raise Refused("ConflictError")
            if action == "replace" and any(name in seen and seen[name][0] != owner for name in mine):
                raise Refused("NotOwnerError")
        rank = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
        order = sorted(range(len(names)), key=lambda i: rank[owners[i]])
        report, states = [0, 0, 0], []
        for first in range(0, len(order), CHUNK):
            part = order[first : first + CHUNK]
            seen = {owner: self.seen(owner) for owner in {owners[i] for i in part}}
            for i in part:
                self.tenants.add(owners[i])
                key = owners[i], names[i]
                there = names[i] in seen[owners[i]]
                report[2 if there and action == "skip" else int(there)] += 1
                if key in self.records and action != "skip":
                    self.records[key].vector = vectors[i]
                elif not there:
                    self.records[key] = Known(vectors[i])
            states.append(copy.deepcopy(self))
        return states or [self], report

    def _delete(self, operation):
        tenant, names = operation["tenant"], operation["ids"]
        if names and tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        seen = self.seen(tenant)
        if any(name in seen and seen[name][0] != tenant for name in names):
            raise Refused("NotOwnerError")
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            n += sum(self.records.pop((tenant, name), None) is not None for name in names[first : first + CHUNK])
            states.append(copy.deepcopy(self))
        return states or [self], n

    def _grant(self, operation):
        tenant, names, to = operation["tenant"], operation["ids"], operation["to"]
        if not names:
            return [self], 0
        if tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        self._refuse_foreign(tenant, names, missing="UnknownIdError")
        for other in to:
            theirs = self.seen(other)
            if any(name in theirs and theirs[name][0] != tenant for name in names):
                raise Refused("ConflictError")
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            for other in dict.fromkeys(to):
                self.tenants.add(other)
                for name in names[first : first + CHUNK]:
                    viewers = self.records[tenant, name].viewers
                    n += other != tenant and other not in viewers
                    viewers |= {other} - {tenant}
            states.append(copy.deepcopy(self))
        return states, n

    def _refuse_foreign(self, tenant, names, missing=None):
        seen = self.seen(tenant)
        if missing and any(name not in seen for name in names):
            raise Refused(missing)
        if any(name in seen and seen[name][0] != tenant for name in names):
            raise Refused("NotOwnerError")

    def _revoke(self, operation):
        tenant, names, to = operation["tenant"], operation["ids"], operation["to"]
        if not names:
            return [self], 0
        if not {tenant, *to} <= self.tenants:
            raise Refused("UnknownTenantError")
        self._refuse_foreign(tenant, names)
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            for name in names[first : first + CHUNK]:
                if (tenant, name) in self.records:
                    viewers = self.records[tenant, name].viewers
                    n += len(viewers & set(to))
                    viewers -= set(to)
            states.append(copy.deepcopy(self))
        return states, n

    def _drop_tenant(self, operation):
        tenant = operation["tenant"]
        if tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        mine = self.owned(tenant)
        for name in mine:
            del self.records[tenant, name]
        for known in self.records.values():
            known.viewers.discard(tenant)
        self.tenants.discard(tenant)
        return [self], len(mine)

    def _maintain(self, operation):
        return [self], None

    def state(self):
        """Everything visible, comparable: tenant -> {id: bytes of the vector}."""
        return {t: {name: v.tobytes() for name, (_, v) in self.seen(t).items()} for t in sorted(self.tenants)}


class Refused(Exception):
    """The model refuses an operation: with this error the collection should, too."""


def vectors_in(operation):
    return points(operation["seed"], len(operation["ids"]), operation["spread"], operation["dtype"])


def perform(collection, operation):
    """Do an operation; returns what the call returned, in the model's form."""
    kind = operation["op"]
    if kind == "upsert":
        owners = operation["tenants"]
        tenant = owners[0] if len(set(owners)) == 1 else owners
        report = collection.upsert(
            operation["ids"], vectors_in(operation), tenant=tenant, on_conflict=operation["on_conflict"]
        )
        return [report.n_inserted, report.n_replaced, report.n_skipped]
    if kind == "delete":
        return collection.delete(operation["ids"], tenant=operation["tenant"])
    if kind in ("grant", "revoke"):
        return getattr(collection, kind)(operation["ids"], to=operation["to"], tenant=operation["tenant"])
    if kind == "drop_tenant":
        return collection.drop_tenant(operation["tenant"])
    collection.maintain(operation["seconds"])
    return None


def state_of(collection):
    """What `Model.state` says, from a collection."""
    found = {}
    with collection._store.read() as snapshot:
        for name in snapshot.tenants():
            ids, _ = snapshot.ids_of_tenant(snapshot.tenant_number(name))
            found[name] = {r.id: r.vector.tobytes() for r in collection.get(ids, tenant=name)}
    return found


# -------------------------------------------------------------------------------------------------------------- queries


def ask(collection, question):
    """Answer a question in JSON's terms; the same in this process and in another."""
    if question["ask"] == "tenants":
        return [collection.tenants(), len(collection), {t: collection.count(t) for t in question["tenants"]}]
    if question["ask"] == "get":
        found = collection.get(question["ids"], tenant=question["tenant"])
        return [[record.id, record.vector.tolist()] for record in found]
    hits = collection.query(
        np.array(question["vectors"], collection.dtype), question["k"], tenant=question["tenants"], **question["how"]
    )
    return [hits.ids, [d[np.isfinite(d)].tolist() for d in hits.distances]]


def check_query(model, metric, question, answer, exact):
    """Compare an answer with brute force over the model; without ``exact`` a few results may be missed."""
    pool = {}
    for tenant in question["tenants"]:
        pool.update({(owner, name): vector for name, (owner, vector) in model.seen(tenant).items()})
    k = min(question["k"], len(pool))
    names = [name for _, name in pool]
    for query, ids, found in zip(question["vectors"], *answer, strict=True):
        assert len(ids) == len(found) == k, (question, len(ids), len(found), k)
        if not k:
            continue
        truth = distances(np.array(list(pool.values())), query, metric)
        near = 2e-5 * (1 + np.abs(truth).max())
        assert (np.diff(found) >= 0).all()
        if exact:
            np.testing.assert_allclose(found, np.sort(truth)[:k], atol=near)
        left = {}
        for name, distance in zip(names, truth, strict=True):
            left.setdefault(name, []).append(distance)
        for name, distance in zip(ids, found, strict=True):
            assert left.get(name), f"{name!r} is no record of {question['tenants']}, or comes too often"
            best = min(range(len(left[name])), key=lambda i: abs(left[name][i] - distance))
            assert abs(left[name].pop(best) - distance) <= near, f"{name!r} is not at distance {distance}"


# ----------------------------------------------------------------------------------------------------------- invariants


def check_lists(collection, model):
    """Everything that holds of lists after any operation; returns (rows, rows in their nearest cell)."""
    rows_at_home = [0, 0]
    with collection._store.read() as snapshot:
        table = snapshot.cells()
        parents = dict(zip(table.cells.tolist(), table.parents.tolist(), strict=True))
        uses = {}
        for member in snapshot.members():
            directory = snapshot.lists(member.number)
            assert (directory.counts > 0).all(), "an empty list"
            cells = set(directory.cells.tolist())
            for cell in cells:
                uses[cell] = uses.get(cell, 0) + 1
                above = parents[cell]
                while above != 0xFFFFFFFF:
                    assert above not in cells, f"tenant {member.name!r} has lists in cell {cell} and above it, {above}"
                    above = parents[above]
            _check_entries(collection, snapshot, member, directory, model, rows_at_home)
        numbers = table.cells.astype(np.uint32)
        said = snapshot.uses(numbers).tolist()
        assert {c: n for c, n in zip(numbers.tolist(), said, strict=True) if n} == uses
    return rows_at_home


def _check_entries(collection, snapshot, member, directory, model, rows_at_home):
    """Each row has one entry without the copy bit, in the list that its homes name first."""
    home, copies = {}, {}
    for cell, count in zip(directory.cells.tolist(), directory.counts.tolist(), strict=True):
        content = snapshot.read_list(member.number, cell, check=True)
        assert len(content.rows) == count
        for row in content.rows.tolist():
            if row & COPY:
                copies.setdefault(row & ROW_MASK, []).append(cell)
            else:
                assert row not in home, f"row {row} has two homes"
                home[row] = cell
    ids, rows = snapshot.ids_of_tenant(member.number)
    assert sorted(home) == sorted(rows.tolist())
    assert set(copies) <= set(home)
    assert sorted(ids) == sorted(model.seen(member.name))
    assert member.n_records == len(ids)
    for row in home:
        mine = [cell for tenant, cell in snapshot.homes(row).lists if tenant == member.number]
        assert mine[0] == home[row], f"homes of row {row} of {member.name!r} begin with another list"
        assert sorted(mine[1:]) == sorted(copies.get(row, []))
    if home:
        _count_at_home(collection, snapshot, member, directory, home, rows_at_home)


def _count_at_home(collection, snapshot, member, directory, home, rows_at_home):
    """Count the rows whose home is the nearest cell, or as near as one can tell."""
    centroids = snapshot.cells(directory.cells).payload.view(np.float32).reshape(len(directory), DIM)
    ids, rows = snapshot.ids_of_tenant(member.number)
    records = collection.get(ids, tenant=member.name)
    vectors = np.array([r.vector for r in records], np.float64)
    if collection.metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    squares = np.square(vectors[:, None] - centroids[None]).sum(axis=2)
    own = np.searchsorted(directory.cells, [home[row] for row in rows.tolist()])
    near = squares[np.arange(len(rows)), own] <= squares.min(axis=1) * 1.02 + 1e-6
    rows_at_home[0] += len(rows)
    rows_at_home[1] += int(near.sum())


def check_placements(collection):
    """What the writer keeps in memory says what the catalog says, where it is still valid."""
    with collection._store.read() as snapshot:
        for number, (changed, kept) in collection._live._kept.items():
            member = snapshot.member(number)
            if member is None or member.changed != changed:
                continue
            directory = snapshot.lists(number)
            there = dict(zip(directory.cells.tolist(), directory.counts.tolist(), strict=True))
            cells = np.array(sorted(kept._place), np.uint32)
            lengths = dict(zip(cells.tolist(), kept.lengths[kept.positions(cells)].tolist(), strict=True))
            assert {cell: n for cell, n in lengths.items() if n} == there
            stored = snapshot.cells(cells).payload.view(np.float32).reshape(len(cells), DIM)
            at = kept.positions(cells)
            assert (kept.centroids[at] == stored).all() and kept.alive[at].all()
            assert int(kept.alive.sum()) == len(cells)


# ----------------------------------------------------------------------------------------------------------- processes


class Other:
    """A child of this file as a program, spoken to in JSON lines."""

    def __init__(self, role):
        self._process = subprocess.Popen(
            [sys.executable, __file__, role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, **words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the child ended with {self._process.wait(10)}")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


def _die_at(point):
    """Let this process end before the call of that number to write, sync or commit."""
    left = point

    def dying(function):
        def wrapped(*arguments):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*arguments)

        return wrapped

    DataFile.write = dying(DataFile.write)
    DataFile.sync = dying(DataFile.sync)
    Writer.commit = dying(Writer.commit)


def _bear(words):
    """Fork a writer that performs an operation and is killed on the way; says how it ended."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            if "point" in words:
                _die_at(words["point"])
            path = Path(words["path"])
            perform(ramet.connect(path.parent).collection(path.name), words["operation"])
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    if "after_s" in words:
        time.sleep(words["after_s"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"killed": os.WIFSIGNALED(status), "code": -1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}


def _read(opened, words):
    if "open" in words:
        path = Path(words["open"])
        if opened:
            opened.pop().close()
        opened.append(ramet.connect(path.parent, create=False).collection(path.name))
        return True
    return ask(opened[0], words)


def main(role):
    """Answer until there are no more questions."""
    opened = []
    with shrunk():
        if role == "nursery":
            _warm_up()
        for line in sys.stdin:
            words = json.loads(line)
            print(json.dumps(_bear(words) if role == "nursery" else _read(opened, words)), flush=True)


def _warm_up():
    """Load the kernels before the first fork."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, (dtype, codes, metric) in KINDS.items():
            collection = ramet.connect(folder).create_collection(name, DIM, metric, dtype, codes)
            names = [str(i) for i in range(600)]
            collection.upsert(names, points(1, 600, 0.3, dtype))
            collection.query(points(1, 3, 0.3, dtype))
            collection.close()


if __name__ == "__main__":
    main(sys.argv[1])
