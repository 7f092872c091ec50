"""How a test compares a top-k with the truth when two distances may be nearer than float32 can tell."""

import numpy as np

from tests.oracle import kernels as naive


def tolerance(vectors, query, metric):
    """Error that float32 sums may have: some units of the largest term."""
    if metric == naive.COSINE:
        return 3e-6
    q, v = np.abs(np.asarray(query, np.float64)), np.abs(np.asarray(vectors, np.float64))
    return 3e-6 * float(((q + v) ** 2).sum(axis=1).max())


def assert_top(rows, distances, vectors, query, metric, k, among=None):
    """Rows and distances are the k nearest of `among` (default: of all rows), ascending, each row once, -1 behind."""
    among = range(len(vectors)) if among is None else sorted(set(among))
    slack = tolerance(vectors, query, metric)
    truth = {row: naive.exact_distance(query, vectors[row], metric) for row in among}
    best = sorted(truth.values())[:k]
    found = [int(row) for row in rows if row >= 0]
    assert len(found) == len(best)
    assert len(set(found)) == len(found)
    assert (np.asarray(rows)[len(found) :] == -1).all()
    assert np.isposinf(distances[len(found) :]).all()
    assert (np.diff(distances[: len(found)]) >= 0).all()
    np.testing.assert_allclose(distances[: len(found)], [truth[row] for row in found], rtol=0, atol=slack)
    np.testing.assert_allclose(distances[: len(found)], best, rtol=0, atol=slack)
