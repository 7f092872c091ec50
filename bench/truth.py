"""Exact neighbours, and recall counted against them by distance, so that ties never cost a contender anything.

Float32 matrix products choose candidates, float64 decides among them, and a bound on the float32 rounding error says
for each query whether a row outside the candidates could still belong to the answer; the few queries for which it
could (many near-ties) are searched again in float64 over all rows. So the answer is exact in float64 for all queries,
at the price of float32.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets import Dataset, cache_dir

DEPTH = 100  # neighbours kept per query, so that any k up to 100 can be measured
SLACK_SHARE = 1e-6
"""Share of the squared scale of the data by which a distance may exceed the k-th true one and still count.

Contenders compute in float32, where two neighbours this close are the same distance. It is far below the gap between
neighbours (about 1e-2 of the distance), so nothing wrong is counted as right; ann-benchmarks allows 1e-3.
"""

_BASE_BLOCK = 32_768  # rows per matrix product: 1,000 queries x 32,768 float32 = 131 MB
_EXACT_BLOCK = 2**25  # float64 numbers gathered at once when candidates are computed again: 268 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Exact neighbours of each query, nearest first."""

    rows: np.ndarray
    """(n_queries, depth) int64."""
    distances: np.ndarray
    """(n_queries, depth) float64: squared Euclidean, 1 - cosine, or minus the dot product."""
    slack: np.ndarray
    """(n_queries,) float64: how far beyond the k-th distance a row still counts as found."""


def distances_to(base: np.ndarray, queries: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Return float64 distances from each query to its own `rows`, (n_queries, m); infinite where a row is < 0."""
    out = np.empty(rows.shape, np.float64)
    step = max(1, _EXACT_BLOCK // max(1, rows.shape[1] * base.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        vectors = base[np.maximum(rows[part], 0)].astype(np.float64)  # (step, m, dim)
        out[part] = _exact(vectors, queries[part].astype(np.float64)[:, None, :], metric)
    out[rows < 0] = np.inf
    return out


def _exact(vectors: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    """Distances along the last axis, in the arrays' own precision."""
    if metric == "l2":
        return np.square(vectors - query).sum(axis=-1)
    dots = np.matmul(vectors, np.swapaxes(query, -1, -2))[..., 0]
    if metric == "ip":
        return -dots
    if metric == "cosine":
        norms = np.linalg.norm(vectors, axis=-1) * np.linalg.norm(query, axis=-1)
        return 1.0 - dots / norms
    raise ValueError(f"metric {metric!r} is unknown; known are l2, cosine, ip")


def exact_neighbours(base: np.ndarray, queries: np.ndarray, metric: str, depth: int = DEPTH) -> Truth:
    """Search all rows for the `depth` nearest of each query.

    Parameters
    ----------
    base, queries : np.ndarray
        (n, dim) and (n_queries, dim) float32.
    metric : str
        ``l2``, ``cosine`` or ``ip``.
    depth : int
        Neighbours per query; at most n are returned.

    Returns
    -------
    Truth
    """
    depth = min(depth, len(base))
    n_candidates = min(len(base), 2 * depth + 16)
    candidates, reach, error = _candidates(base, queries, metric, n_candidates)
    exact = distances_to(base, queries, candidates, metric)
    rows, distances = _nearest(candidates, exact, depth)
    if n_candidates < len(base):
        # `reach` is the largest approximate distance among the candidates, so every row left out is at least
        # reach - error away; where that does not exceed the last distance kept, float32 could not decide.
        for query in np.flatnonzero(reach - error <= distances[:, -1]):
            rows[query], distances[query] = _full_scan(base, queries[query], metric, depth)
    return Truth(rows=rows, distances=distances, slack=SLACK_SHARE * _scale(base, queries, metric))


def _nearest(rows: np.ndarray, distances: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort each line by (distance, row) and keep `depth`."""
    order = np.lexsort((rows, distances), axis=-1)[:, :depth]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)


def _full_scan(base: np.ndarray, query: np.ndarray, metric: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    distances = np.concatenate(
        [
            _exact(base[start : start + _BASE_BLOCK].astype(np.float64), query.astype(np.float64)[None, :], metric)
            for start in range(0, len(base), _BASE_BLOCK)
        ]
    )
    order = np.lexsort((np.arange(len(base)), distances))[:depth]
    return order, distances[order]


def _norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean norms in float64, (n,), without a float64 copy of all vectors."""
    blocks = [vectors[start : start + _BASE_BLOCK] for start in range(0, len(vectors), _BASE_BLOCK)]
    return np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1) for block in blocks])


