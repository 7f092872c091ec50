"""One ranking out of two: by place in each, or by score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating]

RANK_CONSTANT = 60
"""How far the first places lie above the others; the value that Cormack, Clarke and Büttcher chose (SIGIR 2009)."""


def reciprocal_rank(dense: I64, words: I64, k: int, constant: int = RANK_CONSTANT) -> tuple[I64, F64]:
    """Return the best rows of two rankings by reciprocal rank fusion: the sum of 1 / (constant + place), from 1 on.

    Parameters
    ----------
    dense, words : arrays of int64, shapes (n,) and (m,)
        Rows, best first, each once. Both together in any order give the same.
    k : int
        Most rows to return.
    constant : int
        At least 0.

    Returns
    -------
    rows : array of int64, shape (min(k, rows in one of them),)
        Best first, equal ones by row.
    scores : array of float64, the same shape
    """
    parts = [1.0 / (constant + 1 + np.arange(len(rows))) for rows in (dense, words)]
    return _added((dense, words), parts, k)


def weighted(dense: tuple[I64, Scores], words: tuple[I64, Scores], k: int, alpha: float = 0.5) -> tuple[I64, F64]:
    """Return the best rows of two rankings by the weighted sum of their scores, each brought to 0 to 1.

    The lowest score of a ranking becomes 0 and its highest 1, or all of them 1 when they are equal. A row that a
    ranking does not have gets 0 there, which is what its last one gets: so the rankings should be longer than `k`.

    Parameters
    ----------
    dense, words : pairs of arrays, (n,) and (m,)
        Rows (int64), each once, and scores (floating), higher is better. Distances have to be negated before.
    k : int
        Most rows to return.
    alpha : float
        Weight of `dense`, 0 to 1; `words` gets the rest.

    Returns
    -------
    rows : array of int64, shape (min(k, rows in one of them),)
        Best first, equal ones by row.
    scores : array of float64, the same shape
    """
    parts = [alpha * _scaled(dense[1]), (1.0 - alpha) * _scaled(words[1])]
    return _added((dense[0], words[0]), parts, k)


def _scaled(scores: Scores) -> F64:
    """Return scores between 0 and 1."""
    if not len(scores):
        return np.empty(0, np.float64)
    exact = scores.astype(np.float64)
    low, high = exact.min(), exact.max()
    return (exact - low) / (high - low) if high > low else np.ones(len(exact))


def _added(rows: tuple[I64, I64], scores: list[F64], k: int) -> tuple[I64, F64]:
    """Add up the scores of each row, and return the best ones."""
    every, place = np.unique(np.concatenate(rows), return_inverse=True)
    sums = np.zeros(len(every))
    sums[place[: len(rows[0])]] += scores[0]
    sums[place[len(rows[0]) :]] += scores[1]
    best = np.lexsort((every, -sums))[: max(k, 0)]
    return every[best].astype(np.int64), sums[best]
