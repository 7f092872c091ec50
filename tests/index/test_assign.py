"""Closure assignment of a set, the bound on list lengths, and the order of cells in the file."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ramet.index import assign, defaults
from ramet.index.assign import Assignment, ClosureConfig
from ramet.index.kernels.plan import L2
from ramet.index.source import ArraySource
from ramet.index.tree import plant


def gauss(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def assigned(vectors, centroids, replicas=3, factor=1.3, threads=None):
    """Assignment to a tree over the centroids, with cells numbered as the centroids are given."""
    source = ArraySource(vectors, unit=False)
    tree = plant(centroids, 0)
    config = ClosureConfig(replicas=replicas, factor=factor)
    if threads is None:
        found = assign.assign_all(source, tree, config, None)
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = assign.assign_all(source, tree, config, pool)
    return Assignment(cells=tree.order[found.cells].astype(np.int32), counts=found.counts)


def distances(vectors, centroids):
    return np.linalg.norm(vectors[:, None].astype(np.float64) - centroids, axis=2)


def lists(assignment):
    """Cells of each row as plain lists."""
    return [row[:count].tolist() for row, count in zip(assignment.cells, assignment.counts, strict=True)]


def lengths(assignment, n_cells):
    return np.bincount([cell for cells in lists(assignment) for cell in cells], minlength=n_cells)


# ------------------------------------------------------------------------------------------------------------- closure


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("factor", [1.0, 1.2, 2.0])
@pytest.mark.parametrize("dim", [1, 2, 24])
def test_the_nearest_cell_comes_first_and_factor_and_most_are_respected(dim, factor, replicas):
    vectors, centroids = gauss(500, dim), gauss(60, dim, seed=1)
    found = assigned(vectors, centroids, replicas, factor)
    true = distances(vectors, centroids)
    assert found.cells.shape == (500, replicas)
    np.testing.assert_allclose(true[np.arange(500), found.home], true.min(axis=1), rtol=1e-5, atol=1e-6)
    for row, cells in enumerate(lists(found)):
        assert 1 <= len(cells) <= replicas
        assert len(set(cells)) == len(cells)
        assert (true[row, cells] <= factor * true[row].min() * 1.0001).all()


def test_rows_between_cells_are_in_several_lists_and_rows_at_a_centroid_in_one():
    centroids = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [9.0, 9.0]], np.float32)
    vectors = np.array([[0.0, 0.0], [0.5, 0.0], [9.0, 9.0], [0.49, 0.48]], np.float32)
    found = lists(assigned(vectors, centroids, replicas=2, factor=1.2))
    assert found[0] == [0]
    assert sorted(found[1]) == [0, 1]
    assert found[2] == [3]
    assert len(found[3]) == 2


def test_without_closure_each_row_is_in_its_nearest_list_only():
    found = assigned(gauss(300, 8), gauss(40, 8, seed=1), replicas=1, factor=2.0)
    assert (found.counts == 1).all()
    assert found.cells.shape == (300, 1)


def test_one_cell_takes_every_row():
    found = assigned(gauss(100, 8), gauss(1, 8, seed=1))
    assert (found.counts == 1).all()
    assert (found.home == 0).all()


def test_copies_of_a_centroid_share_no_row():
    centroids = np.repeat(gauss(20, 8, seed=1), 2, axis=0)
    for cells in lists(assigned(gauss(300, 8), centroids, replicas=4, factor=3.0)):
        values = {centroids[cell].tobytes() for cell in cells}
        assert len(values) == len(cells)


def test_the_assignment_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(defaults, "BLOCK_ROWS", 500)
    monkeypatch.setattr(defaults, "FLAT_CELLS", 100)
    vectors, centroids = gauss(3000, 6), gauss(300, 6, seed=1)
    first = assigned(vectors, centroids)
    for threads in (1, 2, 3):
        assert lists(assigned(vectors, centroids, threads=threads)) == lists(first)


def test_among_groups_nearly_every_row_is_in_its_nearest_cell():
    vectors, centroids = gauss(2000, 16), gauss(900, 16, seed=1)
    assert (assigned(vectors, centroids).home == distances(vectors, centroids).argmin(axis=1)).mean() > 0.97


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_query_with_the_vector_of_a_row_reaches_one_of_its_lists(replicas):
    """Rows go to no cell that a query with few probes would not look at, even where there are no clusters."""
    vectors, centroids = gauss(1500, 64), gauss(900, 64, seed=1)
    tree = plant(centroids, 0)
    found = assign.assign_all(ArraySource(vectors, unit=False), tree, ClosureConfig(replicas=replicas), None)
    keys = tree.navigator.nearest(vectors, 4, L2)
    probed = (keys & np.uint64(0xFFFFFFFF)).astype(int)
    reached = [bool(set(cells) & set(mine)) for cells, mine in zip(lists(found), probed.tolist(), strict=True)]
    assert np.mean(reached) == 1.0


# ---------------------------------------------------------------------------------------------------------------- trim


@pytest.mark.parametrize("limit", [1, 5, 20, 60, 1000])
def test_trim_keeps_lists_to_the_limit_but_never_drops_the_nearest_copy(limit):
    whole = assigned(gauss(1000, 4), gauss(40, 4, seed=1), replicas=4, factor=1.5)
    trimmed = assign.trim(whole, 40, limit)
    assert (trimmed.home == whole.home).all()
    assert (trimmed.counts >= 1).all()
    homes = np.bincount(whole.home, minlength=40)
    assert (lengths(trimmed, 40) <= np.maximum(homes, limit)).all()
    for before, after in zip(lists(whole), lists(trimmed), strict=True):
        assert len(set(after)) == len(after)
        assert after == [cell for cell in before if cell in after]  # in the same order


def test_trim_fills_lists_up_to_the_limit():
    whole = assigned(gauss(1000, 4), gauss(40, 4, seed=1), replicas=4, factor=1.5)
    trimmed = assign.trim(whole, 40, 60)
    wanted, kept = lengths(whole, 40), lengths(trimmed, 40)
    homes = np.bincount(whole.home, minlength=40)
    assert (kept == np.maximum(homes, np.minimum(wanted, 60))).all()


def test_trim_takes_nearer_ranks_before_further_ones_and_rows_in_order():
    cells = np.array([[0, 2, 1], [0, 1, 2], [1, 2, 0], [1, 0, 2]], np.int32)
    whole = Assignment(cells=cells, counts=np.array([3, 3, 3, 1], np.int32))
    trimmed = assign.trim(whole, 3, 2)
    # list 0 and 1 are full with their nearest rows; list 2 has room for the second cells of rows 0 and 2
    assert lists(trimmed) == [[0, 2], [0], [1, 2], [1]]
    assert whole.counts.tolist() == [3, 3, 3, 1], "the argument is left as it was"


def test_trim_with_room_for_all_changes_nothing():
    whole = assigned(gauss(300, 4), gauss(20, 4, seed=1))
    assert lists(assign.trim(whole, 20, 10_000)) == lists(whole)