def _scale(base: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """Size of the numbers that are subtracted or added to make one distance, per query, (n_queries,)."""
    if metric == "cosine":
        return np.ones(len(queries))
    norms = _norms(queries)
    return np.square(norms) if metric == "l2" else norms * _norms(base).mean()


def _candidates(
    base: np.ndarray, queries: np.ndarray, metric: str, n_candidates: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return candidate rows (n_queries, n_candidates), the largest approximate distance among them, and its error.

    The last two are (n_queries,) and in the units of `Truth.distances`.
    """
    base_norms, query_norms = _norms(base), _norms(queries)
    left = queries / query_norms[:, None].astype(np.float32) if metric == "cosine" else queries
    best_rows = np.empty((len(queries), 0), np.int64)
    best = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(base), _BASE_BLOCK):
        stop = min(start + _BASE_BLOCK, len(base))
        approximate = left @ base[start:stop].T  # (n_queries, block)
        norms = base_norms[start:stop].astype(np.float32)
        if metric == "l2":
            approximate *= -2.0
            approximate += np.square(norms)
        else:
            np.negative(approximate, out=approximate)
            if metric == "cosine":
                approximate /= norms
        keep = min(n_candidates, stop - start)
        columns = np.argpartition(approximate, keep - 1, axis=1)[:, :keep]
        best_rows = np.concatenate([best_rows, columns + start], axis=1)
        best = np.concatenate([best, np.take_along_axis(approximate, columns, 1)], axis=1)
        if best.shape[1] > n_candidates:
            columns = np.argpartition(best, n_candidates - 1, axis=1)[:, :n_candidates]
            best_rows, best = np.take_along_axis(best_rows, columns, 1), np.take_along_axis(best, columns, 1)
    reach = best.max(axis=1).astype(np.float64)
    if metric == "l2":
        reach += np.square(query_norms)
    elif metric == "cosine":
        reach += 1.0
    return best_rows, reach, _rounding(float(base_norms.max()), query_norms, base.shape[1], metric)


def _rounding(longest: float, query_norms: np.ndarray, dim: int, metric: str) -> np.ndarray:
    """Bound of the float32 error of one approximate distance, per query.

    A dot product of `dim` terms summed in any order is off by at most dim * 2**-24 times the product of the norms;
    the few additions and divisions after it are covered by counting eight more terms.
    """
    unit = (dim + 8) * 2.0**-24
    if metric == "cosine":
        return np.full(len(query_norms), 2 * unit)
    products = longest * query_norms
    return 2 * unit * products + unit * longest**2 if metric == "l2" else unit * products


def of_dataset(dataset: Dataset, metric: str) -> Truth:
    """Return the exact neighbours of a data set's queries, from the cache when its contents were seen before."""
    path = cache_dir() / "truth" / f"{dataset.key}-{metric}-{DEPTH}.npz"
    if path.exists():
        with np.load(path) as saved:
            return Truth(rows=saved["rows"], distances=saved["distances"], slack=saved["slack"])
    truth = exact_neighbours(dataset.base, dataset.queries, metric)
    _save(path, truth)
    return truth


def _save(path: Path, truth: Truth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, rows=truth.rows, distances=truth.distances, slack=truth.slack)
    temporary.replace(path)


def hits(found: np.ndarray, base: np.ndarray, queries: np.ndarray, metric: str, truth: Truth, k: int) -> np.ndarray:
    """Count, for each query, how many of `found` are as near as the true k-th neighbour.

    Parameters
    ----------
    found : np.ndarray
        (n_queries, m) row numbers, -1 for "nothing"; a row named twice counts once.
    base, queries, metric
        As given to `exact_neighbours`.
    truth : Truth
        Exact neighbours of the same queries.
    k : int
        Neighbours asked for.

    Returns
    -------
    np.ndarray
        (n_queries,) int64, at most k each.
    """
    k = min(k, truth.rows.shape[1])
    distances = distances_to(base, queries, found, metric)
    limit = truth.distances[:, k - 1] + truth.slack
    order = np.argsort(found, axis=1, kind="stable")
    ordered = np.take_along_axis(found, order, 1)
    repeated = np.zeros(found.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    near = (distances <= limit[:, None]) & ~repeated
    return np.minimum(near.sum(axis=1), k)


def recall(found: np.ndarray, base: np.ndarray, queries: np.ndarray, metric: str, truth: Truth, k: int) -> float:
    """Return the mean share of the true k nearest that was found, ties counting as found (see `hits`)."""
    return float(hits(found, base, queries, metric, truth, k).mean() / min(k, truth.rows.shape[1]))
