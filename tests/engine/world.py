"""Data and the naive search that engine tests compare with."""

import numpy as np

DTYPES = ("float32", "float16", "int8", "uint8")
METRICS = ("l2", "cosine", "ip")
KINDS = [
    ("float32", "sq8"),
    ("float32", "none"),
    ("float16", "sq8"),
    ("float16", "none"),
    ("int8", "none"),
    ("uint8", "none"),
]


def vectors(n, dim, dtype="float32", seed=0):
    """Clustered vectors without zero rows."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, n // 50), dim))
    points = centres[rng.integers(len(centres), size=n)] + 0.3 * rng.normal(size=(n, dim))
    if dtype == "int8":
        return np.clip(np.round(points * 40), -128, 127).astype(np.int8) | 1
    if dtype == "uint8":
        return np.clip(np.round(points * 30 + 128), 1, 255).astype(np.uint8)
    return points.astype(dtype)


def brute_force(data, queries, metric):
    """Distances of all queries to all rows, float64 (n_queries, n)."""
    data, queries = data.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        return ((queries[:, None, :] - data[None, :, :]) ** 2).sum(axis=2)
    inner = queries @ data.T
    if metric == "ip":
        return -inner
    return 1 - inner / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(data, axis=1)[None, :]


def assert_exact(hits, data, queries, metric, k):
    """Hits of a batch are the k nearest, with their distances; ids are row numbers, ties may come in any order."""
    truth = brute_force(data, queries, metric)
    k = min(k, len(data))
    scale = 1e-5 * (1 + np.abs(truth).max())
    for q, ids in enumerate(hits.ids):
        rows = [int(name) for name in ids]
        assert len(rows) == len(set(rows)) == k
        np.testing.assert_allclose(hits.distances[q, :k], truth[q, rows], atol=scale, rtol=1e-4)
        np.testing.assert_allclose(hits.distances[q, :k], np.sort(truth[q])[:k], atol=scale, rtol=1e-4)
        assert (np.diff(hits.distances[q, :k]) >= 0).all()
