"""Filters: what ``where=`` may say, checked, and as a tree of frozen nodes.

docs/filters.md is the reference of the operators and of what a missing field means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from ramet.engine.errors import ArgumentError
from ramet.engine.metadata import field_name, scalar
from ramet.storage.field_batch import microseconds

MAX_DEPTH = 16
"""Operators $and, $or and $not inside each other."""

MAX_CONDITIONS = 1024
"""Conditions on fields in one filter."""

MAX_VALUES = 10_000
"""Values of one $in or $nin."""

MAX_VALUES_IN_ALL = 50_000
"""Values of all $in and $nin of one filter."""

FIELD_OPERATORS = ("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$contains", "$exists", "$not")
FILTER_OPERATORS = ("$and", "$or", "$not")

NUMBERS, DATES, TEXTS = "numbers", "dates", "texts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Among:
    """The field has one of some values, or is a list that holds one of them."""

    field: str
    numbers: tuple[float, ...] = ()
    """Rising; so the others."""
    dates: tuple[int, ...] = ()
    """Microseconds since 1970."""
    bools: tuple[bool, ...] = ()
    texts: tuple[str, ...] = ()
    missing: bool = False
    """A record without the field matches, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The field has a value of one type inside limits; a list has not."""

    field: str
    kind: str
    """`NUMBERS`, `DATES` or `TEXTS`."""
    low: Any = None
    """float, microseconds since 1970, or str; None for no limit."""
    high: Any = None
    without_low: bool = False
    """The limit itself does not match."""
    without_high: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains:
    """The field is a list that holds a string, or a string with the other inside it."""

    field: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """The record has the field."""

    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """Whatever the part does not match."""

    part: Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """What all parts match, of which there is one at least."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """What one of the parts matches, of which there is one at least."""

    parts: tuple[Filter, ...]


Filter = Among | Between | Contains | Exists | Not | AllOf | AnyOf


def parse(where: Any) -> Filter | None:
    """Return a filter as a tree; None for None and for a dict without conditions: all records match.

    Equal trees mean the same, and trees can be hashed.

    Raises
    ------
    ArgumentError
        It names the place in the filter, as ``where['$and'][1]['year']['$gt']``.
    """
    if where is None or (isinstance(where, Mapping) and not where):
        return None
    return _Parser().filter(where, "where", 0)


class _Parser:
    """Counts conditions and their values while it goes through one filter."""

    def __init__(self) -> None:
        self._n_conditions = self._n_values = 0

    def filter(self, given: Any, at: str, depth: int) -> Filter:
        if not isinstance(given, Mapping):
            raise ArgumentError(at, f"is a {type(given).__name__}; pass a dict such as {{'lang': 'en'}}")
        if not given:
            raise ArgumentError(at, "is empty; write at least one condition, or leave it out")
        if depth > MAX_DEPTH:
            raise ArgumentError(at, f"$and, $or and $not are nested deeper than {MAX_DEPTH}; write it flatter")
        return all_of([self._entry(key, value, f"{at}[{key!r}]", at, depth) for key, value in given.items()])

    def _entry(self, key: Any, value: Any, at: str, above: str, depth: int) -> Filter:
        if isinstance(key, str) and key.startswith("$"):
            if key == "$not":
                return Not(part=self.filter(value, at, depth + 1))
            if key not in FILTER_OPERATORS:
                _refuse_operator(key, at, FILTER_OPERATORS, FIELD_OPERATORS)
            parts = self._parts(value, at, depth)
            return all_of(parts) if key == "$and" else AnyOf(parts=tuple(dict.fromkeys(parts)))
        return self._field(field_name(key, above), value, at, depth)

    def _parts(self, given: Any, at: str, depth: int) -> list[Filter]:
        if not isinstance(given, (list, tuple)):
            raise ArgumentError(at, f"is a {type(given).__name__}; pass a list of filters")
        if not given:
            raise ArgumentError(at, "is an empty list; pass one filter at least")
        return [self.filter(part, f"{at}[{i}]", depth + 1) for i, part in enumerate(given)]

    def _field(self, field: str, given: Any, at: str, depth: int) -> Filter:
        if not isinstance(given, Mapping):
            return self._condition(field, "$eq", given, at)
        if not given:
            raise ArgumentError(at, "is an empty dict; pass a value, or operators such as {'$gt': 3}")
        if depth > MAX_DEPTH:
            raise ArgumentError(at, f"$and, $or and $not are nested deeper than {MAX_DEPTH}; write it flatter")
        parts = []
        for key, value in given.items():
            inner = f"{at}[{key!r}]"
            if key not in FIELD_OPERATORS:
                _refuse_operator(key, inner, FIELD_OPERATORS, FILTER_OPERATORS)
            if key != "$not":
                parts.append(self._condition(field, key, value, inner))
            elif isinstance(value, Mapping):
                parts.append(Not(part=self._field(field, value, inner, depth + 1)))
            else:
                raise ArgumentError(inner, f"is a {type(value).__name__}; pass operators, or use $ne for a value")
        return all_of(parts)

    def _condition(self, field: str, operator: str, value: Any, at: str) -> Filter:
        self._n_conditions += 1
        if self._n_conditions > MAX_CONDITIONS:
            raise ArgumentError(at, f"the filter has more than {MAX_CONDITIONS} conditions; use $in for many values")
        if operator in ("$in", "$nin"):
            value = _several(value, at)
            self._n_values += len(value)
            if self._n_values > MAX_VALUES_IN_ALL:
                what = f"with it, the filter has {self._n_values} values in $in and $nin; at most {MAX_VALUES_IN_ALL}"
                raise ArgumentError(at, f"{what} are looked for at once")
        return _OPERATORS[operator](field, value, at)


def _refuse_operator(key: Any, at: str, here: tuple[str, ...], elsewhere: tuple[str, ...]) -> NoReturn:
    known = ", ".join(here)
    if not isinstance(key, str) or (not key.startswith("$") and "$" + key not in here):
        raise ArgumentError(at, f"{key!r} is no operator (they are {known}); metadata is flat, so nothing is nested")
    if key in elsewhere:
        example = "{'year': {'$gt': 3}}" if here == FILTER_OPERATORS else "{'$or': [{'year': 3}, ...]}"
        raise ArgumentError(at, f"{key} does not belong here, where {known} may stand; write it as in {example}")
    near = get_close_matches("$" + key.lstrip("$").lower(), here, 1, 0.5)
    raise ArgumentError(at, f"unknown operator {key!r}{f', do you mean {near[0]}' if near else ''}? Known are {known}")


def _among(field: str, values: Collection[Any], at: str) -> Among:
    """``at``: the place of the values if they are several, else of the one."""
    numbers, dates, bools, texts = set[float](), set[int](), set[bool](), set[str]()
    missing = False
    for value in values:
        if value is None:
            missing = True
            continue
        found = _single(value, at)
        if isinstance(found, str):
            texts.add(found)
        elif isinstance(found, bool):
            bools.add(found)
        elif isinstance(found, datetime):
            dates.add(microseconds(found))
        else:
            numbers.add(float(found) + 0.0)  # -0.0 is 0.0
    return Among(
        field=field, numbers=tuple(sorted(numbers)), dates=tuple(sorted(dates)), bools=tuple(sorted(bools)),
        texts=tuple(sorted(texts)), missing=missing,
    )  # fmt: skip


def _single(value: Any, at: str) -> str | bool | int | float | datetime:
    if isinstance(value, (list, tuple, Mapping, set)):
        what = f"is a {type(value).__name__}; compare with single values: $in for one of several, $contains for a list"
        raise ArgumentError(at, what)
    return scalar(value, at, "compare with str, bool, int, float, datetime or None")


def _equal(field: str, value: Any, at: str) -> Filter:
    return _among(field, [value], at)


def _not_equal(field: str, value: Any, at: str) -> Filter:
    return Not(part=_equal(field, value, at))


def _several(value: Any, at: str) -> Collection[Any]:
    """The values of $in or $nin."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ArgumentError(at, f"is a {type(value).__name__}; pass a list of values")
    if len(value) > MAX_VALUES:
        raise ArgumentError(at, f"has {len(value)} values; at most {MAX_VALUES} are looked for at once")
    return value


