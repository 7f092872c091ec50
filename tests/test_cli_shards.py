"""`ramet shards`, and the other commands on a sharded collection."""

import shutil

import numpy as np
import pytest

from tests.engine.sharded.world import clustered, counts, sharded


@pytest.fixture
def docs(tmp_path):
    db, docs = sharded(tmp_path, n_shards=3)
    docs.upsert([f"r{i}" for i in range(300)], clustered(300), documents=["words"] * 300)
    with db:
        yield docs


def test_shards_are_listed_added_and_rebalanced(run, only_json, docs):
    code, out, err = run("shards", "list", docs.path)
    assert (code, err) == (0, "") and "shard-0002" in out
    assert [one["records"] for one in only_json("shards", "list", docs.path)["shards"]] == counts(docs)
    report = only_json("shards", "add", docs.path)["report"]
    assert len(report["shards"]) == 4 == len(docs.shards()) and report["n_moved"] > 0
    code, out, err = run("shards", "rebalance", docs.path, "--shards", 2)
    assert (code, err) == (0, "") and "Moved" in out and len(docs.shards()) == 2
    assert docs.count() == 300
    code, _, err = run("shards", "rebalance", docs.path, "--shards", 9999)
    assert code == 2 and "--shards: is 9999" in err


def test_a_missing_shard_is_named_and_replaced(run, docs, tmp_path):
    assert run("backup", docs.path, tmp_path / "copies" / "s")[0] == 0
    shutil.rmtree(docs.path / "shard-0001")
    code, out, _ = run("verify", docs.path)
    assert code == 1 and "shard-0001" in out
    source = tmp_path / "copies" / "s" / "shard-0001"
    code, _, err = run("shards", "replace", docs.path, "shard-7777", source)
    assert code == 2 and "SHARD: 'shard-7777' is no shard" in err
    assert run("shards", "replace", docs.path, "shard-0001", source)[0] == 0
    assert run("verify", docs.path)[0] == 0 and docs.count() == 300


def test_other_commands_take_sharded_collections(run, only_json, docs):
    assert only_json("stats", docs.path)["records"] == 300
    assert run("stats", docs.path)[0] == 0
    assert only_json("query", docs.path, "--text", "words", "-k", 3)
    assert run("get", docs.path, "r1")[0] == 0
    assert run("compact", docs.path)[0] == 0


def test_an_ordinary_collection_has_no_shards(run, docs, tmp_path):
    code, _, err = run("shards", "list", tmp_path / "nothing")
    assert code == 2 and "no sharded collection" in err


def test_a_sharded_build_does_not_call_itself_exact(run, tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32))
    code, out, err = run("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v", "--shards", "3")
    assert code == 0, err
    assert "Recall over all shards is not measured" in out and "exact" not in out and "Fewer than" not in out
