"""Vectors in working space."""

import numpy as np
import pytest

from ramet.index.source import ArraySource
from tests.oracle import kernels as naive


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8])
@pytest.mark.parametrize("unit", [False, True])
def test_blocks_are_new_float32_arrays_in_working_space(dtype, unit):
    vectors = np.random.default_rng(0).integers(1, 100, (20, 6)).astype(dtype)
    before = vectors.copy()
    source = ArraySource(vectors, unit=unit)
    assert (source.n, source.dim) == (20, 6)
    block = source.take(np.array([7, 3, 3]))
    assert block.dtype == np.float32
    assert block.flags.c_contiguous
    expected = vectors[[7, 3, 3]].astype(np.float64)
    np.testing.assert_allclose(block, naive.normalized(expected) if unit else expected, rtol=1e-6)
    block[:] = -1
    assert (vectors == before).all()


def test_a_block_of_no_rows_is_empty():
    block = ArraySource(np.ones((4, 3), np.float32), unit=True).take(np.empty(0, np.int64))
    assert block.shape == (0, 3)


def test_mapped_files_are_read_in_place(tmp_path):
    np.save(tmp_path / "vectors.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    source = ArraySource(np.load(tmp_path / "vectors.npy", mmap_mode="r"), unit=False)
    assert source.take(np.array([2])).tolist() == [[6.0, 7.0, 8.0]]
