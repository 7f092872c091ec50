"""Partitive clustering that chooses the number of clusters itself: ``clusters="auto"``.

A **reconstruction** of Probabilistic Partitive Partitioning (arXiv 2003.04372) from its abstract alone: k-means makes
partitions, a Gaussian mixture validates them, no initialisation matters, the number of clusters is not given. The rest
is our own reading, listed in ``docs/ppp.md``.

Repeatable means bit for bit. Rows are put in the order of their bytes before anything is computed, "seeds" are fixed
constants, and every floating-point sum has one order (`ramet.index.kernels.mixture`): the rows given in another order,
or another number of threads, change nothing. Repeatable does not mean correct: a stable cut through noise is stable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ramet.index.defaults import BLOCK_ROWS
from ramet.index.kernels import mixture
from ramet.index.source import FloatArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

GRID = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of clusters tried first, a factor of 1.5 or less apart from 2 on; gaps beside the best BIC are then bisected.
All of 2 .. 64 take 12 s for 4096 x 100, this 1.5 s. Clear clusters make BIC fall up to their number and rise behind it,
so the gaps beside the best grid point hold the number."""

MAX_AXES = 50
"""Principal axes kept. The log ratio of two densities grows with each axis, so posteriors saturate in many."""

_ROWS_PER_AXIS = 10  # with 60 rows on 50 axes BIC charges a component more than the clearest cluster can gain
_BASIS = 64  # axes iterated: the 14 beyond MAX_AXES speed up the convergence of the last ones kept
_BASIS_STEPS = 15  # the axes then hold 99.9 % of the variance that exact ones hold (navec300; more on other sets)
_TRIALS = 4  # draws per k-means++ centre; 8 changed nothing on clear clusters
_SPREAD_STEPS = 5  # k-means steps before the merge; 15 changed nothing on clear clusters
_LLOYD_STEPS = 50  # chosen arbitrarily
_EM_STEPS = 30  # chosen arbitrarily; on clear clusters EM stops after 1 to 3
_EM_GAIN = 1e-4  # log-likelihood per row below which EM stops
_PRIOR_ROWS = 4.0  # pseudo-rows of pooled variance per component: a repeated row must not become an infinite density
_RIDGE = 1e-6  # part of the mean variance added to every variance
_BIC_MARGIN = 10.0  # "very strong" evidence in the scale of Kass and Raftery (1995)
_HOPE = 0.75  # stability at the best BIC below which gaps stay open: with clear clusters it was never below 0.87
_TIE = 0.01  # agreements this close are equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What was measured for one number of clusters, on the sample."""

    k: int
    """Number of clusters tried."""
    stability: float
    """Mean adjusted Rand index over pairs of starts; 1 is the same partition each time, 0 is chance."""
    agreement: float
    """Share of rows whose mixture component is their k-means cluster with a posterior of at least ``tau``."""
    bic: float
    """Bayesian information criterion of the mixture; smaller is better."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Clusters of the given rows, numbered by size (largest first), then by centre (lexicographic)."""

    k: int
    """Number of clusters, at least 1. 1 says that no partition was stable and better than one Gaussian."""
    labels: Ints
    """Cluster of each row, int32 (n,): the nearest centre."""
    centres: FloatArray
    """Centres float32 (k, dim), in the space of the rows: means of the sample's rows."""
    core: Bools
    """Whether mixture and nearest centre agree on the row with a posterior of at least ``tau``, bool (n,)."""
    trace: tuple[Candidate, ...]
    """One record per number of clusters tried, ascending, the single Gaussian (k = 1) first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Map from the space of the rows to centred, evenly scaled deviations and on to principal coordinates."""

    origin: Doubles  # (dim,)
    scale: float  # root mean square deviation per coordinate: one number, so that nearness keeps its meaning
    axes: Doubles  # (m, dim), orthonormal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gaussians:
    weights: Doubles  # (k,)
    means: Doubles  # (k, m)
    variances: Doubles  # (k, m)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    candidate: Candidate
    labels: Ints  # (n_sample,) k-means labels
    gaussians: _Gaussians  # component j was started from cluster j


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    frame: _Frame
    deviations: FloatArray  # (n, dim)
    rows: FloatArray  # (n, m) principal coordinates
    columns: FloatArray  # (m, n) the same


