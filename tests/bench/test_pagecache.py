"""Dropping real files from the page cache while they are mapped here."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from bench.pagecache import PageCache, index_files

N_BYTES = 4 << 20


def on_memory_file_system(path):
    """Whether `path` lies on tmpfs or ramfs, where there is nothing below the page cache."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    inside = [(len(point), kind) for point, kind in mounts if os.path.commonpath([point, path]) == point]
    return max(inside)[1] in ("tmpfs", "ramfs")


@pytest.fixture
def file(tmp_path):
    if on_memory_file_system(os.path.realpath(tmp_path)):
        pytest.skip("the temporary directory lies in memory")
    path = tmp_path / "postings.bin"
    path.write_bytes(np.random.default_rng(0).bytes(N_BYTES))
    return path


def test_a_mapped_file_is_dropped_and_reads_the_same_afterwards(file):
    mapped = np.memmap(file, np.uint8, "r")
    before = int(mapped.sum(dtype=np.int64))  # touches every page
    with PageCache([file]) as cache:
        assert cache.residual() == 1.0
        assert cache.drop() < 0.01
        mapped[N_BYTES // 2]
        assert cache.residual() > 0
        assert cache.drop() < 0.01
    assert int(mapped.sum(dtype=np.int64)) == before


def test_advice_without_unmapping_would_not_have_dropped_it(file):
    mapped = np.memmap(file, np.uint8, "r")
    mapped.sum(dtype=np.int64)
    with PageCache([file]) as cache, file.open("rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert cache.residual() > 0.9
        assert cache.drop() < 0.01


def test_freshly_written_pages_are_dropped_too(file):
    with PageCache([file]) as cache:
        with file.open("r+b") as handle:
            handle.write(b"x" * N_BYTES)
        assert cache.drop() < 0.01
    assert file.read_bytes() == b"x" * N_BYTES


def test_private_changes_survive(file):
    with file.open("r+b") as handle:
        private = mmap.mmap(handle.fileno(), N_BYTES, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    private[0:4] = b"mine"
    with PageCache([file]) as cache:
        cache.drop()
    assert private[0:4] == b"mine"
    private.close()


def test_files_of_an_index_leave_out_locks_reports_and_empty_files(tmp_path):
    for name in ("postings.bin", "catalog.mdb", "catalog.mdb-lock", "writer.lock", "build-report.json"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "empty.bin").touch()
    assert [path.name for path in index_files(tmp_path)] == ["catalog.mdb", "postings.bin"]


def test_no_files_is_an_error():
    with pytest.raises(ValueError, match="no files"):
        PageCache([])
