"""Kernels of the partitive clustering in `ramet.index.ppp`: axes, k-means, mixture, agreement.

Two layouts of the same float32 numbers are used: ``rows`` (n, dim) and ``columns`` (dim, n). Distances and densities
are computed from ``columns`` with the inner loop over rows, sums per cluster from ``rows`` with the inner loop over
coordinates. LLVM vectorises both for any number of centres and any dimension *without being allowed to reorder a sum*.

That is the point: no kernel here takes a fastmath flag or ``prange``, so each sum has one fixed order and a result has
the same bits with one thread or many. BLAS and LAPACK do not promise that, so none is called: ``numpy.linalg.eigh`` of
a 100 x 100 covariance gave other bits with two OpenBLAS threads than with one.

Kernels trust their arguments. Each one owns what it returns, and mutates an argument only where it says so.
"""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit

_LEHMER = 48271  # the "minimal standard" generator: products stay below 2**47, so int64 never wraps
_MODULUS = 2147483647
_TILE = 256  # columns of a covariance tile
_STRIP = 64  # rows visited per tile, a multiple of 4: this part of the rows is 128 KiB
_SWEEPS = 30  # cyclic Jacobi needs 6 to 10 for 64 x 64; the bound only stops a loop on numbers that are not finite


@njit(cache=True, nogil=True)
def covariance(rows):
    """Covariance float64 (dim, dim) of centred ``rows`` float32 (n, dim), divided by n. O(n dim^2)."""
    n, dim = rows.shape
    total = np.zeros((dim, dim))
    wide = np.zeros(((n + 3) & ~3, dim))  # whole fours of rows: a sum is loaded and stored once for four products
    wide[:n] = rows
    for left in range(0, dim, _TILE):
        right = min(left + _TILE, dim)
        for low in range(0, n, _STRIP):
            for a in range(right):
                for i in range(low, min(low + _STRIP, n), 4):
                    v, w, x, y = wide[i, a], wide[i + 1, a], wide[i + 2, a], wide[i + 3, a]
                    for b in range(left, right):
                        four = v * wide[i, b] + w * wide[i + 1, b] + x * wide[i + 2, b] + y * wide[i + 3, b]
                        total[a, b] += four
    for a in range(dim):
        for b in range(a + 1):  # only tiles on and above the diagonal are complete
            mean = total[b, a] / n
            total[a, b] = mean
            total[b, a] = mean
    return total


