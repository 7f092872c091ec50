"""Exact distances, reranking, and exact search over all rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index.kernels import exact, rerank, topk
from ramet.index.kernels.plan import COSINE, IP, L2, SQ8
from ramet.index.kernels.topk import EMPTY
from tests.index.lists import METRICS, Query, address, random_world
from tests.index.nearness import assert_top, tolerance
from tests.index.pages import guarded
from tests.index.shapes import DIMS, dims, every_dim, seeds
from tests.oracle import kernels as naive

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
every_width = pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])


def distance(query, row, metric):
    """Exact distance of one stored row, read where a read too far ends the process."""
    made = Query.of(query, metric, SQ8)
    pages, where = guarded(row)
    found = rerank.exact_distance(address(made.floats), np.uintp(where), len(row), metric, int(row.dtype == np.float16))
    del pages
    return found


# ------------------------------------------------------------------------------------------------------ exact distances


@every_width
@every_metric
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_exact_distances_are_those_of_the_naive_twin(dtype, metric, dim, seed):
    rng = np.random.default_rng(seed)
    query, row = rng.standard_normal(dim).astype(np.float32), rng.standard_normal(dim).astype(dtype)
    expected = naive.exact_distance(query, row, metric)
    assert distance(query, row, metric) == pytest.approx(expected, abs=tolerance([row], query, metric))


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e-13, 1.0, 1e13, 1e19, 1e25, 1e37])
@pytest.mark.parametrize("dim", [1, 17, 64])
def test_cosine_distances_do_not_depend_on_the_length_of_the_row(dim, scale):
    """Squared norms of such rows leave float32 at both ends."""
    rng = np.random.default_rng(dim)
    query, row = rng.standard_normal(dim).astype(np.float32), rng.standard_normal(dim)
    expected = naive.exact_distance(query, row, COSINE)
    assert distance(query, (row * scale).astype(np.float32), COSINE) == pytest.approx(expected, abs=1e-5)


@every_width
def test_the_cosine_of_a_row_of_zeros_counts_as_zero(dtype):
    assert distance(np.ones(5, np.float32), np.zeros(5, dtype), COSINE) == 1.0


@every_width
@every_metric
def test_not_a_number_in_a_row_makes_its_distance_one_that_sorts_last(dtype, metric):
    row = np.ones(20, dtype)
    row[19] = np.nan
    assert np.isnan(distance(np.ones(20, np.float32), row, metric))


# -------------------------------------------------------------------------------------------------------------- rerank


def pool_of(rows, estimates):
    """Candidate keys, ascending."""
    keys = np.full((1, len(rows)), EMPTY)
    topk.pack_many(np.array([estimates], np.float32), np.array([rows], np.int64), keys)
    return np.sort(keys[0])


def reranked(pool, vectors, query, metric, k):
    made = Query.of(query, metric, SQ8)
    pages, where = guarded(vectors)
    heap = np.full(k, EMPTY)
    size = rerank.rerank(
        pool, len(pool), where, vectors.strides[0], address(made.floats), vectors.shape[1], metric,
        int(vectors.dtype == np.float16), heap,
    )  # fmt: skip
    del pages
    topk.sort_heap(heap, size)
    rows, distances = np.full(k, -1), np.full(k, np.inf, np.float32)
    rows[:size] = heap[:size] & np.uint64(0xFFFFFFFF)
    bits = (heap[:size] >> np.uint64(32)).astype(np.uint32)
    distances[:size] = np.where(bits & 0x80000000, bits & 0x7FFFFFFF, ~bits).astype(np.uint32).view(np.float32)
    return rows, distances


@every_width
@every_metric
@given(dim=dims, n=st.integers(1, 40), k=st.integers(1, 12), seed=seeds)
def test_reranking_finds_the_exact_nearest_of_the_candidates(dtype, metric, dim, n, k, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((50, dim)).astype(dtype)
    query = rng.standard_normal(dim).astype(np.float32)
    candidates = rng.permutation(50)[:n]
    pool = pool_of(candidates, rng.standard_normal(n))  # estimates say nothing here
    rows, distances = reranked(pool, vectors, query, metric, k)
    assert_top(rows, distances, vectors, query, metric, k, among=candidates)
    twin = naive.rerank([naive.pack(0.0, row) for row in candidates], vectors, query, metric, k)
    slack = tolerance(vectors, query, metric)
    np.testing.assert_allclose(distances[: len(twin)], [key[1] for key in twin], rtol=0, atol=slack)


@every_width
@every_metric
def test_damaged_rows_are_reranked_last(dtype, metric):
    vectors = np.random.default_rng(0).standard_normal((10, 30)).astype(dtype)
    vectors[4, 7] = np.nan
    rows, _ = reranked(pool_of(range(10), np.zeros(10)), vectors, vectors[2].astype(np.float32), metric, 10)
    assert rows[9] == 4
    assert 4 not in rows[:9]


def test_equal_distances_are_reranked_by_number():
    vectors = np.ones((6, 4), np.float32)
    rows, _ = reranked(pool_of([5, 3, 1, 0], np.zeros(4)), vectors, np.ones(4, np.float32), L2, 3)
    assert rows.tolist() == [0, 1, 3]


def test_fetched_rows_are_the_spans_of_the_naive_twin():
    vectors = np.zeros((100, 16), np.float32)
    base, width = vectors.ctypes.data, vectors.strides[0]
    spans = np.zeros((5, 2), np.uint64)
    absent = rerank.fetch_rows(pool_of([70, 3, 99], [0, 1, 2]), 3, base, width, spans, np.zeros(64, np.uint8))
    assert absent == 0  # all of it is in memory
    assert [tuple(span) for span in spans[:3].tolist()] == naive.fetch_rows([70, 3, 99], base, width)


# ------------------------------------------------------------------------------------------------ candidates with hope


@every_metric
@given(estimates=st.lists(st.floats(-1, 50, width=32), max_size=30), k=st.integers(1, 8), scale=st.floats(0, 0.5))
def test_hopeful_candidates_are_those_of_the_naive_twin(metric, estimates, k, scale):
    estimates = sorted(estimates)
    pool = pool_of(range(len(estimates)), estimates)
    scalars = np.array([scale, 0, 0, 2.0], np.float32)
    found = rerank.hopeful(pool, len(pool), k, metric, scalars)
    slack = 1e-5
    low, high = (
        naive.hopeful([e + sign * slack * (i >= k) for i, e in enumerate(estimates)], k, metric, scalars[0], 2.0)
        for sign in (1, -1)
    )
    assert low <= found <= high


@pytest.mark.parametrize("metric", [L2, COSINE], ids=["l2", "cosine"])
@pytest.mark.parametrize("dim", [2, 17, 64, 300])
def test_candidates_without_hope_are_none_of_the_nearest(metric, dim):
    world = random_world(dim, 400, dim, SQ8, metric, 4)
    for query in np.random.default_rng(1).standard_normal((20, dim)).astype(np.float32):
        made = Query.of(query, metric, SQ8)
        parts = (made.floats, made.signed[:dim], made.scalars)
        estimates = {}
        for rows, extent in zip(world.lists, world.extents, strict=True):
            found = naive.sq8_estimates(extent.codes, extent.factors.view(np.float32), parts, metric)
            estimates.update(zip(rows, found, strict=True))
        pool = pool_of(list(estimates), list(estimates.values()))
        hopeful = rerank.hopeful(pool, len(pool), 10, metric, made.scalars)
        truth = [naive.exact_distance(query, vector, metric) for vector in world.vectors]
        assert set(np.argsort(truth, kind="stable")[:10]) <= set((pool[:hopeful] & np.uint64(0xFFFFFFFF)).tolist())


# --------------------------------------------------------------------------------------------------------- exact search


def exact_many(world, queries, k, first=0, last=None):
    rows, distances = np.full((len(queries), k), -7), np.full((len(queries), k), -7, np.float32)
    exact.exact_many(world.plan, queries, first, len(queries) if last is None else last, rows, distances)
    return rows, distances


@every_metric
@every_width
@pytest.mark.parametrize("dim", DIMS)
def test_exact_search_is_brute_force(metric, dtype, dim):
    world = random_world(dim, 120, dim, SQ8, metric, 7, half=dtype == np.float16)
    queries = np.random.default_rng(1).standard_normal((5, dim)).astype(np.float32)
    twins = naive.exact_many(world.lists, world.vectors, queries, metric, 9)
    for row, distances, query, twin in zip(*exact_many(world, queries, 9), queries, twins, strict=True):
        assert_top(row, distances, world.vectors, query, metric, 9)
        slack = tolerance(world.vectors, query, metric)
        np.testing.assert_allclose(distances, [key[1] for key in twin], rtol=0, atol=slack)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])
def test_queries_that_share_a_pass_do_not_disturb_each_other(n):
    world = random_world(0, 90, 20, SQ8, L2, 5)
    queries = np.random.default_rng(1).standard_normal((n, 20)).astype(np.float32)
    together = exact_many(world, queries, 4)
    alone = [exact_many(world, query[None], 4) for query in queries]
    assert (together[0] == np.concatenate([rows for rows, _ in alone])).all()
    assert (together[1] == np.concatenate([distances for _, distances in alone])).all()


def test_exact_search_answers_only_the_queries_it_is_given():
    world = random_world(0, 90, 20, SQ8, IP, 5)
    queries = np.random.default_rng(1).standard_normal((30, 20)).astype(np.float32)
    rows, distances = exact_many(world, queries, 3, first=5, last=25)
    assert (rows[:5] == -7).all()
    assert (rows[25:] == -7).all()
    assert (rows[5:25] >= 0).all()
    assert (distances[25:] == -7).all()


def test_exact_search_of_fewer_rows_than_k_fills_up():
    world = random_world(0, 6, 9, SQ8, L2, 2)
    rows, distances = exact_many(world, world.vectors[:2], 10)
    for row, found, query in zip(rows, distances, world.vectors, strict=False):
        assert_top(row, found, world.vectors, query, L2, 10)


def test_exact_search_never_offers_rows_beyond_the_collection():
    world = random_world(3, 60, 9, SQ8, L2, 3, copies=0.0)
    lost = [rows[0] for rows in world.lists]
    for extent, row in zip(world.extents, [60, 2**31, 2**32 - 1], strict=True):
        extent.set_row(0, row)
    rows, _ = exact_many(world, world.vectors[:3], 60)
    for found in rows:
        assert set(found[found >= 0]) == set(range(60)) - set(lost)
