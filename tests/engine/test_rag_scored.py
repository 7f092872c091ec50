"""Utilities that ask a model or a function: each set once, in one order, counted and checked."""

import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.scored import CallableUtility, CrossEncoderUtility
from ramet.engine.rag.strategies import choose
from tests.engine.rag_world import POOLS, limit_of, made, permuted

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "?", "on", "ada", "bell", "##amy", "rush", ","]


class Lengths:
    """A cross-encoder whose score is the length of the text; it keeps what it read."""

    def __init__(self):
        self.read = []
        self.batches = []

    def predict(self, pairs, batch_size, show_progress_bar, activation_fn):
        assert show_progress_bar is False
        assert activation_fn(0.5) == 0.5
        self.read += pairs
        self.batches.append(batch_size)
        return np.array([float(len(text)) for _, text in pairs], np.float32)


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """The smallest cross-encoder there can be, with random weights."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch = pytest.importorskip("torch")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("cross-encoder")
    (folder / "vocab.txt").write_text("\n".join(WORDS), "utf8")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return sentence_transformers.CrossEncoder(str(folder), device="cpu", max_length=64)


def test_a_cross_encoder_is_asked_for_each_set_once(cross_encoder):
    pool = made(2, 8, 3)
    utility = CrossEncoderUtility(cross_encoder, pool)
    values = utility.many([(0,), (1, 2), (2, 1), ()])
    assert utility.passes == 2
    assert values[1] == values[2]
    assert values[3] == 0.0
    assert ((values >= 0.0) & (values <= 1.0)).all()
    gains = utility.gains([1])
    assert gains[1] == -np.inf
    assert gains[2] == pytest.approx(values[1] - utility.value([1]))
    before = utility.passes
    assert utility.gains([1]).tolist() == gains.tolist()
    assert utility.passes == before


@pytest.mark.parametrize("strategy", ["greedy", "beam", "mcts"])
def test_strategies_search_by_a_cross_encoder(cross_encoder, strategy):
    pool = made(4, 10, 3)
    utility = CrossEncoderUtility(cross_encoder, pool)
    choice = choose(strategy, pool, limit_of(pool, 300), utility, price=0.0)
    assert choice.passes == utility.passes > 0
    assert pool.costs[list(choice.order)].sum() <= 300
    if strategy == "mcts":
        assert choice.passes <= 50
    again = choose(strategy, pool, limit_of(pool, 300), CrossEncoderUtility(cross_encoder, pool), price=0.0)
    assert again.order == choice.order


def test_texts_come_in_one_order_with_the_separator():
    pool = made(1, 4, 0)
    model = Lengths()
    utility = CrossEncoderUtility(model, pool, separator=" | ", batch_size=7, normalize="none")
    utility.value([2, 0])
    utility.value([0, 2])
    assert model.read == [("who?", f"{pool.candidates[0].text} | {pool.candidates[2].text}")]
    assert model.batches == [7]
    assert utility.value([2, 0]) == len(model.read[0][1])


def test_minmax_spans_the_best_candidates():
    pool = made(1, 12, 0)
    model = Lengths()
    utility = CrossEncoderUtility(model, pool, normalize="minmax")
    values = utility.many([(c,) for c in range(10)])
    assert (values.min(), values.max()) == (0.0, 1.0)
    assert utility.passes == len(model.read) == 10


def test_minmax_of_equal_scores_is_in_the_middle():
    pool = made(1, 1, 0)
    assert CrossEncoderUtility(Lengths(), pool, normalize="minmax").value([0]) == 0.5


def test_large_scores_do_not_overflow():
    class Extreme:
        def predict(self, pairs, **options):
            return [-1e9, 1e9][: len(pairs)]

    pool = made(1, 2, 0)
    assert CrossEncoderUtility(Extreme(), pool).many([(0,), (1,)]).tolist() == [0.0, 1.0]


@settings(max_examples=20)
@given(POOLS, st.randoms())
def test_values_do_not_depend_on_the_order_of_the_pool(pool, random):
    order = list(range(len(pool.candidates)))
    random.shuffle(order)
    here, there = (CrossEncoderUtility(Lengths(), one) for one in (pool, permuted(pool, order)))
    assert here.value(range(len(order))) == there.value(range(len(order)))
    assert here.gains([])[order].tolist() == there.gains([]).tolist()


def test_a_function_gets_candidates_and_is_called_once_a_set():
    pool = made(1, 5, 0)
    calls = []

    def function(question, chunks):
        calls.append((question, [one.id for one in chunks]))
        return len(chunks) ** 0.5

    utility = CallableUtility(function, pool)
    assert utility.value([3, 1]) == pytest.approx(2**0.5)
    assert utility.value([1, 3]) == pytest.approx(2**0.5)
    assert utility.value([]) == 0.0
    assert calls == [("who?", [pool.candidates[1].id, pool.candidates[3].id])]
    gains = utility.gains([1, 3], among=[0, 3])
    assert np.isfinite(gains).tolist() == [True, False, False, False, False]
    assert utility.passes == len(calls) == 2
    assert choose("beam", pool, limit_of(pool, 10_000), utility, price=0.0).passes == utility.passes - 2


def test_tree_search_does_not_depend_on_what_was_asked_before():
    pool = made(3, 12, 3)
    limit = limit_of(pool, 600)

    def function(question, chunks):
        return sum((7 * ord(one.id[-1]) + len(one.id)) % 11 for one in chunks) ** 0.5

    first = choose("mcts", pool, limit, CallableUtility(function, pool), price=0.0, max_passes=12)
    utility = CallableUtility(function, pool)
    utility.many([(c,) for c in range(12)] + [(0, c) for c in range(1, 12)])
    for _ in range(2):
        again = choose("mcts", pool, limit, utility, price=0.0, max_passes=12)
        assert (again.order, again.evaluations) == (first.order, first.evaluations)


def test_tree_search_looks_at_its_deadline_between_batches():
    pool = made(3, 12, 3, most_cost=1)
    model = Lengths()
    utility = CrossEncoderUtility(model, pool)
    choice = choose("mcts", pool, limit_of(pool, 600), utility, price=0.0, batch=2, deadline_ms=0)
    assert choice.order
    assert len(model.read) == 2
    whole = choose("mcts", pool, limit_of(pool, 600), utility, price=0.0, batch=2, iterations=0)
    bounded = choose("mcts", pool, limit_of(pool, 600), utility, price=0.0, batch=2, iterations=0, deadline_ms=1e9)
    assert bounded.order == whole.order and len(model.read) > 2


def test_threads_ask_for_a_set_once():
    pool = made(3, 6, 3)
    calls = []

    def slow(question, chunks):
        calls.append([one.id for one in chunks])
        time.sleep(0.01)
        return float(len(chunks))

    utility = CallableUtility(slow, pool)
    threads = [threading.Thread(target=utility.many, args=([(0,), (1, 2), (3,)],)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(calls) == utility.passes == 3


@pytest.mark.parametrize(
    ("answer", "words"), [("high", "a number"), (None, "a number"), (float("nan"), "finite"), (float("inf"), "finite")]
)
def test_functions_have_to_return_numbers(answer, words):
    with pytest.raises(ArgumentError, match=words):
        CallableUtility(lambda question, chunks: answer, made(1, 2, 0)).value([0])


def test_models_have_to_give_one_finite_score():
    pool = made(1, 2, 0)
    with pytest.raises(ArgumentError, match="one score a pair"):
        CrossEncoderUtility(_Three(), pool).value([0])
    with pytest.raises(ArgumentError, match="not finite"):
        CrossEncoderUtility(_Nan(), pool).value([0])
    with pytest.raises(ArgumentError, match="predict"):
        CrossEncoderUtility(object(), pool)
    with pytest.raises(ArgumentError, match="'sigmoid', 'minmax', 'none'"):
        CrossEncoderUtility(Lengths(), pool, normalize="softmax")
    with pytest.raises(ArgumentError, match="batch_size"):
        CrossEncoderUtility(Lengths(), pool, batch_size=0)
    with pytest.raises(ArgumentError, match="callable"):
        CallableUtility(3, pool)


class _Three:
    def predict(self, pairs, **options):
        return np.zeros((len(pairs), 3))


class _Nan:
    def predict(self, pairs, **options):
        return np.full(len(pairs), np.nan)