@njit(cache=True, nogil=True)
def multiply(left, right):
    """Matrix product float64 (l, b) of ``left`` float64 (l, a) and ``right`` float64 (a, b), summed in order of a."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for a in range(left.shape[1]):
        for row in range(left.shape[0]):
            value = left[row, a]
            for b in range(right.shape[1]):
                product[row, b] += value * right[a, b]
    return product


@njit(cache=True, nogil=True)
def orthonormalise(basis):
    """Make the rows of ``basis`` float64 (l, dim) orthonormal, in place; a dependent row becomes zero.

    Modified Gram-Schmidt, twice per row: once leaves an error that grows with the condition number. O(l^2 dim).
    """
    n_axes, dim = basis.shape
    for axis in range(n_axes):
        before = 0.0
        for b in range(dim):
            before += basis[axis, b] * basis[axis, b]
        for _ in range(2):
            for other in range(axis):
                overlap = 0.0
                for b in range(dim):
                    overlap += basis[axis, b] * basis[other, b]
                for b in range(dim):
                    basis[axis, b] -= overlap * basis[other, b]
        after = 0.0
        for b in range(dim):
            after += basis[axis, b] * basis[axis, b]
        factor = 1.0 / np.sqrt(after) if after > 1e-20 * before else 0.0
        for b in range(dim):
            basis[axis, b] *= factor


@njit(cache=True, nogil=True)
def symmetric_eigen(matrix):
    """Eigenvalues float64 (l,) and eigenvectors float64 (l, l), one per row, of a symmetric matrix, in no order.

    Cyclic Jacobi rotations. O(l^3) per sweep.

    Parameters
    ----------
    matrix : float64 array (l, l), mutated
        Diagonal afterwards.
    """
    size = matrix.shape[0]
    vectors = np.eye(size)
    scale = 0.0
    for p in range(size):
        scale += abs(matrix[p, p])
    for _ in range(_SWEEPS):
        largest = 0.0
        for p in range(size):
            for q in range(p + 1, size):
                largest = max(largest, abs(matrix[p, q]))
        if largest <= 1e-15 * scale:
            break
        for p in range(size):
            for q in range(p + 1, size):
                if abs(matrix[p, q]) <= 1e-18 * scale:
                    continue
                slope = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
                tangent = 1.0 / (abs(slope) + np.sqrt(slope * slope + 1.0))
                if slope < 0.0:
                    tangent = -tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for r in range(size):
                    left, right = matrix[r, p], matrix[r, q]
                    matrix[r, p] = cosine * left - sine * right
                    matrix[r, q] = sine * left + cosine * right
                for r in range(size):
                    left, right = matrix[p, r], matrix[q, r]
                    matrix[p, r] = cosine * left - sine * right
                    matrix[q, r] = sine * left + cosine * right
                    left, right = vectors[p, r], vectors[q, r]
                    vectors[p, r] = cosine * left - sine * right
                    vectors[q, r] = sine * left + cosine * right
    values = np.empty(size)
    for p in range(size):
        values[p] = matrix[p, p]
    return values, vectors


@njit(cache=True, nogil=True)
def project(columns, axes):
    """Coordinates float32 (m, n) of ``columns`` float32 (dim, n) on ``axes`` float64 (m, dim). O(n m dim)."""
    n_axes, dim = axes.shape
    n = columns.shape[1]
    coordinates = np.empty((n_axes, n), np.float32)
    sums = np.empty(n)
    for axis in range(n_axes):
        sums[:] = 0.0
        for a in range(dim):
            weight = axes[axis, a]
            for i in range(n):
                sums[i] += weight * columns[a, i]
        for i in range(n):
            coordinates[axis, i] = sums[i]
    return coordinates


@njit(cache=True, nogil=True)
def squared_distances(columns, centre, dists):
    """Fill ``dists`` float32 (n,) with squared distances of ``columns`` float32 (dim, n) to ``centre`` (dim,)."""
    dim, n = columns.shape
    dists[:] = 0.0
    for a in range(dim):
        value = centre[a]
        for i in range(n):
            gap = columns[a, i] - value
            dists[i] += gap * gap


@njit(cache=True, nogil=True)
def nearest(columns, centres):
    """Nearest of ``centres`` float32 (k, dim) per column; the lower index wins a tie. O(n k dim).

    Returns
    -------
    labels : int32 array (n,)
    dists : float32 array (n,)
        Squared distances.
    """
    n = columns.shape[1]
    labels = np.zeros(n, np.int32)
    dists = np.empty(n, np.float32)
    other = np.empty(n, np.float32)
    squared_distances(columns, centres[0], dists)
    for j in range(1, centres.shape[0]):
        squared_distances(columns, centres[j], other)
        for i in range(n):
            if other[i] < dists[i]:
                dists[i] = other[i]
                labels[i] = j
    return labels, dists


@njit(cache=True, nogil=True)
def divisive_centres(rows, k):
    """Starting centres float32 (k, dim): split the cluster of largest scatter at its mean, k - 1 times.

    A cluster is cut across the coordinate in which it varies most (Su and Dy 2007, "Var-Part"). No random number is
    involved. A cluster that cannot be cut (fewer distinct rows than ``k``) gives a centre at 0. O(k n dim).
    """
    n, dim = rows.shape
    labels = np.zeros(n, np.int32)
    means = np.zeros((k, dim))
    for size in range(1, k + 1):
        means[:] = 0.0
        scatter = np.zeros((k, dim))
        counts = np.zeros(k)
        for i in range(n):
            counts[labels[i]] += 1.0
            for a in range(dim):
                value = np.float64(rows[i, a])
                means[labels[i], a] += value
                scatter[labels[i], a] += value * value
        for j in range(size):
            for a in range(dim):
                means[j, a] /= max(counts[j], 1.0)
                scatter[j, a] -= counts[j] * means[j, a] * means[j, a]
        if size < k:
            worst = np.argmax(scatter.sum(axis=1))
            axis = np.argmax(scatter[worst])
            for i in range(n):
                if labels[i] == worst and rows[i, axis] > means[worst, axis]:
                    labels[i] = size
    return means.astype(np.float32)


@njit(cache=True, nogil=True)
def spread_centres(columns, k, state, n_trials):
    """Starting centres float32 (k, dim) by greedy k-means++ from a fixed ``state``. O(k n dim n_trials).

    Each centre is the best of ``n_trials`` rows drawn with probability proportional to their squared distance to the
    centres so far.

    Parameters
    ----------
    columns : float32 array (dim, n)
    k, n_trials : int
    state : int
        State of a Lehmer generator, 1 .. 2**31 - 2. The whole result is a function of it and the columns.
    """
    dim, n = columns.shape
    centres = np.empty((k, dim), np.float32)
    dists = np.full(n, np.float32(np.inf))
    reach = np.empty(n, np.float32)
    best_reach = np.empty(n, np.float32)
    sums = np.empty(n)
    for j in range(k):
        running = 0.0
        for i in range(n):
            running += dists[i] if j > 0 else 1.0
            sums[i] = running
        best_total = np.inf
        for _ in range(n_trials if j > 0 else 1):
            state = state * _LEHMER % _MODULUS
            pick = min(np.searchsorted(sums, state / _MODULUS * running, side="right"), n - 1)
            squared_distances(columns, columns[:, pick].copy(), reach)
            total = 0.0
            for i in range(n):
                reach[i] = min(reach[i], dists[i])
                total += reach[i]
            if total < best_total:
                best_total = total
                best_reach[:] = reach
                centres[j] = columns[:, pick]
        dists[:] = best_reach
    return centres


@njit(cache=True, nogil=True)
def lloyd(rows, columns, centres, max_steps):
    """K-means from ``centres`` float32 (k, dim), until no label changes. O(max_steps n k dim).

    An empty cluster restarts at the row farthest from its centre. ``rows`` and ``columns`` hold the same numbers.

    Returns
    -------
    labels : int32 array (n,)
        Nearest of the returned centres.
    centres : float32 array (k, dim)
    inertia : float
        Sum of squared distances.
    """
    n, dim = rows.shape
    k = centres.shape[0]
    labels, dists = nearest(columns, centres)
    for _ in range(max_steps):
        sums = np.zeros((k, dim))
        counts = np.zeros(k, np.int64)
        for i in range(n):
            counts[labels[i]] += 1
            for a in range(dim):
                sums[labels[i], a] += rows[i, a]
        centres = np.empty((k, dim), np.float32)
        for j in range(k):
            if counts[j] > 0:
                for a in range(dim):
                    centres[j, a] = sums[j, a] / counts[j]
            else:
                far = np.argmax(dists)
                centres[j] = rows[far]
                dists[far] = 0.0
        previous = labels
        labels, dists = nearest(columns, centres)
        if np.array_equal(labels, previous):
            break
    inertia = 0.0
    for i in range(n):
        inertia += dists[i]
    return labels, centres, inertia


@njit(cache=True, nogil=True)
def log_joint(columns, weights, means, variances):
    """Log of weight times density, float32 (k, n), of every row under every diagonal Gaussian. O(n k dim).

    Parameters
    ----------
    columns : float32 array (dim, n)
    weights : float64 array (k,), all positive
    means, variances : float64 arrays (k, dim)
    """
    dim, n = columns.shape
    logs = np.zeros((weights.size, n), np.float32)
    for j in range(weights.size):
        constant = 2.0 * np.log(weights[j]) - dim * np.log(2.0 * np.pi)
        line = logs[j]
        for a in range(dim):
            constant -= np.log(variances[j, a])
            mean = np.float32(means[j, a])
            sharpness = np.float32(1.0 / variances[j, a])
            for i in range(n):
                gap = columns[a, i] - mean
                line[i] += gap * gap * sharpness
        for i in range(n):
            line[i] = np.float32(0.5) * (np.float32(constant) - line[i])
    return logs


@njit(cache=True, nogil=True)
def responsibilities(logs):
    """Posteriors from ``logs`` float32 (k, n), in place; returns the log-likelihood (float). O(n k)."""
    k, n = logs.shape
    top = logs[0].copy()
    for j in range(1, k):
        for i in range(n):
            top[i] = max(top[i], logs[j, i])
    mass = np.zeros(n)
    for j in range(k):
        for i in range(n):
            # exp(-30) is below the resolution of float32: the branch saves most of the exponentials
            gap = logs[j, i] - top[i]
            share = np.exp(np.float64(gap)) if gap > -30.0 else 0.0
            logs[j, i] = share
            mass[i] += share
    total = 0.0
    for i in range(n):
        total += top[i] + np.log(mass[i])
    for j in range(k):
        for i in range(n):
            logs[j, i] /= mass[i]
    return total


@njit(cache=True, nogil=True)
def gaussians(rows, shares, prior, prior_rows):
    """Weights, means and variances from posteriors: the M step of a mixture of diagonal Gaussians. O(n k dim).

    Parameters
    ----------
    rows : float32 array (n, dim)
    shares : float32 array (k, n)
        Posterior of each component for each row.
    prior : float64 array (dim,), all positive
        Variance that a component is drawn towards, as if ``prior_rows`` rows had shown it.
    prior_rows : float, positive

    Returns
    -------
    weights : float64 array (k,), all positive
    means, variances : float64 arrays (k, dim)
    """
    n, dim = rows.shape
    k = shares.shape[0]
    mass = np.zeros(k)
    means = np.zeros((k, dim))
    variances = np.zeros((k, dim))
    for j in range(k):
        for i in range(n):
            share = np.float64(shares[j, i])
            if share > 1e-7:  # most are zero: the sums cost n times the few clusters a row lies between
                mass[j] += share
                for a in range(dim):
                    means[j, a] += share * rows[i, a]
                    variances[j, a] += share * rows[i, a] * rows[i, a]
    for j in range(k):
        for a in range(dim):
            means[j, a] /= max(mass[j], 1e-300)
            spread = max(variances[j, a] - mass[j] * means[j, a] * means[j, a], 0.0)
            variances[j, a] = (spread + prior_rows * prior[a]) / (mass[j] + prior_rows)
        mass[j] = max(mass[j], 1e-7)
    return mass / mass.sum(), means, variances
