"""`ramet stats`: what a collection holds and how it is laid out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ramet.api.cli.output import AsJson, console, plain, print_json, table
from ramet.api.cli.place import CollectionPath, opened


def stats(collection: CollectionPath, as_json: AsJson = False) -> None:
    """Print the size and shape of a collection."""
    with opened(collection) as docs:
        facts = plain(docs.stats())
    if as_json:
        print_json(facts)
    else:
        console().print(table(["", str(collection)], flat_rows(facts)))


def flat_rows(facts: Any, prefix: str = "") -> Iterator[list[str]]:
    """Walk nested facts as `outer.inner` and a value; a list of facts takes a row for each."""
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flat_rows(value, f"{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                yield [name, ", ".join(f"{k} {written(v)}" for k, v in item.items())]
        else:
            yield [name, written(value)]


def written(value: Any) -> str:
    """Write one value for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
