"""Jobs that make sharded collections: memory that is shared, and shards of like sizes."""

import numpy as np
import pytest

import ramet
from ramet.engine.jobs.building import plan_job
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

    def dies(path, plan):
        plans.append(plan)
        if len(plans) == 2:
            raise KeyboardInterrupt
        real(path, plan)

    monkeypatch.setattr(shard_job, "run_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory=TIGHT, **options)
    assert {plan.memory for plan in plans} == {TIGHT}
    plans[:] = [None, None]
    ramet.build_job(tmp_path / "v.npy", tmp_path / "db" / "a", memory="4GB", resume=True, **options)
    assert len(plans) > 2 and all(plan.memory > 1 << 30 for plan in plans[2:])
    assert opened(tmp_path / "db" / "a").verify().ok
