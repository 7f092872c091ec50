"""`ramet shards ...`: the shards of a collection that lies in several directories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, counted, print_json, table
from ramet.api.cli.place import CollectionPath, opened

if TYPE_CHECKING:
    from ramet.engine.sharded.operations import Report

shards = typer.Typer(help="List, add, replace and rebalance the shards of a collection.", no_args_is_help=True)


@shards.command("list")
def list_all(collection: CollectionPath, as_json: AsJson = False) -> None:
    """List the shards: their cells of the shared tree, and how many records they have."""
    with opened(_sharded(collection)) as docs:
        found: list[dict[str, Any]] = docs.stats()["shards"]
    if as_json:
        print_json({"collection": str(collection), "shards": found})
        return
    show((one["name"], one["first_cell"], one["last_cell"], one["records"]) for one in found)


@shards.command()
def add(collection: CollectionPath, as_json: AsJson = False) -> None:
    """Add a shard, which takes its part of the records; writers wait meanwhile."""
    from ramet.engine.sharded.operations import add_shard

    begun = perf_counter()
    with shown_as(n_shards="DIR/NAME"):
        report = add_shard(_sharded(collection))
    tell(collection, report, perf_counter() - begun, as_json)


@shards.command()
def rebalance(
    collection: CollectionPath,
    n_shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="How many there shall be.", show_default="as many as now")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Share the records out anew, so that shards have like numbers of them; writers wait meanwhile."""
    from ramet.engine.sharded import operations

    begun = perf_counter()
    with shown_as(n_shards="--shards"):
        report = operations.rebalance(_sharded(collection), n_shards)
    tell(collection, report, perf_counter() - begun, as_json)


@shards.command()
def replace(
    collection: CollectionPath,
    name: Annotated[str, typer.Argument(metavar="SHARD", help="Which one, by its name.", show_default=False)],
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A collection's directory; it stays as it is.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Put a copy of a collection, such as the shard in a backup, in the place of one that is damaged or missing."""
    from ramet.engine.sharded.operations import replace_shard

    begun = perf_counter()
    with shown_as(name="SHARD", source="SOURCE"):
        report = replace_shard(_sharded(collection), name, source)
    tell(collection, report, perf_counter() - begun, as_json)


def _sharded(path: Path) -> Path:
    """The path of a sharded collection.

    Raises
    ------
    InputError
        There is none.
    """
    from ramet.engine.sharded.manifest import is_sharded

    if not is_sharded(path):
        raise InputError(f"{path}: there is no sharded collection")
    return path


def tell(collection: Path, report: Report, seconds: float, as_json: bool) -> None:
    """Say what an operation did."""
    if as_json:
        print_json({"collection": str(collection), "report": report, "seconds": seconds})
        return
    show((one.name, one.first_cell, one.last_cell, one.records) for one in report.shards)
    moved = counted(report.n_moved, "record")
    console().print(f"Moved {moved} of {collection} to another shard, in {seconds:.1f} s.", markup=False)
    if report.unchecked:
        names = ", ".join(report.unchecked)
        console().print(f"Not compared, as they are damaged or missing, too: {names}. Replace them.", markup=False)


def show(rows: Iterable[tuple[str, int, int, int]]) -> None:
    """Print a table of shards."""
    lines = ([name, f"{first:,} to {last - 1:,}", f"{records:,}"] for name, first, last, records in rows)
    console().print(table(["shard", "cells", "records"], lines, numbers=("records",)))
