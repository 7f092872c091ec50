"""Kernels of the build: nearest centre from a block of products, means, closure assignment."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.navigate import group_budget, nearest_cells
from ramet.index.kernels.plan import L2
from ramet.index.kernels.query import N_SCALARS, prepare
from ramet.index.kernels.simd import l2_f32, largest_difference
from ramet.index.kernels.topk import number_of


@njit(cache=True, nogil=True)
def nearest_centre(products, offsets, labels, gains):
    """Nearest centre of each point, given inner products.

    Parameters
    ----------
    products : float32 array (n, k), C order
        Inner products of points and centres.
    offsets : float32 array (k,)
        Half the squared norm of each centre, plus half its penalty.
    labels : int32 array (n,), written
        Ties go to the first centre.
    gains : float32 array (n,), written
        ``<x, c> - offset`` of the chosen centre: half of ``|x|^2 - d^2``, less half the penalty.
    """
    n, k = products.shape
    base, other = np.int64(products.ctypes.data), np.uintp(offsets.ctypes.data)
    for i in range(n):
        label = largest_difference(np.uintp(base + i * k * 4), other, k)
        labels[i] = label
        gains[i] = products[i, label] - offsets[label]


@njit(cache=True, nogil=True)
def group_rows(labels, k, starts, order):
    """Counting sort: rows by label.

    ``starts``: int64 (k + 1,), written; ``order``: int64 (n,), written: rows of label j are
    ``order[starts[j]:starts[j + 1]]``, ascending.
    """
    starts[:] = 0
    for i in range(labels.size):
        starts[labels[i] + 1] += 1
    for j in range(k):
        starts[j + 1] += starts[j]
    at = starts[:-1].copy()
    for i in range(labels.size):
        order[at[labels[i]]] = i
        at[labels[i]] += 1


@njit(cache=True, nogil=True)
def add_points(points, labels, sums, counts):
    """Add points to the sums (float64) and counts of their labels."""
    n, dim = points.shape
    for i in range(n):
        label = labels[i]
        counts[label] += 1
        for j in range(dim):
            sums[label, j] += points[i, j]


@njit(cache=True, nogil=True)
def choose_cells(point, centroids, candidates, n, factor, most, chosen):
    """Closure assignment of one vector: its nearest cell, and further ones that cover it from other sides.

    A further cell is one whose true distance is at most ``factor`` times the nearest one's, and among these the one
    with the least ``|r|^2 + sum <r, r_s>^2 / |r_s|^2``: r is the vector's residual to it, r_s the residuals to the
    cells chosen before. A residual in the direction of an earlier one fails for the same queries, so orthogonal ones
    are worth more (SOAR, arXiv 2404.00774, with lambda = 1). On embeddings this needs fewer lists and fewer rows for
    the same recall than SPANN's RNG rule, which finds hardly any second cell there (``docs/index.md``).

    Parameters
    ----------
    point : float32 array (dim,)
    centroids : float32 array (n_cells, dim)
    candidates : int64 array (m,), mutated
        Positions of cells; the first ``n`` count, and are put in the order of exact distance.
    factor : float
        Ratio of true distances.
    most : int
        Largest number of cells.
    chosen : int32 array (>= most,), written

    Returns
    -------
    int
        Cells chosen, at least 1. The nearest is first.
    """
    dim = point.size
    base = np.int64(centroids.ctypes.data)
    distances = np.empty(n, np.float32)
    sort_candidates(np.uintp(point.ctypes.data), base, dim, candidates, n, distances)
    losses = distances.copy()
    chosen[0] = candidates[0]
    count, latest = 1, 0
    limit = distances[0] * np.float32(factor * factor)
    while count < most:
        at = np.uintp(base + candidates[latest] * dim * 4)
        losses[latest] = np.inf
        best = 0
        for i in range(1, n):
            if distances[i] > limit or losses[i] == np.inf:
                continue
            between = l2_f32(at, np.uintp(base + candidates[i] * dim * 4), dim)
            if between == 0.0:
                losses[i] = np.inf  # the same centroid again covers nothing new
                continue
            inner = np.float32(0.5) * (distances[latest] + distances[i] - between)
            if distances[latest] > 0.0:
                losses[i] += inner * inner / distances[latest]
            if best == 0 or losses[i] < losses[best]:
                best = i
        if best == 0:
            break
        chosen[count] = candidates[best]
        count += 1
        latest = best
    return count


@njit(cache=True, nogil=True)
def sort_candidates(point, base, dim, candidates, n, distances):
    """Exact squared distances of the first ``n`` candidates, ascending, ties by number; both arrays are written."""
    for i in range(n):
        cell = candidates[i]
        d = l2_f32(point, np.uintp(base + cell * dim * 4), dim)
        j = i - 1
        while j >= 0 and (distances[j] > d or (distances[j] == d and candidates[j] > cell)):
            distances[j + 1] = distances[j]
            candidates[j + 1] = candidates[j]
            j -= 1
        distances[j + 1] = d
        candidates[j + 1] = cell


@njit(cache=True, nogil=True)
def assign_rows(plans, starts, points, centroids, n_candidates, factor, most, longest, cells, counts):
    """Closure assignment of a block of vectors, with the navigator that queries use.

    Parameters
    ----------
    plans, starts : see ``search.search_many``
        Membership is by distance, whatever the plan's metric.
    points : float32 array (n, dim)
    centroids : float32 array (n_cells, dim)
    cells : int32 array (n, most), written
    counts : int32 array (n,), written
    """
    plan = plans[0]
    padded = (plan.dim + 63) // 64 * 64
    floats = np.empty(plan.dim, np.float32)
    signed = np.empty(padded, np.int8)
    scalars = np.empty(N_SCALARS, np.float32)
    out = np.empty(longest, np.float32)
    keys = np.empty(min(n_candidates, plan.n_cells), np.uint64)
    candidates = np.empty(keys.size, np.int64)
    n_groups = group_budget(plan, 1, 1.0)  # no more groups than any query looks into, so that it finds the row's cell
    for i in range(points.shape[0]):
        prepare(points[i], plan.metric, floats, signed, scalars)
        n = nearest_cells(plan, L2, starts, n_groups, np.uintp(signed.ctypes.data), scalars, out, keys)
        candidates[0] = 0  # stays where squares beyond float32 leave no cell comparable
        for j in range(n):
            candidates[j] = number_of(keys[j])
        counts[i] = choose_cells(points[i], centroids, candidates, max(n, 1), factor, most, cells[i])
