"""JSON lines: what was written comes back whatever the blocks, and every bad line is counted with its number."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine.jobs.inputs import lines
from ramet.engine.jobs.inputs.blocks import InputOptions
from ramet.engine.jobs.inputs.lines import open_lines
from tests.engine.jobs.input_files import read

QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEFAULT = InputOptions()

numbers = st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-1000, 1000))
fields = st.dictionaries(
    st.sampled_from(["lang", "year", "tags", "ü"]),
    st.one_of(st.text(max_size=5), st.integers(0, 9), st.booleans(), st.lists(st.text(max_size=3), max_size=3)),
)
records = st.lists(
    st.tuples(st.text(max_size=5), st.lists(numbers, min_size=3, max_size=3), st.text(max_size=9), fields),
    min_size=1, max_size=25,
)  # fmt: skip
BAD = {
    b'{"id": "a", "vector": [1, 2, 3]': "bad_json",
    b"[1, 2]": "bad_json",
    b'{"id": "a", "vector": ' + b"[" * 100_000: "bad_json",
    b'{"id": "a", "vector": [1, 2, ' + b"9" * 5000 + b"]}": "bad_json",
    b'{"id": "a\xff", "vector": [1, 2, 3]}': "bad_utf8",
    b'{"id": "a"}': "missing_vector",
    b'{"id": "a", "vector": null}': "missing_vector",
    b'{"id": "a", "vector": "x"}': "bad_vector",
    b'{"id": "a", "vector": [1, 2, null]}': "bad_vector",
    b'{"id": "a", "vector": [1, 2, true]}': "bad_vector",
    b'{"id": "a", "vector": [1, 2, "3"]}': "bad_vector",
    b'{"id": "a", "vector": [1, 2]}': "ragged",
    b'{"id": "a", "vector": []}': "ragged",
    b'{"id": "a", "vector": [1, 2, 1' + b"0" * 400 + b"]}": "not_finite",
    b'{"vector": [1, 2, 3]}': "bad_id",
    b'{"id": true, "vector": [1, 2, 3]}': "bad_id",
    b'{"id": "a", "vector": [1, 2, 3], "text": 3, "who": "me"}': "bad_text",
    b'{"id": "a", "vector": [1, 2, 3], "who": 3}': "bad_tenant",
    b'{"id": "a", "vector": [1, 2, 3]}': "bad_tenant",
}


def put(folder, content, packed=False):
    path = folder / "x.jsonl"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@QUIET
@given(records, st.integers(1, 30), st.integers(0, 6), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_what_was_written_comes_back_whatever_the_blocks(tmp_path, records, most, first, packed, ascii, blank, final):
    written = [
        json.dumps({"id": name, "vector": vector, "text": text, **more}, ensure_ascii=ascii)
        for name, vector, text, more in records
    ]
    separator = "\r\n \n" if blank else "\n"
    path = put(tmp_path, (separator.join(written) + ("\n" if final else "")).encode("utf8", "replace"), packed)
    file = open_lines(path, DEFAULT)
    assert (file.dim, file.dtype, file.n_rows) == (3, "float32", None)
    assert file.has == {"ids", "vectors", "texts", "metadata"}
    step = 2 if blank else 1
    n_lines = len(records) * step - (1 if blank else 0)
    blocks = list(file.blocks(most, first))
    assert [block.first for block in blocks] == list(range(first * most, n_lines, most))
    rows, vectors, rejected = read(blocks)
    assert rows == [i * step for i in range(len(records)) if i * step >= first * most] and not rejected
    expected = [records[row // step] for row in rows]
    if blocks:
        np.testing.assert_array_equal(vectors, np.array([one[1] for one in expected], np.float32).reshape(-1, 3))
    assert [name for block in blocks for name in block.ids] == [one[0] for one in expected]
    assert [text for block in blocks for text in block.texts] == [one[2] for one in expected]
    assert [one for block in blocks for one in block.metadata] == [one[3] or None for one in expected]


@QUIET
@given(st.lists(st.sampled_from(sorted(BAD)), min_size=1, max_size=12), st.integers(1, 9), st.booleans())
def test_bad_lines_are_counted_with_their_number_and_reason(tmp_path, bad, most, packed):
    good = b'{"id": "a", "vector": [1, 2, 3], "text": "t", "who": "me"}\n'
    path = put(tmp_path, good + b"\n".join(bad) + b"\n" + good, packed)
    file = open_lines(path, InputOptions(tenant_column="who"))
    blocks = list(file.blocks(most))
    rows, _, rejected = read(blocks)
    assert rows == [0, len(bad) + 1] and [name for block in blocks for name in block.tenants] == ["me", "me"]
    assert [(one.file, one.row, one.reason) for one in rejected] == [
        (path, i + 1, BAD[line]) for i, line in enumerate(bad)
    ]


def test_numbers_that_are_none_are_left_to_the_check(tmp_path):
    path = put(tmp_path, b'{"vector": [1, NaN]}\n{"vector": [1, 1e300]}\n')
    _, vectors, rejected = read(open_lines(path, DEFAULT).blocks(9))
    assert np.isnan(vectors[0, 1]) and np.isinf(vectors[1, 1]) and not rejected


def test_texts_without_vectors(tmp_path):
    path = put(tmp_path, b'{"_id": 7, "document": "t", "n": 1}\n{"_id": 8}\n{"_id": 9, "document": [1]}\n')
    file = open_lines(path, DEFAULT)
    assert (file.dim, file.dtype, file.has) == (None, None, {"ids", "texts", "metadata"})
    (block,) = file.blocks(9)
    assert (block.ids, block.texts, block.metadata, block.vectors) == (["7"], ["t"], [{"n": 1}], None)
    assert [(one.row, one.reason) for one in block.rejected] == [(1, "missing_text"), (2, "bad_text")]


def test_what_is_metadata(tmp_path):
    record = {"text": "t", "a": 1, "deep": {"b": 2}, "list": [1], "metadata": {"c": "x", "deep2": {}}, "none": None}
    path = put(tmp_path, json.dumps(record).encode())

    def found(**options):
        (block,) = open_lines(path, InputOptions(**options)).blocks(9)
        return block.metadata

    assert found() == [{"a": 1, "c": "x", "none": None}]
    assert found(metadata_columns=("a", "deep", "rare")) == [{"a": 1, "deep": {"b": 2}}]  # the check refuses deep
    assert found(metadata_columns=()) == [None]


def test_columns_by_name(tmp_path):
    path = put(tmp_path, b'{"id": "x", "key": "a", "v": [1, 2], "vector": [1], "body": "t"}')
    options = InputOptions(id_column="key", vector_column="v", text_column="body", metadata_columns=())
    (block,) = open_lines(path, options).blocks(9)
    assert (block.ids, block.texts, block.vectors.tolist()) == (["a"], ["t"], [[1, 2]])
    with pytest.raises(ramet.ArgumentError, match=r"x.jsonl has no column 'nope', .* id_column; there are 'body'"):
        open_lines(path, InputOptions(id_column="nope"))
    with pytest.raises(ramet.ArgumentError, match="vector in 'body'"):
        open_lines(path, InputOptions(vector_column="body"))


def test_a_file_without_vectors_and_texts(tmp_path):
    with pytest.raises(ramet.ArgumentError, match="no vectors and no texts"):
        open_lines(put(tmp_path, b'{"id": "a", "x": 1}'), DEFAULT)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"rubbish\n"])
def test_a_file_without_records_has_nothing(tmp_path, content):
    file = open_lines(put(tmp_path, content), DEFAULT)
    assert file.has == frozenset() and file.dim is None
    assert [one.reason for one in read(file.blocks(9))[2]] == (["bad_json"] if b"r" in content else [])


def test_a_line_that_is_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    monkeypatch.setattr(lines, "_BUFFER", 16)
    good = b'{"text": "t"}\n'
    path = put(tmp_path, good + b'{"text": "' + b"x" * 300 + b'"}\n' + good)
    for most in (1, 2, 3):
        rows, _, rejected = read(open_lines(path, DEFAULT).blocks(most))
        assert rows == [0, 2] and [(one.row, one.reason) for one in rejected] == [(1, "too_long")]
    assert [block.rows.tolist() for block in open_lines(path, DEFAULT).blocks(1, 2)] == [[2]]


@QUIET
@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 5))
def test_a_cut_gzip_gives_its_whole_lines_and_one_rejection(tmp_path, cut, most, first):
    rng = np.random.default_rng(cut)
    content = b"".join(json.dumps({"text": rng.bytes(40).hex()}).encode() + b"\n" for _ in range(12))
    path = put(tmp_path, gzip.compress(content)[:-cut])
    whole = read(open_lines(path, DEFAULT).blocks(100))
    assert [one.reason for one in whole[2]] == ["truncated"] and whole[2][0].row == len(whole[0])
    blocks = list(open_lines(path, DEFAULT).blocks(most, first))
    assert [block.first for block in blocks] == list(range(first * most, len(whole[0]) + 1, most))
    rows, _, rejected = read(blocks)
    assert rows == whole[0][first * most :]
    assert [one.row for one in rejected] == [row for row in [len(whole[0])] if row >= first * most]


def test_a_byte_order_mark_is_no_text(tmp_path):
    (block,) = open_lines(put(tmp_path, b'\xef\xbb\xbf{"text": "t"}\n'), DEFAULT).blocks(9)
    assert block.texts == ["t"]


@QUIET
@given(st.data(), st.booleans())
def test_damaged_files_raise_nothing_of_their_own(tmp_path, data, packed):
    content = b'{"id": "a", "vector": [1, 2, 3], "text": "t"}\n' * 5
    content = bytearray(gzip.compress(content) if packed else content)
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = put(tmp_path, bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        file = open_lines(path, DEFAULT)
        whole, parts = list(file.blocks(1000)), list(file.blocks(2))
    except ramet.RametError as error:
        assert path.name in str(error)
    else:
        assert read(whole)[0] == read(parts)[0]
        assert [one.row for one in read(whole)[2]] == [one.row for one in read(parts)[2]]
