"""Assignment by neighbouring cells against its naive twin, and against comparing a row with all cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index import defaults
from ramet.index.kernels.nearby import assign_nearby
from ramet.index.navigate import flat_navigator
from ramet.index.nearby import NEIGHBOURS, assign_around, cells_around, neighbours
from tests.index.shapes import seeds
from tests.oracle import building as naive


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assigned(points, labels, near, centroids, n_candidates, most):
    cells, counts = np.full((len(points), most), -1, np.int32), np.empty(len(points), np.int32)
    assign_nearby(points, labels.astype(np.int32), near, centroids, n_candidates, 1.3, most, cells, counts)
    assert all((row[count:] == -1).all() for row, count in zip(cells, counts, strict=True))
    return [row[:count].tolist() for row, count in zip(cells, counts, strict=True)]


@given(n_cells=st.integers(1, 40), n_near=st.integers(1, 12), n_candidates=st.integers(1, 16), seed=seeds)
def test_a_walk_is_that_of_the_naive_twin(n_cells, n_near, n_candidates, seed):
    points, centroids = normal(seed, 20, 9), normal(seed + 1, n_cells, 9)
    rng = np.random.default_rng(seed)
    others = [rng.permutation(np.delete(np.arange(n_cells), i))[: n_near - 1] for i in range(n_cells)]
    near = np.array([[i, *other] for i, other in enumerate(others)], np.int32)
    labels = rng.integers(0, n_cells, 20)
    expected = naive.assign_nearby(points, labels.tolist(), near.tolist(), centroids, n_candidates, 1.3, 3)
    assert assigned(points, labels, near, centroids, n_candidates, 3) == expected


@pytest.mark.parametrize("n_cells", [1, 5, NEIGHBOURS, NEIGHBOURS + 100])
def test_neighbours_begin_with_the_cell_itself_and_are_the_nearest(n_cells):
    centroids = normal(3, n_cells, 16)
    near = neighbours(centroids, flat_navigator(centroids))
    assert near.shape == (n_cells, min(n_cells, NEIGHBOURS))
    assert (near[:, 0] == np.arange(n_cells)).all()
    assert all(len(set(row)) == len(row) for row in near.tolist())
    exact = ((centroids[:, None] - centroids[None]) ** 2).sum(axis=2).argsort(axis=1)[:, : near.shape[1]]
    shared = [len(set(a) & set(b)) / len(a) for a, b in zip(near.tolist(), exact.tolist(), strict=True)]
    assert np.mean(shared) > 0.95  # estimates from 8-bit codes


def test_rows_find_their_nearest_cell_also_far_from_their_group():
    """A tenth of the rows stand in a group that is not theirs: the walk leads out of it."""
    centroids = normal(5, 2000, 12)
    first = normal(6, 60, 12)
    groups = ((centroids[:, None] - first[None]) ** 2).sum(axis=2).argmin(axis=1).astype(np.int32)
    around = cells_around(first, centroids, groups)
    near = neighbours(centroids, flat_navigator(centroids))
    points = normal(7, 3000, 12)
    nearest = ((points[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    mine = ((points[:, None] - first[None]) ** 2).sum(axis=2).argmin(axis=1)
    mine[::10] = (mine[::10] + 17) % 60
    right = 0
    for group in range(60):
        rows = np.flatnonzero(mine == group)
        cells, counts = assign_around(points[rows], around[group], centroids, near, defaults.REPLICAS)
        right += int((cells[:, 0] == nearest[rows]).sum())
        assert (counts >= 1).all()
    assert right / len(points) > 0.99


def test_groups_whose_cells_are_gone_look_at_those_around_where_they_were():
    first, centroids = normal(8, 20, 8), normal(9, 100, 8)
    groups = (np.arange(100) % 19).astype(np.int32)  # the last group has none
    around = cells_around(first, centroids, groups)
    assert len(around) == 20 and len(around[19]) > 0
    assert all((np.diff(cells) > 0).all() for cells in around)


def test_rows_beyond_float32_get_a_cell_that_exists():
    points, centroids = np.full((3, 4), 1e25, np.float32), np.full((5, 4), -1e25, np.float32)
    near = np.tile(np.arange(5, dtype=np.int32), (5, 1))
    found = assigned(points, np.zeros(3, int), near, centroids, 4, 2)
    assert all(0 <= cells[0] < 5 for cells in found)
