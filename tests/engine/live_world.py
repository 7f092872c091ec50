"""A little world of live collections: limits so small that trees get deep, operations, questions, answers."""

import os
from contextlib import ExitStack
from unittest import mock

import numpy as np

from ramet.engine import builder, curves, listing, live, placement, rebalance, remeasure, searcher
from ramet.index import defaults
from ramet.storage import compact_fields, number_pages, tenants, terms, verify_fields, verify_terms, write_terms
from ramet.storage.format import COPY, NO_LIST, ROW_MASK
from tests.engine.content_world import allows, pool_of
from tests.engine.dict_model import CHUNK, DIM, records_in

SOAK = int(os.environ.get("RAMET_SOAK_STEPS", "0"))
"""Steps of a long run (`make soak`); 0: the short run of every test."""

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
    listing: {"PIECE": 16, "SPARSE": 4},
    rebalance: {"WAVE_LISTS": 6, "WAVE_SHARE": 16},
    curves: {"OWN_FROM": 32},
    remeasure: {"OWN_FROM": 32, "LEAST": 10, "MOST": 20},
    builder: {"HELD_OUT_FROM": 400},
    searcher: {"LEAST_CHANGED": 8},
    number_pages: {"MOST": 12, "FILL": 9, "FEW": 3},
    compact_fields: {"MOST": 12, "FILL": 9},
    verify_fields: {"MOST": 12},
    terms: {"FRAGMENT": 12},
    write_terms: {"FRAGMENT": 12},
    verify_terms: {"FRAGMENT": 12},
}  # fmt: skip


def shrunk():
    """Small limits, as long as the block lasts."""
    stack = ExitStack()
    for module, values in SMALL.items():
        stack.enter_context(mock.patch.multiple(module, **values))
    return stack


def distances(vectors, query, metric):
    """From a query to vectors, in float64."""
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    if metric == "l2":
        return np.square(vectors - query).sum(axis=1)
    inner = vectors @ query
    return -inner if metric == "ip" else 1 - inner / np.linalg.norm(query) / np.linalg.norm(vectors, axis=1)


# ----------------------------------------------------------------------------------------------------------- operations


def perform(collection, operation):
    """Do an operation; returns what the call returned, in the model's form."""
    kind = operation["op"]
    if kind == "upsert":
        return _upsert(collection, operation)
    if kind == "delete":
        return collection.delete(operation["ids"], tenant=operation["tenant"])
    if kind == "delete_where":
        return collection.delete(where=operation["where"], tenant=operation["tenant"])
    if kind in ("grant", "revoke"):
        return getattr(collection, kind)(operation["ids"], to=operation["to"], tenant=operation["tenant"])
    if kind == "drop_tenant":
        return collection.drop_tenant(operation["tenant"])
    collection.maintain(operation["seconds"])
    return None


def _upsert(collection, operation):
    owners = operation["tenants"]
    tenant = owners[0] if len(set(owners)) == 1 else owners
    report = collection.upsert(operation["ids"], tenant=tenant, on_conflict=operation["on_conflict"], **put(operation))
    return [report.n_inserted, report.n_replaced, report.n_skipped]


def put(operation):
    """Arguments of an upsert, or of a build."""
    vectors, documents, metadata = map(list, zip(*records_in(operation), strict=True))
    if all(vector is None for vector in vectors):
        vectors = None
    elif not any(vector is None for vector in vectors):
        vectors = np.array(vectors)
    columns = {"documents": documents, "metadata": metadata}
    return {"vectors": vectors, **{name: column for name, column in columns.items() if any(column)}}


def state_of(collection):
    """What `Model.state` says, from a collection."""
    found = {}
    with collection._store.read() as snapshot:
        for name in snapshot.tenants():
            ids, _ = snapshot.ids_of_tenant(snapshot.tenant_number(name))
            found[name] = {
                r.id: (None if r.vector is None else r.vector.tobytes(), r.document, r.metadata)
                for r in collection.get(ids, tenant=name)
            }
    return found


