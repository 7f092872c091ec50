"""The scorer of words against its twin: rows near and far, ties, lists of very different length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramet.index.kernels.bm25 import WINDOW, bm25_top
from tests.oracle import kernels as naive

ROWS = st.one_of(
    st.integers(0, 30),
    st.integers(0, 3 * WINDOW),
    st.integers(0, 2**31 - 1),
    st.sampled_from([0, WINDOW - 1, WINDOW, 2**31 - 1]),
)
LISTS = st.lists(
    st.dictionaries(ROWS, st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=40), min_size=1, max_size=6
)


def scored(lists, weights, parameters, k):
    flat = [row << 32 | frequency << 16 | length for postings in lists for row, frequency, length in postings]
    starts = np.cumsum([0, *map(len, lists)])
    rows, scores = np.full(k, -1), np.full(k, np.nan, np.float32)
    n = bm25_top(np.array(flat, np.uint64), starts, np.array(weights), np.array(parameters), rows, scores)
    assert (rows[n:] == -1).all()
    return list(zip(rows[:n].tolist(), scores[:n].tolist(), strict=True))


@given(LISTS, st.data(), st.integers(1, 60), st.floats(1, 500))
def test_the_same_rows_and_scores_as_the_twin(lists, data, k, mean):
    lists = [[(row, *counts) for row, counts in sorted(postings.items())] for postings in lists]
    weights = data.draw(st.lists(st.floats(1e-9, 20), min_size=len(lists), max_size=len(lists)))
    parameters = (1.5, 0.75, mean)
    found = scored(lists, weights, parameters, k)
    every = dict(naive.bm25_top(lists, weights, *parameters, 10**9))
    assert len(found) == min(k, len(every))
    for row, score in found:
        assert np.isclose(score, every[row], rtol=1e-5)
    assert found == sorted(found, key=lambda item: (-item[1], item[0]))
    if len(every) > k:
        left = [score for row, score in every.items() if row not in dict(found)]
        assert max(left) <= found[-1][1] * (1 + 1e-5)


def test_equal_scores_come_by_row():
    lists = [[(row, 2, 10) for row in range(0, 100_000, 7)]]
    found = scored(lists, [1.0], (1.5, 0.75, 10.0), 20)
    assert [row for row, _ in found] == list(range(0, 140, 7))
    assert len({score for _, score in found}) == 1


def test_frequencies_of_zero_touch_a_row_once():
    """As a damaged file may hold them: more postings than a window has rows."""
    lists = [[(row, 0, 0) for row in range(WINDOW)]] * 20
    found = scored(lists, [1.0] * 20, (1.5, 0.75, 10.0), 3)
    assert found == [(0, 0.0), (1, 0.0), (2, 0.0)]
