"""Records against the rules of a collection: good ones go on, bad ones are counted with their row and reason."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from ramet.engine.jobs.inputs.blocks import Block, Rejected
from ramet.engine.jobs.inputs.checking import checked

FILE = Path("data/x.npy")
GOOD = [1.0, 2.0, 3.0]


def block(vectors=None, n=None, first=100, **others):
    array = None if vectors is None else np.array(vectors)
    n = len(array) if n is None else n
    return Block(file=FILE, first=first, rows=first + np.arange(n), vectors=array, **others)


def reasons(found):
    return [(one.row, one.reason) for one in found.rejected]


@pytest.mark.parametrize(
    ("bad", "metric", "dtype", "reason"),
    [
        ([1, np.nan, 1], "l2", "float32", "not_finite"),
        ([1, np.inf, 1], "l2", "float16", "not_finite"),
        ([1, -np.inf, 1], "ip", "int8", "not_finite"),
        ([1, np.nan, 1], "ip", "uint8", "not_finite"),
        ([0, 0, 0], "cosine", "float32", "zero_vector"),
        ([0, 0, 0], "cosine", "uint8", "zero_vector"),
        ([1e-9, 0, 0], "cosine", "float16", "zero_vector"),
        ([1e-20, 0, 0], "cosine", "float32", "out_of_range"),
        ([1e20, 0, 0], "l2", "float32", "out_of_range"),
        ([1e5, 0, 0], "l2", "float16", "out_of_range"),
        ([1, -1, 0], "l2", "uint8", "out_of_range"),
        ([1, 128, 0], "l2", "int8", "out_of_range"),
        ([1, 0.5, 0], "l2", "int8", "fraction"),
    ],
)
def test_vectors_that_a_collection_cannot_hold(bad, metric, dtype, reason):
    given = block(np.array([GOOD, bad, GOOD], np.float32), ids=["a", "b", "c"])
    found = checked(given, 3, metric, dtype)
    assert reasons(found) == [(101, reason)] and found.rejected[0].file == FILE and found.rejected[0].detail
    assert found.rows.tolist() == [100, 102] and found.ids == ["a", "c"]
    assert found.vectors.dtype == dtype
    np.testing.assert_array_equal(found.vectors, np.array([GOOD, GOOD], dtype))


def test_zeros_are_vectors_where_directions_do_not_matter():
    assert len(checked(block([[0.0, 0, 0]]), 3, "l2", "float32")) == 1


def test_a_chunk_without_a_vector_is_no_bad_vector():
    found = checked(block([[0.0, 0, 0], GOOD], bare=np.array([True, False])), 3, "cosine", "float32")
    assert found.bare.tolist() == [True, False] and not found.rejected


@pytest.mark.parametrize("bad", ["", "x" * 481, "ü" * 241, "\ud800", 7, None])
@pytest.mark.parametrize(("what", "reason"), [("ids", "bad_id"), ("tenants", "bad_tenant")])
def test_names_that_cannot_be_stored(bad, what, reason):
    found = checked(block([GOOD] * 3, **{what: ["x", bad, "ü" * 240]}), 3, "l2", "float32")
    assert reasons(found) == [(101, reason)] and getattr(found, what) == ["x", "ü" * 240]


@pytest.mark.parametrize(
    "bad",
    [{"a": {}}, {"a": [1]}, {"a": float("nan")}, {"a": 2**60}, {"": 1}, {"$x": 1}, {"a": b""}, {"a": "x" * 70_000}, 7],
)
def test_metadata_that_cannot_be_stored(bad):
    good = {"a": 1, "b": None, "c": datetime(2020, 1, 1, tzinfo=UTC)}
    found = checked(block([GOOD] * 3, metadata=[good, bad, None]), 3, "l2", "float32")
    assert reasons(found) == [(101, "bad_metadata")]
    assert found.metadata == [{"a": 1, "c": datetime(2020, 1, 1, tzinfo=UTC)}, None]


def test_texts_that_are_stored_and_texts_that_are_embedded():
    texts = ["word", "", " \n", "\ud800", "ü", 7]
    found = checked(block([GOOD] * 7, texts=[*texts, "x" * (5 << 20)]), 3, "l2", "float32")
    assert found.texts == ["word", "", " \n", "ü"] and {one.reason for one in found.rejected} == {"bad_text"}
    found = checked(block(n=7, texts=[*texts, "x" * (5 << 20)]), 3, "l2", "float32")
    assert [text[:4] for text in found.texts] == ["word", "ü", "xxxx"]
    assert reasons(found) == [(101, "empty_text"), (102, "empty_text"), (103, "bad_text"), (105, "bad_text")]


def test_a_record_is_rejected_once_and_what_was_rejected_stays():
    before = Rejected(FILE, 99, "bad_json", "")
    given = block([[np.nan] * 3, GOOD], ids=["", ""], metadata=[{"": 1}, None], rejected=[before])
    assert reasons(checked(given, 3, "l2", "float32")) == [(99, "bad_json"), (100, "not_finite"), (101, "bad_id")]


def test_another_dimension_is_an_error():
    with pytest.raises(ramet.ArgumentError, match="dim: is 4"):
        checked(block([GOOD]), 4, "l2", "float32")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 200.0, 1e5, 1e30, np.nan, np.inf, 1e-30]), min_size=2, max_size=40),
    st.sampled_from(["l2", "cosine", "ip"]),
    st.sampled_from(["float32", "float16", "int8", "uint8"]),
)
def test_what_is_kept_is_what_upsert_takes(values, metric, dtype):
    array = np.array(values[: len(values) // 2 * 2], np.float32).reshape(-1, 2)
    found = checked(block(array, first=0), 2, metric, dtype)
    from ramet.engine.checks import stored_form
    from ramet.engine.settings import Settings

    for row, vector in enumerate(array):
        kept = np.flatnonzero(found.rows == row)
        try:
            stored = stored_form(vector[None], Settings.checked(2, metric, dtype, "auto"))
        except ramet.ArgumentError:
            assert not len(kept) and row in [one.row for one in found.rejected]
        else:
            np.testing.assert_array_equal(found.vectors[kept], stored)
