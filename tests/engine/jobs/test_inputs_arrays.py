"""Files of vectors: what was written comes back whatever the blocks, and what is missing is counted."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine.jobs.inputs.arrays import open_array
from tests.engine.jobs.input_files import WRITERS, read, write

QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = sorted(WRITERS)


def vectors(seed, n, dim, dtype):
    values = np.random.default_rng(seed).normal(0, 20, (n, dim))
    kind = np.dtype(dtype)
    return values.astype(kind) if kind.kind == "f" else values.astype("i8").astype(kind)


@QUIET
@given(
    kind=st.sampled_from(KINDS), dtype=st.sampled_from(["<f4", ">f4", "<f2", "<f8", ">f8", "i1", "u1"]),
    order=st.sampled_from("CF"), n=st.integers(1, 40), dim=st.integers(1, 9), most=st.integers(1, 45),
    first=st.integers(0, 9),
)  # fmt: skip
def test_what_was_written_comes_back_whatever_the_blocks(tmp_path, kind, dtype, order, n, dim, most, first):
    name = kind if kind == "npy" else {"fvecs": "<f4", "fbin": "<f4", "i8bin": "i1"}.get(kind, "u1")
    array = vectors(n, n, dim, dtype if kind == "npy" else name)
    path = write(kind, tmp_path, np.asarray(array, order=order) if kind == "npy" else array)
    file = open_array(path, kind)
    assert (file.n_rows, file.dim, file.n_bytes) == (n, dim, path.stat().st_size)
    expected = array.astype("f4") if array.dtype.itemsize == 8 else array
    assert file.dtype == expected.dtype.name
    blocks = list(file.blocks(most, first))
    assert [block.first for block in blocks] == list(range(first * most, n, most))
    rows, found, rejected = read(blocks)
    assert rows == list(range(first * most, n)) and not rejected
    if blocks:
        assert found.dtype == file.dtype and found.flags.writeable
        np.testing.assert_array_equal(found, expected[first * most :])


@QUIET
@given(
    kind=st.sampled_from(KINDS), n=st.integers(1, 12), dim=st.integers(1, 5), most=st.integers(1, 14), data=st.data()
)
def test_whole_rows_of_a_short_file_are_read_and_the_rest_is_one_rejection(tmp_path, kind, n, dim, most, data):
    array = vectors(1, n, dim, WRITERS[kind])
    order = data.draw(st.sampled_from("CF")) if kind == "npy" else "C"
    path = write(kind, tmp_path, np.asarray(array, order=order))
    head = path.stat().st_size - array.nbytes if kind == "npy" else 8 if "bin" in kind else 0
    stride = (path.stat().st_size - head) // n
    cut = data.draw(st.integers(1, path.stat().st_size - max(head, 4)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    whole = (len(content) - cut - head) // stride
    if order == "F" and n > 1 and dim > 1:
        whole = max(0, (array.nbytes - cut) // array.itemsize - n * (dim - 1))
    file = open_array(path, kind)
    rows, found, rejected = read(file.blocks(most))
    assert rows == list(range(whole))
    assert file.n_rows == whole + len(rejected)
    if whole:
        np.testing.assert_array_equal(found, array[:whole])
    if "vecs" in kind and cut % stride == 0:
        assert not rejected  # nothing says how many there should be
    else:
        assert [(one.row, one.reason, one.file) for one in rejected] == [(whole, "truncated", path)]
        assert "vecs" in kind or f"{n} rows" in rejected[0].detail


def test_bytes_behind_the_promised_rows_are_told(tmp_path):
    path = write("fbin", tmp_path, vectors(1, 3, 2, "<f4"))
    path.write_bytes(path.read_bytes() + b"abc")
    file = open_array(path, "fbin")
    rows, _, rejected = read(file.blocks(3))
    assert rows == [0, 1, 2] and file.n_rows == 4
    assert [(one.row, one.reason) for one in rejected] == [(3, "trailing_bytes")]


def test_a_row_of_another_dimension_is_rejected_by_itself(tmp_path):
    path = write("fvecs", tmp_path, vectors(1, 5, 3, "<f4"))
    content = bytearray(path.read_bytes())
    content[2 * 16 : 2 * 16 + 4] = (7).to_bytes(4, "little")
    path.write_bytes(content)
    rows, found, rejected = read(open_array(path, "fvecs").blocks(2))
    assert rows == [0, 1, 3, 4] and len(found) == 4
    assert [(one.row, one.reason) for one in rejected] == [(2, "ragged")]
    assert "7 values" in rejected[0].detail


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4, "f4"), r"shape \(4,\)"),
        (np.zeros((2, 2, 2), "f4"), "two dimensions"),
        (np.zeros((2, 3), "i8"), "dtype int64"),
        (np.zeros((2, 3), bool), "dtype bool"),
        (np.array([[None, 1]], object), "dtype object"),
        (np.zeros((2, 0), "f4"), "0 values"),
        (np.zeros((2, 20_000), "u1"), "20000 values"),
    ],
)
def test_arrays_that_are_no_vectors(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ramet.ArgumentError, match=message) as error:
        open_array(tmp_path / "x.npy", "npy")
    assert "x.npy" in str(error.value)


def test_no_rows_are_no_blocks(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 3), "f4"))
    assert list(open_array(tmp_path / "x.npy", "npy").blocks(5)) == []


@QUIET
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_damaged_files_raise_nothing_of_their_own(tmp_path, kind, data):
    path = write(kind, tmp_path, vectors(3, 6, 3, WRITERS[kind]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, min(len(content) - 1, 140)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        file = open_array(path, kind)
        rows, _, rejected = read(file.blocks(4))
    except ramet.RametError as error:
        assert path.name in str(error)
    else:
        assert len(rows) + sum(one.n_rows for one in rejected) == file.n_rows
