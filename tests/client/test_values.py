"""Values on the wire: what goes out comes back."""

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ramet import ArgumentError
from ramet.api.client.values import tagged, to_json, untagged, vectors_and_rest, with_vectors

SCALARS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.booleans(),
    st.integers(-(1 << 53), 1 << 53),
    st.floats(allow_nan=False),
    st.datetimes(timezones=st.just(UTC)),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=3),
)
FIELDS = st.dictionaries(st.text(min_size=1).filter(lambda one: one[0] != "$"), SCALARS, max_size=4)
FIELDS = FIELDS.filter(lambda one: json_text(one))


def json_text(value):
    try:
        json.dumps(tagged(value), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(FIELDS)
def test_metadata_come_back_as_they_were(fields):
    found = untagged(json.loads(to_json(tagged(fields))))
    assert found == fields
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in fields.items()}


def test_datetimes_are_in_utc():
    there = datetime(2024, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    assert tagged(there) == {"$date": "2024-01-31T12:00:00Z"}
    assert tagged(datetime(2024, 1, 31, 12, 0, 0, 5)) == {"$date": "2024-01-31T12:00:00.000005Z"}


def test_values_of_numpy_are_plain_numbers():
    body = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.array([1, 2]), "e": (1, 2), "f": {7}}
    assert json.loads(to_json(tagged(body))) == {"a": 0.5, "b": 3, "c": True, "d": [1, 2], "e": [1, 2], "f": [7]}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"ids": ["a", "\ud800"]}, "ids[1]"),
        ({"metadata": [{"x": "\udfff"}]}, "metadata[0]['x']"),
        ({"texts": ["ok", "no \ud83d"]}, "texts[1]"),
    ],
)
def test_text_that_is_none_is_named(body, place):
    with pytest.raises(ArgumentError, match="not valid Unicode") as caught:
        to_json(body)
    assert caught.value.argument == place


@given(
    st.sampled_from(["<f4", "<f2", "<f8", "|i1", "|u1", "<i4"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=7))
    ),
    st.booleans(),
)
def test_vectors_come_back_bit_for_bit(vectors, by_columns):
    sent = np.asfortranarray(vectors) if by_columns else vectors
    found, rest = vectors_and_rest(with_vectors(sent, {"ids": ["ä"]}))
    assert rest == {"ids": ["ä"]}
    assert found.dtype == vectors.dtype and found.shape == vectors.shape
    assert found.tobytes() == vectors.tobytes()
    assert found.flags.writeable or not found.size


def test_vectors_may_stand_alone():
    body = with_vectors(np.eye(3), {})[:-2]
    found, rest = vectors_and_rest(body)
    assert rest == {} and (found == np.eye(3)).all()


def test_objects_are_no_vectors():
    import io

    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="object"):
        vectors_and_rest(out.getvalue())
    with pytest.raises(ValueError):
        vectors_and_rest(b'{"records": []}')
