"""Naive twins of `ramet.index.kernels.mixture`: obvious loops in float64, never optimised."""

import math

import numpy as np


def covariance(rows):
    n, dim = rows.shape
    return np.array(
        [[sum(float(rows[i, a]) * float(rows[i, b]) for i in range(n)) / n for b in range(dim)] for a in range(dim)]
    )


def squared_distance(row, centre):
    return sum((float(x) - float(c)) ** 2 for x, c in zip(row, centre, strict=True))


def nearest(rows, centres):
    table = [[squared_distance(row, centre) for centre in centres] for row in rows]
    return np.array([line.index(min(line)) for line in table]), np.array([min(line) for line in table])


def project(rows, axes):
    return np.array([[sum(float(x) * a for x, a in zip(row, axis, strict=True)) for row in rows] for axis in axes])


def divisive_centres(rows, k):
    """Split the cluster of largest scatter at its mean, across its widest coordinate, until there are k."""
    clusters = [list(range(len(rows)))]
    while len(clusters) < k:
        parts = [rows[cluster].astype(np.float64) for cluster in clusters]
        scatters = [np.square(part - part.mean(axis=0)).sum(axis=0) for part in parts]
        worst = max(range(len(clusters)), key=lambda j: (scatters[j].sum(), -j))
        axis = int(scatters[worst].argmax())
        cut = parts[worst][:, axis].mean()
        whole = clusters[worst]
        clusters[worst] = [i for i in whole if rows[i, axis] <= cut]
        clusters.append([i for i in whole if rows[i, axis] > cut])
    return np.array([rows[cluster].mean(axis=0) for cluster in clusters])


def spread_centres(rows, k, state, n_trials):
    """Greedy k-means++: of n_trials rows drawn by squared distance, the one that leaves the smallest sum."""

    def draw(weights):
        nonlocal state
        state = state * 48271 % 2147483647
        target, running = state / 2147483647 * sum(weights), 0.0
        for i, weight in enumerate(weights):
            running += weight
            if running > target:
                return i
        return len(weights) - 1

    picks = [draw([1.0] * len(rows))]
    while len(picks) < k:
        dists = [min(squared_distance(row, rows[p]) for p in picks) for row in rows]
        drawn = [draw(dists) for _ in range(n_trials)]
        left = [sum(min(d, squared_distance(row, rows[p])) for d, row in zip(dists, rows, strict=True)) for p in drawn]
        picks.append(drawn[left.index(min(left))])
    return rows[picks]


def lloyd(rows, centres, max_steps):
    """K-means until no label changes; an empty cluster restarts at the row farthest from its centre."""
    labels, dists = nearest(rows, centres)
    for _ in range(max_steps):
        dists = list(dists)
        moved = []
        for j in range(len(centres)):
            members = [rows[i].astype(np.float64) for i in range(len(rows)) if labels[i] == j]
            if members:
                moved.append(sum(members) / len(members))
            else:
                far = dists.index(max(dists))
                moved.append(rows[far].astype(np.float64))
                dists[far] = 0.0
        centres, previous = np.array(moved), labels
        labels, dists = nearest(rows, centres)
        if list(labels) == list(previous):
            break
    return labels, centres, sum(dists)


def log_joint(rows, weights, means, variances):
    def one(row, j):
        density = math.log(weights[j])
        for x, mean, variance in zip(row, means[j], variances[j], strict=True):
            density -= 0.5 * (math.log(2 * math.pi * variance) + (float(x) - mean) ** 2 / variance)
        return density

    return np.array([[one(row, j) for row in rows] for j in range(len(weights))])


def responsibilities(logs):
    """Posteriors and log-likelihood; the largest term is taken out so that no exponential underflows alone."""
    shares, total = np.zeros(logs.shape), 0.0
    for i in range(logs.shape[1]):
        top = max(float(x) for x in logs[:, i])
        terms = [math.exp(float(x) - top) for x in logs[:, i]]
        shares[:, i] = [term / sum(terms) for term in terms]
        total += top + math.log(sum(terms))
    return shares, total


def gaussians(rows, shares, prior, prior_rows):
    """Weighted mean and variance of each component, the variance drawn towards the prior."""
    rows = rows.astype(np.float64)
    masses = [float(share.sum(dtype=np.float64)) for share in shares]
    means, variances = [], []
    for share, mass in zip(shares, masses, strict=True):
        mean = sum(s * row for s, row in zip(share, rows, strict=True)) / mass
        spread = sum(s * (row - mean) ** 2 for s, row in zip(share, rows, strict=True))
        means.append(mean)
        variances.append((spread + prior_rows * prior) / (mass + prior_rows))
    return np.array(masses) / sum(masses), np.array(means), np.array(variances)


def adjusted_rand(first, second):
    """By counting pairs of rows: both together, in either, by chance."""
    n = len(first)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    together = sum(first[i] == first[j] and second[i] == second[j] for i, j in pairs)
    in_first = sum(first[i] == first[j] for i, j in pairs)
    in_second = sum(second[i] == second[j] for i, j in pairs)
    expected = in_first * in_second / len(pairs)
    highest = (in_first + in_second) / 2
    return 1.0 if highest == expected else (together - expected) / (highest - expected)
