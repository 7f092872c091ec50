"""Clustering: cells keep to their size, the same for a seed whatever the threads, and odd inputs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ramet.index import clustering, defaults
from ramet.index.clustering import ClusterConfig, cluster
from ramet.index.source import ArraySource
from tests.oracle import kernels as naive

LIST = 16


def source_of(vectors, unit=False):
    return ArraySource(np.ascontiguousarray(vectors, dtype=np.float32), unit=unit)


def clustered(vectors, unit=False, threads=None, progress=None, rows=None, **options):
    source = source_of(vectors, unit)
    config = ClusterConfig(**{"list_size": LIST, **options})
    rows = np.arange(len(vectors), dtype=np.int64) if rows is None else rows
    if threads is None:
        return cluster(source, rows, config, None, progress)
    with ThreadPoolExecutor(threads) as pool:
        return cluster(source, rows, config, pool, progress)


def lengths(vectors, centroids):
    """Vectors that have each centroid as their nearest, in float64; cells that have none are left out."""
    points, centres = np.asarray(vectors, np.float64), np.asarray(centroids, np.float64)
    distances = np.square(centres).sum(axis=1) - 2 * points @ centres.T
    counts = np.bincount(distances.argmin(axis=1))
    return counts[counts > 0]


def gauss(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def shapes_of_data():
    rng = np.random.default_rng(5)
    blobs = rng.standard_normal((20, 8))[rng.integers(0, 20, 3000)] * 10 + rng.standard_normal((3000, 8))
    return {
        "round, dim 8": gauss(3000, 8),
        "round, dim 64": gauss(3000, 64),
        "round, dim 1": gauss(3000, 1),
        "a cube": rng.random((3000, 8)),
        "far blobs": blobs,
        "a grid of few values": rng.integers(0, 4, (3000, 8)),
        "one long direction": gauss(3000, 8) * [100, 1, 1, 1, 1, 1, 1, 1],
        "far from the origin": gauss(3000, 8) + 50,
    }


every_shape = pytest.mark.parametrize("vectors", shapes_of_data().values(), ids=shapes_of_data().keys())


# --------------------------------------------------------------------------------------------------------------- sizes


@every_shape
def test_no_cell_is_the_nearest_of_more_vectors_than_the_limit(vectors):
    vectors = np.asarray(vectors, np.float32)
    counts = lengths(vectors, clustered(vectors))
    assert counts.sum() == len(vectors)
    assert counts.max() <= ClusterConfig(list_size=LIST).limit


@pytest.mark.parametrize(("dim", "ratio"), [(2, 2.5), (8, 2.5), (64, 3.0)])
def test_cells_of_round_data_are_of_nearly_equal_length(dim, ratio):
    counts = lengths(gauss(3000, dim), clustered(gauss(3000, dim)))
    assert np.percentile(counts, 99) <= ratio * np.median(counts)
    assert 0.6 * LIST <= counts.mean() <= 1.6 * LIST


def test_centroids_are_near_the_means_of_their_cells():
    """Refinement ends near its fixed point."""
    vectors = gauss(2000, 8)
    centroids = clustered(vectors)
    labels, _ = clustering.assign(vectors, centroids)
    sums, counts = clustering.means(vectors, labels, len(centroids))
    moved = np.linalg.norm(sums[counts > 0] / counts[counts > 0, None] - centroids[counts > 0], axis=1)
    radius = np.linalg.norm(vectors - centroids[labels], axis=1).mean()
    assert np.median(moved) < 0.25 * radius


def test_a_cell_of_identical_vectors_may_be_larger_than_the_limit_and_the_others_may_not():
    vectors = gauss(3000, 8)
    vectors[:1000] = vectors[0]
    centroids = clustered(vectors)
    exact = np.flatnonzero((centroids == vectors[0]).all(axis=1))
    assert len(exact) == 1
    counts = np.sort(lengths(vectors, centroids))
    assert counts[-1] >= 1000
    assert counts[-2] <= ClusterConfig(list_size=LIST).limit


def test_ten_thousand_identical_vectors_are_one_cell():
    vector = gauss(1, 8)
    centroids = clustered(np.repeat(vector, 10_000, axis=0))
    assert len(centroids) == 1
    np.testing.assert_allclose(centroids, vector, rtol=1e-6)


@pytest.mark.parametrize("n_values", [2, 3, 30])
def test_copies_of_few_vectors_are_a_cell_each(n_values):
    values = gauss(n_values, 8)
    centroids = clustered(values[np.random.default_rng(0).integers(0, n_values, 3000)])
    assert len(centroids) == n_values
    np.testing.assert_allclose(np.sort(centroids, axis=0), np.sort(values, axis=0), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------- small and odd


@pytest.mark.parametrize("n", [1, 2, LIST - 1, LIST])
def test_up_to_one_list_of_vectors_is_one_cell_at_their_mean(n):
    vectors = gauss(n, 5)
    centroids = clustered(vectors)
    np.testing.assert_allclose(centroids, vectors.astype(np.float64).mean(axis=0)[None], rtol=1e-6)
    assert centroids.dtype == np.float32


@pytest.mark.parametrize("n", [LIST + 1, 2 * LIST, 3 * LIST + 1, 100])
@pytest.mark.parametrize("dim", [1, 2, 17])
def test_a_little_more_than_one_list_is_clustered(n, dim):
    centroids = clustered(gauss(n, dim))
    assert 1 <= len(centroids) <= n
    assert centroids.shape[1] == dim
    assert np.isfinite(centroids).all()
    assert lengths(gauss(n, dim), centroids).max() <= ClusterConfig(list_size=LIST).limit


def test_lists_of_one_vector_are_possible():
    vectors = gauss(50, 4)
    centroids = clustered(vectors, list_size=1)
    assert lengths(vectors, centroids).max() <= 3


def test_more_dimensions_than_vectors_are_handled():
    assert np.isfinite(clustered(gauss(40, 300))).all()


def test_only_the_rows_that_take_part_are_looked_at():
    vectors = gauss(2000, 8)
    rows = np.arange(0, 2000, 2)
    spoiled = vectors.copy()
    spoiled[1::2] = np.nan
    assert (clustered(vectors[rows]) == clustered(spoiled, rows=rows)).all()


def test_under_cosine_cells_are_made_from_unit_vectors():
    vectors = gauss(2000, 8)
    scaled = vectors * np.random.default_rng(1).choice(np.float32([0.25, 1, 4]), (2000, 1))
    assert (clustered(vectors, unit=True) == clustered(scaled, unit=True)).all()
    assert (np.linalg.norm(clustered(vectors, unit=True), axis=1) <= 1.0001).all()


def test_the_fan_out_at_the_root_is_what_is_asked_for():
    assert clustering.group_count(10_000, ClusterConfig(fan_out=7)) == 7
    assert clustering.group_count(5, ClusterConfig(fan_out=7)) == 5
    assert clustering.group_count(6400, ClusterConfig(list_size=64)) == round(10 * defaults.GROUPS_FACTOR)
    assert clustering.group_count(1, ClusterConfig()) == 1
    for fan_out in (1, 7, 500):
        counts = lengths(gauss(2000, 8), clustered(gauss(2000, 8), fan_out=fan_out))
        assert counts.max() <= ClusterConfig(list_size=LIST).limit


def test_with_an_automatic_fan_out_groups_keep_to_the_natural_clusters():
    rng = np.random.default_rng(0)
    centres = 40 * np.eye(5, 8)
    labels = rng.integers(0, 5, 2000)
    vectors = (centres[labels] + rng.standard_normal((2000, 8))).astype(np.float32)
    config = ClusterConfig(list_size=LIST, fan_out="auto")
    groups = clustering.root_groups(source_of(vectors), np.arange(2000), 10, config)
    to_centre = np.linalg.norm(groups[:, None] - centres, axis=2)
    assert (to_centre.min(axis=1) < 4).all()
    assert set(to_centre.argmin(axis=1)) == set(range(5))
    centroids = clustered(vectors, fan_out="auto")
    assert (centroids == clustered(vectors, fan_out="auto", threads=2)).all()
    assert lengths(vectors, centroids).max() <= config.limit


# --------------------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("unit", [False, True])
def test_the_same_seed_gives_the_same_cells_whatever_the_number_of_threads(monkeypatch, unit):
    monkeypatch.setattr(defaults, "BLOCK_ROWS", 1000)
    vectors = gauss(5000, 12)
    first = clustered(vectors, unit, None, list_size=32)
    for threads in (1, 2, 3):
        again = clustered(vectors, unit, threads, list_size=32)
        assert again.tobytes() == first.tobytes()


def test_another_seed_gives_other_cells():
    vectors = gauss(2000, 8)
    assert clustered(vectors, seed=1).tobytes() != clustered(vectors, seed=2).tobytes()


def test_progress_rises_to_one():
    told = []
    clustered(gauss(3000, 8), progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1.0


# --------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("k", [1, 3, 200])
def test_assign_finds_the_nearest_centre_in_blocks(k):
    points, centres = gauss(3000, 7), gauss(k, 7, seed=1)
    labels, squares = clustering.assign(points, centres)
    distances = np.square(points[:, None].astype(np.float64) - centres).sum(axis=2)
    np.testing.assert_allclose(distances[np.arange(3000), labels], distances.min(axis=1), atol=1e-4)
    np.testing.assert_allclose(squares, distances.min(axis=1), atol=1e-4)
    assert squares.min() >= 0


def test_a_penalty_moves_points_away_from_a_centre():
    points = gauss(500, 4)
    centres = gauss(2, 4, seed=1)
    before, _ = clustering.assign(points, centres)
    after, squares = clustering.assign(points, centres, np.array([200.0, 0.0], np.float32))
    assert (before == 0).any()
    assert (after == 1).all()
    np.testing.assert_allclose(squares, [naive.l2_f32(point, centres[1]) for point in points], atol=1e-3)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (100, 3), (1000, 300)])
def test_product_blocks_cover_every_point_once(monkeypatch, n, k):
    monkeypatch.setattr(defaults, "BLOCK_PRODUCTS", 5000)
    points, centres = gauss(n, 6), gauss(k, 6, seed=1)
    found, covered = np.zeros((n, k)), 0
    for part, products in clustering.product_blocks(points, centres):
        assert products.size <= max(5000, 16 * k)
        found[part] = products
        covered += part.stop - part.start
    assert covered == n
    np.testing.assert_allclose(found, points @ centres.T, atol=1e-5)


def test_blocks_cut_rows_into_pieces_in_order(monkeypatch):
    monkeypatch.setattr(defaults, "BLOCK_ROWS", 7)
    pieces = clustering.blocks(np.arange(30))
    assert max(map(len, pieces)) == 7
    assert np.concatenate(pieces).tolist() == list(range(30))


def test_kmeans_of_fewer_points_than_centres_returns_the_points():
    points = gauss(3, 4)
    centres = clustering.kmeans(points, 10, np.random.default_rng(0), steps=3)
    assert sorted(centres.tolist()) == sorted(points.tolist())


@pytest.mark.parametrize("k", [1, 2, 50])
def test_kmeans_of_identical_points_has_one_centre_of_use(k):
    points = np.ones((100, 4), np.float32)
    centres = clustering.kmeans(points, k, np.random.default_rng(0), steps=5)
    assert len(centres) >= 1
    assert (centres == 1).all()


def test_prices_make_clusters_more_equal(monkeypatch):
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((3000, 4)) * rng.exponential(size=(3000, 1))).astype(np.float32)
    largest = []
    for balance in (0.0, 0.02):
        monkeypatch.setattr(defaults, "BALANCE", balance)
        centres = clustering.kmeans(points, 20, np.random.default_rng(1), steps=10)
        largest.append(np.bincount(clustering.assign(points, centres)[0]).max())
    assert largest[1] < largest[0]


def test_run_keeps_the_order_of_items():
    with ThreadPoolExecutor(3) as pool:
        assert clustering.run(pool, lambda x: x * x, range(50)) == clustering.run(None, lambda x: x * x, range(50))
