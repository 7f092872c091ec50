"""From vectors to lists: every row has one, lists keep to their bound, the same whatever the threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ramet.index import build, defaults
from ramet.index.assign import Assignment, ClosureConfig
from ramet.index.build import make_lists
from ramet.index.clustering import ClusterConfig
from ramet.index.source import ArraySource

CONFIG = ClusterConfig(list_size=16)


def gauss(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def made(vectors, *, rows=None, unit=False, pool=None, progress=None, config=CONFIG, closure=None):
    source = ArraySource(np.ascontiguousarray(vectors, dtype=np.float32), unit=unit)
    rows = np.arange(len(vectors), dtype=np.int64) if rows is None else rows
    return make_lists(source, rows, config, closure or ClosureConfig(), pool, progress)


def lengths(tree, assignment):
    taken = np.arange(assignment.cells.shape[1]) < assignment.counts[:, None]
    return np.bincount(assignment.cells[taken], minlength=len(tree.leaves))


def shapes_of_data():
    rng = np.random.default_rng(5)
    blobs = rng.standard_normal((20, 8))[rng.integers(0, 20, 3000)] * 10
    return {
        "round": gauss(3000, 8),
        "round, dim 64": gauss(3000, 64),
        "dim 1": gauss(3000, 1),
        "blobs of two densities": blobs + rng.standard_normal((3000, 8)) * rng.choice([0.01, 1], (3000, 1)),
        "long tails": np.exp(1.5 * rng.standard_normal((3000, 8))),
        "lengths of all sizes": gauss(3000, 64) * rng.exponential(size=(3000, 1)) ** 2,
    }


@pytest.mark.parametrize("vectors", shapes_of_data().values(), ids=shapes_of_data().keys())
@pytest.mark.parametrize("unit", [False, True], ids=["as they are", "unit length"])
def test_no_list_holds_more_rows_than_the_bound(vectors, unit):
    if unit and vectors.shape[1] == 1:
        vectors = np.abs(vectors)  # unit vectors of one dimension are identical, or opposite
    tree, assignment = made(vectors, unit=unit)
    counts = lengths(tree, assignment)
    assert counts.sum() == assignment.counts.sum() >= len(vectors)
    if unit and vectors.shape[1] == 1:
        assert len(tree.leaves) == 1
    else:
        assert counts.max() <= CONFIG.bound


@pytest.mark.parametrize("n", [1, 2, 16, 17, 100])
@pytest.mark.parametrize("dim", [1, 5])
def test_few_vectors_are_built(n, dim):
    tree, assignment = made(gauss(n, dim))
    assert (assignment.counts >= 1).all()
    assert assignment.home.max() < len(tree.leaves)
    assert lengths(tree, assignment).max() <= CONFIG.bound


def test_ten_thousand_identical_vectors_are_one_list():
    tree, assignment = made(np.repeat(gauss(1, 8), 10_000, axis=0))
    assert len(tree.leaves) == 1
    assert lengths(tree, assignment).tolist() == [10_000]


def test_only_lists_of_identical_vectors_are_over_the_bound():
    vectors = gauss(3000, 8)
    vectors[:1000] = vectors[0]
    tree, assignment = made(vectors)
    counts = lengths(tree, assignment)
    (over,) = np.flatnonzero(counts > CONFIG.bound)
    assert (assignment.home[:1000] == over).all()
    assert np.count_nonzero(assignment.home[1000:] == over) <= CONFIG.bound


def test_rows_that_no_centroid_was_made_from_have_a_list_too():
    vectors = gauss(2000, 8)
    tree, assignment = made(vectors, rows=np.arange(0, 2000, 2))
    assert len(assignment.counts) == 2000
    to_leaves = np.linalg.norm(vectors[:, None] - tree.leaves, axis=2)
    mine = to_leaves[np.arange(2000), assignment.home]
    assert (mine <= to_leaves.min(axis=1) * 1.0001).mean() > 0.97


def test_the_result_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(defaults, "BLOCK_ROWS", 1000)
    monkeypatch.setattr(defaults, "FLAT_CELLS", 100)
    vectors = gauss(5000, 6)
    first_tree, first = made(vectors)
    for threads in (1, 2, 3):
        with ThreadPoolExecutor(threads) as pool:
            tree, assignment = made(vectors, pool=pool)
        assert tree.centroids.tobytes() == first_tree.centroids.tobytes()
        assert tree.parents.tobytes() == first_tree.parents.tobytes()
        assert assignment.counts.tobytes() == first.counts.tobytes()
        taken = np.arange(first.cells.shape[1]) < first.counts[:, None]
        assert (assignment.cells[taken] == first.cells[taken]).all()


def test_progress_tells_both_stages_in_order():
    told = []
    made(gauss(2000, 8), progress=lambda stage, done: told.append((stage, done)))
    assert [stage for stage, _ in told] == sorted((stage for stage, _ in told), reverse=True) != []
    for stage in ("cluster", "assign"):
        done = [fraction for name, fraction in told if name == stage]
        assert done == sorted(done)
        assert done[-1] == 1.0


# ----------------------------------------------------------------------------------------------- splits after assigning


def overfull(vectors, centroids, cells, counts=None):
    cells = np.asarray(cells, np.int32).reshape(len(vectors), -1)
    counts = np.full(len(vectors), cells.shape[1], np.int32) if counts is None else counts
    source = ArraySource(vectors, unit=False)
    return build.split_overfull(source, centroids, Assignment(cells=cells, counts=counts), CONFIG)


def test_a_cell_over_the_bound_is_split_and_its_rows_go_to_the_nearest_part():
    vectors, centroids = gauss(200, 4), gauss(3, 4, seed=1)
    grown, assignment = overfull(vectors, centroids, np.where(np.arange(200) < 150, 1, 2))
    assert (grown[[0, 2]] == centroids[[0, 2]]).all()
    assert len(grown) > 4
    assert (assignment.home[150:] == 2).all()
    parts = [1, *range(3, len(grown))]
    assert set(assignment.home[:150]) <= set(parts)
    to_parts = np.linalg.norm(vectors[:150, None] - grown[parts], axis=2)
    mine = np.linalg.norm(vectors[:150] - grown[assignment.home[:150]], axis=1)
    np.testing.assert_allclose(mine, to_parts.min(axis=1), atol=1e-5)
    assert np.bincount(assignment.home).max() <= CONFIG.bound


def test_copies_in_a_split_cell_move_along_and_are_not_counted():
    vectors, centroids = gauss(100, 4), gauss(3, 4, seed=1)
    cells = np.stack([np.where(np.arange(100) < 80, 0, 1), np.where(np.arange(100) < 80, 2, 0)], axis=1)
    grown, assignment = overfull(vectors, centroids, cells)
    assert (assignment.cells[:80, 1] == 2).all()
    assert (assignment.cells[80:, 0] == 1).all()
    assert set(assignment.cells[80:, 1]) <= {0, *range(3, len(grown))}
    assert len(set(assignment.cells[80:, 1])) > 1


def test_places_that_hold_no_copy_do_not_take_part_in_a_split():
    vectors, centroids = gauss(100, 4), gauss(2, 4, seed=1)
    cells = np.stack([np.zeros(100), np.zeros(100)], axis=1)  # the second place is unused
    _, assignment = overfull(vectors, centroids, cells, np.ones(100, np.int32))
    assert np.bincount(assignment.home).max() <= CONFIG.bound


def test_cells_within_the_bound_stay_as_they_are():
    vectors, centroids = gauss(CONFIG.bound, 4), gauss(3, 4, seed=1)
    grown, assignment = overfull(vectors, centroids, np.zeros(len(vectors)))
    assert grown.tobytes() == centroids.tobytes()
    assert (assignment.home == 0).all()


def test_a_cell_of_identical_vectors_is_not_split():
    vectors, centroids = np.ones((200, 4), np.float32), gauss(3, 4, seed=1)
    assert overfull(vectors, centroids, np.zeros(200))[0].tobytes() == centroids.tobytes()


def test_a_cell_of_mostly_identical_vectors_is_split_from_the_others():
    vectors = np.ones((200, 4), np.float32)
    vectors[190:] = gauss(10, 4)
    _, assignment = overfull(vectors, gauss(3, 4, seed=1), np.zeros(200))
    assert len(set(assignment.home[:190])) == 1
    assert set(assignment.home[:190]).isdisjoint(assignment.home[190:])


def test_renumbered_cells_are_those_of_the_new_order():
    assignment = Assignment(cells=np.array([[0, 2], [1, 0]], np.int32), counts=np.array([2, 2], np.int32))
    moved = build.renumbered(assignment, np.array([2, 0, 1]))  # the new cell 0 was cell 2
    assert moved.cells.tolist() == [[1, 0], [2, 1]]
