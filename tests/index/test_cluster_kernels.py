"""Kernels of the build against their naive twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from ramet.index.kernels import cluster
from ramet.index.kernels.plan import L2, PLAN
from ramet.index.kernels.topk import EMPTY
from ramet.index.navigate import flat_navigator
from tests.index.shapes import DIMS, dims, every_dim, seeds
from tests.oracle import building as naive

sizes = st.integers(1, 30)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@njit(cache=True)
def sort_candidates(point, centroids, candidates, n, distances):
    base = np.int64(centroids.ctypes.data)
    cluster.sort_candidates(np.uintp(point.ctypes.data), base, point.size, candidates, n, distances)


def chosen(point, centroids, candidates, factor, most):
    cells = np.full(most, -1, np.int32)
    candidates = np.array(candidates, np.int64)
    count = cluster.choose_cells(point, centroids, candidates, len(candidates), factor, most, cells)
    assert (cells[count:] == -1).all()
    return cells[:count].tolist()


# ------------------------------------------------------------------------------------------------------------ k-means


@given(n=sizes, k=sizes, seed=seeds)
def test_nearest_centre_is_that_of_the_naive_twin(n, k, seed):
    rng = np.random.default_rng(seed)
    products = rng.integers(-8, 9, (n, k)).astype(np.float32)  # small integers: float32 is exact, and ties are many
    offsets = rng.integers(0, 5, k).astype(np.float32)
    labels, gains = np.empty(n, np.int32), np.empty(n, np.float32)
    cluster.nearest_centre(products, offsets, labels, gains)
    assert (labels.tolist(), gains.tolist()) == naive.nearest_centre(products, offsets)


def test_nearest_centre_of_what_compares_with_nothing_is_the_first():
    labels, gains = np.full(2, 9, np.int32), np.empty(2, np.float32)
    products = np.array([[np.nan, np.nan], [-np.inf, -np.inf]], np.float32)
    cluster.nearest_centre(products, np.zeros(2, np.float32), labels, gains)
    assert labels.tolist() == [0, 0]


@given(labels=st.lists(st.integers(0, 6), max_size=40))
def test_group_rows_is_that_of_the_naive_twin(labels):
    starts, order = np.empty(8, np.int64), np.empty(len(labels), np.int64)
    cluster.group_rows(np.array(labels, np.int32), 7, starts, order)
    found = [order[starts[j] : starts[j + 1]].tolist() for j in range(7)]
    assert found == naive.group_rows(labels, 7)


@given(n=sizes, dim=dims, seed=seeds)
def test_add_points_is_that_of_the_naive_twin(n, dim, seed):
    points, labels = normal(seed, n, dim), np.random.default_rng(seed).integers(0, 4, n).astype(np.int32)
    sums, counts = np.ones((5, dim)), np.full(5, 10, np.int64)
    cluster.add_points(points, labels, sums, counts)
    twin_sums, twin_counts = naive.add_points(points, labels, 5)
    np.testing.assert_allclose(sums - 1, twin_sums, atol=1e-12)
    assert (counts - 10).tolist() == twin_counts.tolist()


# ------------------------------------------------------------------------------------------------------------ closure


@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_candidates_are_sorted_by_exact_distance_then_number(dim, seed):
    rng = np.random.default_rng(seed)
    centroids = rng.integers(-2, 3, (12, dim)).astype(np.float32)  # small integers: exact, with ties
    point = rng.integers(-2, 3, dim).astype(np.float32)
    candidates = rng.permutation(12)[:9].astype(np.int64)
    distances = np.empty(9, np.float32)
    expected = naive.sort_candidates(point, centroids, candidates.tolist())
    sort_candidates(point, centroids, candidates, 9, distances)
    assert list(zip(distances.tolist(), candidates.tolist(), strict=True)) == expected


@pytest.mark.parametrize("most", [1, 2, 3, 8])
@pytest.mark.parametrize("factor", [1.0, 1.2, 3.0])
@pytest.mark.parametrize("dim", DIMS)
def test_chosen_cells_are_those_of_the_naive_twin(dim, factor, most):
    for seed in range(10):
        points, centroids = normal([seed, 0], 1, dim), normal([seed, 1], 15, dim)
        candidates = np.random.default_rng(seed).permutation(15)[:11].tolist()
        expected = naive.choose_cells(points[0], centroids, candidates, factor, most)
        assert chosen(points[0], centroids, candidates, factor, most) == expected


def test_a_point_on_its_centroid_has_no_further_cell():
    centroids = normal(0, 10, 8)
    assert chosen(centroids[4], centroids, range(10), 5.0, 4) == [4]


def test_a_copy_of_a_chosen_centroid_is_not_chosen():
    centroids = normal(0, 10, 8)
    centroids[7] = centroids[2]
    point = centroids[2] + np.float32(0.1)
    cells = chosen(point, centroids, range(10), 100.0, 10)
    assert cells[0] == 2
    assert 7 not in cells
    assert sorted(cells) == sorted(set(range(10)) - {7})


def test_a_second_cell_on_another_side_goes_before_a_nearer_one_on_the_same_side():
    """The residual of the nearer one is parallel to the first, so it fails for the same queries."""
    centroids = np.array([[1.0, 0.0], [1.05, 0.0], [0.0, 1.1]], np.float32)
    assert chosen(np.zeros(2, np.float32), centroids, [0, 1, 2], 1.2, 2) == [0, 2]


def assigned(points, centroids, n_candidates, factor, most):
    """Cells of each row, as ``assign.assign_all`` calls the kernel; cells behind the count stay -1."""
    navigator = flat_navigator(centroids)
    plan = np.zeros(1, PLAN)
    plan["metric"] = L2
    navigator.fill(plan)
    cells, counts = np.full((len(points), most), -1, np.int32), np.empty(len(points), np.int32)
    cluster.assign_rows(
        plan, navigator.starts, points, centroids, n_candidates, factor, most, navigator.scratch(), cells, counts
    )
    assert all((row[count:] == -1).all() for row, count in zip(cells, counts, strict=True))
    return [row[:count].tolist() for row, count in zip(cells, counts, strict=True)]


@pytest.mark.parametrize("dim", [1, 16, 50, 65])
@pytest.mark.parametrize("n_candidates", [1, 10, 60, 100])
def test_assigned_rows_are_those_of_the_naive_twin(dim, n_candidates):
    points, centroids = normal(0, 40, dim), normal(1, 60, dim)
    keys = flat_navigator(centroids).nearest(points, n_candidates, L2)
    assert (keys != EMPTY).all()
    near = (keys & np.uint64(0xFFFFFFFF)).astype(int).tolist()
    assert assigned(points, centroids, n_candidates, 1.3, 3) == naive.assign_rows(points, centroids, near, 1.3, 3)


def test_rows_whose_squares_leave_float32_are_assigned_to_a_cell_that_exists():
    """No cell compares with them: the scratch of candidates must not be read as it was found."""
    points, centroids = np.full((3, 4), 1e25, np.float32), np.full((5, 4), -1e25, np.float32)
    assert assigned(points, centroids, 4, 1.2, 2) == [[0], [0], [0]]
