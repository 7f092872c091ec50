"""No strategy is ever over the limit, all of them end, and the same question gets the same choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.choice import Limit
from ramet.engine.rag.pool import Candidate
from ramet.engine.rag.strategies import STRATEGIES, choose, parameters_of
from ramet.engine.rag.utility import CallableUtility, CoverageUtility
from tests.engine.rag_world import BUDGETS, POOLS, TERMS, limit_of, made, permuted
from tests.oracle import sets

EVERY = pytest.mark.parametrize("strategy", list(STRATEGIES))
SEARCHES = ("greedy", "beam", "mcts")
PRICES = st.sampled_from([0.0, 0.1, 0.5])


def bounded(strategy):
    """Few iterations: random pools are small."""
    return {"iterations": 12} if strategy == "mcts" else {}


def worth(utility, order, price):
    return utility.value(order) - price * len(order)


def counted(pool, terms):
    """A function that values sets as `CoverageUtility` does, as if each cost a pass."""
    exact = CoverageUtility(pool, **terms)
    numbers = {one.id: c for c, one in enumerate(pool.candidates)}
    return CallableUtility(lambda question, chunks: exact.value([numbers[one.id] for one in chunks]), pool)


@EVERY
@given(POOLS, BUDGETS, TERMS)
def test_a_choice_fits_and_says_why(strategy, pool, tokens, terms):
    limit = limit_of(pool, tokens)
    choice = choose(strategy, pool, limit, CoverageUtility(pool, **terms), **bounded(strategy))
    assert len(set(choice.order)) == len(choice.order) == len(choice.gains)
    assert sum(int(pool.costs[c]) for c in choice.order) <= tokens
    assert list(choice.reasons) == list(range(len(pool.candidates)))
    assert all(choice.reasons.values())
    assert choice.passes == 0
    assert choice.seconds >= 0.0
    steps = [step for step in choice.trace if "step" in step]
    assert [step["id"] for step in steps] == [pool.candidates[c].id for c in choice.order]


@EVERY
@given(POOLS, BUDGETS)
def test_a_choice_fits_when_values_cost_passes(strategy, pool, tokens):
    utility = counted(pool, {"distraction": 0.3})
    choice = choose(strategy, pool, limit_of(pool, tokens), utility, **bounded(strategy))
    assert sum(int(pool.costs[c]) for c in choice.order) <= tokens
    assert choice.passes == utility.passes
    assert choice.passes == 0 or strategy in SEARCHES


@EVERY
@given(POOLS, BUDGETS, TERMS)
def test_the_same_question_gets_the_same_choice(strategy, pool, tokens, terms):
    first, second = (
        choose(strategy, pool, limit_of(pool, tokens), CoverageUtility(pool, **terms), **bounded(strategy))
        for _ in range(2)
    )
    assert (first.order, first.gains, first.reasons) == (second.order, second.gains, second.reasons)
    assert first.trace == second.trace


@EVERY
@given(st.integers(0, 1 << 30), st.booleans(), BUDGETS, st.randoms())
def test_the_order_of_candidates_decides_nothing(strategy, seed, coarse, tokens, random):
    pool = made(seed, 9, 4, coarse=coarse)
    order = list(range(9))
    random.shuffle(order)
    other = permuted(pool, order)
    here, there = (
        choose(strategy, one, limit_of(one, tokens), CoverageUtility(one), **bounded(strategy)) for one in (pool, other)
    )
    assert [pool.candidates[c].id for c in here.order] == [other.candidates[c].id for c in there.order]


@given(POOLS, BUDGETS, TERMS, PRICES)
def test_a_beam_of_one_is_greedy(pool, tokens, terms, price):
    limit, utility = limit_of(pool, tokens), CoverageUtility(pool, **terms)
    greedy = choose("greedy", pool, limit, utility, price=price)
    beam = choose("beam", pool, limit, utility, price=price, width=1)
    assert beam.order == greedy.order
    assert beam.gains == greedy.gains


@given(POOLS, BUDGETS, TERMS, PRICES)
def test_searches_are_never_worse_than_greedy(pool, tokens, terms, price):
    limit, utility = limit_of(pool, tokens), CoverageUtility(pool, **terms)
    greedy = worth(utility, choose("greedy", pool, limit, utility, price=price).order, price)
    found = worth(utility, choose("mcts", pool, limit, utility, price=price, iterations=12).order, price)
    assert found >= greedy - 1e-9
    assert greedy >= -1e-9


@given(POOLS, BUDGETS, TERMS, st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_more_iterations_are_never_worse(pool, tokens, terms, few, more, costly):
    limit, exact = limit_of(pool, tokens), CoverageUtility(pool, **terms)

    def found(iterations):
        utility = counted(pool, terms) if costly else exact
        return worth(exact, choose("mcts", pool, limit, utility, iterations=iterations).order, 0.1)

    assert found(few + more) >= found(few) - 1e-9


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.sampled_from([100, 300, 500]), TERMS, PRICES)
def test_tree_search_finds_the_best_set_when_it_looks_at_all(seed, tokens, terms, price):
    pool = made(seed, 6, 3)
    limit, utility = limit_of(pool, tokens), CoverageUtility(pool, **terms)
    order = choose("mcts", pool, limit, utility, price=price, iterations=5000).order
    assert worth(utility, order, price) == pytest.approx(sets.best_set(pool, limit, utility, price), abs=1e-9)


@given(POOLS, BUDGETS, st.integers(1, 30))
def test_tree_search_keeps_within_its_passes(pool, tokens, most):
    utility = counted(pool, {})
    choice = choose("mcts", pool, limit_of(pool, tokens), utility, max_passes=most, iterations=100)
    assert choice.passes <= most


def test_tree_search_stops_at_its_deadline():
    pool = made(1, 12, 6)
    utility = CoverageUtility(pool)
    limit = limit_of(pool, 512)
    at_once = choose("mcts", pool, limit, utility, deadline_ms=0, iterations=1 << 30)
    assert at_once.order == choose("greedy", pool, limit, utility).order
    assert len(choose("mcts", pool, limit, utility, deadline_ms=5, iterations=1 << 30).order)


@given(POOLS, BUDGETS, TERMS)
def test_greedy_stops_at_what_is_not_worth_its_price(pool, tokens, terms):
    limit, utility = limit_of(pool, tokens), CoverageUtility(pool, **terms)
    choice = choose("greedy", pool, limit, utility, price=0.2)
    assert all(gain > 0.0 for gain in choice.gains)
    fits = limit.fitting(choice.order)
    assert not (utility.gains(choice.order)[fits] > 0.2).any()


def test_gain_per_token_prefers_short_chunks():
    pool = made(5, 2, 1)
    object.__setattr__(pool, "coverage", np.array([[0.9, 0.8]], np.float32))
    object.__setattr__(pool, "weights", np.ones(1, np.float32))
    limit = Limit(tokens=200, costs=np.array([200, 20]))
    utility = CoverageUtility(pool, relevance=0.0)
    assert choose("greedy", pool, limit, utility).order == (0,)
    assert choose("greedy", pool, limit, utility, per_token=1.0).order == (1,)


def test_reasons_name_words_sizes_and_doubles():
    pool = made(7, 4, 2)
    object.__setattr__(pool, "coverage", np.array([[0.9, 0.9, 0.1, 0.2], [0.8, 0.8, 0.1, 0.1]], np.float32))
    object.__setattr__(pool, "weights", np.ones(2, np.float32))
    object.__setattr__(pool, "similarity", np.array(np.eye(4), np.float32))
    pool.similarity[0, 1] = pool.similarity[1, 0] = 0.94
    limit = Limit(tokens=250, costs=np.array([100, 100, 100, 310]))
    choice = choose("greedy", pool, limit, CoverageUtility(pool, relevance=0.0, links=0.0))
    assert choice.order == (0,) or choice.order == (1,)
    taken, other = choice.order[0], 1 - choice.order[0]
    assert choice.reasons[taken].startswith("covers 'word0', 'word1'; gain 1.300")
    assert choice.reasons[other] == f"adds nothing new: 0.94 like {pool.candidates[taken].id!r}"
    assert choice.reasons[2].startswith("adds too little: gain 0.000, price")
    assert choice.reasons[3] == "does not fit: 310 tokens, the limit is 250"
    by_score = choose("topk", pool, limit, CoverageUtility(pool))
    left = ({0, 1, 2} - set(by_score.order)).pop()
    assert by_score.reasons[left] == "does not fit: 100 tokens, 50 left"


def test_reasons_name_the_chunk_that_leads_to_another():
    named, naming = (
        Candidate(id=f"c{i}", text=text, score=0.5, document=f"c{i}", position=0, metadata={"title": title})
        for i, (text, title) in enumerate([("A band.", "Rush"), ("He drummed for Rush.", "Neil")])
    )
    pool = made(1, 2, 1)
    for field, value in (("candidates", [named, naming]), ("coverage", np.array([[0.1, 0.9]], np.float32))):
        object.__setattr__(pool, field, value)
    object.__setattr__(pool, "weights", np.ones(1, np.float32))
    choice = choose("greedy", pool, limit_of(pool, 1000), CoverageUtility(pool, relevance=0.0, links=0.2), price=0.3)
    assert choice.order == (1, 0)
    assert choice.reasons[0].startswith("linked with 'c1'; gain 0.1")


def test_largest_gap_and_its_buffer():
    pool = made(9, 6, 0)
    object.__setattr__(pool, "relevance", np.array([0.9, 0.85, 0.4, 0.39, 0.38, 0.0], np.float32))
    limit = Limit(tokens=10_000, costs=pool.costs)
    utility = CoverageUtility(pool)
    assert set(choose("adaptive_k", pool, limit, utility).order) == {0, 1}
    assert set(choose("adaptive_k", pool, limit, utility, buffer=2).order) == {0, 1, 2, 3}
    assert set(choose("adaptive_k", pool, limit, utility, margin=1.0).order) == {0}


def test_adagres_stops_before_the_budget_and_skips_what_does_not_fit():
    pool = made(11, 10, 0)
    object.__setattr__(pool, "relevance", np.full(10, 0.5, np.float32))
    object.__setattr__(pool, "similarity", np.full((10, 10), 0.5, np.float32))
    limit = Limit(tokens=500, costs=np.array([900] + [100] * 9))  # the largest candidate never fits
    utility = CoverageUtility(pool)
    assert 0 not in choose("adagres", pool, limit, utility).order
    marginal = choose("adagres", pool, limit, utility)
    total = choose("adagres", pool, limit, utility, form="total")
    assert 0 < len(total.order) < len(marginal.order) < 5
    assert len(choose("adagres", pool, limit, utility, beta=0.0).order) == 5
    assert choose("adagres", pool, limit, utility, floor=0.6).order == ()


@pytest.mark.parametrize(
    ("strategy", "parameters", "words"),
    [
        ("best", {}, "must be one of 'topk'"),
        ("topk", {"k": 3}, "is no parameter of 'topk', which takes none"),
        ("mmr", {"theta": 1.5}, "from 0 to 1"),
        ("mmr", {"width": 1}, "which takes theta"),
        ("adaptive_k", {"margin": -0.1}, "from 0 to 1"),
        ("adaptive_k", {"buffer": 1.5}, "whole number"),
        ("adagres", {"beta": -1}, "at least 0"),
        ("adagres", {"form": "half"}, "'marginal', 'total'"),
        ("adagres", {"floor": float("nan")}, "from -1 to 1"),
        ("greedy", {"price": -0.1}, "at least 0"),
        ("greedy", {"per_token": "1"}, "must be a number"),
        ("beam", {"width": 0}, "from 1 to 1024"),
        ("mcts", {"iterations": -1}, "from 0 to"),
        ("mcts", {"exploration": float("inf")}, "finite"),
        ("mcts", {"batch": 0}, "from 1 to"),
        ("mcts", {"max_passes": 0}, "from 1 to"),
        ("mcts", {"deadline_ms": -1}, "at least 0"),
    ],
)
def test_wrong_parameters_are_named(strategy, parameters, words):
    pool = made(0, 3, 2)
    with pytest.raises(ArgumentError, match=words) as caught:
        choose(strategy, pool, limit_of(pool, 100), CoverageUtility(pool), **parameters)
    assert caught.value.argument == next(iter(parameters), "strategy")


def test_limits_are_checked():
    pool = made(0, 3, 2)
    with pytest.raises(ArgumentError, match="at least 0"):
        Limit(tokens=-1, costs=pool.costs)
    with pytest.raises(ArgumentError, match="at least 0"):
        Limit(tokens=1, costs=np.array([1, -1, 1]))
    with pytest.raises(ArgumentError, match="2 costs for 3 candidates"):
        choose("topk", pool, Limit(tokens=1, costs=pool.costs[:2]), CoverageUtility(pool))


def test_parameters_and_their_defaults_can_be_read():
    assert parameters_of("topk") == {}
    assert set(parameters_of("beam")) == {"width", "price"}
    assert "deadline_ms" in parameters_of("mcts")
