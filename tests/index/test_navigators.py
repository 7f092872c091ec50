"""Navigators behind one interface: flat, groups, graph."""

import numpy as np
import pytest

from ramet.index.errors import BrokenNavigatorError
from ramet.index.kernels.plan import COSINE, IP, L2, PLAN
from ramet.index.kernels.topk import EMPTY
from ramet.index.navigate import GroupNavigator, flat_navigator, group_centres, group_navigator, home_groups
from ramet.index.navigate_hnsw import HnswNavigator

LOW = np.uint64(0xFFFFFFFF)


def gauss(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def flat(centroids, metric=L2):
    return flat_navigator(centroids)


def groups(centroids, metric=L2):
    centres = group_centres(centroids, 0)
    return group_navigator(centroids, centres, home_groups(centroids, centres))


def graph(centroids, metric=L2):
    return HnswNavigator.build(centroids, metric)


KINDS = [flat, groups, graph]
every_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
every_metric = pytest.mark.parametrize("metric", [L2, COSINE, IP], ids=["l2", "cosine", "ip"])


def cells_of(keys):
    return (keys & LOW).astype(int)


def distances(queries, centroids, metric):
    """As navigation ranks cells: under cosine the distance of the unit query to the centroid."""
    queries = queries.astype(np.float64)
    if metric == IP:
        return -queries @ centroids.T
    if metric == COSINE:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return np.square(queries[:, None] - centroids).sum(axis=2)


# ----------------------------------------------------------------------------------------------------------- interface


@every_kind
@every_metric
@pytest.mark.parametrize("dim", [1, 2, 17, 64, 100])
def test_a_full_probe_returns_every_cell_once_in_ascending_order(make, metric, dim):
    centroids, queries = gauss(700, dim), gauss(5, dim, seed=1)
    navigator = make(centroids, metric)
    assert navigator.n_cells == 700
    keys = navigator.nearest(queries, 700, metric)
    assert keys.dtype == np.uint64
    assert keys.shape == (5, 700)
    assert (keys[:, 1:] > keys[:, :-1]).all()
    assert (np.sort(cells_of(keys), axis=1) == np.arange(700)).all()


@every_kind
@every_metric
@pytest.mark.parametrize("dim", [2, 17, 64, 100])
def test_nearly_all_of_the_nearest_cells_are_found(make, metric, dim):
    centroids, queries = gauss(900, dim), gauss(50, dim, seed=1)
    found = cells_of(make(centroids, metric).nearest(queries, 20, metric))
    truth = distances(queries, centroids, metric).argsort(axis=1)[:, :20]
    shared = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found, truth, strict=True)])
    assert shared > 0.9
    first = np.mean([t[0] in f for f, t in zip(found, truth, strict=True)])
    assert first > 0.9


@every_kind
@pytest.mark.parametrize("dim", [2, 17, 100])
def test_a_query_at_a_centroid_finds_its_cell_first(make, dim):
    """As far as 8-bit codes tell cells apart, and links of a graph lead to them."""
    centroids = gauss(800, dim)
    keys = make(centroids).nearest(centroids[:60], 5, L2)
    assert (cells_of(keys)[:, 0] == np.arange(60)).mean() >= (0.8 if dim == 2 else 0.95)


@every_kind
@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_few_cells_are_found_however_many_are_asked_for(make, n):
    centroids = gauss(n, 9)
    for nprobe in (1, n, n + 5):
        keys = make(centroids).nearest(gauss(3, 9, seed=1), nprobe, L2)
        assert keys.shape == (3, min(nprobe, n))
        assert (keys != EMPTY).all()


@every_kind
def test_under_cosine_the_length_of_a_query_does_not_matter(make):
    centroids, queries = gauss(600, 16), gauss(10, 16, seed=1)
    navigator = make(centroids, COSINE)
    keys = navigator.nearest(queries, 8, COSINE)
    assert (cells_of(navigator.nearest(queries * 4, 8, COSINE)) == cells_of(keys)).all()


@every_kind
def test_copies_of_a_centroid_are_found_in_the_order_of_their_numbers(make):
    centroids = np.repeat(gauss(40, 8), 5, axis=0)
    keys = make(centroids).nearest(gauss(20, 8, seed=1), 200, L2)
    assert (keys[:, 1:] > keys[:, :-1]).all()
    assert (np.sort(cells_of(keys), axis=1) == np.arange(200)).all()


@every_kind
def test_two_navigators_of_the_same_centroids_are_the_same(make):
    centroids = gauss(600, 12)
    assert make(centroids).to_bytes() == make(centroids).to_bytes()


