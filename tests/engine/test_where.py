"""Filters and metadata that make no sense get an error that says where, what, and what to write instead."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import IntEnum, StrEnum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet.engine import where
from ramet.engine.errors import ArgumentError
from ramet.engine.metadata import MAX_BYTES, MAX_FIELDS, checked, decode, encode
from tests.engine.filter_world import FILTERS, METADATA


def nested(depth, inner=None):
    """A filter of so many $not."""
    found = inner or {"f": 1}
    for _ in range(depth):
        found = {"$not": found}
    return found


def many(n):
    return {"$or": [{"f": i} for i in range(n)]}


@pytest.mark.parametrize(
    ("given", "argument", "words"),
    [
        ("lang = 'en'", "where", "str"),
        ([{"f": 1}], "where", "list"),
        ({1: 2}, "where", "name fields by strings"),
        ({"": 2}, "where", "0 bytes"),
        ({"f" * 129: 2}, "where", "129 bytes"),
        ({"a\0b": 2}, "where", "zero byte"),
        ({"\ud800": 2}, "where", "no valid text"),
        ({"$eq": 2}, "where['$eq']", "does not belong here"),
        ({"$an": [{"f": 1}]}, "where['$an']", "mean \\$and"),
        ({"$nor": [{"f": 1}]}, "where['$nor']", "mean \\$or"),
        ({"f": {"$grt": 1}}, "where['f']['$grt']", "mean \\$gt"),
        ({"f": {"$regex": "a"}}, "where['f']['$regex']", "unknown operator.*\\$contains"),
        ({"f": {"$GTE": 1}}, "where['f']['$GTE']", "mean \\$gte"),
        ({"f": {"gte": 1}}, "where['f']['gte']", "mean \\$gte"),
        ({"f": {"$and": [1]}}, "where['f']['$and']", "does not belong here"),
        ({"f": {"city": "x"}}, "where['f']['city']", "nested"),
        ({"f": {3: "x"}}, "where['f'][3]", "no operator"),
        ({"f": {}}, "where['f']", "empty dict"),
        ({"f": {"$eq": {"a": 1}}}, "where['f']['$eq']", "dict"),
        ({"f": {"$eq": ["a"]}}, "where['f']['$eq']", "\\$contains for a list"),
        ({"f": ["a"]}, "where['f']", "\\$in for one of several"),
        ({"f": {"$in": "abc"}}, "where['f']['$in']", "pass a list"),
        ({"f": {"$in": None}}, "where['f']['$in']", "pass a list"),
        ({"f": {"$in": [1, [2]]}}, "where['f']['$in'][1]", "list"),
        ({"f": {"$nin": [1, b"x"]}}, "where['f']['$nin'][1]", "bytes"),
        ({"f": {"$in": list(range(10_001))}}, "where['f']['$in']", "10001 values"),
        (
            {"$or": [{"f": {"$nin": list(range(10_000))}}] * 5 + [{"g": {"$in": ["x"]}}]},
            "where['$or'][5]['g']['$in']",
            "50001 values",
        ),
        ({"f": {"$gt": None}}, "where['f']['$gt']", "no order"),
        ({"f": {"$lt": True}}, "where['f']['$lt']", "no order"),
        ({"f": {"$lte": np.False_}}, "where['f']['$lte']", "no order"),
        ({"f": {"$gte": [1]}}, "where['f']['$gte']", "list"),
        ({"f": {"$gt": float("nan")}}, "where['f']['$gt']", "NaN"),
        ({"f": float("nan")}, "where['f']", "NaN"),
        ({"f": 2**53 + 1}, "where['f']", "2\\^53"),
        ({"f": "\ud800"}, "where['f']", "no valid text"),
        ({"f": date(2024, 1, 1)}, "where['f']", "date"),
        ({"f": {"$contains": 3}}, "where['f']['$contains']", "pass a string"),
        ({"f": {"$contains": ["a"]}}, "where['f']['$contains']", "pass a string"),
        ({"f": {"$exists": "yes"}}, "where['f']['$exists']", "True or False"),
        ({"f": {"$exists": 1}}, "where['f']['$exists']", "True or False"),
        ({"f": {"$not": 3}}, "where['f']['$not']", "use \\$ne"),
        ({"f": {"$not": {}}}, "where['f']['$not']", "empty dict"),
        ({"$not": {}}, "where['$not']", "is empty"),
        ({"$not": [{"f": 1}]}, "where['$not']", "list"),
        ({"$and": []}, "where['$and']", "empty list"),
        ({"$or": []}, "where['$or']", "empty list"),
        ({"$or": {"f": 1}}, "where['$or']", "list of filters"),
        ({"$or": [{"f": 1}, {}]}, "where['$or'][1]", "is empty"),
        ({"$and": [{"f": 1}, {"$or": [{"g": {"$gtt": 1}}]}]}, "where['$and'][1]['$or'][0]['g']['$gtt']", "unknown"),
        (nested(17), "where" + "['$not']" * 17, "deeper than 16"),
        (nested(3000), "where" + "['$not']" * 17, "deeper than 16"),
        ({"f": nested(17, {"$gt": 1})}, "where['f']" + "['$not']" * 17, "deeper than 16"),
        (many(1025), "where['$or'][1024]['f']", "1024 conditions"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(given, argument, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        where.parse(given)
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 400


def test_the_limits_themselves_are_allowed():
    assert where.parse(nested(16)) is not None
    assert where.parse({"f": nested(16, {"$gt": 1})}) is not None
    assert where.parse(many(1024)) is not None
    assert where.parse({"f": {"$in": list(range(10_000))}, "g" * 128: "x"}) is not None
    assert where.parse({"$or": [{"f": {"$in": list(range(10_000))}}] * 5 + [{"g": "x"}]}) is not None
    assert where.parse(None) is None
    assert where.parse({}) is None


@settings(max_examples=200)
@given(FILTERS)
def test_trees_are_equal_for_equal_filters_and_can_be_keys(given):
    assert len({where.parse(given), where.parse(given)}) == 1


def test_trees_differ_where_python_sees_no_difference():
    assert where.parse({"f": True}) != where.parse({"f": 1})
    assert where.parse({"f": 1}) == where.parse({"f": 1.0}) == where.parse({"f": {"$in": [1, np.int8(1)]}})
    assert where.parse({"f": datetime(1970, 1, 1)}) != where.parse({"f": 0})
    assert where.parse({"f": {"$gt": 0}}) != where.parse({"f": {"$gt": datetime(1970, 1, 1)}})


def test_limits_of_one_field_are_one_range():
    expected = where.Between(field="f", kind=where.NUMBERS, low=2.0, high=5.0, without_low=True, without_high=False)
    assert where.parse({"f": {"$gt": 2, "$lte": 5}}) == expected
    assert where.parse({"$and": [{"f": {"$gte": 2}}, {"f": {"$lte": 5}}, {"f": {"$gt": 2, "$lt": 5.5}}]}) == expected


class Color(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("ü"), "ü"),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (("a", np.str_("b")), ["a", "b"]),
        (datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 3, tzinfo=UTC)),
        (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 1, 2, 1, tzinfo=UTC)),
    ],
)
def test_values_get_types_of_python(given, stored):
    (record,) = checked([{"f": given}], 1)
    assert record == {"f": stored}
    assert type(record["f"]) is type(stored)
    assert decode(encode(record)) == record


@settings(max_examples=300)
@given(st.one_of(METADATA, st.dictionaries(st.text(min_size=1, max_size=5), st.floats(allow_nan=False))))
def test_what_is_stored_comes_back_bit_for_bit(given):
    given = None if given is None else {key: value for key, value in given.items() if "\0" not in key and key[0] != "$"}
    (record,) = checked([given], 1)
    if given is None:
        assert record is None
        return
    found = decode(encode(record))
    assert list(found) == list(record) == [key for key, value in given.items() if value is not None]
    for field, value in found.items():
        assert type(value) is type(record[field])
        assert repr(value) == repr(record[field])
        if isinstance(value, float):
            assert math.copysign(1, value) == math.copysign(1, given[field])


@pytest.mark.parametrize(
    ("given", "argument", "words"),
    [
        ("abc", "metadata", "list with one dict"),
        ({"f": 1}, "metadata", "list with one dict"),
        (3, "metadata", "int"),
        ([{}, {}, {}], "metadata", "3 for 2 records"),
        ([{}, "abc"], "metadata[1]", "pass a dict"),
        ([{}, {1: 2}], "metadata[1]", "name fields by strings"),
        ([{}, {"$a": 2}], "metadata[1]", "begins with"),
        ([{}, {"a\0": 2}], "metadata[1]", "zero byte"),
        ([{}, {"": 2}], "metadata[1]", "0 bytes"),
        ([{}, {"ü" * 65: 2}], "metadata[1]", "130 bytes"),
        ([{}, {"\udc00": 2}], "metadata[1]", "no valid text"),
        ([{}, {str(i): 1 for i in range(MAX_FIELDS + 1)}], "metadata[1]", "257 fields"),
        ([{}, {"f": {"g": 1}}], "metadata[1]['f']", "flat"),
        ([{}, {"f": b"x"}], "metadata[1]['f']", "bytes; store str, bool, int, float, datetime, or a list of str"),
        ([{}, {"f": {"a", "b"}}], "metadata[1]['f']", "set"),
        ([{}, {"f": 1j}], "metadata[1]['f']", "complex"),
        ([{}, {"f": date(2024, 1, 1)}], "metadata[1]['f']", "date"),
        ([{}, {"f": ["a", 1]}], "metadata[1]['f'][1]", "lists hold strings only"),
        ([{}, {"f": ["a", None]}], "metadata[1]['f'][1]", "lists hold strings only"),
        ([{}, {"f": [["a"]]}], "metadata[1]['f'][0]", "lists hold strings only"),
        ([{}, {"f": float("nan")}], "metadata[1]['f']", "NaN"),
        ([{}, {"f": np.float32("nan")}], "metadata[1]['f']", "NaN"),
        ([{}, {"f": 2**53 + 1}], "metadata[1]['f']", "use a string"),
        ([{}, {"f": -(2**70)}], "metadata[1]['f']", "use a string"),
        ([{}, {"f": "\ud800"}], "metadata[1]['f']", "no valid text"),
        ([{}, {"f": ["\ud800"]}], "metadata[1]['f'][0]", "no valid text"),
        ([{}, {"f": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))}], "metadata[1]['f']", "years 1 to 9999"),
        ([{}, {"f": "x" * MAX_BYTES}], "metadata[1]", "bytes as JSON"),
        ([{}, {"f": ["ab"] * (MAX_BYTES // 5 + 1)}], "metadata[1]", "bytes as JSON"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(given, argument, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        checked(given, 2)
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 300


def test_metadata_may_be_left_out_and_as_large_as_said():
    assert checked(None, 2) == [None, None]
    assert checked(iter([None, {"f": None}]), 2) == [None, {}]
    large = {"f": "x" * (MAX_BYTES - 8), "g": None}
    assert len(encode(checked([large], 1)[0])) == MAX_BYTES
