"""Queries that are answered together have the answers that they would have alone."""

import asyncio

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from ramet.api.rest.answers import bodies_of
from ramet.api.rest.coalesce import TOGETHER, Ask, Coalescer
from ramet.api.rest.pool import OverloadedError, Pool

DIM = 4


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    with ramet.connect(tmp_path_factory.mktemp("db")) as db:
        found = db.create_collection("c", DIM, "l2")
        rng = np.random.default_rng(0)
        for tenant in ("x", "y"):
            found.upsert([f"{tenant}{i}" for i in range(200)], rng.normal(size=(200, DIM)), tenant=tenant,
                         documents=[f"{i}" for i in range(200)])  # fmt: skip
        yield found


ASKS = st.fixed_dictionaries(
    {
        "tenants": st.sampled_from([("x",), ("y",), ("x", "y"), ("nobody",)]),
        "k": st.integers(1, 5),
        "nprobe": st.sampled_from([None, 1, 3]),
        "include": st.sampled_from([None, (), ("documents",)]),
    }
)
VECTORS = st.lists(st.floats(-3, 3, width=32), min_size=DIM, max_size=DIM)
WRONG = st.just([1.0]) | st.just([float("nan")] * DIM) | st.just([1e300] * DIM)


@settings(max_examples=25)
@given(queries=st.lists(st.tuples(ASKS, VECTORS | WRONG), min_size=1, max_size=100), threads=st.integers(1, 3))
def test_same_answers(collection, queries, threads):
    seen = []

    async def asked():
        pool = Pool(threads, 1000, "test")
        search = Coalescer(pool, lambda n, _: seen.append(n))
        futures = [search.search(Ask(collection, len(vector), **ask), vector) for ask, vector in queries]
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert pool.n_waiting == 0 and not search._buckets
        pool.close()
        return found

    for (ask, vector), found in zip(queries, asyncio.run(asked()), strict=True):
        if len(vector) != DIM or not all(abs(one) < 1e30 for one in vector):
            assert isinstance(found, ramet.ArgumentError)
            continue
        alone = collection.query(
            np.array([vector], np.float32), ask["k"], tenant=ask["tenants"], nprobe=ask["nprobe"],
            include=ask["include"], n_threads=1,
        )  # fmt: skip
        assert orjson.loads(found) == orjson.loads(next(bodies_of(alone)))
    assert sum(seen) == len(queries) and max(seen) <= TOGETHER


def test_what_waits_is_joined_and_bounded(collection):
    """While the only thread is busy, queries gather; then one search answers up to `TOGETHER` of them."""
    import threading

    seen, gate = [], threading.Event()

    async def asked():
        pool = Pool(1, 150, "test")
        search = Coalescer(pool, lambda n, _: seen.append(n))
        busy = pool.run(gate.wait)
        ask = Ask(collection, DIM, ("x",))
        futures = [search.search(ask, [0.1 * i] * DIM) for i in range(149)]
        with pytest.raises(OverloadedError):
            search.search(ask, [0.0] * DIM)
        for future in futures[10:20]:
            future.cancel()  # clients that went away
        gate.set()
        found = await asyncio.gather(busy, *futures, return_exceptions=True)
        pool.close()
        return found[1:]

    found = asyncio.run(asked())
    assert seen == [TOGETHER] * (149 // TOGETHER) + [149 % TOGETHER]
    assert [i for i, one in enumerate(found) if isinstance(one, asyncio.CancelledError)] == list(range(10, 20))
    assert all(isinstance(one, bytes) for i, one in enumerate(found) if not 10 <= i < 20)
