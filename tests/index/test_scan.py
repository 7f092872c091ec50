"""Scans of lists laid out as in a file: every kind and metric against naive twins, full and damaged lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from ramet.index.kernels import scan, topk
from ramet.index.kernels.plan import COSINE, FLOAT16, FLOAT32, INT8, L2, SQ8, UINT8
from ramet.index.kernels.topk import EMPTY
from tests.index.lists import KINDS, METRICS, Extent, Query, address, random_vectors
from tests.index.nearness import assert_top, tolerance
from tests.index.shapes import dims, every_dim, seeds
from tests.oracle import kernels as naive

counts = st.sampled_from([1, 2, 15, 16, 17, 40])
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
exact_kinds = pytest.mark.parametrize("kind", [FLOAT32, FLOAT16, INT8, UINT8], ids=["float32", "float16", "int8", "u8"])


@njit(cache=True)
def threshold(heap, size):
    return scan.threshold(heap, size)


@njit(cache=True)
def pack(distance, row):
    return topk.pack(np.float32(distance), np.uint32(row))


class Heap:
    """A bounded heap that scans fill."""

    def __init__(self, k):
        self.keys, self.size = np.full(k, EMPTY), 0

    def result(self):
        """Rows and distances, ascending, -1 and infinity behind them."""
        keys = np.sort(self.keys[: self.size])
        rows = np.full(len(self.keys), -1)
        distances = np.full(len(self.keys), np.inf, np.float32)
        rows[: self.size] = keys & np.uint64(0xFFFFFFFF)
        distances[: self.size] = [distance_of(key) for key in keys]
        return rows, distances


@njit(cache=True)
def distance_of(key):
    return topk.distance_of(key)


def scanned(extent, query, kind, metric, dim, n_rows, heap):
    """Run the scan of this kind as ``search.scan_lists`` does; returns the distances it computed."""
    out = np.full(extent.count, np.nan, np.float32)
    place = (extent.address, extent.capacity, extent.count, n_rows, dim)
    if kind == SQ8:
        arguments = (*place, address(query.signed), query.scalars, metric, out, heap.keys, heap.size)
        heap.size = scan.scan_sq8(*arguments)
    elif kind in (INT8, UINT8):
        arguments = (*place, kind, address(query.operand), query.norm, metric, out, heap.keys, heap.size)
        heap.size = scan.scan_bytes(*arguments)
    else:
        arguments = (*place, kind, address(query.floats), metric, out, heap.keys, heap.size)
        heap.size = scan.scan_float(*arguments)
    return out


def example(seed, count, dim, kind, metric, k=10):
    """A list of rows in any order, a query, and an empty heap."""
    rng = np.random.default_rng(seed)
    vectors = random_vectors(rng, count, dim, kind)
    rows = rng.permutation(3 * count)[:count]
    query = random_vectors(rng, 1, dim, kind)[0].astype(np.float32)
    return vectors, rows, query, Extent(vectors, rows, kind, metric), Heap(k)


# ------------------------------------------------------------------------------------------------------ equal to loops


@exact_kinds
@every_metric
@every_dim(count=17, seed=1)
@given(dim=dims, count=counts, seed=seeds)
def test_scans_of_full_vectors_find_the_nearest_rows(kind, metric, dim, count, seed):
    vectors, rows, query, extent, heap = example(seed, count, dim, kind, metric)
    out = scanned(extent, Query.of(query, metric, kind), kind, metric, dim, 3 * count, heap)
    expected = [naive.exact_distance(query, vector, metric) for vector in vectors]
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(vectors, query, metric))
    by_row = np.zeros((3 * count, dim))
    by_row[rows] = vectors
    assert_top(*heap.result(), by_row, query, metric, 10, among=rows)


@pytest.mark.parametrize("kind", [INT8, UINT8], ids=["int8", "uint8"])
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_byte_scans_are_exact_before_they_are_rounded_once(kind, dim, seed):
    for metric in (L2, METRICS["ip"]):
        vectors, _, query, extent, heap = example(seed, 5, dim, kind, metric)
        out = scanned(extent, Query.of(query, metric, kind), kind, metric, dim, 15, heap)
        assert out.tolist() == [np.float32(naive.exact_distance(query, vector, metric)) for vector in vectors]


@every_metric
@every_dim(count=17, seed=1)
@given(dim=dims, count=counts, seed=seeds)
def test_sq8_scans_estimate_as_their_naive_twin_does(metric, dim, count, seed):
    vectors, rows, query, extent, heap = example(seed, count, dim, SQ8, metric)
    made = Query.of(query, metric, SQ8)
    out = scanned(extent, made, SQ8, metric, dim, 3 * count, heap)
    parts = (made.floats, made.signed[:dim], made.scalars)
    factors = extent.factors.view(np.float32)
    expected = naive.sq8_estimates(extent.codes, factors, parts, metric)
    slack = 5 * tolerance(vectors, query, metric)
    np.testing.assert_allclose(out, expected, rtol=0, atol=slack)
    kept = naive.scan_sq8(extent.codes, factors, rows, 3 * count, parts, metric, [], 10)
    np.testing.assert_allclose(heap.result()[1][: heap.size], [key[1] for key in kept], rtol=0, atol=slack)


@every_metric
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_sq8_estimates_are_near_the_distances_they_stand_for(metric, dim, seed):
    vectors, _, query, extent, heap = example(seed, 16, dim, SQ8, metric)
    out = scanned(extent, Query.of(query, metric, SQ8), SQ8, metric, dim, 48, heap)
    if metric == COSINE:  # estimates are of squared distances of unit vectors
        vectors, query, metric = naive.normalized(vectors), naive.normalized([query])[0], L2
    expected = np.array([naive.exact_distance(query, vector, metric) for vector in vectors])
    # each component of the row and of the query is off by at most half a step
    steps = (vectors.max(axis=1) - vectors.min(axis=1)) / 255, np.abs(query).max() / 127
    worst = 0.51 * (steps[0] * np.abs(query).sum() + steps[1] * np.abs(vectors).sum(axis=1) + dim * steps[0] * steps[1])
    error = np.abs(out - expected)
    if metric == L2:  # with the decoded norm in place of the true one
        worst = 2 * worst + 2 * 0.51 * steps[0] * np.abs(vectors).sum(axis=1) + dim * steps[0] ** 2
    assert (error <= worst + 5 * tolerance(vectors, query, L2)).all()


@exact_kinds
@every_metric
def test_lists_with_room_to_spare_are_scanned_up_to_their_count(kind, metric):
    rng = np.random.default_rng(1)
    vectors = random_vectors(rng, 20, 33, kind)
    extent = Extent(vectors, np.arange(20), kind, metric, spare_pages=2)
    assert extent.capacity > 100
    heap = Heap(50)
    query = vectors[7].astype(np.float32)
    scanned(extent, Query.of(query, metric, kind), kind, metric, 33, 20, heap)
    assert_top(*heap.result(), vectors, query, metric, 50)


# ----------------------------------------------------------------------------------------------------------- the edges


@every_kind
@every_metric
@pytest.mark.parametrize("dim", [1, 15, 17, 64, 65, 100])
def test_scans_of_full_extents_do_not_read_behind_them(kind, metric, dim):
    """The page behind each extent is unreadable here: a read too far ends the process."""
    rng = np.random.default_rng(dim)
    vectors = random_vectors(rng, 16, dim, kind)
    capacity = Extent(vectors, np.arange(16), kind, metric).capacity
    vectors = random_vectors(rng, capacity, dim, kind)
    extent = Extent(vectors, np.arange(capacity), kind, metric)
    assert extent.capacity == capacity
    heap = Heap(3)
    scanned(extent, Query.of(vectors[0], metric, kind), kind, metric, dim, capacity, heap)
    assert heap.size == 3


@every_kind
@every_metric
def test_rows_beyond_the_collection_are_never_offered(kind, metric):
    vectors, _, query, _, heap = example(3, 30, 20, kind, metric, k=30)
    extent = Extent(vectors, np.arange(30), kind, metric)
    for place, row in [(0, 30), (7, 2**32 - 1), (20, 2**31 + 40), (29, 31)]:
        extent.set_row(place, row)
    scanned(extent, Query.of(query, metric, kind), kind, metric, 20, 30, heap)
    rows, _ = heap.result()
    assert sorted(rows[: heap.size]) == sorted(set(range(30)) - {0, 7, 20, 29})


@every_metric
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("factor", [0, 1, 2])
def test_damaged_factors_of_codes_leave_the_other_rows_alone(metric, value, factor):
    vectors, _, query, _, _ = example(4, 30, 20, SQ8, metric)
    whole, damaged = (Extent(vectors, np.arange(30), SQ8, metric) for _ in range(2))
    damaged.set_factor(factor, 11, np.float32(value))
    results = []
    for extent in (whole, damaged):
        heap = Heap(30)
        scanned(extent, Query.of(query, metric, SQ8), SQ8, metric, 20, 30, heap)
        results.append({row: d for row, d in zip(*heap.result(), strict=True) if row not in (-1, 11)})
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [INT8, UINT8], ids=["int8", "uint8"])
@pytest.mark.parametrize("length", [0, -5])
def test_a_damaged_length_of_bytes_counts_as_no_direction(kind, length):
    vectors, _, query, _, heap = example(5, 8, 20, kind, COSINE)
    extent = Extent(vectors, np.arange(8), kind, COSINE)
    extent.set_factor(0, 3, np.int32(length))
    out = scanned(extent, Query.of(query, COSINE, kind), kind, COSINE, 20, 8, heap)
    assert out[3] == 1.0


@every_kind
@every_metric
def test_scans_add_to_what_the_heap_holds_and_take_each_row_once(kind, metric):
    rng = np.random.default_rng(6)
    vectors = random_vectors(rng, 60, 40, kind)
    lists = [np.arange(0, 30), np.arange(20, 50), np.arange(40, 60)]
    query = Query.of(vectors[3], metric, kind)
    heap = Heap(100)
    for rows in lists:
        scanned(Extent(vectors[rows], rows, kind, metric), query, kind, metric, 40, 60, heap)
    assert sorted(heap.result()[0][: heap.size]) == list(range(60))


# ---------------------------------------------------------------------------------------------------------- small steps


@given(
    distances=st.lists(st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0]), max_size=30),
    k=st.integers(1, 8),
    seed=seeds,
)
def test_offers_are_those_of_the_naive_twin(distances, k, seed):
    rows = np.random.default_rng(seed).integers(0, 12, len(distances)).astype(np.uint32)
    heap = Heap(k)
    out = np.array(distances, np.float32)
    heap.size = scan.offer(out, len(out), rows.ctypes.data, 10, heap.keys, heap.size)
    kept = naive.offer(distances, rows.tolist(), 10, [], k)
    rows_found, found = heap.result()
    assert rows_found[: heap.size].tolist() == [key[2] for key in kept]
    assert found[: heap.size].tolist() == [key[1] for key in kept]


@given(distances=st.lists(st.floats(width=32, allow_nan=False), max_size=9), k=st.integers(1, 6))
def test_the_threshold_is_the_largest_distance_of_a_full_heap(distances, k):
    kept, keys, size = [], np.full(k, EMPTY), 0
    for number, distance in enumerate(distances):
        kept = naive.insert(kept, k, naive.pack(distance, number))
        size = topk.insert(keys, size, np.uint64(pack(np.float32(distance), np.uint32(number))))
        assert threshold(keys, size) == naive.threshold(kept, k)
