"""`--where`: a filter on the command line, written as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ramet.api.cli.inputs import InputError
from ramet.api.cli.values import EXAMPLE, with_dates

Where = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        help='Only records whose metadata match, such as \'{"lang": "en"}\' (docs/filters.md); '
        f"a date is written {EXAMPLE}.",
        show_default=False,
    ),
]


def parse_where(text: str | None) -> Any:
    """Read `--where`; what it says is checked by the engine.

    Raises
    ------
    InputError
        Not JSON, or a date in it is none.

    Examples
    --------
    >>> parse_where('{"year": {"$gte": 2020}}')
    {'year': {'$gte': 2020}}
    """
    if text is None:
        return None
    try:
        return with_dates(json.loads(text))
    except json.JSONDecodeError as error:
        example = """'{"lang": "en"}'"""
        raise InputError(f"--where: {text!r} is not JSON ({error}); write it as in {example}") from error
    except RecursionError as error:
        raise InputError("--where: is nested too deeply") from error
    except ValueError as error:  # of a date, or of a number with thousands of digits
        raise InputError(f"--where: {error}") from error