def _one_of(field: str, value: Collection[Any], at: str) -> Filter:
    try:
        return _among(field, value, at)
    except ArgumentError:  # again, to find the place: for good values, ten thousand places are not written out
        for i, one in enumerate(value):
            if one is not None:
                _single(one, f"{at}[{i}]")
        raise


def _none_of(field: str, value: Collection[Any], at: str) -> Filter:
    return Not(part=_one_of(field, value, at))


def _limit(field: str, value: Any, at: str, **options: Any) -> Filter:
    """A lower or upper limit: ``options`` say what `Between` shall make of the value."""
    advice = "compare the order with int, float, datetime or str"
    found = None if value is None or isinstance(value, (bool, np.bool_)) else scalar(value, at, advice)
    if found is None:
        raise ArgumentError(at, f"{value!r} has no order; {advice}")
    kind, limit = NUMBERS, found
    if isinstance(found, str):
        kind = TEXTS
    elif isinstance(found, datetime):
        kind, limit = DATES, microseconds(found)
    else:
        limit = float(found) + 0.0
    named: dict[str, Any] = {option: limit if flag is None else flag for option, flag in options.items()}
    return Between(field=field, kind=kind, **named)


def _greater(field: str, value: Any, at: str) -> Filter:
    return _limit(field, value, at, low=None, without_low=True)


