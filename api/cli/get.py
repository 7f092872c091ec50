"""`ramet get`: records by id, by a filter, or all of them page by page."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramet.api.cli.columns import Column, first_line, fitted, written_fields
from ramet.api.cli.errors import shown_as
from ramet.api.cli.filters import Where, parse_where
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, counted, plain, print_json
from ramet.api.cli.place import CollectionPath, opened
from ramet.api.cli.values import without_dates

if TYPE_CHECKING:
    from ramet import Collection, Records

PAGE = 1024
LIMIT = 100


def get(
    collection: CollectionPath,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Records to show.", show_default=False)
    ] = None,
    where: Where = None,
    limit: Annotated[
        int | None, typer.Option(help="Most records to show.", show_default=f"{LIMIT}; with --lines all")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(help="Go on behind the page that printed this cursor.", show_default=False)
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose records to show.")] = "default",
    no_vectors: Annotated[bool, typer.Option("--no-vectors", help="Leave the vectors out.")] = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="Print a JSON object for each record, as `ramet upsert` reads them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show records: those of some ids, those that match a filter, or all, in the order of their ids."""
    if ids and (where is not None or limit is not None or cursor is not None):
        raise InputError("ids are given together with --where, --limit or --cursor, which go through other records")
    if lines and as_json:
        raise InputError("give one of --lines and --json")
    chosen: dict[str, Any] = {"where": parse_where(where), "cursor": cursor, "tenant": tenant}
    chosen["include"] = ["documents", "metadata", *([] if no_vectors else ["vectors"])]
    with opened(collection) as docs, shown_as(ids="ID"):
        if lines and not ids:
            print_lines(all_pages(docs, limit, chosen))
            return
        if ids:
            records = docs.get(ids, tenant=tenant, include=chosen["include"])
        else:
            records = docs.get(limit=LIMIT if limit is None else limit, **chosen)
    note_missing(ids or (), records)
    if lines:
        print_lines(iter([records]))
    elif as_json:
        print_json({"collection": str(collection), "tenant": tenant, **as_dict(records, vectors=not no_vectors)})
    else:
        show_records(records, vectors=not no_vectors)


def all_pages(docs: Collection, limit: int | None, chosen: dict[str, Any]) -> Iterator[Records]:
    """Go through all records, or the first `limit` of them."""
    left = limit
    while True:
        records = docs.get(**{**chosen, "limit": PAGE if left is None or left > PAGE else left})
        yield records
        left = None if left is None else left - len(records)
        if records.cursor is None:
            return
        if left is not None and left <= 0:
            print(f"ramet: note: more records follow; go on with --cursor {records.cursor}", file=sys.stderr)
            return
        chosen = {**chosen, "cursor": records.cursor}


def print_lines(found: Iterator[Records]) -> None:
    """Print records as `ramet upsert` reads them; what a record lacks is left out."""
    for records in found:
        for record in records:
            parts = {
                "id": record.id,
                "tenant": record.tenant,
                "vector": plain(record.vector),
                "text": record.document,
                "metadata": without_dates(record.metadata),
            }
            there = {name: part for name, part in parts.items() if part is not None}
            print(json.dumps(there, ensure_ascii=False))


def note_missing(ids: Sequence[str], records: Records) -> None:
    """Say on stderr which ids are not there."""
    found = {record.id for record in records}
    missing = list(dict.fromkeys(name for name in ids if name not in found))
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        print(f"ramet: note: no record {', '.join(map(repr, missing[:5]))}{more}", file=sys.stderr)


def as_dict(records: Records, *, vectors: bool) -> dict[str, Any]:
    """Turn records into what `--json` prints."""
    names = ("id", "document", "metadata", *(["vector"] if vectors else []))
    found = [{name: getattr(record, name) for name in names} for record in records]
    return {"records": found, "cursor": records.cursor}


def show_records(records: Records, *, vectors: bool) -> None:
    """Print a table; columns that would be empty are left out."""
    columns = [Column("id", [record.id for record in records])]
    if any(record.document is not None for record in records):
        columns.append(Column("document", [first_line(record.document) for record in records], cut=True))
    if any(record.metadata for record in records):
        columns.append(Column("metadata", [written_fields(record.metadata) for record in records], cut=True))
    if vectors and any(record.vector is not None for record in records):
        columns.append(Column("vector", [beginning(record.vector) for record in records]))
    screen = console()
    screen.print(fitted(columns, screen.width))
    screen.print(f"{counted(len(records), 'record')}.")
    if records.cursor is not None:
        screen.print(f"There are more: --cursor {records.cursor}", markup=False)


def beginning(vector: Any) -> str:
    """Write the first numbers of a vector, and how many there are.

    Examples
    --------
    >>> import numpy as np
    >>> beginning(np.arange(5.0)), beginning(None)
    ('0 1 2 ... (5)', '')
    """
    if vector is None:
        return ""
    shown = " ".join(f"{number:.3g}" for number in vector[:3].tolist())
    return f"{shown} ... ({len(vector)})" if len(vector) > 3 else shown
