"""``bench rag``: its measures against plain ones, and a run on tiny texts."""

import gzip
import json

import numpy as np
import pytest

from bench import (
    rag_measure,
    rag_pools,
    rag_reader,
    rag_runs,
    rag_summary,
    rag_texts,
    rag_tokens,
    rag_widened,
    records,
    texts,
)
from bench.__main__ import main
from bench.commands import readme
from bench.rag_measure import Contender
from bench.rag_pools import Asked
from bench.rag_texts import Question
from ramet.engine.rag.pool import Candidate, Pool

DIM, WIDTH = 16, 64


def asked(costs, gold, n_gold=None, answers=("Grent",), shown=None):
    n = len(costs)
    rng = np.random.default_rng(n)
    relevance = np.linspace(0.9, 0.1, n).astype(np.float32)
    pool = Pool(
        question="What is the capital?",
        candidates=[
            Candidate(id=f"c{i}", text="", score=float(relevance[i]), document=f"c{i}", position=0) for i in range(n)
        ],
        relevance=relevance,
        similarity=np.eye(n, dtype=np.float32),
        coverage=rng.uniform(0, 1, (4, n)).astype(np.float32),
        weights=np.ones(4, np.float32),
        costs=np.array(costs, np.int64),
    )
    question = Question(
        id="q", text="What is the capital?", gold=frozenset(range(n_gold or len(gold))), answers=answers, split="test"
    )
    return Asked(
        question=question, pool=pool, gold=frozenset(gold), shown=shown or tuple(f"text {i}" for i in range(n))
    )


def test_splits_never_change():
    names = [f"q{number}" for number in range(400)]
    found = [rag_texts.split_of(name) for name in names]
    assert found == [rag_texts.split_of(name) for name in names]
    assert 150 < found.count("train") < 250
    assert rag_texts.split_of("hp_5a7f6fd75542992e7d278cfa") == "test"
    assert rag_texts.split_of("any", "validation") == "test" and rag_texts.split_of("any", "train") == "train"


def test_answers_are_looked_for_as_words():
    assert rag_texts.holds("The capital, Grent, is old.", ["grent"])
    assert not rag_texts.holds("Grenthal is old.", ["Grent"])
    assert rag_texts.holds("It is the U.S. Army", ["the US army", "other"])
    assert rag_texts.holds("whatever", ["yes"]) is None and rag_texts.holds("whatever", []) is None


def test_evidence_is_counted():
    one = asked([10, 20, 30, 40], {0, 2}, n_gold=3, shown=("a", "b", "it is Grent", "d"))
    found = rag_measure.judged(one, (0, 2, 3))
    assert found["recall"] == pytest.approx(2 / 3) and found["precision"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3) and found["all_gold"] == 0.0 and found["in_context"] == 1.0
    assert found["tokens"] == 80 and found["chunks"] == 3
    nothing = rag_measure.judged(one, ())
    assert nothing["recall"] == nothing["f1"] == nothing["precision"] == nothing["tokens"] == 0.0


def test_evidence_outside_of_the_candidates_counts_as_missed():
    assert rag_measure.judged(asked([10, 10], {0}, n_gold=2), (0,))["all_gold"] == 0.0


def test_a_choice_over_its_budget_stops_the_run():
    greedy = Contender(name="greedy", strategy="greedy")
    one = asked([10, 20], {0})
    assert rag_measure.measured(greedy, [one], [15]).values["tokens"][0] <= 15
    with pytest.raises(RuntimeError, match="took 30 of 15"):
        rag_measure.checked("x", {"tokens": 30.0}, 15, "q")


def test_baselines_are_cut_to_the_tokens_used_and_filled_up_to_them():
    one = asked([50, 50, 50, 50], {1}, n_gold=1)
    ours = rag_measure.measured(Contender(name="topk", strategy="topk"), [one], [90])
    assert ours.values["tokens"][0] == 50
    baseline = Contender(name="topk", strategy="topk")
    whole = rag_measure.measured(baseline, [one], [200])
    ours.values["tokens"][0] = 90
    assert rag_measure.cut(baseline, [one], ours).values["tokens"][0] == 50
    assert rag_measure.cut(baseline, [one], ours).values["recall"][0] == 0.0
    assert rag_measure.filled_up([one], whole, ours)[0] == 1.0  # 100 tokens: at least as many
    ours.values["tokens"][0] = 50
    assert rag_measure.filled_up([one], whole, ours)[0] == 0.0  # 50 are as many
    ours.values["tokens"][0] = 0
    assert rag_measure.filled_up([one], whole, ours)[0] == 0.0


