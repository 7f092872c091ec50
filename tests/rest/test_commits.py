"""Writes of concurrent requests: commits in common, and the outcome of one after the other."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from ramet.api.rest.commits import Commits, Upsert
from ramet.api.rest.pool import OverloadedError
from ramet.engine.embedded import embedded
from ramet.engine.upsert import _bytes_until
from tests.engine.word_hash import WordHash

DIM = 4


def vector(number):
    return np.array([number, 1, 2, 3], np.float32)


def transactions(collection):
    """Number of the last commit."""
    with collection._store.read() as snapshot:
        return snapshot.txn_id


@pytest.fixture
def collection(tmp_path):
    with ramet.connect(tmp_path) as db:
        yield db.create_collection("c", DIM, "l2")


def upsert(ids, numbers, tenants=None, **more):
    return Upsert(
        ids=list(ids), tenants=tenants or ["x"] * len(ids), vectors=np.stack([vector(n) for n in numbers]),
        documents=[f"document {n}" for n in numbers], metadata=[{"n": n} for n in numbers], **more
    )  # fmt: skip


def test_waiting_upserts_share_a_commit(collection):
    seen, gate = [], threading.Event()

    async def written():
        commits = Commits(seen=lambda n, _: seen.append(n))
        busy = commits.run(collection, gate.wait)
        before = transactions(collection)
        futures = [commits.upsert(collection, upsert([f"r{i}"], [i])) for i in range(100)]
        futures += [commits.upsert(collection, upsert(["r0", "r1"], [7, 8]))]  # ids that are waiting: its own commit
        gate.set()
        await asyncio.gather(busy, *futures)
        assert commits.n_waiting == 0 and commits.n_bytes == 0
        return before, [future.result() for future in futures]

    before, reports = asyncio.run(written())
    assert seen == [100, 1]
    assert transactions(collection) == before + 2
    assert all((one.n_inserted, one.n_replaced) == (1, 0) for one in reports[:100])
    assert (reports[100].n_inserted, reports[100].n_replaced) == (0, 2)
    assert collection.count("x") == 100


def test_one_bad_request_fails_alone(collection):
    gate = threading.Event()

    async def written():
        commits = Commits()
        busy = commits.run(collection, gate.wait)
        bad = upsert(["bad"], [1])
        bad.vectors[0, 0] = np.nan
        long = upsert(["long"], [1])
        long.vectors = np.ones((1, DIM + 1), np.float32)
        futures = [
            commits.upsert(collection, one)
            for one in (upsert(["a"], [1]), bad, upsert(["b"], [2]), long, upsert(["c"], [3]))
        ]
        gone = commits.upsert(collection, upsert(["gone"], [1]))
        gone.cancel()
        gate.set()
        found = await asyncio.gather(busy, *futures, return_exceptions=True)
        await commits.drain()
        return found[1:]

    found = asyncio.run(written())
    assert [type(one) for one in found] == [
        ramet.UpsertReport, ramet.ArgumentError, ramet.UpsertReport, ramet.ArgumentError, ramet.UpsertReport
    ]  # fmt: skip
    assert [one.id for one in collection.get(tenant="x")] == ["a", "b", "c"]


def test_what_waits_is_bounded(collection):
    gate = threading.Event()

    async def written():
        commits = Commits(most_waiting=3)
        busy = [commits.run(collection, gate.wait)]
        busy += [commits.upsert(collection, upsert([f"{i}"], [i])) for i in range(2)]
        with pytest.raises(OverloadedError):
            commits.upsert(collection, upsert(["z"], [1]))
        gate.set()
        await asyncio.gather(*busy)
        await commits.upsert(collection, upsert(["z"], [1]))

    asyncio.run(written())
    assert collection.count("x") == 3


def test_reports_of_joint_skips(collection):
    gate = threading.Event()
    collection.upsert(["a", "c"], np.stack([vector(0)] * 2), tenant="x")

    async def written():
        commits = Commits()
        busy = commits.run(collection, gate.wait)
        futures = [
            commits.upsert(collection, upsert(ids, range(len(ids)), on_conflict="skip", tenants=list(tenants)))
            for ids, tenants in (("ab", "xx"), ("cd", "xy"), ("c", "y"))
        ]
        gate.set()
        await asyncio.gather(busy, *futures)
        return [(one.n_inserted, one.n_replaced, one.n_skipped) for one in (future.result() for future in futures)]

    assert asyncio.run(written()) == [(1, 0, 1), (1, 0, 1), (1, 0, 0)]


IDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
STEPS = st.lists(
    st.tuples(st.just("upsert"), IDS, st.sampled_from("xy"), st.booleans(), st.sampled_from(["replace", "skip"]))
    | st.tuples(st.just("delete"), IDS, st.sampled_from("xy")),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=20)
@given(steps=STEPS)
def test_concurrent_writes_are_as_if_one_came_after_the_other(tmp_path_factory, steps):
    """In the order in which they were handed in; each report says what that write did in this order."""
    with ramet.connect(tmp_path_factory.mktemp("db")) as db:
        collection = db.create_collection("c", DIM, "l2")
        collection.upsert(["there"], [vector(0)], tenant="x")
        collection.upsert(["there"], [vector(0)], tenant="y")

        async def written():
            commits = Commits()
            futures = []
            for number, (kind, ids, tenant, *rest) in enumerate(steps, start=1):
                if kind == "delete":
                    futures.append(commits.run(collection, lambda i=ids, t=tenant: collection.delete(i, tenant=t)))
                else:
                    one = upsert(ids, [number] * len(ids), [tenant] * len(ids), on_conflict=rest[1])
                    if not rest[0]:
                        one.vectors = None
                    futures.append(commits.upsert(collection, one))
                if number % 5 == 0:
                    await asyncio.sleep(0)
            return await asyncio.gather(*futures)

        answers = asyncio.run(written())
        model = {"x": {}, "y": {}}
        for number, ((kind, ids, tenant, *rest), answer) in enumerate(zip(steps, answers, strict=True), start=1):
            mine = model[tenant]
            there = [name for name in ids if name in mine]
            if kind == "delete":
                assert answer == len(there)
                for name in there:
                    del mine[name]
                continue
            skips = rest[1] == "skip"
            assert answer.n_inserted == len(ids) - len(there)
            assert (answer.n_replaced, answer.n_skipped) == ((0, len(there)) if skips else (len(there), 0))
            mine.update({name: (number, rest[0]) for name in ids if not (skips and name in there)})
        for tenant, mine in model.items():
            found = {one.id: one for one in collection.get(tenant=tenant) if one.id != "there"}
            assert found.keys() == mine.keys()
            for name, (number, with_vector) in mine.items():
                assert found[name].document == f"document {number}" and found[name].metadata == {"n": number}
                if with_vector:
                    np.testing.assert_array_equal(found[name].vector, vector(number))
                else:
                    assert found[name].vector is None


def test_what_was_embedded_is_joined(tmp_path):
    seen, gate = [], threading.Event()
    with ramet.connect(tmp_path) as db:
        docs = db.create_collection("docs", embedder=WordHash())

        async def written():
            commits = Commits(seen=lambda n, _: seen.append(n))
            busy = commits.run(docs, gate.wait)
            futures = []
            for i in range(6):
                texts = [f"text {i}", None]
                one = Upsert(ids=[f"a{i}", f"b{i}"], tenants=["x"] * 2, documents=texts, vectors=embedded(docs, texts))
                futures.append(commits.upsert(docs, one))
            gate.set()
            await asyncio.gather(busy, *futures)

        asyncio.run(written())
        assert seen == [6]
        vectors = {one.id: one.vector for one in docs.get(tenant="x")}
        for i in range(6):
            np.testing.assert_array_equal(vectors[f"a{i}"], WordHash().embed_documents([f"text {i}"])[0])
            assert vectors[f"b{i}"] is None


def test_documents_count_as_the_engine_counts_them():
    texts = ["plain", "schön", None, ""]
    records = Upsert(ids=list("abcd"), tenants=["t"] * 4, documents=texts)
    assert records.document_bytes == _bytes_until(texts, np.arange(4))[-1]
