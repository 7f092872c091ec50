"""Bodies of bytes: what was sent is what is read, and hostile ones are refused before memory is taken."""

import io
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from ramet import ArgumentError
from ramet.api.rest.arrow import read_arrow
from ramet.api.rest.wire import accepts_npy, media_type, npy, read_npy

DTYPES = ["<f2", "<f4", "<f8", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8"]
SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 7)) | st.tuples(st.integers(1, 7))


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(SHAPES)
    raw = draw(st.binary(min_size=int(np.prod(shape)) * dtype.itemsize, max_size=int(np.prod(shape)) * dtype.itemsize))
    return np.frombuffer(raw, dtype).reshape(shape)  # NaNs of every kind included


@given(arrays(), st.binary(max_size=20), st.booleans())
def test_round_trip_bit_for_bit(array, rest, by_columns):
    ours = npy(array)
    assert np.load(io.BytesIO(ours), allow_pickle=False).tobytes() == array.tobytes()
    theirs = io.BytesIO()
    np.save(theirs, np.asfortranarray(array) if by_columns else array)
    for body in (ours, theirs.getvalue()):
        found, behind = read_npy(body + rest, 10)
        assert (found.dtype, found.shape, found.tobytes(), behind) == (array.dtype, array.shape, array.tobytes(), rest)
        assert found.flags.writeable and found.flags.c_contiguous and found.flags.aligned


@given(arrays(), st.data())
def test_a_body_that_is_cut_off_is_refused(array, data):
    body = npy(array)
    for end in {data.draw(st.integers(0, len(body) - 1)), max(0, len(body) - 1)}:
        if len(body[:end]) == len(body) - array.nbytes and not array.nbytes:
            continue
        with pytest.raises(ArgumentError):
            read_npy(body[:end], 10)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    for body in (content, b"\x93NUMPY" + content, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content):
        try:
            read_npy(body, 10)
        except ArgumentError:
            pass


@given(some.arrays(np.uint8, 150), st.lists(st.tuples(st.integers(0, 149), st.integers(0, 255)), max_size=6))
def test_a_changed_file_is_read_or_refused(_, changes):
    body = bytearray(npy(np.ones((3, 4), np.float32)))
    for at, value in changes:
        body[at] = value
    try:
        found, _ = read_npy(bytes(body), 10)
    except ArgumentError:
        return
    assert found.dtype.kind in "fiu" and found.nbytes <= len(body)


def header(text, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin-1")


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '<U9', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2), }", "dtype"),
        ("{'descr': '<f4', 'fortran_order': 1, 'shape': (2, 2), }", "fortran_order"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2), }", "shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 1), }", "shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2), }", "shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", "vectors"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4611686018427387904), }", "dimension"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 16384), }", "cut off"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (11, 2), }", "at most 10"),
        ("{'descr': '<f4', 'shape': (2, 2), }", "without"),
        ("__import__('os').system('true')", "none"),
        ("(" * 200, "none"),
        (" " * 2000, "header of 2000 bytes"),
    ],
)
def test_what_a_header_may_not_say(text, said):
    with pytest.raises(ArgumentError, match=said.replace("(", r"\(")):
        read_npy(header(text) + bytes(16), 10)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_all_versions_are_read(version):
    found, rest = read_npy(header(GOOD, version) + np.arange(4, dtype=np.float32).tobytes() + b"{}", 10)
    assert found.tolist() == [[0, 1], [2, 3]] and rest == b"{}"


def test_accept_and_content_type():
    assert accepts_npy("application/json, application/x-npy;q=0.5")
    assert not accepts_npy("application/x-npy;q=0") and not accepts_npy("*/*") and not accepts_npy(None)
    assert media_type("Application/JSON; charset=utf-8") == "application/json" == media_type(None)


def stream(table, **options):
    pyarrow = pytest.importorskip("pyarrow")
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return out.getvalue().to_pybytes()


def table(**columns):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table(columns)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8"])
@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
def test_arrow_round_trip(dtype, kind):
    import pyarrow

    rows = np.arange(12).reshape(4, 3).astype(dtype)
    inner = pyarrow.from_numpy_dtype(rows.dtype)
    of = {"fixed": pyarrow.list_(inner, 3), "list": pyarrow.list_(inner), "large": pyarrow.large_list(inner)}[kind]
    values = [row.tolist() if dtype != "float16" else list(row) for row in rows]
    body = stream(
        table(id=list("abcd"), vector=pyarrow.array(values, of), document=["x", None, "y", "z"],
              metadata=['{"n": 1}', None, "{}", '{"when": {"$date": "2024-01-01"}}'], tenant=["t", "t", "u", "u"])
    )  # fmt: skip
    found = read_arrow(body, 10)
    assert found["ids"] == list("abcd") and found["tenant"] == ["t", "t", "u", "u"]
    assert found["documents"] == ["x", None, "y", "z"] and found["metadata"][0] == {"n": 1}
    assert found["vectors"].dtype == rows.dtype and found["vectors"].tobytes() == rows.tobytes()
    values[2] = None
    body = stream(table(id=list("abcd"), vector=pyarrow.array(values, of)))
    found = read_arrow(body, 10)["vectors"]
    assert found[2] is None and [one.tolist() for one in found if one is not None] == rows[[0, 1, 3]].tolist()


def test_arrow_that_is_refused():
    import pyarrow

    numbers = pyarrow.array([[1.0, 2.0]] * 3, pyarrow.list_(pyarrow.float32(), 2))
    good = table(id=list("abc"), vector=numbers)
    assert len(read_arrow(stream(good), 3)["ids"]) == 3
    for wrong in (
        stream(good, compression="zstd"),
        stream(good, compression="lz4"),
        stream(table(id=list("abc"), other=numbers)),
        stream(table(vector=numbers)),
        stream(table(id=[1, 2, 3])),
        stream(table(id=["a", None, "c"])),
        stream(table(id=list("abc"), vector=["x", "y", "z"])),
        stream(table(id=list("abc"), vector=[[1.0], [1.0, 2.0], [1.0]])),
        stream(table(id=list("abc"), vector=[[1.0, None]] * 3)),
        stream(table(id=list("abc"), metadata=["{", None, None])),
        stream(table(id=list("abc"), metadata=["[1]", None, None])),
        stream(table(id=list("abc"), metadata=[None, None, "5"])),
        stream(table(id=pyarrow.array(list("abc")).dictionary_encode())),
        b"",
        b"nothing",
    ):
        with pytest.raises(ArgumentError):
            read_arrow(wrong, 10)
    with pytest.raises(ArgumentError, match="more than 2"):
        read_arrow(stream(good), 2)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 2000))
def test_a_damaged_stream_is_read_or_refused(changes, end):
    import pyarrow

    numbers = pyarrow.array([[1.0, 2.0]] * 3, pyarrow.list_(pyarrow.float32()))
    body = bytearray(stream(table(id=list("abc"), vector=numbers, metadata=["{}", None, '{"a": 1}'])))
    for at, value in changes:
        body[at % len(body)] = value
    for content in (bytes(body), bytes(body[: end % len(body)])):
        try:
            read_arrow(content, 10)
        except ArgumentError:
            pass


def test_json_numbers_keep_every_bit():
    from ramet.api.rest.answers import dumps

    for dtype in ("float32", "float16"):
        values = np.frombuffer(np.random.default_rng(0).bytes(400), dtype)
        values = values[np.isfinite(values)]
        assert np.array(orjson.loads(dumps(values)), dtype).tobytes() == values.tobytes()
