"""``bench text`` and ``bench ingest`` on tiny texts: references, measures, and what is written."""

import gzip
import json

import numpy as np
import pytest

from bench import ingest_summary, ingesting, records, text_reference, text_summary, texts
from bench.__main__ import main
from bench.commands import readme

DIM = 16
WORDS = [f"word{number}" for number in range(300)]


def written(path, objects):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(one) + "\n" for one in objects)


def made(folder, cache, name, *, n=400, n_queries=40):
    """A set whose documents are about a topic, and whose vectors lie around it."""
    rng = np.random.default_rng(len(name))
    topics, centres = rng.permutation(len(WORDS)).reshape(20, -1), rng.standard_normal((20, DIM)) * 2
    of = rng.integers(0, 20, n)
    ids = [f"d{number}" for number in range(n)]
    corpus = [
        {"id": ids[i], "title": f"title {i}", "text": " ".join(WORDS[w] for w in rng.choice(topics[of[i]], 12))}
        for i in range(n)
    ]
    vectors = (centres[of] + rng.standard_normal((n, DIM))).astype(np.float32)
    asked = rng.choice(n, n_queries, replace=False)
    queries = [
        {
            "id": f"q{place}",
            "text": " ".join(corpus[place]["text"].split()[:3]),
            "gold": [ids[place]],
            **({"split": ("validation", "train")[number % 2]} if name == "scifact" else {}),
        }
        for number, place in enumerate(asked.tolist())
    ]
    written(folder / name / "corpus.jsonl.gz", corpus)
    written(folder / name / "queries.jsonl.gz", queries)
    near = (vectors[asked] + 0.5 * rng.standard_normal((n_queries, DIM))).astype(np.float32)
    kept(cache, f"{name}-documents", ids, vectors)
    every = [query["id"] for query in queries]
    if name == "scifact":
        kept(cache, "scifact-queries", every[::2], near[::2])
        kept(cache, "scifact-other-queries", every[1::2], near[1::2])
    else:
        kept(cache, f"{name}-queries", every, near)


def kept(cache, name, ids, vectors):
    folder = cache / "text" / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", vectors)
    (folder / f"{name}.json").write_text(json.dumps({"ids": ids}))


@pytest.fixture
def where(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(cache))
    for name in ("scifact", "musique"):
        made(tmp_path / "text", cache, name)
    return tmp_path / "text"


def test_text_is_compared_with_references(where, tmp_path, capsys):
    pytest.importorskip("bm25s")
    out = tmp_path / "out"
    assert main(["text", "--text", str(where), "--rounds", "1", "--out", str(out)]) == 0
    assert "skipped hotpotqa" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"text-scifact-musique.jsonl", "text-scifact-musique.png"}
    lines = records.read(out / "text-scifact-musique.jsonl")
    assert {line["dataset"] for line in lines} == {"scifact", "musique"}
    ours = [line for line in lines if line["contender"] == "ramet"]
    methods = {"dense", "dense (recall 0.95)", "keyword", "hybrid rrf", "hybrid weighted", "hybrid weighted, tuned"}
    assert {line["method"] for line in ours} == methods and len(ours) == 12
    for line in ours:  # so few records are read whole, so nothing is approximate
        assert line["difference"] == pytest.approx(0, abs=0.01), line["method"]
        assert line["ndcg"] > 0.3 and 0 < line["p50_us"] <= line["p99_us"]
    assert ours[0]["n_queries"] == 20 and ours[-1]["n_queries"] == 40
    (out / "text-scifact-musique.jsonl").rename(out / "text.jsonl")
    assert "| hybrid rrf |" in readme.text_readme.block(out)


def test_missing_texts_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("RAMET_BENCH_TEXT", raising=False)
    with pytest.raises(ValueError, match="RAMET_BENCH_TEXT"):
        main(["text", "--out", str(tmp_path)])
    with pytest.raises(ValueError, match="scifact"):
        main(["ingest", "--text", str(tmp_path), "--out", str(tmp_path)])


def test_ingest_is_measured_and_profiled(where, tmp_path):
    out = tmp_path / "out"
    options = ["--text", str(where), "--peers", "-", "--embed", "0", "--rounds", "1", "--out", str(out)]
    assert main(["ingest", *options]) == 0
    lines = records.read(out / "ingest-scifact.jsonl")
    assert lines[0]["what"] == "everything" and lines[0]["calls"] == "one call"
    whats = {line["what"] for line in lines if line["contender"] == "ramet"}
    assert whats == {*ingesting.VARIANTS, "finding words, without storing them"}
    assert all(line["records_per_s"] > 0 for line in lines) and len(lines[0]["fields"]) >= 5
    assert {one["by"] for one in lines[0]["profile"]} == {"own", "with callees"}
    assert any("upsert" in one["function"] for one in lines[0]["profile"])
    assert len(ingest_summary.targets(lines)) == 2
    assert "| everything |" in readme.text_readme.block(out)


def test_metadata_has_every_type(where):
    of = texts.load(where, "scifact")
    load = ingesting.load_of(of, texts.document_vectors(of))
    kinds = {type(value).__name__ for value in load.metadata[0].values()}
    assert kinds == {"str", "int", "float", "bool", "datetime", "list"}
    plain = ingesting._without_dates(load.metadata[0])
    assert isinstance(plain["added"], int) and [] not in plain.values()


def test_ndcg():
    assert texts.ndcg([4, 7], frozenset({4})) == 1
    assert texts.ndcg([7, 4], frozenset({4})) == pytest.approx(1 / np.log2(3))
    assert texts.ndcg([7], frozenset({4})) == 0
    assert texts.ndcg([4, 9, 5], frozenset({4, 5})) == pytest.approx(1.5 / (1 + 1 / np.log2(3)))
    assert texts.ndcg([1] * 10 + [4], frozenset({4})) == 0


def ranking(*pairs):
    return np.array([place for place, _ in pairs]), np.array([score for _, score in pairs], np.float64)


def test_reference_fusions():
    dense, words = ranking((1, 0.9), (2, 0.5), (3, 0.1)), ranking((3, 8.0), (4, 2.0))
    assert text_reference.rrf(dense, words)[0] == 3
    assert text_reference.weighted(dense, words, 1.0)[:2] == [1, 2]
    assert text_reference.weighted(dense, words, 0.0)[0] == 3
    assert text_reference.weighted(dense, ranking(), 0.5) == [1, 2, 3]


def test_targets_of_text_are_judged():
    def line(dataset, method, ndcg, difference=0.0):
        return {"contender": "ramet", "dataset": dataset, "method": method, "ndcg": ndcg, "difference": difference}

    lines = [line("a", "dense", 0.5), line("a", "keyword", 0.6), line("a", "hybrid rrf", 0.7)]
    assert all(said.startswith("  met") for said in text_summary.targets(lines))
    lines += [line("b", "dense", 0.9), line("b", "keyword", 0.6), line("b", "hybrid rrf", 0.7, -0.02)]
    assert sum(said.startswith("  MISSED") for said in text_summary.targets(lines)) == 2
