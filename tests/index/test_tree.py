"""The tree of a build: numbers, parents, levels, file order, and the navigator over its leaves."""

import numpy as np
import pytest

from ramet.index import defaults, tree
from ramet.index.kernels.plan import L2
from ramet.index.navigate import group_centres, home_groups


def gauss(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def sorted_rows(array):
    return array[np.lexsort(array.T)]


@pytest.fixture(params=[1, 2, 3, 40, defaults.FLAT_CELLS, defaults.FLAT_CELLS + 1, 1200], scope="module")
def planted(request):
    centroids = gauss(request.param, 6)
    return centroids, tree.plant(centroids, 0)


def test_the_root_is_cell_zero_at_the_mean_of_all_leaves(planted):
    centroids, made = planted
    assert made.parents[tree.ROOT] == tree.NO_PARENT
    assert made.levels[tree.ROOT] == 0
    np.testing.assert_allclose(made.centroids[0], centroids.astype(np.float64).mean(axis=0), atol=1e-6)
    assert (made.parents[1:] != tree.NO_PARENT).all()


def test_parents_come_before_children_and_are_one_level_above(planted):
    _, made = planted
    assert len(made.parents) == len(made.levels) == len(made.centroids)
    for cell in range(1, len(made.parents)):
        parent = made.parents[cell]
        assert parent < cell
        assert made.levels[cell] == made.levels[parent] + 1


def test_leaves_are_a_permutation_of_the_centroids_and_nobody_is_their_child(planted):
    centroids, made = planted
    assert len(made.leaves) == len(centroids)
    assert sorted_rows(made.leaves).tobytes() == sorted_rows(centroids).tobytes()
    children = made.parents[1:]
    assert not len(children) or children.max() < max(made.first_leaf, 1)


def test_every_inner_cell_has_two_children_of_the_same_size(planted):
    centroids, made = planted
    n = len(centroids)
    assert made.first_leaf == n - 1
    assert int(made.levels.max()) == int(np.ceil(np.log2(n)))
    below = np.concatenate([np.zeros(made.first_leaf, int), np.ones(n, int)])
    for cell in range(len(below) - 1, 0, -1):
        below[made.parents[cell]] += below[cell]
    told = dict(made.children())
    assert sorted(told) == list(range(made.first_leaf))
    for cell, pair in told.items():
        assert len(pair) == 2
        assert (made.parents[pair] == cell).all()
        assert abs(int(below[pair[0]]) - int(below[pair[1]])) <= 1


def test_an_inner_cell_is_the_mean_of_the_leaves_below_it(planted):
    centroids, made = planted
    n, first = len(centroids), made.first_leaf
    sums = np.concatenate([np.zeros((first, made.centroids.shape[1])), made.leaves.astype(float)])
    counts = np.concatenate([np.zeros(first), np.ones(n)])
    for cell in range(len(counts) - 1, 0, -1):
        sums[made.parents[cell]] += sums[cell]
        counts[made.parents[cell]] += counts[cell]
    np.testing.assert_allclose(made.centroids, sums / counts[:, None], atol=1e-5)


def test_halves_hold_together():
    """Two clouds far apart are the two halves of the root."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((64, 5)).astype(np.float32)
    points[::2] += 50
    made = tree.plant(points, 0)
    one, other = dict(made.children())[0]
    assert abs(made.centroids[one].mean() - made.centroids[other].mean()) > 40


def test_the_navigator_finds_each_leaf_at_its_position(planted):
    _, made = planted
    keys = made.navigator.nearest(made.leaves, 1, L2)
    found = (keys[:, 0] & np.uint64(0xFFFFFFFF)).astype(int)
    assert made.navigator.n_cells == len(made.leaves)
    assert (found == np.arange(len(made.leaves))).mean() > 0.98  # 8-bit codes may mistake neighbours


def test_types_are_those_that_storage_takes(planted):
    _, made = planted
    assert made.parents.dtype == made.levels.dtype == np.uint32
    assert made.centroids.dtype == np.float32
    assert made.leaves.flags.c_contiguous


def test_the_same_seed_plants_the_same_tree():
    centroids = gauss(700, 5)
    first, second = tree.plant(centroids, 3), tree.plant(centroids, 3)
    assert first.centroids.tobytes() == second.centroids.tobytes()
    assert first.parents.tobytes() == second.parents.tobytes()
    assert first.navigator.to_bytes() == second.navigator.to_bytes()


def test_a_tree_of_identical_centroids_is_planted():
    made = tree.plant(np.ones((600, 3), np.float32), 0)
    assert len(made.leaves) == 600
    assert int(made.levels.max()) == 10


def test_the_order_says_which_centroid_each_leaf_is(planted):
    centroids, made = planted
    assert sorted(made.order.tolist()) == list(range(len(centroids)))
    assert (centroids[made.order] == made.leaves).all()


# ----------------------------------------------------------------------------------------------------------- file order


@pytest.mark.parametrize("n", [1, 2, 3, 50])
@pytest.mark.parametrize("dim", [1, 7])
def test_a_chain_visits_every_point_once(n, dim):
    assert sorted(tree.chain(gauss(n, dim)).tolist()) == list(range(n))


def test_a_chain_starts_farthest_from_the_mean_and_goes_to_the_nearest_unvisited_point():
    points = gauss(40, 3)
    order = tree.chain(points)
    from_mean = np.linalg.norm(points - points.mean(axis=0), axis=1)
    assert order[0] == from_mean.argmax()
    for step in range(39):
        left = order[step + 1 :]
        to_left = np.linalg.norm(points[left] - points[order[step]], axis=1)
        assert to_left[0] == pytest.approx(to_left.min(), rel=1e-4)


def test_a_chain_on_a_line_goes_from_one_end_to_the_other():
    points = np.array([[5.0], [1.0], [3.0], [2.0], [4.0]], np.float32)
    values = points[tree.chain(points)].ravel().tolist()
    assert values in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])


def test_a_chain_of_identical_points_visits_every_point_once():
    assert sorted(tree.chain(np.ones((6, 3), np.float32)).tolist()) == list(range(6))


def test_file_order_keeps_groups_together_and_leaves_empty_groups_out():
    centroids, centres = gauss(60, 5), gauss(8, 5, seed=1)
    groups = np.random.default_rng(2).integers(0, 7, 60).astype(np.int32)  # nothing is in group 7
    order = tree.file_order(centroids, groups, centres)
    assert sorted(order.tolist()) == list(range(60))
    changes = np.count_nonzero(np.diff(groups[order]))
    assert changes == len(set(groups.tolist())) - 1


def test_neighbours_in_the_file_are_nearer_than_chance():
    centroids = gauss(400, 4)
    centres = group_centres(centroids, 0)
    order = tree.file_order(centroids, home_groups(centroids, centres), centres)
    steps = np.linalg.norm(np.diff(centroids[order], axis=0), axis=1).mean()
    assert steps < 0.6 * np.linalg.norm(np.diff(centroids, axis=0), axis=1).mean()
