"""Maintenance of cells: cuts, neighbourhoods, movers, binary trees, navigators that grow."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index import defaults
from ramet.index.kernels import bisect as kernel
from ramet.index.kernels.maintain import better_homes
from ramet.index.kernels.navigate import home_group
from ramet.index.kernels.plan import L2, PLAN
from ramet.index.kernels.topk import EMPTY
from ramet.index.maintain import family, movers, nearest_of, neighbourhoods, split_centroids
from ramet.index.navigate import GroupNavigator, flat_navigator, group_centres, group_navigator, home_groups
from tests.oracle import building as naive

LOW = np.uint64(0xFFFFFFFF)
seeds = st.integers(0, 1000)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------- cutting


@pytest.mark.parametrize("n", [2, 3, 97, 150, 200, 400, 3000])
def test_a_cut_has_as_many_parts_as_rows_ask_for(n):
    centroids = split_centroids(normal(n, n, 8), (n,), 1)
    many = n >= defaults.SPLIT_MANY * defaults.SPLIT_ROWS
    wanted = round(n / (defaults.PART_SHARE * defaults.SPLIT_ROWS)) if many else 2
    assert 2 <= len(centroids) <= wanted
    assert len(centroids) > 0.8 * wanted
    assert (np.bincount(nearest_of(normal(n, n, 8), centroids), minlength=len(centroids)) > 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 97, 3000])
def test_rows_that_cannot_be_told_apart_are_not_cut(n):
    assert split_centroids(np.tile(normal(1, 1, 8), (n, 1)), (0,), 1) is None


@pytest.mark.parametrize("n", [130, 3000])
@pytest.mark.parametrize("n_others", [1, 2, 5, 60])
@pytest.mark.parametrize("least", [1, 12])
def test_a_cut_of_nearly_equal_rows_has_no_part_below_the_least(n, n_others, least):
    points = np.tile(normal(1, 1, 8), (n, 1))
    points[:n_others] = normal(2, n_others, 8)
    centroids = split_centroids(points, (7,), least)
    if centroids is not None:
        assert len(centroids) >= 2 and np.isfinite(centroids).all()
        assert len(np.unique(centroids, axis=0)) == len(centroids)
        assert np.bincount(nearest_of(points, centroids)).min() >= least


def test_rows_that_differ_in_the_last_bit_end_as_a_cut_or_none():
    points = np.ones((500, 4), np.float32)
    points[::2] = np.nextafter(np.float32(1), np.float32(2))
    centroids = split_centroids(points, (1,), 1)
    assert centroids is None or len(centroids) >= 2


def test_the_same_rows_and_seed_are_cut_the_same_way():
    points = normal(3, 300, 6)
    assert split_centroids(points, (5, 300), 1).tobytes() == split_centroids(points, (5, 300), 1).tobytes()


@pytest.mark.parametrize("k", [2, 3, 4, 9, 40])
def test_a_family_is_a_binary_tree_over_the_parts(k):
    centroids = normal(k, k, 5)
    made = family(centroids)
    assert made.n_inner == k - 2
    assert len(made.parents) == len(made.levels) == len(made.centroids) == 2 * k - 2
    assert (np.bincount(made.parents, minlength=k - 1) == 2).all() and made.parents.max() == max(0, k - 2)
    assert (made.centroids[k - 2 :] == centroids).all()
    for i, parent in enumerate(made.parents.tolist()):
        assert made.levels[i] == (1 if parent == 0 else made.levels[parent - 1] + 1)
        assert parent == 0 or parent - 1 < i


# -------------------------------------------------------------------------------------------------------------- movers


@given(seed=seeds, m=st.integers(0, 6), k=st.integers(1, 5))
def test_neighbourhoods_are_those_that_a_loop_finds(seed, m, k):
    rng = np.random.default_rng(seed)
    changed = np.sort(rng.choice(20, size=m, replace=False)).astype(np.int64)
    near = rng.integers(-1, 20, size=(m, k)).astype(np.int64)
    hood = neighbourhoods(changed, near)
    expected = {int(cell): set() for cell in changed}
    for cell, around in zip(changed.tolist(), near.tolist(), strict=True):
        for other in around:
            if other >= 0 and other != cell:
                expected.setdefault(other, set()).add(cell)
                expected[cell].add(other)
    assert hood.lists.tolist() == sorted(expected)
    assert len(hood.starts) == len(hood.lists) + 1 and hood.starts[-1] == len(hood.candidates)
    for i, cell in enumerate(hood.lists.tolist()):
        assert set(hood.candidates[hood.starts[i] : hood.starts[i + 1]].tolist()) == expected[cell]


@pytest.mark.parametrize("threads", [0, 3])
@given(seed=seeds, dim=st.sampled_from([1, 3, 16, 17]))
def test_movers_are_those_that_a_loop_finds(threads, seed, dim):
    rng = np.random.default_rng(seed)
    centroids = rng.integers(-3, 4, size=(12, dim)).astype(np.float32)  # whole numbers: many equals
    changed = np.sort(rng.choice(12, size=3, replace=False)).astype(np.int64)
    hood = neighbourhoods(changed, rng.integers(-1, 12, size=(3, 4)).astype(np.int64))
    lengths = rng.integers(0, 7, size=len(hood.lists)).astype(np.int64)
    points = rng.integers(-4, 5, size=(int(lengths.sum()), dim)).astype(np.float32)
    if threads:
        with ThreadPoolExecutor(threads) as pool:
            moved = movers(points, lengths, hood, centroids, pool)
    else:
        moved = movers(points, lengths, hood, centroids, None)
    ends, expected = np.cumsum(lengths), []
    for i, home in enumerate(hood.lists.tolist()):
        rows = points[ends[i] - lengths[i] : ends[i]]
        candidates = hood.candidates[hood.starts[i] : hood.starts[i + 1]].tolist()
        expected += [cell != home for cell in naive.better_homes(rows, home, candidates, centroids)]
    assert moved.tolist() == expected


def test_the_nearest_candidate_is_told_and_only_asked_lists_are_written():
    centroids, points = normal(0, 6, 9), normal(1, 20, 9)
    lists, homes = np.array([0, 5, 12, 20]), np.array([0, 1, 2])
    starts, candidates = np.array([0, 2, 5, 8]), np.array([3, 4, 0, 4, 5, 5, 3, 0])
    best = np.full(20, -7, np.int64)
    better_homes(points, lists, homes, starts, candidates, centroids, 1, 3, best)
    assert (best[:5] == -7).all()
    for i in (1, 2):
        rows = points[lists[i] : lists[i + 1]]
        expected = naive.better_homes(rows, homes[i], candidates[starts[i] : starts[i + 1]].tolist(), centroids)
        assert best[lists[i] : lists[i + 1]].tolist() == expected


# ------------------------------------------------------------------------------------------------------------- bisect


@pytest.mark.parametrize("dim", [1, 4, 19])
def test_the_parts_of_a_halving_are_those_of_the_twins(dim):
    points, order = normal(dim, 30, dim), np.random.default_rng(dim).permutation(30)
    members = order[5:25].tolist()
    mean = np.empty(dim, np.float32)
    kernel.mean_of(points, order, 5, 25, mean)
    np.testing.assert_allclose(mean, naive.mean_of(points, members), rtol=1e-5, atol=1e-6)
    assert order[kernel.farthest(points, order, 5, 25, mean)] == naive.farthest(points, members, mean)
    scores = np.empty(20, np.float32)
    kernel.side_scores(points, order, 5, 25, points[0], points[1], scores)
    np.testing.assert_allclose(scores, naive.side_scores(points, members, points[0], points[1]), rtol=1e-4, atol=1e-5)
    before = order.copy()
    expected = naive.halve(points, members)
    left, right = np.empty(dim, np.float32), np.empty(dim, np.float32)
    middle = kernel.halve(points, order, 5, 25, np.empty(20, np.float32), left, right)
    assert middle == 15
    assert [order[5:15].tolist(), order[15:25].tolist()] == list(expected)
    assert (order[:5] == before[:5]).all() and (order[25:] == before[25:]).all()


def test_the_first_of_equals_is_the_farthest():
    points = np.array([[0.0], [2.0], [-2.0], [2.0]], np.float32)
    assert kernel.farthest(points, np.arange(4), 0, 4, np.zeros(1, np.float32)) == 1
    assert naive.farthest(points, range(4), [0.0]) == 1


def nested(parents, n, node=0):
    """The tree that a kernel wrote, as nested pairs."""
    if node >= n - 1:
        return node - (n - 1)
    return tuple(nested(parents, n, child) for child in np.flatnonzero(parents == node).tolist() if child)


def alike(one, other):
    """The same tree, whichever of two parts comes first."""
    if isinstance(one, int) or isinstance(other, int):
        return one == other
    return (alike(one[0], other[0]) and alike(one[1], other[1])) or (
        alike(one[0], other[1]) and alike(one[1], other[0])
    )


@pytest.mark.parametrize("n", [2, 3, 5, 8, 33])
@pytest.mark.parametrize("dim", [1, 6])
def test_a_binary_tree_is_that_of_the_twin(n, dim):
    points = normal(n + dim, n, dim)
    parents, levels = np.zeros(2 * n - 1, np.uint32), np.zeros(2 * n - 1, np.uint32)
    centroids = np.empty((n - 1, dim), np.float32)
    kernel.bisect(points, parents, levels, centroids)
    assert alike(nested(parents, n), naive.bisect(points))
    np.testing.assert_allclose(centroids[0], points.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert (levels[1:] == levels[parents[1:]] + 1).all()
    assert levels.max() == np.ceil(np.log2(n))


@pytest.mark.parametrize("n", [2, 7, 100])
def test_equal_points_are_halved_as_they_lie(n):
    points = np.ones((n, 3), np.float32)
    parents, levels = np.zeros(2 * n - 1, np.uint32), np.zeros(2 * n - 1, np.uint32)
    kernel.bisect(points, parents, levels, np.empty((n - 1, 3), np.float32))
    assert levels.max() == np.ceil(np.log2(n))
    assert (np.bincount(parents[1:], minlength=n - 1) == 2).all()


# ------------------------------------------------------------------------------------------------ navigators that grow


def grouped(centroids):
    centres = group_centres(centroids, 0)
    return group_navigator(centroids, centres, home_groups(centroids, centres))


def every(navigator, queries, n=None):
    return navigator.nearest(queries, navigator.n_cells if n is None else n, L2)


def roomy(navigator, room=0.5):
    return navigator.with_room(np.ones(navigator.n_cells, bool), room)


@pytest.mark.parametrize("make", [flat_navigator, grouped])
@pytest.mark.parametrize("room", [0.0, 0.25, 3.0])
def test_room_changes_no_answer(make, room):
    navigator, queries = make(normal(0, 300, 12)), normal(1, 9, 12)
    assert (every(roomy(navigator, room), queries) == every(navigator, queries)).all()
    assert roomy(navigator, room).to_bytes() == navigator.to_bytes()


@pytest.mark.parametrize("make", [flat_navigator, grouped])
def test_cells_that_are_not_kept_are_gone_and_the_others_renumbered(make):
    centroids, queries = normal(0, 300, 12), normal(1, 9, 12)
    keep = np.random.default_rng(2).random(300) < 0.6
    before, after = every(make(centroids), queries), every(make(centroids).with_room(keep, 0.25), queries)
    number = np.cumsum(keep) - 1
    for line, found in zip(before, after, strict=True):
        cells = [int(number[key & LOW]) for key in line if keep[int(key & LOW)]]
        assert [int(key & LOW) for key in found] == cells


@pytest.mark.parametrize("make", [flat_navigator, grouped])
@pytest.mark.parametrize("dim", [3, 64])
def test_a_grown_navigator_knows_the_new_cells_and_older_ones_answer_as_before(make, dim):
    centroids, queries = normal(0, 400, dim), normal(1, 20, dim)
    chain, answers = [roomy(make(centroids[:200]), 2.0)], []
    for first in range(200, 400, 8):
        answers.append(every(chain[-1], queries))
        grown = chain[-1].grown(centroids[first : first + 8])
        if grown is None:
            grown = roomy(chain[-1], 2.0).grown(centroids[first : first + 8])
        assert grown.n_cells == first + 8
        chain.append(grown)
    for navigator, answer in zip(chain, answers, strict=False):
        assert (every(navigator, queries) == answer).all()
    last = every(chain[-1], queries)
    assert (np.sort(last & LOW, axis=1) == np.arange(400)).all()
    if make is flat_navigator:
        assert (last == every(flat_navigator(centroids), queries)).all()
    back = GroupNavigator.from_bytes(chain[-1].to_bytes())
    assert (every(back, queries) == last).all()
    own = chain[-1].nearest(centroids, 1, L2)[:, 0] & LOW
    assert (own == np.arange(400)).mean() > 0.97


def test_a_navigator_without_room_does_not_grow_and_is_not_changed():
    navigator, queries = grouped(normal(0, 300, 8)), normal(1, 5, 8)
    before = every(navigator, queries)
    assert navigator.grown(normal(3, 1, 8)) is None
    assert (every(navigator, queries) == before).all()


@pytest.mark.parametrize("make", [flat_navigator, grouped])
def test_a_group_that_lost_every_cell_takes_in_as_many_as_there_is_room_asked_for(make):
    centroids = normal(0, 60, 4)
    navigator = make(centroids).with_room(np.zeros(60, bool), 0.25)
    assert navigator.n_cells == 0
    n, room = 50, 0.25
    while (grown := navigator.grown(np.tile(centroids[:1], (n, 1)))) is None:
        navigator, room = navigator.with_room(np.ones(0, bool), room), room * 4
        assert room < 1e6
    assert (np.sort(every(grown, centroids[:2]) & LOW, axis=1) == np.arange(n)).all()


def test_cells_without_a_list_are_passed_over():
    from ramet.index.assign import assign_points

    centroids, points = normal(0, 200, 6), normal(1, 500, 6)
    alive = (np.random.default_rng(3).random(200) < 0.5).astype(np.uint32)
    for navigator in (flat_navigator(centroids), roomy(grouped(centroids))):
        cells, counts = assign_points(points, navigator, centroids, alive, 2, None)
        taken = np.arange(2)[None] < counts[:, None]
        assert alive[cells[taken]].all() and (counts > 0).all()
        distances = np.square(points[:, None] - centroids[None]).sum(axis=2) + np.where(alive, 0, np.inf)
        assert (cells[:, 0] == distances.argmin(axis=1)).mean() > 0.95


def test_the_home_group_is_the_nearest_centre():
    centroids = normal(0, 400, 16)
    navigator, centres = grouped(centroids), group_centres(centroids, 0)
    plan, out = np.zeros(1, PLAN), np.empty(navigator.scratch(), np.float32)
    navigator.fill(plan)
    found = [int(home_group(plan[0], centroid, out)) for centroid in centroids]
    same = [a == naive.home_group(c, centres) for a, c in zip(found, centroids, strict=True)]
    assert np.mean(same) > 0.97  # 8-bit codes may mistake neighbours


def test_more_cells_than_there_are_leave_empty_keys():
    navigator = roomy(flat_navigator(normal(0, 5, 3)))
    assert (navigator.nearest(normal(1, 2, 3), 9, L2) != EMPTY).sum() == 10
