"""`ramet delete`: records that go."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.filters import Where, parse_where
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, counted, print_json
from ramet.api.cli.place import CollectionPath, opened
from ramet.api.cli.upsert import Tenant


def delete(
    collection: CollectionPath,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Records to delete.", show_default=False)
    ] = None,
    where: Where = None,
    texts: Annotated[
        bool,
        typer.Option("--texts", help="The ids are those of texts that `ramet add` stored: delete all their chunks."),
    ] = False,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Delete records, by id or by a filter; ids that do not exist are passed over."""
    chosen = parse_where(where)
    if not ids and where is None:
        raise InputError("name the records to delete, or choose them with --where")
    if ids and where is not None:
        raise InputError("give either ids or --where")
    if texts and not ids:
        raise InputError("--texts takes the ids of texts")
    if where is not None and not chosen:
        raise InputError("--where: is empty and would delete everything; `ramet tenants --drop` does that")
    with opened(collection) as docs, shown_as(ids="ID"):
        if texts:
            n_deleted = docs.delete_texts(ids or [], tenant=tenant)
        else:
            n_deleted = docs.delete(ids or None, where=chosen, tenant=tenant)
    if as_json:
        print_json({"collection": str(collection), "tenant": tenant, "n_deleted": n_deleted})
    else:
        said = deleted(n_deleted, ids, texts)
        console().print(f"{collection}, tenant {tenant!r}: {said} deleted.", markup=False)


def deleted(n_deleted: int, ids: list[Any] | None, texts: bool) -> str:
    """Say how many records went.

    Examples
    --------
    >>> deleted(2, ["a", "b", "c"], False), deleted(7, ["a"], True), deleted(1, None, False)
    ('2 of 3', '7 records of 1 text', '1 record')
    """
    if texts:
        return f"{counted(n_deleted, 'record')} of {counted(len(ids or ()), 'text')}"
    return f"{n_deleted:,} of {len(ids):,}" if ids else counted(n_deleted, "record")
