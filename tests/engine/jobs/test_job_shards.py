"""Jobs that make sharded collections: memory that is shared, and shards of like sizes."""

import numpy as np
import pytest

import ramet
from ramet.engine.jobs.building import plan_job
from ramet.engine.jobs.splitting import leaves_together, shard_edges
from tests.engine import world
from tests.engine.jobs.job_world import digests, left_over, opened

TIGHT = 345 << 20
"""Enough for the stages of a job of two workers, and not for two shards side by side."""


def test_shards_are_built_one_after_the_other_where_memory_is_for_one(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(3000, 16))
    options = {"shards": 3, "workers": 2, "list_size": 16, "metric": "l2"}
    assert plan_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory=TIGHT, **options).shards_together == 1
    assert plan_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory="600MB", **options).shards_together == 2
    assert plan_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory="600MB", workers=2).shards_together is None
    ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory=TIGHT, **options)
    ramet.build_job(tmp_path / "v.npy", tmp_path / "other" / "a", memory="600MB", **options)
    assert opened(tmp_path / "db" / "a").count() == 3000
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "other" / "a")
    assert left_over(tmp_path / "db" / "a") == []


def test_a_shard_goes_on_with_the_memory_that_the_job_has_now(tmp_path, monkeypatch):
    from ramet.engine.jobs import shard_job

    np.save(tmp_path / "v.npy", world.vectors(3000, 16))
    options = {"shards": 3, "workers": 2, "list_size": 16, "metric": "l2"}
    plans, real = [], shard_job.run_shard

    def dies(path, plan, stopped):
        plans.append(plan)
        if len(plans) == 2:
            raise KeyboardInterrupt
        real(path, plan, stopped)

    monkeypatch.setattr(shard_job, "run_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory=TIGHT, **options)
    assert {plan.memory for plan in plans} == {TIGHT}
    plans[:] = [None, None]
    ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory="4GB", resume=True, **options)
    assert len(plans) > 2 and all(plan.memory > 1 << 30 for plan in plans[2:])
    assert opened(tmp_path / "db" / "a").verify().ok


@pytest.mark.parametrize(("n_leaves", "n_shards"), [(1, 3), (2, 3), (5, 3), (24, 3), (305, 3), (305, 40), (5000, 7)])
def test_shards_have_like_numbers_of_rows(n_leaves, n_shards):
    rng = np.random.default_rng(n_leaves)
    rows = rng.integers(30, 100, n_leaves)
    together = leaves_together(n_leaves, n_shards)
    edges = shard_edges(rows, n_shards, together)
    assert edges[0] == 0 and edges[-1] == n_leaves and sorted(set(edges)) == edges
    assert len(edges) - 1 == min(n_shards, -(-n_leaves // together))
    assert all(edge % together == 0 for edge in edges[:-1])
    found = np.add.reduceat(rows, edges[:-1])
    assert np.abs(found - rows.sum() / (len(edges) - 1)).max() <= 100 * together


def test_no_shard_is_without_rows():
    rows = np.array([0, 0, 0, 10_000, 0, 0, 3, 0])
    edges = shard_edges(rows, 4, 1)
    assert (np.add.reduceat(rows, edges[:-1]) > 0).all() and edges[-1] == 8
    assert shard_edges(np.array([5]), 4, 1) == [0, 1]


def test_twenty_thousand_rows_over_three_shards(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(20_000, 16))
    report = ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", shards=3, memory="600MB", metric="l2")
    counts = [shard["records"] for shard in opened(tmp_path / "db" / "a").shards()]
    assert (report.n_shards, report.shards_asked) == (3, 3)
    assert max(counts) < 1.12 * 20_000 / 3 and min(counts) > 0.88 * 20_000 / 3


def test_fewer_shards_than_asked_for_are_told(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(100, 4))
    report = ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", shards=9, memory="600MB", metric="l2")
    assert (report.n_shards, report.shards_asked) == (len(opened(tmp_path / "db" / "a").shards()), 9)
    assert report.n_shards < 9
    page = (tmp_path / "db" / "a.build.html").read_text("utf8")
    assert f"{report.n_shards} of 9" in page
