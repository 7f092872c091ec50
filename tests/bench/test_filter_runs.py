"""``bench filters`` on tiny data: filters allow what they say, and what is written."""

import numpy as np
import pytest

from bench import filter_sets, filter_summary, records
from bench.__main__ import main
from bench.commands import readme
from bench.peers import filters


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A tiny data set under the name of a real one."""
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 16)) * 3
    vectors = (centres[rng.integers(0, 20, 6_000)] + rng.standard_normal((6_000, 16))).astype(np.float32)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "glove50.npy", vectors)
    return tmp_path / "data"


def holds(where, fields):
    """What a condition means, by the words of Chroma's documentation."""
    ((name, value),) = where.items()
    if name == "$and":
        return all(holds(part, fields) for part in value)
    ((operator, operand),) = value.items() if isinstance(value, dict) else (("$eq", value),)
    mine = fields[name]
    return {
        "$eq": lambda: mine == operand,
        "$in": lambda: mine in operand,
        "$lt": lambda: mine < operand,
        "$gte": lambda: mine >= operand,
    }[operator]()


def test_filters_allow_the_rows_that_they_say():
    vectors = np.random.default_rng(1).standard_normal((20_000, 8)).astype(np.float32)
    fields = filter_sets.describe(vectors, "cosine")
    found = filter_sets.make(fields, per_class=3)
    metadata = fields.dicts()
    for number, one in enumerate(found.chosen):
        expected = [row for row, own in enumerate(metadata) if one.where is None or holds(one.where, own)]
        assert found.tenancy.rows(number).tolist() == one.rows.tolist() == expected
    sizes = {of.label: of.size / len(vectors) for of in found.classes}
    for share in filter_sets.SHARES:
        assert sizes[f"{share * 100:g}%"] == pytest.approx(share, rel=0.05)
        assert sizes[f"{share * 100:g}% near"] == pytest.approx(share, rel=0.3)
    assert sizes["all"] == 1


def test_rows_near_a_pivot_are_near_each_other():
    vectors = np.random.default_rng(1).standard_normal((20_000, 8)).astype(np.float32)
    fields = filter_sets.describe(vectors, "l2")
    found = filter_sets.make(fields, per_class=3)
    near = next(one for one in found.chosen if one.label == "1% near")
    anywhere = next(one for one in found.chosen if one.label == "1%")
    assert vectors[near.rows].var(axis=0).sum() < 0.5 * vectors[anywhere.rows].var(axis=0).sum()


def test_fields_are_read_as_they_were_saved(tmp_path):
    fields = filter_sets.describe(np.random.default_rng(1).standard_normal((500, 4)).astype(np.float32), "l2")
    fields.save(tmp_path / "fields.npz")
    assert filter_sets.Fields.read(tmp_path / "fields.npz").dicts() == fields.dicts()


def test_filters_are_measured_by_selectivity(data, tmp_path):
    peers = "faiss-hnsw-filter,faiss-ivf-filter,hnswlib-filter"
    try:
        filters.make(peers, "-")
    except RuntimeError as error:
        pytest.skip(str(error))
    out = tmp_path / "out"
    options = ["--dataset", "glove50", "--data", str(data), "--rounds", "1", "--queries", "40", "--peers", peers]
    assert main(["filters", *options, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"filters-glove50-cosine.jsonl", "filters-glove50-cosine.png"}
    lines = records.read(out / "filters-glove50-cosine.jsonl")
    assert len({line["class"] for line in lines}) == 11
    for label, group in filter_summary.by_class(lines).items():
        assert [line["contender"] for line in group][:2] == ["ramet-sq8", "ramet-sq8 (new filter)"]
        assert len(group) == 5
        for line in group:
            assert 0 < line["p50_us"] <= line["p99_us"] and line["strangers"] == 0, label
        for line in group[:2]:
            assert line["short"] == 0 and line["recall"] > 0.9, label
            assert line["ratio"] > 0
    assert "| 1% |" in readme.filter_readme.block(out)


def test_targets_are_judged():
    base = {"contender": "ramet-sq8", "short": 0, "class_queries": 500, "recall": 0.97, "ratio": 1.0}
    p50s = {"all": 100.0, "50%": 150.0, "10%": 200.0, "1%": 90.0, "0.1%": 50.0, "0.01%": 20.0}
    lines = [base | {"class": label, "p50_us": p50, "ratio": p50 / 100} for label, p50 in p50s.items()]
    assert all(said.startswith("  met") for said in filter_summary.targets(lines))
    lines[1] |= {"ratio": 2.1, "short": 3}
    lines[4] |= {"p50_us": 95.0, "recall": 0.9}
    assert sum(said.startswith("  MISSED") for said in filter_summary.targets(lines)) == 4
    assert filter_summary.targets([]) == []