def test_intervals_cover_the_difference_and_ignore_what_has_no_value():
    rng = np.random.default_rng(2)
    ours = rng.uniform(0, 1, 200)
    theirs = ours - 0.1 + rng.normal(0, 0.05, 200)
    found = rag_measure.difference(ours, theirs)
    assert found.low < found.mean < found.high and found.above and found.mean == pytest.approx(0.1, abs=0.02)
    assert found == rag_measure.difference(ours, theirs)
    half = 1.96 * (ours - theirs).std() / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    ours[:50] = np.nan
    assert np.isfinite(rag_measure.difference(ours, theirs).mean)
    assert not rag_measure.difference(theirs, theirs).above


def test_answers_are_scored_as_squad_does():
    assert rag_reader.scored("The Grent.", ["grent"]) == (1.0, 1.0)
    em, f1 = rag_reader.scored("Grent city", ["Grent", "other"])
    assert em == 0.0 and f1 == pytest.approx(2 / 3)
    assert rag_reader.scored("", ["Grent"]) == (0.0, 0.0)


def line(contender, budget, *, ours=False, half=False, f1=0.5, recall=0.5, all_gold=0.4, low=0.1, tokens=400.0):
    differences = {name: {m: [0.2, low, 0.3] for m in ("f1", "recall", "recall_up")} for name in rag_runs.BASELINES}
    values = {"f1": f1, "recall": recall, "all_gold": all_gold, "in_context": recall, "tokens": tokens}
    return {
        "dataset": "hotpotqa", "contender": contender, "budget": budget, "ours": ours, "half": half, **values,
        "ms": 9.0, "p99_ms": 12.0, "train": values, "against": differences if ours else {},
    }  # fmt: skip


def test_targets_of_rag_are_judged():
    lines = [line(name, budget) for name in rag_runs.FIXED for budget in (512, 1024)]
    lines = [one for one in lines if one["contender"] not in rag_runs.OURS]
    lines += [
        line(name, budget, ours=True, f1=0.6, recall=0.7, all_gold=0.65)
        for name in ("greedy", "beam", "mcts", "auto")
        for budget in (512, 1024)
    ]
    lines += [line("greedy", 1024, ours=True, half=True, recall=0.5, tokens=200.0)]
    said = rag_summary.targets(lines + [one | {"dataset": "musique"} for one in lines])
    verdicts = [one for one in said if one.startswith(("  met", "  MISSED"))]
    assert len(verdicts) == 7 and all(one.startswith("  met") for one in verdicts), said
    worse = [one | {"against": line("x", 1, ours=True, low=-0.01)["against"]} if one["ours"] else one for one in lines]
    assert rag_summary.targets(worse)[0].startswith("  MISSED")
    better = [*lines, *(line("beam, tuned", budget, f1=0.62) for budget in (512, 1024))]
    assert [one[:8] for one in rag_summary.targets(better) if "F1 of auto" in one] == ["  MISSED"]
    slower = [one | {"ms": 51.0} for one in lines]
    assert rag_summary.targets(slower)[-1].startswith("  MISSED")


class Words:
    """Counts words, in place of a model that has to be installed."""

    def count_tokens(self, given):
        return [len(text.split()) for text in given]


def written(path, objects):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(one) + "\n" for one in objects)


def made(folder, cache, name, n=60, n_queries=24):
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    corpus = [{"id": f"d{i}", "title": f"Title {i}", "text": f"word{i} and more of it"} for i in range(n)]
    gold = [rng.choice(n, 2, replace=False).tolist() for _ in range(n_queries)]
    asked_for = [
        {"id": f"q{i}", "text": f"Who is word{a}, asked {i}?", "gold": [f"d{a}", f"d{b}"], "answer": f"word{b}"}
        for i, (a, b) in enumerate(gold)
    ]
    written(folder / name / "corpus.jsonl.gz", corpus)
    written(folder / name / "queries.jsonl.gz", asked_for)
    near = np.stack([vectors[pair].sum(axis=0) for pair in gold]).astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    dense, tokens = cache / "text" / "minilm", cache / "text" / "minilm-tokens"
    dense.mkdir(parents=True)
    tokens.mkdir()
    for part, ids, rows in (("documents", corpus, vectors), ("queries", asked_for, near)):
        np.save(dense / f"{name}-{part}.npy", rows)
        (dense / f"{name}-{part}.json").write_text(json.dumps({"ids": [one["id"] for one in ids]}))
    codes = rng.standard_normal((n * 3, WIDTH))
    codes = np.rint(127 * codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.int8)
    np.save(tokens / f"{name}-tokens.npy", codes)
    np.save(tokens / f"{name}-token-starts.npy", np.arange(n + 1) * 3)
    np.save(tokens / f"{name}-projection.npy", rng.standard_normal((DIM, WIDTH)).astype(np.float32))
    np.savez(
        tokens / f"{name}-question-tokens.npz",
        vectors=rng.standard_normal((n_queries * 4, DIM)).astype(np.float32),
        starts=np.arange(n_queries + 1) * 4,
        tokens=np.array(["who", "is", "word", "?"] * n_queries),
        ids=np.array([one["id"] for one in asked_for]),
    )