def _greater_equal(field: str, value: Any, at: str) -> Filter:
    return _limit(field, value, at, low=None)


def _less(field: str, value: Any, at: str) -> Filter:
    return _limit(field, value, at, high=None, without_high=True)


def _less_equal(field: str, value: Any, at: str) -> Filter:
    return _limit(field, value, at, high=None)


def _contains(field: str, value: Any, at: str) -> Filter:
    if not isinstance(value, str):
        raise ArgumentError(at, f"is a {type(value).__name__}; pass a string: part of a string, or element of a list")
    return Contains(field=field, text=str(scalar(value, at, "")))


def _exists(field: str, value: Any, at: str) -> Filter:
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(at, f"must be True or False, got {value!r}")
    found = Exists(field=field)
    return found if value else Not(part=found)


_OPERATORS: dict[str, Callable[[str, Any, str], Filter]] = {
    "$eq": _equal, "$ne": _not_equal, "$in": _one_of, "$nin": _none_of, "$gt": _greater, "$gte": _greater_equal,
    "$lt": _less, "$lte": _less_equal, "$contains": _contains, "$exists": _exists,
}  # fmt: skip


def all_of(parts: list[Filter]) -> Filter:
    """All of some parts, of which there is one at least; limits of one field become one `Between`."""
    flat: dict[Any, Filter] = {}
    for part in parts:
        for one in part.parts if isinstance(part, AllOf) else (part,):
            if isinstance(one, Between):
                key = (one.field, one.kind)
                known = flat.get(key)
                flat[key] = one if known is None else _narrowed(known, one)  # type: ignore[arg-type]
            else:
                flat[one] = one
    return next(iter(flat.values())) if len(flat) == 1 else AllOf(parts=tuple(flat.values()))


def _narrowed(a: Between, b: Between) -> Between:
    """Both limits at once."""
    if a.low is None or (b.low is not None and (b.low, b.without_low) > (a.low, a.without_low)):
        a = replace(a, low=b.low, without_low=b.without_low)
    if a.high is None or (b.high is not None and (b.high, not b.without_high) < (a.high, not a.without_high)):
        a = replace(a, high=b.high, without_high=b.without_high)
    return a
