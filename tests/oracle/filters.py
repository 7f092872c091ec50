"""What a filter means, said for one record at a time: the oracle of ``where=``."""

from datetime import UTC, datetime


def kind_of(value):
    """Types that are compared with each other."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, datetime):
        return "date"
    return {str: "text", list: "list"}.get(type(value), "none")


def plain(value):
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def same(a, b):
    return kind_of(a) == kind_of(b) and plain(a) == plain(b)


def equals(there, wanted):
    """Whether a field (None: missing) equals a value; a list does when one of its elements does."""
    if isinstance(there, list):
        return any(same(element, wanted) for element in there)
    return same(there, wanted)


def compares(there, wanted, test):
    return kind_of(there) == kind_of(wanted) != "list" and there is not None and test(plain(there), plain(wanted))


def contains(there, text):
    if isinstance(there, str):
        return text in there
    return isinstance(there, list) and text in there


OPERATORS = {
    "$eq": equals,
    "$ne": lambda there, wanted: not equals(there, wanted),
    "$in": lambda there, wanted: any(equals(there, value) for value in wanted),
    "$nin": lambda there, wanted: not any(equals(there, value) for value in wanted),
    "$gt": lambda there, wanted: compares(there, wanted, lambda a, b: a > b),
    "$gte": lambda there, wanted: compares(there, wanted, lambda a, b: a >= b),
    "$lt": lambda there, wanted: compares(there, wanted, lambda a, b: a < b),
    "$lte": lambda there, wanted: compares(there, wanted, lambda a, b: a <= b),
    "$contains": contains,
    "$exists": lambda there, wanted: (there is not None) == wanted,
    "$not": lambda there, wanted: not field_matches(there, wanted),
}


def field_matches(there, wanted):
    if not isinstance(wanted, dict):
        return equals(there, wanted)
    return all(OPERATORS[operator](there, value) for operator, value in wanted.items())


def matches(where, metadata):
    """Whether a record's metadata (a dict without None, or None) matches a filter."""
    metadata = metadata or {}
    found = []
    for key, value in where.items():
        if key == "$and":
            found.append(all(matches(part, metadata) for part in value))
        elif key == "$or":
            found.append(any(matches(part, metadata) for part in value))
        elif key == "$not":
            found.append(not matches(value, metadata))
        else:
            found.append(field_matches(metadata.get(key), value))
    return all(found)
