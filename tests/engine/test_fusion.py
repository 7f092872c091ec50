"""Two rankings become one: against the formulas written out, whatever the rankings have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.text.fusion import reciprocal_rank, weighted

RANKING = st.lists(st.integers(0, 40), unique=True, max_size=30)


def rows_of(*rows):
    return np.array(rows, np.int64)


@given(RANKING, RANKING, st.integers(0, 50), st.integers(0, 100))
def test_reciprocal_rank_is_its_formula(dense, words, k, constant):
    expected = {}
    for ranking in (dense, words):
        for place, row in enumerate(ranking, 1):
            expected[row] = expected.get(row, 0.0) + 1 / (constant + place)
    rows, scores = reciprocal_rank(rows_of(*dense), rows_of(*words), k, constant)
    best = sorted(expected, key=lambda row: (-expected[row], row))[:k]
    assert rows.tolist() == best
    assert scores == pytest.approx([expected[row] for row in best])
    swapped = reciprocal_rank(rows_of(*words), rows_of(*dense), k, constant)
    assert (swapped[0] == rows).all()


SCORED = st.dictionaries(st.integers(0, 40), st.floats(-1e6, 1e6, width=32), max_size=30)


def naive_scaled(scores):
    low, high = min(scores.values(), default=0), max(scores.values(), default=0)
    return {row: (score - low) / (high - low) if high > low else 1.0 for row, score in scores.items()}


@given(SCORED, SCORED, st.integers(0, 50), st.floats(0, 1))
def test_weighted_is_its_formula(dense, words, k, alpha):
    scaled = naive_scaled(dense), naive_scaled(words)
    every = {row: alpha * scaled[0].get(row, 0.0) + (1 - alpha) * scaled[1].get(row, 0.0) for row in {*dense, *words}}
    pairs = [(rows_of(*part), np.array(list(part.values()), np.float32)) for part in (dense, words)]
    rows, scores = weighted(*pairs, k, alpha)
    assert len(rows) == min(k, len(every))
    assert scores == pytest.approx([every[row] for row in rows.tolist()])
    assert scores == pytest.approx(sorted(every.values(), reverse=True)[:k])


def test_equal_rows_come_by_number():
    rows, _ = reciprocal_rank(rows_of(9, 1), rows_of(1, 9), 5)
    assert rows.tolist() == [1, 9]
    rows, _ = weighted((rows_of(7, 3), np.ones(2)), (rows_of(), np.empty(0)), 5)
    assert rows.tolist() == [3, 7]
