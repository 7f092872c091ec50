"""Parquet and Arrow: what pyarrow wrote comes back whatever the blocks, and bad rows are counted."""

import json
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine.jobs.inputs.blocks import InputOptions
from ramet.engine.jobs.inputs.tables import open_table
from tests.engine.jobs.input_files import read

QUIET = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEFAULT = InputOptions()
KINDS = ["parquet", "arrow", "stream"]


def put(folder, table, kind, rows=5):
    """Write a table, some rows in a row group or batch; path and format."""
    path = folder / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=rows)
    else:
        make = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    return path, "parquet" if kind == "parquet" else "arrow"


def listed(array, how):
    values = pa.array(array.reshape(-1))
    if how == "fixed":
        return pa.FixedSizeListArray.from_arrays(values, array.shape[1])
    offsets = np.arange(len(array) + 1) * array.shape[1]
    if how == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


@QUIET
@given(
    kind=st.sampled_from(KINDS), dtype=st.sampled_from(["f2", "f4", "f8", "i1", "u1"]),
    how=st.sampled_from(["list", "large", "fixed"]), n=st.integers(1, 40), rows=st.integers(1, 20),
    most=st.integers(1, 45), first=st.integers(0, 8),
)  # fmt: skip
def test_what_was_written_comes_back_whatever_the_blocks(tmp_path, kind, dtype, how, n, rows, most, first):
    array = np.random.default_rng(n).normal(0, 9, (n, 3)).astype(dtype if dtype != "u1" else "i1").astype(dtype)
    ids = [f"ü{i}" for i in range(n)]
    texts = [None if i % 3 == 0 else f"text {i}" for i in range(n)]
    table = pa.table(
        {
            "id": ids, "emb": listed(array, how), "content": pa.array(texts, pa.string()).dictionary_encode(),
            "year": pa.array([None if i % 4 == 0 else i for i in range(n)], pa.int16()), "who": ["me"] * n,
            "blob": [b"x"] * n,
        }
    )  # fmt: skip
    path, name = put(tmp_path, table, kind, rows)
    file = open_table(path, name, InputOptions(tenant_column="who"))
    assert (file.dim, file.dtype) == (3, "float32" if dtype == "f8" else np.dtype(dtype).name)
    assert file.n_rows == (None if kind == "stream" else n)
    assert file.has == {"ids", "vectors", "texts", "metadata", "tenants"}
    blocks = list(file.blocks(most, first))
    assert [block.first for block in blocks] == list(range(first * most, n, most))
    found_rows, vectors, rejected = read(blocks)
    assert found_rows == list(range(first * most, n)) and not rejected
    if blocks:
        assert vectors.dtype == file.dtype and vectors.flags.writeable
        np.testing.assert_array_equal(vectors, array.astype(file.dtype)[first * most :])

    def every(what):
        return [one for block in blocks for one in getattr(block, what)]

    assert every("ids") == ids[first * most :] and every("texts") == texts[first * most :]
    assert every("tenants") == ["me"] * len(found_rows)
    assert every("metadata") == [None if i % 4 == 0 else {"year": i} for i in found_rows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_bad_rows_are_counted_with_their_reason(tmp_path, kind, most):
    strings = pa.array([b"a", b"b", b"c", b"d", b"\xff", None, b"g"], pa.binary()).cast(pa.string(), safe=False)
    vectors = [[1, 2], None, [1], [1, None], [5, 6], [7, 8], [9, float("nan")]]
    table = pa.table({"id": strings, "vector": pa.array(vectors, pa.list_(pa.float32()))})
    path, name = put(tmp_path, table, kind, 3)
    rows, found, rejected = read(open_table(path, name, DEFAULT).blocks(most))
    assert rows == [0, 6] and found[0].tolist() == [1, 2] and np.isnan(found[1, 1])
    assert [(one.row, one.reason) for one in rejected] == [
        (1, "missing_vector"), (2, "ragged"), (3, "not_finite"), (4, "bad_utf8"), (5, "bad_id"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_of_every_type(tmp_path, kind):
    moment = datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    columns = {
        "flag": [True], "number": [1.5], "tags": [["a", "b"]], "day": [date(2020, 1, 2)],
        "nano": pa.array([1_000_001], pa.timestamp("ns")),
        "paris": pa.array([moment], pa.timestamp("us", "Europe/Paris")),
        "metadata": [json.dumps({"inner": 1})], "text": ["t"], "lists": [[1.0]], "deep": [{"a": 1}],
    }  # fmt: skip
    path, name = put(tmp_path, pa.table(columns), kind)
    (block,) = open_table(path, name, DEFAULT).blocks(9)
    assert block.metadata == [
        {
            "flag": True, "number": 1.5, "tags": ["a", "b"], "day": datetime(2020, 1, 2, tzinfo=UTC),
            "nano": datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), "paris": moment, "inner": 1,
        }
    ]  # fmt: skip
    (block,) = open_table(path, name, InputOptions(metadata_columns=("flag",))).blocks(9)
    assert block.metadata == [{"flag": True}]


def test_metadata_as_a_struct_and_times_beyond_python(tmp_path):
    table = pa.table(
        {"text": ["a", "b"], "metadata": [{"x": 1}, None], "when": pa.array([0, 2**62], pa.timestamp("us"))}
    )
    path, name = put(tmp_path, table, "parquet")
    (block,) = open_table(path, name, DEFAULT).blocks(9)
    assert block.metadata == [{"x": 1, "when": datetime(1970, 1, 1, tzinfo=UTC)}]
    assert [(one.row, one.reason) for one in block.rejected] == [(1, "bad_metadata")]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"id": ["a"]}, DEFAULT, "no vectors and no texts"),
        ({"text": ["a"]}, InputOptions(vector_column="v"), "no column 'v'"),
        ({"text": ["a"], "v": ["b"]}, InputOptions(vector_column="v"), "vectors are lists of numbers"),
        ({"text": ["a"], "v": [[1]]}, InputOptions(vector_column="v"), "vectors of int64"),
        ({"v": [1.5]}, InputOptions(text_column="v"), "texts of type double"),
        ({"text": ["a"], "v": [1.5]}, InputOptions(id_column="v"), "ids of type double"),
        ({"text": ["a"], "v": [1]}, InputOptions(tenant_column="v"), "tenants of type int64"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, columns, options, message):
    path, name = put(tmp_path, pa.table(columns), "parquet")
    with pytest.raises(ramet.ArgumentError, match=f"x.parquet .*{message}"):
        open_table(path, name, options)


