"""The value of a set without a model is what the formula says, however it is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.utility import CallableUtility, CoverageUtility, CrossEncoderUtility, utility_for
from tests.engine.rag_world import POOLS, TERMS, made, permuted
from tests.oracle import sets

CHOSEN = st.lists(st.integers(0, 11), max_size=6, unique=True)


def inside(pool, chosen):
    return [c for c in chosen if c < len(pool.candidates)]


@given(POOLS, TERMS, CHOSEN)
def test_value_is_what_the_formula_says(pool, terms, chosen):
    chosen = inside(pool, chosen)
    utility = CoverageUtility(pool, **terms)
    assert utility.value(chosen) == pytest.approx(sets.value(pool, chosen, **terms), abs=1e-5)
    assert utility.value([]) == 0.0


@given(POOLS, TERMS, CHOSEN)
def test_gains_are_differences_of_value(pool, terms, chosen):
    chosen = inside(pool, chosen)
    utility = CoverageUtility(pool, **terms)
    gains = utility.gains(chosen)
    assert gains.shape == (len(pool.candidates),)
    for c in range(len(pool.candidates)):
        if c in chosen:
            assert gains[c] == -np.inf
        else:
            assert gains[c] == pytest.approx(utility.value([*chosen, c]) - utility.value(chosen), abs=1e-9)


@given(POOLS, TERMS, CHOSEN, st.randoms())
def test_the_order_of_a_set_and_of_the_pool_do_not_matter(pool, terms, chosen, random):
    chosen = inside(pool, chosen)
    order = list(range(len(pool.candidates)))
    random.shuffle(order)
    shuffled = random.sample(chosen, len(chosen))
    value = CoverageUtility(pool, **terms).value(chosen)
    assert CoverageUtility(pool, **terms).value(shuffled) == pytest.approx(value, abs=1e-9)
    elsewhere = [order.index(c) for c in chosen]
    assert CoverageUtility(permuted(pool, order), **terms).value(elsewhere) == pytest.approx(value, abs=1e-9)


@given(POOLS, CHOSEN)
def test_many_are_single_values(pool, chosen):
    utility = CoverageUtility(pool, distraction=0.3)
    beginnings = [inside(pool, chosen)[:size] for size in range(7)]
    assert utility.many(beginnings).tolist() == [utility.value(one) for one in beginnings]


@given(POOLS, CHOSEN)
def test_coverage_alone_is_monotone_and_submodular(pool, chosen):
    chosen = inside(pool, chosen)
    utility = CoverageUtility(pool, relevance=0.0, links=0.0)
    before, after = utility.gains(chosen[:2]), utility.gains(chosen)
    outside = [c for c in range(len(pool.candidates)) if c not in chosen]
    assert (before[outside] >= after[outside] - 1e-12).all()
    assert (after[outside] >= 0.0).all()


def test_a_second_copy_is_worth_less_than_nothing_with_redundancy():
    pool = made(3, 5, 4)
    similarity = pool.similarity.copy()
    similarity[0, 1] = similarity[1, 0] = 1.0
    coverage = pool.coverage.copy()
    coverage[:, 1] = coverage[:, 0]
    twice = permuted(pool, range(5))
    object.__setattr__(twice, "similarity", similarity)
    object.__setattr__(twice, "coverage", coverage)
    assert CoverageUtility(twice, redundancy=2.0, relevance=0.15).gains([0])[1] < 0.0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"relevance": -1}, "at least 0"),
        ({"relevance": float("nan")}, "at least 0"),
        ({"redundancy": "much"}, "must be a number"),
        ({"redundancy_floor": 2}, "from -1 to 1"),
        ({"distraction": float("inf")}, "finite"),
        ({"links": True}, "must be a number"),
    ],
)
def test_wrong_parameters_are_named(parameters, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        CoverageUtility(made(0, 3, 2), **parameters)
    assert caught.value.argument == next(iter(parameters))


def test_utilities_by_name_model_or_function():
    class Model:
        def predict(self, pairs, **options):
            return [0.0] * len(pairs)

    pool = made(0, 3, 2)
    assert isinstance(utility_for("coverage", pool, distraction=0.5), CoverageUtility)
    assert isinstance(utility_for(Model(), pool), CrossEncoderUtility)
    assert isinstance(utility_for(lambda question, chunks: 1.0, pool), CallableUtility)
    with pytest.raises(ArgumentError, match="'coverage', a cross-encoder or a callable"):
        utility_for("coverages", pool)
