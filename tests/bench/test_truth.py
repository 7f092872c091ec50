"""Exact neighbours against a naive search, and recall with ties."""

import numpy as np
import pytest

from bench import truth

METRICS = ("l2", "cosine", "ip")


def naive_distance(metric, x, q):
    x, q = [float(v) for v in x], [float(v) for v in q]
    dot = sum(a * b for a, b in zip(x, q, strict=True))
    if metric == "ip":
        return -dot
    if metric == "l2":
        return sum((a - b) ** 2 for a, b in zip(x, q, strict=True))
    return 1.0 - dot / (sum(a * a for a in x) ** 0.5 * sum(b * b for b in q) ** 0.5)


def vectors(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_equal_naive_search(metric):
    base, queries = vectors(400, 7), vectors(5, 7, seed=1)
    found = truth.exact_neighbours(base, queries, metric, depth=12)
    for line, query in enumerate(queries):
        distances = sorted((naive_distance(metric, x, query), row) for row, x in enumerate(base))[:12]
        assert found.rows[line].tolist() == [row for _, row in distances]
        np.testing.assert_allclose(found.distances[line], [d for d, _ in distances], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_are_exact_over_several_blocks(metric, monkeypatch):
    base, queries = vectors(1_000, 6), vectors(8, 6, seed=1)
    whole = truth.exact_neighbours(base, queries, metric, depth=10)
    monkeypatch.setattr(truth, "_BASE_BLOCK", 64)
    monkeypatch.setattr(truth, "_EXACT_BLOCK", 500)
    blocked = truth.exact_neighbours(base, queries, metric, depth=10)
    np.testing.assert_array_equal(blocked.rows, whole.rows)
    np.testing.assert_array_equal(blocked.distances, whole.distances)


def test_near_ties_that_float32_cannot_order_are_decided_in_float64():
    # A large common offset leaves float32 products nothing to tell the rows apart by.
    offset = np.float32(4096.0)
    steps = np.random.default_rng(3).permutation(600)
    base = np.full((600, 2), offset, np.float32)
    base[:, 0] += steps.astype(np.float32) * np.float32(2**-10)
    queries = np.full((1, 2), offset, np.float32)
    found = truth.exact_neighbours(base, queries, "l2", depth=10)
    assert steps[found.rows[0]].tolist() == list(range(10))


def test_fewer_rows_than_depth_are_all_returned():
    found = truth.exact_neighbours(vectors(4, 3), vectors(2, 3, seed=1), "l2", depth=10)
    assert found.rows.shape == (2, 4)


def tied():
    """Rows 0..2 at distance 0, rows 3..6 all at distance 1, row 7 at distance 4."""
    base = np.zeros((8, 2), np.float32)
    base[3:7] = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    base[7] = [2, 0]
    queries = np.zeros((1, 2), np.float32)
    return base, queries, truth.exact_neighbours(base, queries, "l2", depth=8)


def recall(found, k):
    base, queries, exact = tied()
    return truth.recall(np.array([found]), base, queries, "l2", exact, k)


def test_ties_never_cost_recall():
    assert recall([0, 1, 2, 3, 4], 5) == 1.0
    assert recall([2, 1, 0, 6, 5], 5) == 1.0


def test_a_row_beyond_the_kth_distance_is_not_a_hit():
    assert recall([0, 1, 2, 3, 7], 5) == pytest.approx(0.8)


def test_a_row_named_twice_counts_once():
    assert recall([0, 0, 0, 3, 3], 5) == pytest.approx(0.4)


def test_missing_answers_count_as_misses():
    assert recall([0, 1, -1, -1, -1], 5) == pytest.approx(0.4)


def test_rounding_of_float32_distances_is_forgiven_and_a_real_gap_is_not():
    base = np.array([[1.0, 0.0], [1.0 + 1e-7, 0.0], [1.001, 0.0]], np.float32)
    queries = np.array([[3.0, 0.0]], np.float32)
    exact = truth.exact_neighbours(base, queries, "l2", depth=3)
    nearest = int(exact.rows[0, 0])
    assert nearest == 2
    rounded = truth.exact_neighbours(base[:2], queries, "l2", depth=2)
    second = int(rounded.rows[0, 1])
    assert truth.recall(np.array([[second]]), base[:2], queries, "l2", rounded, 1) == 1.0
    assert truth.recall(np.array([[0]]), base, queries, "l2", exact, 1) == 0.0


def test_truth_is_cached_by_content(tmp_path, monkeypatch):
    from bench.datasets import Dataset

    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path))
    dataset = Dataset(name="x", base=vectors(50, 4), queries=vectors(3, 4, seed=1), metric="l2", full=True)
    first = truth.of_dataset(dataset, "l2")
    monkeypatch.setattr(truth, "exact_neighbours", None)  # the second call must not search
    np.testing.assert_array_equal(truth.of_dataset(dataset, "l2").rows, first.rows)
    changed = Dataset(name="x", base=vectors(50, 4, seed=2), queries=dataset.queries, metric="l2", full=True)
    assert changed.key != dataset.key
