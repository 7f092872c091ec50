"""Memory of a job: how many rows are handled together, and what must not depend on it."""

import numpy as np
import pytest

import ramet
from ramet.engine.jobs import cells, contents
from ramet.engine.jobs.grouping import drawn
from ramet.engine.jobs.inputs.blocks import InputOptions
from ramet.engine.jobs.inputs.opening import open_inputs
from ramet.engine.jobs.plan import Plan
from ramet.engine.jobs.row_bytes import bytes_beside_vectors
from ramet.engine.settings import Settings
from ramet.index import defaults
from ramet.index.assign import ClosureConfig
from ramet.index.clustering import ClusterConfig
from tests.engine import world
from tests.engine.jobs.job_world import digests, opened, write_jsonl, write_parquet


def plan(dim=16, memory=416_000_000, workers=2):
    return Plan(
        settings=Settings.checked(dim, "l2", "float32", "auto", "commit", "en"), cluster=ClusterConfig(),
        closure=ClosureConfig(), tenant="default", memory=memory, workers=workers,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("length", [0, 8000])
def test_blocks_are_cut_by_the_bytes_of_texts(tmp_path, kind, length):
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (500, length), np.uint8)
    columns = {"id": [f"r{i}" for i in range(500)], "vector": rng.random((500, 16)).tolist()}
    columns["text"] = [row.tobytes().decode() for row in letters]
    if kind == "jsonl":
        path = write_jsonl(
            tmp_path / "t.jsonl", [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        )
    else:
        path = write_parquet(tmp_path / "t.parquet", columns)
    beside = bytes_beside_vectors(open_inputs([path], InputOptions()))
    assert length <= beside <= 5 * length + 1000
    rows = plan().read_rows(False, beside)
    assert 5 * 2 * rows * length <= 416_000_000 - (324 << 20) and (rows > 5000 or length)
    assert bytes_beside_vectors(open_inputs([_vectors(tmp_path)], InputOptions())) == 0


def _vectors(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(10, 4))
    return tmp_path / "v.npy"


def test_transactions_are_cut_by_what_rows_hold_and_not_by_memory(tmp_path, monkeypatch):
    vectors = world.vectors(900, 8)
    records = [
        {"id": f"r{i}", "vector": row.tolist(), "text": f"word{i} " * (1 + i % 40), "n": i}
        for i, row in enumerate(vectors)
    ]
    path, seen = write_jsonl(tmp_path / "r.jsonl", records), []
    monkeypatch.setattr(contents, "BYTES_TOGETHER", 20_000)
    monkeypatch.setattr(contents, "ROWS_TOGETHER", 100)
    real = contents.contents_of
    monkeypatch.setattr(contents, "contents_of", lambda work, rows: seen.append(real(work, rows)) or seen[-1])
    monkeypatch.setattr(contents, "LOOKED_AT", 64)
    ramet.build_job(path, tmp_path / "db" / "a", memory="600MB", workers=1)
    cuts = [len(one) for one in seen]
    sizes = [sum(len(document) for document, _, _ in one) for one in seen]
    assert sum(cuts) == 900 and len(cuts) >= 9 and max(cuts) <= 100 and max(sizes) <= 20_000
    monkeypatch.setattr(Plan, "read_rows", lambda *_: 77)
    monkeypatch.setattr(contents, "LOOKED_AT", 1000)
    ramet.build_job(path, tmp_path / "other" / "a", memory="2GB", workers=2)
    assert [len(one) for one in seen[len(cuts) :]] == cuts
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "other" / "a")
    got = opened(tmp_path / "other" / "a").get(["r0", "r899"], include=["documents", "metadata"])
    assert [(one.document, one.metadata) for one in got] == [(records[i]["text"], {"n": i}) for i in (0, 899)]


@pytest.mark.parametrize("dim", [1, 8, 96, 128, 129, 768, 1024, 4096, 16_384])
def test_rows_read_together_are_bounded_by_bytes(dim):
    run, tile, piece = cells.run_rows(dim), cells.tile_rows(dim), cells.piece_rows(dim)
    assert piece % tile == 0 and tile <= run
    assert 4 * dim * run <= 12 << 20 and 4 * dim * piece <= 32 << 20
    if dim <= 96:
        assert (run, tile, piece) == (32_768, defaults.BLOCK_ROWS, 65_536)
    if dim <= 128:  # products of the same shapes, and the same pieces
        assert (tile, piece) == (defaults.BLOCK_ROWS, 65_536)


@pytest.mark.parametrize("size", [10, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("most", [1000, 16_384, 65_536])
def test_what_is_seen_of_a_large_group_does_not_depend_on_how_it_is_cut(size, most):
    rows = np.arange(size, dtype=np.float32)[:, None]
    found = np.concatenate([cells.thinned(rows[a : a + most], a, size) for a in range(0, size, most)])
    step = -(-size // cells.MOST_POINTS)
    expected = [rows[a : a + cells.MOST_POINTS][::step] for a in range(0, size, cells.MOST_POINTS)]
    np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize(("n", "size"), [(0, 0), (1, 1), (10, 10), (10, 3), (1 << 31, 1000)])
def test_a_sample_is_drawn_evenly(n, size):
    found = drawn(n, size, np.random.default_rng(0))
    assert len(np.unique(found)) == len(found) == size
    assert (np.diff(found) > 0).all() and (not size or 0 <= found[0] <= found[-1] < n)
    np.testing.assert_array_equal(found, drawn(n, size, np.random.default_rng(0)))


def test_neighbours_of_cells_are_counted():
    n_cells = plan().n_cells(10**8)
    assert plan().fixed_bytes(10**8) >= n_cells * (1024 + 4 * 16)


def test_high_dimensions_and_other_memory_give_the_same_bytes(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(3000, 1100))
    for name, memory, workers in (("a", "500MB", 1), ("b", "2GB", 2)):
        ramet.build_job(tmp_path / "v.npy", tmp_path / name / "c", memory=memory, workers=workers, metric="l2")
    assert digests(tmp_path / "a" / "c") == digests(tmp_path / "b" / "c")
