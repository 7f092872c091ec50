"""Data sets: same rows every time, queries never indexed, prefixes of one set."""

import numpy as np
import pytest

from bench import datasets, synthetic


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAMET_BENCH_DATA", raising=False)
    monkeypatch.setattr(synthetic, "BLOCK", 1_000)


def test_synthetic_set_is_the_same_every_time():
    first = synthetic.rows(1_500)
    synthetic._model.cache_clear()
    np.testing.assert_array_equal(synthetic.rows(1_500), first)
    assert first.dtype == np.float32 and first.shape == (1_500, 128) and np.isfinite(first).all()


def test_smaller_synthetic_set_is_a_prefix_of_a_larger_one():
    large = synthetic.rows(2_300)
    for n_rows in (1, 999, 1_000, 1_001):
        np.testing.assert_array_equal(synthetic.rows(n_rows), large[:n_rows])


def test_synthetic_queries_are_shared_by_all_sizes_and_are_not_rows():
    small, large = (datasets.load("synthetic-1m-128", rows=rows, n_queries=50) for rows in (500, 1_500))
    np.testing.assert_array_equal(small.queries, large.queries)
    stored = {row.tobytes() for row in large.base}
    assert not any(query.tobytes() in stored for query in small.queries)


def test_synthetic_clusters_have_power_law_sizes():
    shares = synthetic._model()["shares"]
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] / shares[99] == pytest.approx(100**synthetic.POWER)


def saved(folder, name, vectors):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", vectors)
    return folder


def test_queries_are_taken_out_and_zero_rows_dropped(tmp_path):
    vectors = np.arange(1, 301, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    vectors[17] = 0
    loaded = datasets.load("navec300", data=saved(tmp_path / "data", "navec300", vectors), n_queries=20)
    assert loaded.base.shape == (279, 4) and loaded.queries.shape == (20, 4)
    together = sorted(np.concatenate([loaded.base, loaded.queries])[:, 0].tolist())
    assert together == sorted(vectors[vectors[:, 0] > 0][:, 0].tolist())
    assert loaded.full and loaded.label == "navec300"


def test_rows_takes_nested_samples_and_keeps_the_queries(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    folder = saved(tmp_path / "data", "glove50", vectors)
    whole, cut, smaller = (datasets.load("glove50", data=folder, rows=rows, n_queries=10) for rows in (None, 40, 20))
    place = {row.tobytes(): number for number, row in enumerate(whole.base)}
    kept, fewer = ([place[row.tobytes()] for row in part.base] for part in (cut, smaller))
    assert kept == sorted(kept) and len(set(kept)) == 40 and max(kept) > 60  # a sample, not a prefix
    assert set(fewer) < set(kept)
    np.testing.assert_array_equal(cut.queries, whole.queries)
    assert not cut.full and cut.label == "glove50-40" and cut.key != whole.key


@pytest.mark.parametrize("rows", [0, 191])
def test_rows_outside_the_set_are_refused(tmp_path, rows):
    folder = saved(tmp_path / "data", "glove50", np.ones((200, 3), np.float32))
    with pytest.raises(ValueError, match="--rows"):
        datasets.load("glove50", data=folder, rows=rows, n_queries=10)


def test_unknown_set_is_refused_by_name():
    with pytest.raises(ValueError, match="nosuch"):
        datasets.load("nosuch")


def test_saving_leaves_no_half_written_file(tmp_path):
    datasets.save_atomically(tmp_path / "a" / "x.npy", np.arange(5))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.npy"]
