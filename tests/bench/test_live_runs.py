"""The benchmarks of live collections on tiny data: what they write, and that their checks see what they look for."""

import numpy as np
import pytest

import ramet
from bench import child, records, sharing
from bench.__main__ import main
from bench.churn_reader import Board, Reader
from bench.commands import readme
from bench.peers import tenants
from bench.tenancy import name_of


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A tiny data set under the name of a real one."""
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 16)) * 3
    vectors = (centres[rng.integers(0, 20, 4_500)] + rng.standard_normal((4_500, 16))).astype(np.float32)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "glove50.npy", vectors)
    return tmp_path / "data"


def run(data, out, command, *more):
    assert main([command, "--dataset", "glove50", "--data", str(data), "--rounds", "1", "--out", str(out), *more]) == 0
    return {path.name: path for path in out.iterdir()}


def installed(option):
    try:
        tenants.make(option, "-")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("more", [("--sticky",), ("--membership", "clustered", "--reuse-peers")])
def test_tenants_are_measured_by_size(data, tmp_path, more):
    installed("hnswlib-per-tenant,faiss-hnsw-filter,faiss-ivf-filter")
    options = ("--tenants", "40", "--queries", "60", "--batch", "500", "--parts", "speed", *more)
    written = run(data, tmp_path / "out", "tenants", *options)
    order = ("random-sticky", "clustered")["clustered" in more]
    stem = f"tenants-glove50-cosine-40-{order}"
    assert set(written) == {f"{stem}.jsonl", f"{stem}.png"}
    lines = records.read(written[f"{stem}.jsonl"])
    names = {"ramet-sq8", "hnswlib-per-tenant", "faiss-hnsw-filter", "faiss-ivf-filter"}
    assert {line["class"] for line in lines} >= {"10", "100"}
    for label in ("10", "100"):
        group = [line for line in lines if line["class"] == label]
        assert {line["contender"] for line in group} == names and len(group) == 5
        for line in group:
            assert 0 < line["p50_us"] <= line["p99_us"] and line["ratio"] > 0 and line["load_s"] > 0
            assert line["strangers"] == 0 and (line["recall"] >= 0.7 or line["reached"] is False)
    assert all(line["n_tenants"] == 40 and line["class_queries"] == 60 for line in lines)
    block = readme.tenant_readme.block(tmp_path / "out")
    assert "| 100 |" in block and "hnswlib-per-tenant" in block


def test_space_of_tenants_is_measured(data, tmp_path):
    written = run(data, tmp_path / "out", "tenants", "--tenants", "40", "--parts", "space", "--peers", "-")
    (line,) = records.read(written["tenants-space-glove50-cosine-40-random.jsonl"])
    assert line["n_idle"] == 40 and line["idle_files"] == 0
    assert line["one_mb"] > line["runtime_mb"] > 0 and line["tenants_disk_mb"] > 0
    assert "40 tenants" in readme.tenant_readme.block(tmp_path / "out")


def test_sharing_finds_nothing_wrong(data, tmp_path):
    options = ("--rows", "1000", "--tenants", "8", "--grants", "3", "--batch", "100", "--queries", "50")
    written = run(data, tmp_path / "out", "sharing", *options)
    (line,) = records.read(written["sharing-glove50-1000-cosine.jsonl"])
    assert line["n_grants"] == 3_000 and 250 < line["n_revokes"] < 350
    assert not any(line[name] for name in ("foreign", "missing", "miscounted", "revoked_here", "revoked_there"))
    assert line["probes"] > 0 and line["recall_worst"] > 0.8


def test_fill_is_compared_with_a_fresh_build(data, tmp_path):
    written = run(data, tmp_path / "out", "fill", "--batch", "250", "--peers", "-")
    lines = records.read(written["fill-glove50-3500-cosine.jsonl"])
    assert "fill-glove50-3500-cosine.png" in written
    (ours,) = (line for line in lines if line["kind"] == "fill")
    assert ours["records_per_s"] > 0 and len(ours["call_s"]) == 14 and ours["lost"] == 0
    assert {line["state"] for line in lines if line["kind"] == "curve"} == {"fresh", "filled", "maintained"}
    curve = [line for line in lines if line["kind"] == "curve" and line["state"] == "filled"]
    assert curve[-1]["recall"] > 0.98 and curve[0]["rows"] < curve[-1]["rows"]
    assert sum(line["kind"] == "gap" for line in lines) == 6


def test_churn_finds_nothing_wrong(data, tmp_path):
    written = run(data, tmp_path / "out", "churn", "--rows", "1500", "--steps", "10", "--quiet", "0.5")
    lines = records.read(written["churn-glove50-1500-cosine.jsonl"])
    (ours,) = (line for line in lines if line["kind"] == "summary")
    assert ours["returned"] == ours["short"] == ours["lost"] == 0 and ours["reader_queries"] > 0
    assert 0 < ours["quiet_p50_us"] <= ours["quiet_p99_us"] and ours["disk_ratio"] > 0
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(10))


def small(folder, n=200):
    vectors = np.random.default_rng(1).standard_normal((n, 8)).astype(np.float32)
    database = ramet.connect(folder)
    docs = database.create_collection("bench", dim=8, metric="l2")
    docs.upsert([str(row) for row in range(n)], vectors)
    docs.grant([str(row) for row in range(10)], to=name_of(0))
    return database, docs, vectors


def test_the_reader_sees_a_deleted_record_that_is_still_there(tmp_path):
    database, docs, vectors = small(tmp_path / "data")
    with database:
        board = Board(tmp_path / "board", len(vectors))
        orders = {"deleted": np.array([7]), "inserted": np.array([8])}
        reader = Reader(docs, board, vectors, orders, 10)
        for number in range(4):
            reader.ask(number, [vectors[7]])
        assert (reader.returned, reader.missed, reader.short) == (0, 0, 0)
        board.note_deleted(np.array([7]))  # a lie: it is still there
        reader.ask(1, [vectors[100]])
        assert reader.returned == 1 and reader.kind[-1] == 1
        board.note_inserted(np.array([8]))
        reader.ask(2, [vectors[100]])
        assert reader.missed == 0 and reader.kind[-1] == 2
        docs.delete(["8"])  # as if the insert had been lost
        reader.ask(2, [vectors[100]])
        assert reader.missed == 1


def test_revoked_records_that_come_back_are_seen_here_and_in_another_process(tmp_path):
    database, docs, vectors = small(tmp_path / "data")
    with database:
        message = {"tenant": name_of(0), "ids": ["3"], "vectors": [vectors[3].tolist()]}
        assert sharing.returned(docs, message) == 2
        with child.Beside("revoked", {"folder": str(tmp_path / "data")}) as other:
            assert other.receive() == "ready"
            assert other.ask(message) == 2
            docs.revoke(["3"], to=name_of(0))
            assert other.ask(message) == 0
        assert sharing.returned(docs, message) == 0


def test_a_job_beside_that_fails_says_why():
    with child.Beside("revoked", {"folder": "/nonexistent/folder"}) as other:
        with pytest.raises(RuntimeError, match="ended with status 1"):
            other.receive()