@every_kind
def test_what_a_navigator_tells_of_itself(make):
    navigator = make(gauss(600, 12))
    plan = np.zeros(1, PLAN)
    navigator.fill(plan)
    assert plan["dim"] == navigator.dim == 12
    assert plan["n_cells"] == navigator.n_cells == 600
    assert navigator.scratch() >= 1
    assert 600 * 12 < navigator.n_bytes < 600 * 12 * 40
    assert navigator.starts.dtype == np.int64


def test_more_effort_finds_no_fewer_of_the_nearest_cells():
    centroids, queries = gauss(3000, 24), gauss(50, 24, seed=1)
    navigator = groups(centroids)
    truth = distances(queries, centroids, L2).argsort(axis=1)[:, :20]
    found = []
    for effort in (0.1, 1.0, 4.0):
        cells = cells_of(navigator.nearest(queries, 20, L2, effort=effort))
        found.append(np.mean([len(set(a) & set(b)) / 20 for a, b in zip(cells, truth, strict=True)]))
    assert found == sorted(found)
    assert found[2] > 0.97


def test_a_group_without_cells_is_passed_over():
    centroids = gauss(100, 8)
    centres = gauss(6, 8, seed=1)
    labels = np.random.default_rng(2).integers(0, 4, 100).astype(np.int32)
    labels[labels == 1] = 2  # groups 1, 4 and 5 are empty
    keys = group_navigator(centroids, centres, labels).nearest(gauss(4, 8, seed=3), 100, L2)
    assert (np.sort(cells_of(keys), axis=1) == np.arange(100)).all()


# --------------------------------------------------------------------------------------------------------------- bytes


def parser(make):
    return HnswNavigator.from_bytes if make is graph else GroupNavigator.from_bytes


@every_kind
@pytest.mark.parametrize(("n", "dim"), [(1, 1), (5, 3), (700, 17), (600, 64)])
def test_a_navigator_comes_back_from_its_bytes(make, n, dim):
    navigator = make(gauss(n, dim))
    data = navigator.to_bytes()
    again = parser(make)(data)
    assert (again.n_cells, again.dim, again.scratch()) == (n, dim, navigator.scratch())
    assert again.to_bytes() == data
    queries = gauss(4, dim, seed=1)
    assert (again.nearest(queries, 10, L2) == navigator.nearest(queries, 10, L2)).all()


@every_kind
def test_a_navigator_does_not_need_the_bytes_it_came_from(make):
    navigator = make(gauss(600, 8))
    data = bytearray(navigator.to_bytes())
    again = parser(make)(bytes(data))
    data[:] = bytes(len(data))
    assert again.to_bytes() == navigator.to_bytes()


@every_kind
def test_truncated_bytes_are_refused(make):
    data = make(gauss(60, 5)).to_bytes()
    for size in [*range(min(len(data), 120)), *range(120, len(data), 41), len(data) - 1]:
        with pytest.raises(BrokenNavigatorError):
            parser(make)(data[:size])


@every_kind
def test_foreign_bytes_are_refused(make):
    data = make(gauss(60, 5)).to_bytes()
    rng = np.random.default_rng(0)
    for foreign in (b"", b"NAV1", b"HNS1", b"NAV0" + data[4:], bytes(len(data)), rng.bytes(len(data))):
        with pytest.raises(BrokenNavigatorError):
            parser(make)(foreign)


def test_bytes_behind_the_end_are_refused():
    for make in (flat, groups):
        with pytest.raises(BrokenNavigatorError):
            GroupNavigator.from_bytes(make(gauss(60, 5)).to_bytes() + b"\0")


def test_bytes_of_the_other_kind_are_refused():
    centroids = gauss(60, 5)
    with pytest.raises(BrokenNavigatorError):
        GroupNavigator.from_bytes(graph(centroids).to_bytes())
    with pytest.raises(BrokenNavigatorError):
        HnswNavigator.from_bytes(groups(centroids).to_bytes())


def test_bytes_of_an_index_that_is_no_graph_are_refused():
    import faiss

    index = faiss.IndexFlatL2(5)
    index.add(gauss(60, 5))
    with pytest.raises(BrokenNavigatorError):
        HnswNavigator.from_bytes(b"HNS1" + faiss.serialize_index(index).tobytes())


def test_building_a_graph_leaves_the_number_of_threads_of_faiss_alone():
    import faiss

    before = faiss.omp_get_max_threads()
    graph(gauss(100, 4))
    assert faiss.omp_get_max_threads() == before
