"""Questions that are kept: the last ones, as many as fit."""

from dataclasses import replace

import numpy as np

from ramet.engine.rag.considered import MOST_BYTES, MOST_KEPT, Considered, Memory, size_of
from tests.engine.rag_world import made


def considered(n):
    """A question whose pool is as large as one of n candidates."""
    return Considered(replace(made(1, 3, 0), similarity=np.zeros((n, n), np.float32)), {}, [])


def kept(memory, keys):
    """Which of the keys need not be made again, asked for from the oldest on."""
    return [key for key in keys if memory.of(key, lambda: considered(1)).stages]


def test_the_last_questions_are_kept():
    memory = Memory()
    for key in range(MOST_KEPT + 3):
        memory.of(key, lambda: considered(3))
    assert kept(memory, range(3, MOST_KEPT + 3)) == list(range(3, MOST_KEPT + 3))
    assert kept(memory, range(3)) == []


def test_large_pools_are_fewer():
    memory, n = Memory(), 500
    fitting = MOST_BYTES // size_of(considered(n).pool)
    assert 2 < fitting < MOST_KEPT
    for key in range(fitting + 2):
        memory.of(key, lambda: considered(n))
    assert kept(memory, range(2, fitting + 2)) == list(range(2, fitting + 2))
    assert kept(memory, range(2)) == []


def test_the_last_one_is_kept_whatever_its_size():
    memory = Memory()
    memory.of("small", lambda: considered(3))
    memory.of("large", lambda: considered(1500))
    assert kept(memory, ["large", "small"]) == ["large"]
