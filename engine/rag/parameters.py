"""Checks of parameters: each names the parameter, what was found, and what to pass."""

from __future__ import annotations

import math
import numbers

from ramet.engine.errors import ArgumentError


def number(value: object, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from `low` to `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentError(name, f"must be a number, got {value!r}")
    found = float(value)
    if not math.isfinite(found) or not low <= found <= high:
        raise ArgumentError(name, f"must be {_range(low, high)}, got {value!r}")
    return found


def whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ArgumentError(name, f"must be a whole number, got {value!r}")
    if not low <= int(value) <= high:
        raise ArgumentError(name, f"must be {_range(low, high)}, got {value!r}")
    return int(value)


def one_of(value: object, name: str, allowed: tuple[str, ...]) -> str:
    """One of several words."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(name, f"must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def _range(low: float, high: float) -> str:
    """How to say which numbers are allowed."""
    if math.isinf(low) and math.isinf(high):
        return "finite"
    if math.isinf(high):
        return f"finite and at least {low:g}"
    return f"from {low:g} to {high:g}"
