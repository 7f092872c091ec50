"""`ramet upsert` and `ramet delete`: records that come and go."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError, read_ids, read_npy
from ramet.api.cli.output import AsJson, console, print_json
from ramet.api.cli.place import CollectionPath, opened

Tenant = Annotated[str, typer.Option(help="Whose records they are.")]


def upsert(
    collection: CollectionPath,
    source: Annotated[Path, typer.Argument(metavar="VECTORS.npy", help="Vectors, one per row.", show_default=False)],
    ids: Annotated[Path, typer.Option(metavar="FILE", help="Ids, one per line.", show_default=False)],
    tenant: Tenant = "default",
    on_conflict: Annotated[
        Literal["replace", "skip", "error"], typer.Option(help="What to do about ids that exist.")
    ] = "replace",
    as_json: AsJson = False,
) -> None:
    """Insert records into a collection, or replace them."""
    vectors, names = read_npy(source), read_ids(ids)
    if vectors.ndim != 2:
        raise InputError(f"{source}: expected vectors of shape (n, dim), found shape {vectors.shape}")
    started = perf_counter()
    with opened(collection) as docs, shown_as(vectors=str(source), ids="--ids"):
        report = docs.upsert(names, vectors, tenant=tenant, on_conflict=on_conflict)
    seconds = perf_counter() - started
    if as_json:
        print_json({"collection": str(collection), "tenant": tenant, "report": report, "seconds": seconds})
        return
    counts = f"{report.n_inserted:,} inserted, {report.n_replaced:,} replaced, {report.n_skipped:,} skipped"
    console().print(f"{collection}, tenant {tenant!r}: {counts}, in {seconds:.1f} s.", markup=False)


def delete(
    collection: CollectionPath,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Records to delete.", show_default=False)],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Delete records; ids that do not exist are passed over."""
    with opened(collection) as docs, shown_as(ids="ID"):
        n_deleted = docs.delete(ids, tenant=tenant)
    if as_json:
        print_json({"collection": str(collection), "tenant": tenant, "n_deleted": n_deleted})
    else:
        console().print(f"{collection}, tenant {tenant!r}: {n_deleted:,} of {len(ids):,} deleted.", markup=False)
