"""Naive twins of the kernels that build and check: obvious loops in float64, and nobody may optimise them."""

import math

import numpy as np

from tests.oracle.kernels import dot_f32, l2_f32, largest_difference

# ---------------------------------------------------------------------------------------------------------- cluster


def nearest_centre(products, offsets):
    labels = [largest_difference(row, offsets) for row in products]
    return labels, [float(row[label]) - float(offsets[label]) for row, label in zip(products, labels, strict=True)]


def group_rows(labels, k):
    return [[i for i, label in enumerate(labels) if label == j] for j in range(k)]


def add_points(points, labels, k):
    sums, counts = np.zeros((k, points.shape[1])), np.zeros(k, int)
    for point, label in zip(points, labels, strict=True):
        sums[label] += point
        counts[label] += 1
    return sums, counts


def sort_candidates(point, centroids, candidates):
    return sorted((l2_f32(point, centroids[cell]), cell) for cell in candidates)


def choose_cells(point, centroids, candidates, factor, most):
    """The nearest cell; then, among those within `factor`, again and again the one of least orthogonal loss."""
    near = sort_candidates(point, centroids, candidates)
    residuals = {cell: np.array(point, np.float64) - centroids[cell] for _, cell in near}
    chosen = [near[0][1]]
    while len(chosen) < most:
        losses = []
        for distance, cell in near:
            copy = any((centroids[cell] == centroids[other]).all() for other in chosen)
            if copy or distance > near[0][0] * factor**2:
                continue
            loss = distance
            for other in chosen:
                length = dot_f32(residuals[other], residuals[other])
                loss += dot_f32(residuals[cell], residuals[other]) ** 2 / length if length else 0.0
            losses.append((loss, distance, cell))
        if not losses:
            break
        chosen.append(min(losses)[2])
    return chosen


def assign_rows(points, centroids, candidates, factor, most):
    """Cells of each point by `choose_cells` among its nearest candidates."""
    return [choose_cells(point, centroids, near, factor, most) for point, near in zip(points, candidates, strict=True)]


def assign_nearby(points, labels, near, centroids, n_candidates, factor, most, hops=4):
    """Cells of each point among the neighbours of a cell that is reached by walking to ever nearer ones."""
    out = []
    for point, label in zip(points, labels, strict=True):
        for _ in range(hops):
            ranked = sorted(set(near[label]), key=lambda cell: (l2_f32(point, centroids[cell]), cell))[:n_candidates]
            if ranked[0] == label:
                break
            label = ranked[0]
        out.append(choose_cells(point, centroids, ranked, factor, most))
    return out


# ----------------------------------------------------------------------------------------------------------- bisect


def mean_of(points, members):
    return np.array(sum(np.array(points[i], np.float64) for i in members) / len(members))


def farthest(points, members, centre):
    """Which of the members is farthest from a centre, the first of equals."""
    return max(members, key=lambda i: l2_f32(points[i], centre))


def side_scores(points, members, left, right):
    return [
        sum(float(x) * (float(r) - float(s)) for x, s, r in zip(points[i], left, right, strict=True)) for i in members
    ]


def halve(points, members):
    """Members in two halves by 2-means that starts at the ends of a double sweep; ties keep their order."""
    members, middle = list(members), (len(members) + 1) // 2
    left = points[farthest(points, members, mean_of(points, members))]
    right = points[farthest(points, members, left)]
    for _ in range(4):
        scores = dict(zip(members, side_scores(points, members, left, right), strict=True))
        members = sorted(members, key=lambda i: scores[i])
        left, right = mean_of(points, members[:middle]), mean_of(points, members[middle:])
    return members[:middle], members[middle:]


def bisect(points):
    """The tree as nested pairs; a leaf is the number of its point."""

    def below(members):
        return members[0] if len(members) == 1 else tuple(below(half) for half in halve(points, members))

    return below(list(range(len(points))))


# ------------------------------------------------------------------------------------------------------- maintenance


def better_homes(points, home, candidates, centroids):
    """The nearest of a home and some candidates, for each point; the home of equals."""
    found = []
    for point in points:
        best = home
        for cell in candidates:
            if l2_f32(point, centroids[cell]) < l2_f32(point, centroids[best]):
                best = cell
        found.append(best)
    return found


def home_group(centroid, centres):
    return min(range(len(centres)), key=lambda i: l2_f32(centroid, centres[i]))


# ------------------------------------------------------------------------------------------------------------ check


def first_bad_row(vectors, no_zero):
    for i, row in enumerate(vectors):
        squares = sum(float(x) ** 2 for x in row)
        if not squares <= 1e36 or (no_zero and squares < 1e-36):
            return i
    return -1


def first_fraction(vectors):
    for i, row in enumerate(vectors):
        if any(float(x) != math.floor(x) for x in row):
            return i
    return -1