def partition(
    points: FloatArray,
    *,
    k_max: int = 64,
    n_starts: int = 10,
    tau: float = 0.9,
    alpha: float = 0.95,
    n_sample: int = 4096,
) -> Partition:
    """Cluster ``points`` into a number of clusters found by validation, or into one.

    A reconstruction of Probabilistic Partitive Partitioning (arXiv 2003.04372) from its abstract. For each number of
    clusters tried, k-means runs from ``n_starts`` fixed starts; the partition of least inertia starts a mixture of
    diagonal Gaussians. Among the stable numbers (stability >= ``alpha``) whose mixture beats one Gaussian by a BIC of
    10, the one with the highest agreement is taken; agreements within 0.01 are decided by BIC.

    Parameters
    ----------
    points : float32 array (n, dim)
        Finite; n >= 1, dim >= 1. Any dimension; at most 50 principal axes of the sample decide.
    k_max : int
        Largest number of clusters. Time grows with it linearly.
    n_starts : int
        K-means runs per number of clusters, at least 2. Time grows with it linearly.
    tau : float
        Posterior from which a row counts as agreed, 0.5 to 1.
    alpha : float
        Mean adjusted Rand index from which a number of clusters counts as stable, 0 to 1.
    n_sample : int
        Rows that decide, spread evenly over the rows in the order of their bytes. Other rows go to the nearest centre.

    Returns
    -------
    Partition
        A function of the *set* of rows (and the arguments): permuted rows give permuted labels and the same bits.

    Raises
    ------
    ValueError
        An argument is out of range, or ``points`` is not a float32 matrix with rows and columns.

    Notes
    -----
    O(n_starts n_sample sum(k) 50) for the choice, O(n k dim) for the assignment of all rows. Single-threaded.
    """
    _check(points, k_max, n_starts, tau, alpha, n_sample)
    order = _canonical_order(points)
    n = order.size
    taken = min(n, n_sample)
    picked = points[order[np.arange(taken) * n // taken]]
    distinct = 1 + int(np.count_nonzero((picked[1:] != picked[:-1]).any(axis=1)))
    sample = _sample(picked)
    if sample is None:
        return _single(points, picked[:1], ())
    fits = _search(lambda k: _fit(sample, k, n_starts, tau), min(k_max, taken // 2, distinct))
    chosen = _choose(fits, alpha)
    trace = tuple(fit.candidate for fit in fits)
    centres = _means(sample.deviations, chosen.labels, chosen.candidate.k)
    if len(centres) == 1:
        return _single(points, _original(sample.frame, centres), trace)
    labels, core = _place(points, order, sample.frame, centres, chosen.gaussians, tau)
    return _relabelled(labels, core, _original(sample.frame, centres), trace)


def _check(points: Any, k_max: int, n_starts: int, tau: float, alpha: float, n_sample: int) -> None:
    if not isinstance(points, np.ndarray) or points.dtype != np.float32 or points.ndim != 2 or 0 in points.shape:
        raise ValueError("points must be a float32 array (n, dim) with at least one row and one column")
    ranges = (
        ("k_max", k_max, 1, np.inf),
        ("n_starts", n_starts, 2, np.inf),
        ("tau", tau, 0.5, 1.0),
        ("alpha", alpha, 0.0, 1.0),
        ("n_sample", n_sample, 1, np.inf),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} must be in [{low}, {high}], got {value!r}")


def _canonical_order(points: FloatArray) -> NDArray[np.intp]:
    """Order of the rows by their bytes; equal rows are interchangeable, so which comes first does not matter."""
    whole = np.ascontiguousarray(points).view(np.dtype((np.void, points.shape[1] * points.itemsize)))
    return np.argsort(whole.ravel(), kind="stable")


def _sample(picked: FloatArray) -> _Sample | None:
    """The rows that decide, in principal coordinates; None when they are all equal."""
    first = picked[0].astype(np.float64)
    origin = first + (picked - first).mean(axis=0)  # exact for columns that are constant
    scale = float(np.sqrt(np.square(picked - origin).mean()))
    if scale == 0.0:
        return None
    deviations = _deviations(picked, origin, scale)
    axes = _principal_axes(mixture.covariance(deviations), max(1, min(MAX_AXES, len(picked) // _ROWS_PER_AXIS)))
    frame = _Frame(origin=origin, scale=scale, axes=axes)
    columns = mixture.project(np.ascontiguousarray(deviations.T), axes)
    return _Sample(frame=frame, deviations=deviations, rows=np.ascontiguousarray(columns.T), columns=columns)


def _deviations(points: FloatArray, origin: Doubles, scale: float) -> FloatArray:
    """Rows centred and scaled, in float64 so that neither large offsets nor extreme ranges cost digits."""
    return ((points - origin) / scale).astype(np.float32)


def _principal_axes(matrix: Doubles, most: int) -> Doubles:
    """Orthonormal axes (m, dim) of largest variance, descending, of a covariance; m <= most <= MAX_AXES.

    Block iteration and Jacobi rotations instead of ``numpy.linalg.eigh``, whose bits depend on the number of threads.
    Exact for up to 64 dimensions; beyond, axes of nearly equal variance may still be mixed with each other.
    """
    dim = len(matrix)
    basis = np.eye(dim)
    if dim > _BASIS:
        numbers = np.arange(1, _BASIS * dim + 1, dtype=np.int64)
        # a quadratic sequence modulo a prime: a block in general position without a random generator
        basis = (numbers * numbers % 2147483647 * 48271 % 2147483647 / 2147483647.0 - 0.5).reshape(_BASIS, dim)
        for _ in range(_BASIS_STEPS):
            mixture.orthonormalise(basis)
            basis = mixture.multiply(basis, matrix)
        mixture.orthonormalise(basis)
    product = mixture.multiply(mixture.multiply(basis, matrix), np.ascontiguousarray(basis.T))
    values, turns = mixture.symmetric_eigen(product)
    kept = np.argsort(-values, kind="stable")[:most]
    kept = kept[values[kept] > 1e-9 * values[kept[0]]]
    axes: Doubles = mixture.multiply(np.ascontiguousarray(turns[kept]), basis)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    return axes


def _search(fit: Callable[[int], _Fit], k_max: int) -> list[_Fit]:
    """Fits for the grid up to ``k_max``, and for the middle of the gaps beside the best BIC until they are closed."""
    fits = {k: fit(k) for k in sorted({1, *(k for k in GRID if k <= k_max), k_max} - {0})}
    while True:
        best = min(fits, key=lambda k: (fits[k].candidate.bic, k))
        gaps = [(low, high) for low, high in pairwise(sorted(fits)) if best in (low, high) and high - low > 1]
        if not gaps or best == 1 or fits[best].candidate.stability < _HOPE:
            return [fits[k] for k in sorted(fits)]
        for low, high in gaps:
            fits[(low + high) // 2] = fit((low + high) // 2)


def _fit(sample: _Sample, k: int, n_starts: int, tau: float) -> _Fit:
    """K-means from every start, the mixture from the best partition, and how far they agree."""
    starts = [mixture.divisive_centres(sample.rows, k)]
    starts += [_merged_centres(sample, k, _state(start)) for start in range(1, n_starts if k > 1 else 1)]
    runs = [mixture.lloyd(sample.rows, sample.columns, centres, _LLOYD_STEPS) for centres in starts]
    labels = min(runs, key=lambda run: run[2])[0]
    gaussians, log_likelihood = _mixture(sample, labels, k)
    n, m = sample.rows.shape
    candidate = Candidate(
        k=k,
        stability=float(np.mean([_adjusted_rand(a[0], b[0], k) for a, b in combinations(runs, 2)])) if k > 1 else 1.0,
        agreement=float(_agreed(sample.columns, gaussians, labels, tau).mean()),
        bic=float((2 * k * m + k - 1) * np.log(n) - 2.0 * log_likelihood),
    )
    return _Fit(candidate=candidate, labels=labels, gaussians=gaussians)


def _merged_centres(sample: _Sample, k: int, state: int) -> FloatArray:
    """Starting centres (k, m): k-means++ with twice as many, a few steps, then Ward merges down to ``k``.

    K-means++ alone often misses one of several clear clusters, and that would pass for instability: with 56 clusters 8
    standard deviations apart in 128 dimensions its starts agree to 0.90 (best of 24 draws per centre), these to 0.997.
    """
    spread = mixture.spread_centres(sample.columns, 2 * k, state, _TRIALS)
    labels, narrow, _ = mixture.lloyd(sample.rows, sample.columns, spread, _SPREAD_STEPS)
    centres = narrow.astype(np.float64)
    sizes = np.maximum(np.bincount(labels, minlength=2 * k), 1e-9)
    costs = np.full((2 * k, 2 * k), np.inf)
    alive = np.ones(2 * k, np.bool_)

    def renew(j: int) -> None:
        cost = np.square(centres - centres[j]).sum(axis=1) * sizes * sizes[j] / (sizes + sizes[j])
        cost[j] = np.inf
        costs[j] = costs[:, j] = np.where(alive, cost, np.inf)

    for j in range(2 * k):
        renew(j)
    for _ in range(k):
        kept, gone = divmod(int(costs.argmin()), 2 * k)
        total = sizes[kept] + sizes[gone]
        centres[kept] = (centres[kept] * sizes[kept] + centres[gone] * sizes[gone]) / total
        sizes[kept] = total
        alive[gone] = False
        costs[gone] = costs[:, gone] = np.inf
        renew(kept)
    merged: FloatArray = centres[alive].astype(np.float32)
    return merged


def _state(start: int) -> int:
    """State of the generator for one start: a fixed constant, far from those of its neighbours."""
    return start * 827_956_511 % 2_147_483_646 + 1


def _mixture(sample: _Sample, labels: Ints, k: int) -> tuple[_Gaussians, float]:
    """EM from a partition; its Gaussians and their log-likelihood. Component j starts as cluster j."""
    n = len(labels)
    shares = np.zeros((k, n), np.float32)
    shares[labels, np.arange(n)] = 1.0
    flat = np.ones(sample.rows.shape[1])
    _, means, _ = mixture.gaussians(sample.rows, shares, flat, _RIDGE)
    prior = np.square(sample.rows - means[labels]).mean(axis=0)
    prior += _RIDGE * np.square(sample.rows, dtype=np.float64).mean()
    last = -np.inf
    for _ in range(_EM_STEPS):
        weights, means, variances = mixture.gaussians(sample.rows, shares, prior, _PRIOR_ROWS)
        shares = mixture.log_joint(sample.columns, weights, means, variances)
        log_likelihood = mixture.responsibilities(shares)
        if log_likelihood - last <= _EM_GAIN * n:
            break
        last = log_likelihood
    return _Gaussians(weights=weights, means=means, variances=variances), log_likelihood


def _agreed(columns: FloatArray, gaussians: _Gaussians, labels: Ints, tau: float) -> Bools:
    """Whether each row's most probable component is its label, with a posterior of at least ``tau``."""
    logs = mixture.log_joint(columns, gaussians.weights, gaussians.means, gaussians.variances)
    top = logs.max(axis=0)
    posterior = 1.0 / np.exp(logs - top).sum(axis=0)
    agreed: Bools = (logs.argmax(axis=0) == labels) & (posterior >= tau)
    return agreed


def _adjusted_rand(first: Ints, second: Ints, k: int) -> float:
    """Adjusted Rand index of two labelings with labels in 0 .. k - 1."""
    table = np.bincount(first.astype(np.int64) * k + second, minlength=k * k).reshape(k, k)
    cells, across, down, total = (
        float((counts * (counts - 1)).sum()) for counts in (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    expected = across * down / max(total, 1.0)
    highest = (across + down) / 2.0
    return 1.0 if highest == expected else (cells - expected) / (highest - expected)


def _choose(fits: list[_Fit], alpha: float) -> _Fit:
    """The stable fit of highest agreement that beats one Gaussian; the single cluster (the first fit) if none does."""
    limit = fits[0].candidate.bic - _BIC_MARGIN
    valid = [fit for fit in fits[1:] if fit.candidate.stability >= alpha and fit.candidate.bic < limit]
    if not valid:
        return fits[0]
    highest = max(fit.candidate.agreement for fit in valid)
    tied = [fit for fit in valid if fit.candidate.agreement >= highest - _TIE]
    return min(tied, key=lambda fit: (fit.candidate.bic, fit.candidate.k))


def _means(rows: FloatArray, labels: Ints, k: int) -> Doubles:
    """Mean of the rows of each label (k, dim); a label without rows is infinitely far from everything."""
    means = np.full((k, rows.shape[1]), np.inf)
    for j in np.unique(labels):
        means[j] = rows[labels == j].mean(axis=0, dtype=np.float64)
    return means


def _place(
    points: FloatArray, order: NDArray[np.intp], frame: _Frame, centres: Doubles, gaussians: _Gaussians, tau: float
) -> tuple[Ints, Bools]:
    """Label and agreement of every row, block by block in canonical order."""
    labels, core = np.empty(len(points), np.int32), np.empty(len(points), np.bool_)
    narrow = centres.astype(np.float32)
    for first in range(0, len(points), BLOCK_ROWS):
        rows = order[first : first + BLOCK_ROWS]
        columns = np.ascontiguousarray(_deviations(points[rows], frame.origin, frame.scale).T)
        nearest, _ = mixture.nearest(columns, narrow)
        labels[rows] = nearest
        core[rows] = _agreed(mixture.project(columns, frame.axes), gaussians, nearest, tau)
    return labels, core


def _original(frame: _Frame, centres: Doubles) -> FloatArray:
    """Centres in the space of the rows, of centres given as deviations."""
    return (frame.origin + frame.scale * centres).astype(np.float32)


def _single(points: FloatArray, centres: FloatArray, trace: tuple[Candidate, ...]) -> Partition:
    """Everything in one cluster, and all of it core."""
    n = len(points)
    return Partition(k=1, labels=np.zeros(n, np.int32), centres=centres, core=np.ones(n, np.bool_), trace=trace)


def _relabelled(labels: Ints, core: Bools, centres: FloatArray, trace: tuple[Candidate, ...]) -> Partition:
    """Clusters numbered by (size descending, centre), those without rows left out."""
    sizes = np.bincount(labels, minlength=len(centres))
    ranked = sorted(np.flatnonzero(sizes).tolist(), key=lambda j: (-sizes[j], centres[j].tolist()))
    numbers = np.zeros(len(centres), np.int32)
    numbers[ranked] = np.arange(len(ranked))
    return Partition(k=len(ranked), labels=numbers[labels], centres=centres[ranked], core=core, trace=trace)