def test_a_damaged_row_group_is_told_and_the_others_are_read(tmp_path):
    array = np.random.default_rng(1).normal(size=(40, 8)).astype("f4")
    path = tmp_path / "x.parquet"
    table = pa.table({"vector": listed(array, "list")})
    pq.write_table(table, path, row_group_size=10, write_page_checksum=True, use_dictionary=False, compression="none")
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 5] ^= 255
    path.write_bytes(content)
    for most in (7, 100):
        rows, found, rejected = read(open_table(path, "parquet", DEFAULT).blocks(most))
        assert rows == [*range(10), *range(20, 40)]
        np.testing.assert_array_equal(found, array[rows])
        assert {one.reason for one in rejected} == {"unreadable"}
        lost = [row for one in rejected for row in range(one.row, one.row + one.n_rows)]
        assert lost == list(range(10, 20))


def test_a_stream_that_breaks_off(tmp_path):
    path, name = put(tmp_path, pa.table({"text": [str(i) for i in range(9)]}), "stream", 3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    rows, _, rejected = read(open_table(path, name, DEFAULT).blocks(2))
    assert 0 < len(rows) < 9 and [(one.row, one.reason) for one in rejected] == [(len(rows), "unreadable")]


def test_a_table_without_rows(tmp_path):
    table = pa.table({"vector": pa.array([], pa.list_(pa.float32()))})
    for kind in KINDS:
        path, name = put(tmp_path, table, kind)
        file = open_table(path, name, DEFAULT)
        assert file.dim is None and list(file.blocks(9)) == []


@QUIET
@given(st.sampled_from(KINDS), st.data())
def test_damaged_files_raise_nothing_of_their_own(tmp_path, kind, data):
    table = pa.table(
        {
            "id": [str(i) for i in range(6)], "vector": listed(np.ones((6, 3), "f4"), "list"), "text": ["t"] * 6,
            "tag": pa.array(["x"] * 6).dictionary_encode(),
        }
    )  # fmt: skip
    path, name = put(tmp_path, table, kind, 4)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        file = open_table(path, name, DEFAULT)
        rows, _, rejected = read(file.blocks(1 << 20))
    except ramet.RametError as error:
        assert path.name in str(error)
    else:
        assert file.n_rows is None or len(rows) + sum(one.n_rows for one in rejected) == file.n_rows
