"""Naive twins of the kernels that search among allowed rows; rules and conventions as in `tests.oracle.kernels`."""

import math

from tests.oracle import kernels as naive

sq8_estimate = naive.sq8_estimates


def sq8_terms(scale_sum_norm, metric):
    """Constant, offset of products, and factors of the row's norm and of the inner product."""
    _, _, total8, norm2 = scale_sum_norm
    return (0.0, 128.0 * total8, 0.0, 1.0) if metric == naive.IP else (norm2, 128.0 * total8, 1.0, 2.0)


float_distance = byte_distance = naive.exact_distance


def set_bits(rows, n_words):
    """The words as Python integers."""
    words = [0] * n_words
    for row in rows:
        if row < 64 * n_words:
            words[row // 64] |= 1 << (row % 64)
    return words


def allowed_places(rows, n_rows, allowed):
    return [place for place, row in enumerate(rows) if row < n_rows and row in allowed]


def sampled_places(copies, first, step):
    """`copies`: for each row of a list whether its nearest list is another one. And where to begin in the next."""
    taken = range(first, len(copies), step)
    after = first + step * len(taken) - len(copies)
    return [place for place in taken if not copies[place]], after


def distances_at(vectors, places, query, metric):
    return [naive.exact_distance(query, vectors[place], metric) for place in places]


def offer_places(distances, rows, kept, most):
    """`rows`: of the places."""
    return naive.offer(distances, rows, math.inf, kept, most)


def scan_filtered(lists, vectors, query, metric, allowed, kept, most):
    """`lists`: the rows of each list. Also rows looked at, allowed ones, ordered pairs of those in one list."""
    here = [[row for row in rows if row in allowed] for rows in lists]
    for rows in here:
        kept = naive.scan_float([vectors[row] for row in rows], rows, len(vectors), query, metric, kept, most)
    pairs = sum(a != b for rows in here for a in range(len(rows)) for b in range(len(rows)))
    return kept, sum(map(len, lists)), sum(map(len, here)), pairs


def rank_of(samples, step, near):
    """Twice the mean over `near` of the samples that are as near, each of which stands for `step` rows."""
    return 2 * sum(step * sum(sample <= distance for sample in samples) for distance in near) / len(near)


def clumping(n_lists, n_allowed, pairs):
    expected = 1.5 * n_allowed**2 / max(n_lists, 1)
    return min(4.0, max(1.0, (pairs + 20) / (expected + 20)))


def more_probes(ladder, probes, found, k, rank, n_lists):
    wanted = probes
    if ladder:
        rung = min(max(2 * math.log2(max(rank, 1.0) / k), 0.0), len(ladder) - 1)
        low = int(rung)
        high = min(low + 1, len(ladder) - 1)
        asked = math.ceil(ladder[low] + (rung - low) * (ladder[high] - ladder[low]))
        if asked > 1.15 * probes:
            wanted = min(asked, 4 * probes)
    if found < k:
        wanted = max(wanted, 2 * probes)
    return min(wanted, n_lists)


def further_cells(near, every, visited):
    """`near`: the nearest cells; None: every cell that is left."""
    return [cell for cell in (every if near is None else near) if cell not in visited]


def nearest_found(kept, most):
    return [naive.distance_of(key) for key in sorted(kept)[:most]]


def rerank_pool(pool, vectors, query, metric, most):
    """All of the pool: what the kernel leaves out cannot be among the nearest."""
    return naive.rerank(pool, vectors, query, metric, most)


def write_top(kept, most):
    """Numbers and distances, with -1 and infinity behind them."""
    kept = sorted(kept)
    rest = most - len(kept)
    return [key[2] for key in kept] + [-1] * rest, [naive.distance_of(key) for key in kept] + [math.inf] * rest


def scan_vectors(listed, vectors, query, metric, most):
    rows = [row for row in listed if row < len(vectors)]
    return sorted(naive.pack(naive.exact_distance(query, vectors[row], metric), row) for row in rows)[:most]


fetch_vectors = naive.fetch_rows


def nearest_rows(listed, vectors, queries, metric, most):
    return [scan_vectors(listed, vectors, query, metric, most) for query in queries]


def search_allowed(lists, vectors, queries, metric, allowed, most):
    """`lists`: for each query the rows of each list that it reads in the end."""
    return [
        scan_filtered(mine, vectors, query, metric, allowed, [], most)[0]
        for mine, query in zip(lists, queries, strict=True)
    ]
