"""`ramet tenants`: who is in a collection, and with how many records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, print_json, table
from ramet.api.cli.place import CollectionPath, opened

if TYPE_CHECKING:
    from ramet import Collection


def tenants(
    collection: CollectionPath,
    drop: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Delete this tenant with all records that it owns.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tenants of a collection, or delete one of them."""
    with opened(collection) as docs:
        if drop is not None:
            n_records = drop_one(docs, drop)
        known = docs.tenants()
    if as_json:
        dropped = {} if drop is None else {"dropped": drop, "n_deleted": n_records}
        print_json({"collection": str(collection), **dropped, "tenants": known})
        return
    screen = console()
    if drop is not None:
        screen.print(f"Deleted tenant {drop!r} with {n_records:,} records.", markup=False)
    rows = ([name, f"{n_records:,}"] for name, n_records in known.items())
    screen.print(table(["tenant", "records"], rows, numbers=("records",)))


def drop_one(docs: Collection, name: str) -> int:
    """Delete one tenant; return how many records it owned.

    Raises
    ------
    InputError
        There is none of that name.
    """
    with shown_as(name="--drop"):
        try:
            return docs.drop_tenant(name)
        except ramet.UnknownTenantError as error:
            raise InputError(f"--drop: {error.problem}") from error