# -------------------------------------------------------------------------------------------------------------- queries


def ask(collection, question):
    """Answer a question in JSON's terms; the same in this process and in another."""
    return {"tenants": _tenants, "get": _get, "page": _page, "query": _query, "words": _words, "hybrid": _hybrid}[
        question["ask"]
    ](collection, question)


def _tenants(collection, question):
    return [collection.tenants(), len(collection), {t: collection.count(t) for t in question["tenants"]}]


def _shown(record):
    vector = None if record.vector is None else record.vector.tolist()
    return [record.id, vector, record.document, record.metadata]


def _get(collection, question):
    return [_shown(record) for record in collection.get(question["ids"], tenant=question["tenant"])]


def _page(collection, question):
    """All records that match, by pages of `limit`, each opened with the cursor of the one before."""
    where, tenant, records, cursor = question["where"], question["tenant"], [], None
    while True:
        page = collection.get(where=where, limit=question["limit"], cursor=cursor, tenant=tenant)
        records += [_shown(record) for record in page]
        cursor = page.cursor
        if cursor is None:
            return {"records": records, "count": collection.count(tenant, where=where)}
        assert len(page) == question["limit"]


def _query(collection, question):
    hits = collection.query(
        np.array(question["vectors"], collection.dtype), question["k"], tenant=question["tenants"],
        where=question.get("where"), **question["how"],
    )  # fmt: skip
    return [hits.ids, [d[np.isfinite(d)].tolist() for d in hits.distances]]


def _words(collection, question):
    hits = collection.query(
        text=question["text"], k=question["k"], mode="keyword", tenant=question["tenants"], where=question["where"]
    )
    return [hits.ids, hits.scores.tolist(), hits.documents]


def _hybrid(collection, question):
    hits = collection.query(
        np.array(question["vectors"], collection.dtype), question["k"], text=[question["text"]], mode="hybrid",
        tenant=question["tenants"], where=question["where"], exact=True,
    )  # fmt: skip
    return [hits.ids[0], hits.distances[0].tolist(), hits.metadata and hits.metadata[0]]


def check_query(model, metric, question, answer, exact):
    """Compare an answer with brute force over the model; without ``exact`` a few results may be missed."""
    where = question.get("where")
    found = {
        key: known.vector
        for key, known in pool_of(model, question["tenants"]).items()
        if known.vector is not None and allows(where, known)
    }
    k, names = min(question["k"], len(found)), [name for _, name in found]
    for query, ids, near in zip(question["vectors"], *answer, strict=True):
        assert len(ids) == len(near) == k, (question, len(ids), len(near), k)
        if k:
            _check_hits(names, distances(np.array(list(found.values())), query, metric), ids, near, exact)


def _check_hits(names, truth, ids, found, exact):
    """Hits of one query, given the names of all records that may be found and their distances."""
    near = 2e-5 * (1 + np.abs(truth).max())
    assert (np.diff(found) >= 0).all()
    if exact:
        np.testing.assert_allclose(found, np.sort(truth)[: len(found)], atol=near)
    left = {}
    for name, distance in zip(names, truth, strict=True):
        left.setdefault(name, []).append(distance)
    for name, distance in zip(ids, found, strict=True):
        assert left.get(name), f"{name!r} is no record that may be found, or comes too often"
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
    bare = snapshot.homes_of(rows).bare
    assert sorted(home) == sorted(rows[~bare].tolist())
    for row in rows[bare].tolist():
        assert [cell for tenant, cell in snapshot.homes(row).lists if tenant == member.number] == [NO_LIST]
    assert sorted(snapshot.visible(member.number)) == sorted(rows.tolist())
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
    rows = np.array([row for row, r in zip(rows.tolist(), records, strict=True) if r.vector is not None])
    vectors = np.array([r.vector for r in records if r.vector is not None], np.float64)
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
