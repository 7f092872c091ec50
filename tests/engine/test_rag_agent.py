"""The configuration agent: what it sees, what it learns, and that it learns it again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.rag import training
from ramet.engine.rag.agent import GRIDS, SHIPPED, STRATEGY_NAMES, Agent, configuration
from ramet.engine.rag.choice import Limit
from ramet.engine.rag.features import NAMES, features
from ramet.engine.rag.labels import Labelled, Labels, labelled, worth
from ramet.engine.rag.pool import Candidate, Pool
from ramet.engine.rag.strategies import choose
from ramet.engine.rag.utility import CoverageUtility

QUICK = training.Settings(members=2, epochs=8, folds=2)


def made(seed, n=12, a=6, question="Which band did the drummer of Rush found?"):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = np.sort(rng.uniform(0.1, 0.9, n))[::-1].astype(np.float32)
    return Pool(
        question=question,
        candidates=[
            Candidate(id=f"c{i}", text=f"text {i}", score=float(relevance[i]), document=f"c{i}", position=0)
            for i in range(n)
        ],
        relevance=relevance,
        similarity=(vectors @ vectors.T).astype(np.float32),
        coverage=rng.uniform(0, 1, (a, n)).astype(np.float32),
        weights=np.ones(a, np.float32),
        costs=rng.integers(20, 120, n),
    )


def learnable(n=80):
    """Labels in which the first feature alone says which strategy, and how large its parameter, is right."""
    rng = np.random.default_rng(1)
    x = np.zeros((n, len(NAMES)), np.float32)
    x[:, :4] = rng.standard_normal((n, 4))
    values = max(len(grid) for _, grid in GRIDS.values())
    found = np.full((n, len(STRATEGY_NAMES), values), np.nan, np.float32)
    for row, (_, grid) in enumerate(GRIDS.values()):
        found[:, row, : len(grid)] = 0.2
    low = x[:, 0] < 0
    found[low, 0, :3], found[~low, 2, 2:5] = (1.0, 0.9, 0.5), (0.5, 0.9, 1.0)
    return Labels(
        features=x, worth=found, question=np.arange(n), group=np.array(["a"] * n), budget=np.full(n, 512)
    ), low  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 60),
    a=st.integers(0, 8),
    tokens=st.integers(0, 10_000),
    question=st.text(max_size=80),
)
def test_features_are_finite_for_every_pool(seed, n, a, tokens, question):
    found = features(made(seed, n, a, question), tokens)
    assert found.shape == (len(NAMES),) and found.dtype == np.float32
    assert np.isfinite(found).all()


def test_features_do_not_depend_on_the_order_of_candidates():
    pool = made(3)
    order = np.random.default_rng(0).permutation(len(pool.candidates))
    shuffled = replace(
        pool,
        candidates=[pool.candidates[i] for i in order],
        relevance=pool.relevance[order],
        similarity=pool.similarity[np.ix_(order, order)],
        coverage=pool.coverage[:, order],
        costs=pool.costs[order],
    )
    assert np.allclose(features(pool, 512), features(shuffled, 512), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(0, 40), a=st.integers(0, 6), tokens=st.integers(0, 4000))
def test_what_is_chosen_can_be_run_and_fits(seed, n, a, tokens):
    if not SHIPPED.exists():
        pytest.skip("no agent ships with this tree")
    pool = made(seed, n, a)
    strategy, parameters = Agent.load().choose(pool, tokens)
    assert (strategy, parameters) == Agent.load().choose(pool, tokens)
    choice = choose(strategy, pool, Limit(tokens=tokens, costs=pool.costs), CoverageUtility(pool), **parameters)
    assert pool.costs[list(choice.order)].sum() <= tokens


def test_values_come_from_the_grids():
    for strategy, (name, grid) in GRIDS.items():
        for place in (-1.0, 0.0, 0.37, 1.0, 7.0):
            _, parameters = configuration(strategy, place)
            assert (parameters[name] in grid) if name else parameters == {}
        if name:
            assert configuration(strategy, 1.0)[1][name] == grid[-1]


def test_gradients_are_those_of_the_loss():
    labels, _ = learnable(30)
    how = training.Settings()
    targets, rng = training._Targets.of(labels, how), np.random.default_rng(0)
    weights = training._started(len(NAMES), rng)
    x = labels.features.astype(np.float64)
    slopes = training.gradients(weights, x, targets, how)
    for name, layer in weights.items():
        for _ in range(8):
            at = tuple(int(rng.integers(0, size)) for size in layer.shape)
            kept, found = layer[at], []
            for step in (1e-6, -1e-6):
                layer[at] = kept + step
                found.append(training.loss(weights, x, targets, how))
            layer[at] = kept
            assert slopes[name][at] == pytest.approx((found[0] - found[1]) / 2e-6, abs=1e-6), (name, at)


def test_what_can_be_learned_is_learned():
    labels, low = learnable(200)
    agent, report = training.train(labels, replace(QUICK, epochs=40, rate=3e-3, decay=0.01))
    strategy, _ = training._taken(labels, agent.network)
    assert (strategy[low] == 0).mean() > 0.9 and (strategy[~low] == 2).mean() > 0.9
    assert report.validation > max(report.fixed.values()) + 0.15 and report.best == pytest.approx(1.0)


def test_training_is_the_same_again_and_survives_a_file(tmp_path):
    labels, _ = learnable()
    (first, _), (second, _) = training.train(labels, QUICK), training.train(labels, QUICK)
    first.trained_on = "a (80)"
    first.save(tmp_path / "agent.npz")
    loaded = Agent.load(tmp_path / "agent.npz")
    assert loaded.trained_on == "a (80)"
    for name in ("mean", "scale", "hidden", "embedding", "classes", "parameters"):
        assert np.array_equal(getattr(first.network, name), getattr(second.network, name))
        assert np.array_equal(getattr(first.network, name), getattr(loaded.network, name))


def test_files_that_hold_no_agent_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read"):
        Agent.load(tmp_path / "missing.npz")
    np.savez(tmp_path / "other.npz", version=99, strategies=np.array(STRATEGY_NAMES))
    with pytest.raises(ArgumentError, match="another version"):
        Agent.load(tmp_path / "other.npz")
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(ArgumentError, match="cannot be read"):
        Agent.load(tmp_path / "broken.npz")


def test_agents_that_are_damaged_are_refused(tmp_path):
    whole, path = SHIPPED.read_bytes(), tmp_path / "agent.npz"
    for content in (b"", whole[:1000], whole[: len(whole) // 2], whole[:-1], whole[:3000] + b"xx" + whole[3002:]):
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match="cannot be read"):
            Agent.load(path)
    with (tmp_path / "one.npy").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ArgumentError, match="one array, no agent"):
        Agent.load(tmp_path / "one.npy")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"classes": None}, "holds no agent"),
        ({"mean": np.array(["a"])}, "holds no agent"),
        ({"scale": np.ones(3)}, "another version"),
        ({"hidden": np.ones(3)}, "another version"),
        ({"version": np.array([1, 1])}, "another version"),
        ({"strategies": np.array("greedy")}, "another version"),
    ],
)
def test_archives_with_other_arrays_are_refused(tmp_path, changed, problem):
    with np.load(SHIPPED) as kept:
        arrays = {name: kept[name] for name in kept.files} | changed
    np.savez(tmp_path / "agent.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ArgumentError, match=problem):
        Agent.load(tmp_path / "agent.npz")


def test_one_question_is_too_few():
    labels, _ = learnable(1)
    with pytest.raises(ArgumentError, match="at least 2"):
        training.train(labels, QUICK)


def test_worth_is_of_f1_and_recall():
    assert worth((0, 1), frozenset({0, 1}), 2) == pytest.approx(1.0)
    assert worth((), frozenset({0}), 1) == 0.0
    assert worth((0, 5, 6), frozenset({0, 1}), 3, recall_share=0.0) == pytest.approx(1 / 3)
    assert worth((0, 5, 6), frozenset({0, 1}), 4, recall_share=1.0) == pytest.approx(1 / 4)


def test_labels_are_what_the_strategies_reach():
    pool = made(7)
    one = Labelled(pool=pool, gold=frozenset({0, 3}), n_gold=3, group="g")
    found = labelled([one], budgets=(100, 300))
    assert found.worth.shape[:2] == (2, len(STRATEGY_NAMES)) and found.budget.tolist() == [100, 300]
    for row, budget in enumerate((100, 300)):
        for number, (strategy, (name, grid)) in enumerate(GRIDS.items()):
            for place, value in enumerate(grid):
                parameters = {name: value} if name else {}
                limit = Limit(tokens=budget, costs=pool.costs)
                choice = choose(strategy, pool, limit, CoverageUtility(pool), **parameters)
                assert found.worth[row, number, place] == pytest.approx(worth(choice.order, one.gold, 3))
            assert np.isnan(found.worth[row, number, len(grid) :]).all()
