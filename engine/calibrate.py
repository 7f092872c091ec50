"""Measure the recall curve of a tenant's lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ramet.engine.curve import MEASURED_K
from ramet.engine.residency import Residency
from ramet.engine.searcher import Searcher

GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""Probe counts measured."""

ENOUGH = {10: 0.9995, 100: 0.99}
"""Where the curve of each k ends: a higher target reads every list."""

TOLERANCE = 1e-5
"""Relative: a neighbour as near as the k-th true one counts, whichever of equally distant records it is."""


def measure(
    searcher: Searcher,
    queries: npt.NDArray[np.float32],
    *,
    own_rows: npt.NDArray[np.int64] | None,
    n_threads: int,
    enough: Mapping[int, float] = ENOUGH,
) -> list[tuple[int, int, float, float]]:
    """Recall at each probe count, against exact search of the same lists.

    Parameters
    ----------
    searcher : Searcher
    queries : float32 array (n, dim)
    own_rows : int64 array (n,), optional
        The rows of the queries themselves when they are in the collection; they do not count as neighbours.
    n_threads : int
    enough : mapping of int to float
        Recall of each k at which the curve ends.

    Returns
    -------
    list of (k, nprobe, mean recall, standard error)
    """
    extra = 0 if own_rows is None else 1
    ks, depth = depths(searcher.n_records, extra)
    if not ks:
        return []
    residency = Residency()

    def distances(nprobe: int, exact: bool) -> npt.NDArray[np.float32]:
        found = searcher.search(queries, depth, nprobe, exact=exact, residency=residency, n_threads=n_threads)
        return _others(*found, own_rows)

    return curve_points(distances, ks, searcher.n_lists, enough)


def measure_against(
    searcher: Searcher,
    queries: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    *,
    own_rows: npt.NDArray[np.int64],
    n_threads: int,
) -> list[tuple[int, int, float, float]]:
    """Recall at each probe count, as `measure`, against known distances.

    Parameters
    ----------
    searcher, queries, own_rows, n_threads : as for `measure`
    truth : float32 array (n, m)
        Distances of the nearest records of each query, ascending, its own row not among them; at least as many as the
        largest measured k, or all there are.
    """
    ks, depth = depths(searcher.n_records, 1)
    residency = Residency()

    def distances(nprobe: int, exact: bool) -> npt.NDArray[np.float32]:
        if exact:
            return truth
        return _others(*searcher.search(queries, depth, nprobe, residency=residency, n_threads=n_threads), own_rows)

    return curve_points(distances, ks, searcher.n_lists) if ks else []


def depths(n_records: int, extra: int = 0) -> tuple[list[int], int]:
    """Values of k to measure at, none when there are too few records; and how many neighbours that takes."""
    ks = [k for k in MEASURED_K if k == MEASURED_K[0] or k <= n_records // 2]
    depth = min(ks[-1] + extra, n_records)
    return (ks if depth - extra >= ks[0] else []), depth


def curve_points(
    distances: Callable[[int, bool], npt.NDArray[np.float32]],
    ks: Sequence[int],
    n_lists: int,
    enough: Mapping[int, float] = ENOUGH,
) -> list[tuple[int, int, float, float]]:
    """Points of a curve, from what a search finds.

    Parameters
    ----------
    distances : callable
        Distances (n, depth) found with a number of probes, or exactly; ascending, infinite where fewer were found.
    """
    truth = distances(n_lists, True)
    limits = {k: truth[:, k - 1] + np.abs(truth[:, k - 1]) * TOLERANCE + 1e-9 for k in ks}
    points: list[tuple[int, int, float, float]] = []
    for nprobe in [p for p in GRID if p < n_lists]:
        seen = distances(nprobe, False)
        for k in ks:
            found = (seen[:, :k] <= limits[k][:, None]).mean(axis=1)
            points.append((k, nprobe, float(found.mean()), float(found.std() / len(found) ** 0.5)))
        if all(points[-len(ks) + i][2] >= enough[k] for i, k in enumerate(ks)):
            break
    return points


def _others(
    rows: npt.NDArray[np.int64], distances: npt.NDArray[np.float32], own: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.float32]:
    """Distances without those of the queries' own rows, which move to the end as infinity."""
    if own is None:
        return distances
    rest = np.where(rows == own[:, None], np.float32(np.inf), distances)
    rest.sort(axis=1)
    return rest