@pytest.fixture
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "embedder", Words)
    made(tmp_path / "text", tmp_path / "cache", "musique")
    return tmp_path / "text"


def test_a_run_measures_trains_and_writes(where, tmp_path, capsys):
    out, agent = tmp_path / "out", tmp_path / "agent.npz"
    options = ["--text", str(where), "--budgets", "20,1024", "--train-agent", str(agent), "--out", str(out)]
    assert main(["rag", *options]) == 0
    said = capsys.readouterr().out
    assert "skipped hotpotqa" in said and "agent: worth" in said and "F1 of auto" in said
    assert agent.exists() and (out / "rag-musique.png").stat().st_size > 10_000
    lines = records.read(out / "rag-musique.jsonl")
    names = {one["contender"] for one in lines}
    assert names == {
        *rag_runs.FIXED,
        rag_runs.FILLED,
        rag_runs.AUTO,
        *(f"{one}, tuned" for one in ("mmr", "adagres", "greedy", "beam", "adaptive_k")),
    }
    for one in lines:
        assert one["half"] or one["tokens"] <= one["budget"]
        assert one["n_queries"] + one["n_train"] == 24
        assert bool(one["against"]) == (one["ours"] and not one["half"])
    before = [one for one in lines if one["contender"] != "auto"]
    assert main(["rag", *options[:4], "--agent", str(agent), "--only-auto", "--out", str(out)]) == 0
    again = records.read(out / "rag-musique.jsonl")
    assert len(again) == len(lines) and [one for one in again if one["contender"] != "auto"] == before
    (out / "rag-musique.jsonl").rename(out / "rag.jsonl")
    assert "| greedy | " in readme.rag_readme.block(out)


def test_token_codes_of_another_set_are_refused(where):
    of = rag_texts.load(where, "musique")
    assert len(rag_tokens.of_set(of).questions) == 24
    of.ids.append("new")
    with pytest.raises(ValueError, match="another set"):
        rag_tokens.of_set(of)


def test_candidates_of_a_collection_are_measured_too(where, tmp_path):
    out = tmp_path / "out"
    options = ["--text", str(where), "--budgets", "60", "--widen", "--agent", str(tmp_path / "no.npz")]
    assert main(["rag", *options, "--out", str(out)]) == 0
    lines = records.read(out / "rag-widened-musique.jsonl")
    assert {one["contender"] for one in lines} >= {"topk", "greedy"} and "auto" not in {
        one["contender"] for one in lines
    }
    assert all(one["tokens"] <= 60 for one in lines)


def test_a_collection_finds_what_exact_search_finds(where, tmp_path):
    of = rag_texts.load(where, "musique")
    pools = rag_pools.Pools(of, n=10)
    numbers = list(range(6))
    with rag_widened.filled(of, pools, tmp_path / "data") as rag:
        found = rag_widened.asked(rag, of, pools, numbers)
    for exact, one in zip(pools.of(numbers), found, strict=True):
        places = {candidate.id: i for i, candidate in enumerate(one.pool.candidates)}
        assert {candidate.id for candidate in exact.pool.candidates} <= set(places)
        at = [places[candidate.id] for candidate in exact.pool.candidates]
        assert np.array_equal(one.pool.costs[at], exact.pool.costs)
        assert np.allclose(one.pool.relevance[at], exact.pool.relevance, atol=1e-5)
        assert np.allclose(one.pool.coverage[:, at], exact.pool.coverage, atol=0.02)
        assert [one.pool.candidates[i].text for i in at] == [candidate.text for candidate in exact.pool.candidates]
