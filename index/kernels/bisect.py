"""A binary tree over points: balanced halves by 2-means, down to single points."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit

STEPS = 4  # of 2-means in each node


@njit(cache=True, nogil=True)
def mean_of(points, order, low, high, out):
    """Mean of ``points[order[low:high]]`` into ``out`` (float32 (dim,)), summed in float64."""
    dim = points.shape[1]
    sums = np.zeros(dim)
    for i in range(low, high):
        for j in range(dim):
            sums[j] += points[order[i], j]
    for j in range(dim):
        out[j] = sums[j] / (high - low)


@njit(cache=True, nogil=True)
def farthest(points, order, low, high, centre):
    """Position in ``order`` of the point of ``low .. high`` farthest from ``centre``, the first of equals."""
    best, largest = low, np.float32(-1.0)
    for i in range(low, high):
        d = np.float32(0.0)
        for j in range(points.shape[1]):
            difference = points[order[i], j] - centre[j]
            d += difference * difference
        if d > largest:
            best, largest = i, d
    return best


@njit(cache=True, nogil=True)
def side_scores(points, order, low, high, left, right, scores):
    """How much nearer each point is to ``left`` than to ``right``: ``<x, right - left>``, ascending from left."""
    for i in range(low, high):
        total = np.float32(0.0)
        for j in range(points.shape[1]):
            total += points[order[i], j] * (right[j] - left[j])
        scores[i - low] = total


@njit(cache=True, nogil=True)
def halve(points, order, low, high, scores, left, right):
    """Put the half of ``order[low:high]`` that is nearer to one of two means in front; returns where it ends.

    2-means from the two most distant points that a double sweep finds. The cut is at the median, so both halves have
    the same number of points, one more or less; ties keep their order, and identical points are cut as they lie.
    """
    n = high - low
    middle = low + (n + 1) // 2
    mean_of(points, order, low, high, left)
    left[:] = points[order[farthest(points, order, low, high, left)]]
    right[:] = points[order[farthest(points, order, low, high, left)]]
    for _ in range(STEPS):
        side_scores(points, order, low, high, left, right, scores)
        by_score = np.argsort(scores[:n], kind="mergesort")
        order[low:high] = order[low:high][by_score]
        mean_of(points, order, low, middle, left)
        mean_of(points, order, middle, high, right)
    return middle


@njit(cache=True, nogil=True)
def bisect(points, parents, levels, centroids):
    """Binary tree over points.

    Parameters
    ----------
    points : float32 array (n, dim), n >= 2
    parents, levels : uint32 arrays (2 n - 1,), written
        Nodes 0 .. n - 2 are inner ones, the root first, every parent before its children; node n - 1 + i is point i.
    centroids : float32 array (n - 1, dim), written
        Mean of the points below each inner node.
    """
    n, dim = points.shape
    order = np.arange(n)
    scores = np.empty(n, np.float32)
    left, right = np.empty(dim, np.float32), np.empty(dim, np.float32)
    stack = np.empty((64 + n, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, n, 0
    depth, following = 1, 1
    while depth > 0:
        depth -= 1
        low, high, node = stack[depth]
        mean_of(points, order, low, high, centroids[node])
        middle = halve(points, order, low, high, scores, left, right)
        for first, last in ((low, middle), (middle, high)):
            if last - first == 1:
                child = n - 1 + order[first]
            else:
                child = following
                following += 1
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = first, last, child
                depth += 1
            parents[child] = node
            levels[child] = levels[node] + 1
