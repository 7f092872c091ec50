"""Whole runs on tiny data: every contender that is installed, hot and cold, and what they write."""

import json
from dataclasses import fields

import numpy as np
import pytest

from bench import child, memory, peers, records
from bench.__main__ import main


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A tiny data set under the name of a real one."""
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 16)) * 3
    vectors = (centres[rng.integers(0, 20, 3_000)] + rng.standard_normal((3_000, 16))).astype(np.float32)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "glove50.npy", vectors)
    return tmp_path / "data"


def make(name):
    try:
        return peers.make(name)
    except RuntimeError as error:
        pytest.skip(str(error))


def engine_missing():
    """Why Ramet itself cannot be measured yet, or None."""
    try:
        import ramet

        ramet.connect  # noqa: B018 - resolving the name imports the engine
    except (ImportError, AttributeError) as error:
        return f"the engine cannot be imported: {error}"
    return None


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("name", ["faiss-hnsw", "faiss-ivf", "hnswlib", "usearch", "ramet-sq8", "ramet-none"])
def test_contender_finds_neighbours_singly_and_in_batches_after_reopening(name, metric, tmp_path):
    if name.startswith("ramet-") and engine_missing():
        pytest.skip(engine_missing())
    contender = make(name)
    vectors = np.random.default_rng(1).standard_normal((800, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # then a vector is nearest to itself under ip too
    # One thread: of 300 such builds of usearch on two threads, 5 left one to three of the first rows unreachable at any
    # effort, and none of 300 on one thread.
    contender.build(vectors, metric, 1, tmp_path)
    contender.save(tmp_path)
    contender.close()
    opened = make(name)
    opened.open(tmp_path, metric, 12)
    setting = [setting for setting in opened.settings() if setting.swept][-1]
    opened.apply(setting, 1)
    assert opened.rows(opened.search_one(vectors[5], 3, setting)).tolist()[0][0] == 5
    opened.apply(setting, 2)
    rows = opened.rows(opened.search_batch(vectors[:50], 3, setting, 2))
    assert rows.shape == (50, 3) and rows.dtype == np.int64
    assert (rows[:, 0] == np.arange(50)).mean() > 0.95
    opened.close()


def test_settings_rise_in_effort():
    from bench.peers.base import sweep

    assert [setting.value for setting in sweep("nprobe", [1, 2, 4, 8], 5)] == [1, 2, 4, 5]
    assert [setting.value for setting in sweep("nprobe", [1, 2, 4, 8], 8)] == [1, 2, 4, 8]
    assert sweep("ef", [1, 2])[1].label == "ef=2"


def test_unknown_contenders_are_refused_by_name():
    with pytest.raises(ValueError, match="nosuch"):
        peers.names("nosuch", "-")
    with pytest.raises(ValueError, match="ramet-pq"):
        peers.names("-", "pq")
    assert peers.names("hnswlib,faiss-ivf", "sq8") == ["ramet-sq8", "hnswlib", "faiss-ivf"]


def run_ann(data, out, *more):
    common = ["--dataset", "glove50", "--data", str(data), "--rounds", "1", "--out", str(out)]
    assert main(["ann", *common, *more]) == 0
    return {path.name: path for path in out.iterdir()}


def test_hot_run_writes_complete_lines_and_a_plot(data, tmp_path, capsys):
    written = run_ann(data, tmp_path / "out", "--codes", "-", "--peers", "faiss-ivf,faiss-hnsw", "--metric", "l2")
    assert set(written) == {"ann-glove50-l2-hot.jsonl", "ann-glove50-l2-hot.png"}
    lines = records.read(written["ann-glove50-l2-hot.jsonl"])
    names = {field.name for cls in (records.Run, records.Line) for field in fields(cls)}
    assert all(set(line) == names for line in lines)
    assert {line["contender"] for line in lines} == {"faiss-ivf", "faiss-hnsw"}
    for line in lines:
        assert line["rows"] == 2_000 and line["n_queries"] == 1_000 and line["full"]
        assert 0 < line["recall"] <= 1 and 0 < line["p50_us"] <= line["p99_us"] and line["qps"] > 0
        assert line["build_s"] > 0 and line["disk_mb"] > 0 and line["peak_mb"] > line["peak_added_mb"]
        assert line["machine"]["cores"] >= 1 and line["commit"]
    assert max(line["recall"] for line in lines) >= 0.99
    assert "recall@10" in capsys.readouterr().out


def test_cold_run_records_that_the_files_were_gone(data, tmp_path, monkeypatch):
    from tests.bench.test_pagecache import on_memory_file_system

    if on_memory_file_system(str(tmp_path)):
        pytest.skip("the temporary directory lies in memory")
    written = run_ann(data, tmp_path / "out", "--codes", "-", "--peers", "faiss-ivf,faiss-hnsw", "--mode", "cold")
    lines = records.read(written["ann-glove50-cosine-cold.jsonl"])
    assert lines and {line["contender"] for line in lines} == {"faiss-ivf"}  # the other has no cold mode
    assert all(line["residual"] <= 0.01 and line["qps"] is None and line["open_mb"] is None for line in lines)


def test_kept_indexes_are_used_again_and_marked(data, tmp_path):
    arguments = ("--codes", "-", "--peers", "faiss-ivf", "--reuse-peers")
    for reused in (False, True):
        written = run_ann(data, tmp_path / "out", *arguments)
        lines = records.read(written["ann-glove50-cosine-hot.jsonl"])
        assert {line["build_reused"] for line in lines} == {reused}


def test_ramet_runs_beside_a_peer(data, tmp_path):
    if engine_missing():
        pytest.skip(engine_missing())
    written = run_ann(data, tmp_path / "out", "--codes", "sq8", "--peers", "faiss-ivf")
    ours = [line for line in records.read(written["ann-glove50-cosine-hot.jsonl"]) if line["contender"] == "ramet-sq8"]
    assert max(line["recall"] for line in ours) >= 0.99
    assert {line["setting"] for line in ours if not line["swept"]} == {"recall=0.95", "recall=0.99"}
    assert all(line["open_over_runtime_mb"] is not None and line["facts"]["stages"] for line in ours)


def test_exact_checks_pass_on_a_tiny_set(data, tmp_path):
    if engine_missing():
        pytest.skip(engine_missing())
    common = ["--dataset", "glove50", "--data", str(data), "--out", str(tmp_path)]
    assert main(["exact", *common, "--metric", "l2,cosine", "--codes", "sq8,none"]) == 0
    assert all(line["ok"] for line in records.read(tmp_path / "exact.jsonl"))


def test_start_and_overhead_write_their_lines(data, tmp_path):
    if engine_missing():
        pytest.skip(engine_missing())
    common = ["--dataset", "glove50", "--data", str(data), "--out", str(tmp_path)]
    assert main(["start", *common, "--repeats", "2"]) == 0
    (line,) = records.read(tmp_path / "start-glove50.jsonl")
    assert 0 < line["import_s"] < line["first_answer_s"] and len(line["processes"]) == 2
    assert main(["overhead", "--codes", "sq8", "--metric", "l2", "--queries", "200", "--out", str(tmp_path)]) == 0
    (line,) = records.read(tmp_path / "overhead.jsonl")
    assert line["p50_us"] <= line["p99_us"]


def test_results_are_written_in_place_of_the_last_run(tmp_path):
    path = tmp_path / "new" / "x.jsonl"
    records.write(path, [{"a": 1 / 3, "b": [0.1 + 0.2], "c": None}])
    records.write(path, [{"a": 2 / 3, "b": {"d": 1e-9 / 3}, "c": True}])
    (line,) = (json.loads(text) for text in path.read_text().splitlines())
    assert line == {"a": 0.666667, "b": {"d": 3.33333e-10}, "c": True}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.jsonl"]


def test_child_runs_without_a_forced_blas_kernel(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert child.run_script("import os; report({'set': 'OPENBLAS_CORETYPE' in os.environ})") == {"set": False}


def test_child_failure_carries_its_error_output():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        child.run_script("1 / 0")


def test_anonymous_memory_grows_by_what_is_allocated():
    script = """
from bench.memory import anonymous_mb
before = anonymous_mb()
block = bytearray(b"x" * 30_000_000)
report({"grown": anonymous_mb() - before})
"""
    assert 29 < child.run_script(script)["grown"] < 32
    assert memory.status_mb("VmHWM") >= memory.status_mb("VmRSS") > 0
