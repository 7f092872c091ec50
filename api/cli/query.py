"""`ramet query`: the nearest records to one vector or to each row of a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError, parse_vector, read_npy
from ramet.api.cli.output import AsJson, console, print_json, table
from ramet.api.cli.place import CollectionPath, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ramet import Collection


def query(
    collection: CollectionPath,
    vector: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Query vector, or one per row.", show_default=False)
    ] = None,
    text_vector: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help='Query vector, such as "0.1,0.2".', show_default=False)
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="ID", help="Query with the vector of this record.", show_default=False)
    ] = None,
    row: Annotated[
        int | None, typer.Option(help="Take only this row of the file, from 0.", show_default="all rows")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many records to find.")] = 10,
    recall: Annotated[
        float | None, typer.Option(help="Share of the true nearest to find.", show_default="0.95")
    ] = None,
    nprobe: Annotated[
        int | None, typer.Option(help="Posting lists to read, instead of --recall.", show_default=False)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Read every posting list.")] = False,
    prune: Annotated[
        float | None,
        typer.Option(help="Skip lists farther than this ratio times the nearest one, above 1.", show_default=False),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify the checksum of every list read first.")] = False,
    tenant: Annotated[str, typer.Option(help="Whose records to search.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Find the records nearest to a vector."""
    if sum(given is not None for given in (vector, text_vector, like)) != 1:
        raise InputError("give exactly one of --vector, --text-vector and --like")
    if row is not None and vector is None:
        raise InputError("--row chooses a row of the file given with --vector")
    if (recall is not None) + (nprobe is not None) + exact > 1:
        raise InputError("give at most one of --recall, --nprobe and --exact")
    option = "--vector" if vector is not None else "--like" if like is not None else "--text-vector"
    with opened(collection) as docs, shown_as(vectors=option, ids=option):
        metric = docs.metric
        if prune is not None and metric == "ip":
            raise InputError("--prune works on distances; with metric 'ip' use --nprobe or --recall")
        queries = query_vectors(docs, vector, row, text_vector, like, tenant)
        hits = docs.query(
            queries, k, tenant=tenant, recall=recall, nprobe=nprobe, exact=exact, prune=prune, check=check
        )
        if not docs.count(tenant):
            print(f"ramet: note: tenant {tenant!r} has no records in {collection}", file=sys.stderr)
    # The same shape for one query and for many: a list of hits for each.
    results = hits.to_list() if hits.batch else [hits.to_list()]
    if as_json:
        print_json({"collection": str(collection), "metric": metric, "k": k, "results": results})
    else:
        show_hits(results)


def query_vectors(
    docs: Collection, vector: Path | None, row: int | None, text_vector: str | None, like: str | None, tenant: str
) -> NDArray[Any]:
    """Fetch what to search for, as shape (dim,) or (n, dim), whichever of the options was given."""
    if vector is not None:
        return row_of(read_npy(vector), row, vector)
    if text_vector is not None:
        return parse_vector(text_vector)
    assert like is not None
    records = docs.get(ids=[like], tenant=tenant, with_vectors=True)
    if not records or records[0].vector is None:
        raise InputError(f"--like: tenant {tenant!r} has no record {like!r}")
    return records[0].vector


def row_of(vectors: NDArray[Any], row: int | None, path: Path) -> NDArray[Any]:
    """Choose one row of a file, or all of it.

    Raises
    ------
    InputError
        The file has no such row.
    """
    if row is None:
        return vectors
    if vectors.ndim != 2:
        raise InputError(f"--row {row}: {path} holds a single vector; leave --row out")
    if not 0 <= row < len(vectors):
        valid = f"the rows 0 to {len(vectors) - 1}" if len(vectors) > 1 else "row 0" if len(vectors) else "no rows"
        raise InputError(f"--row {row}: {path} has {valid}")
    return vectors[row]  # type: ignore[no-any-return]  # indexing an array of Any


def show_hits(results: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Print one table; a batch gets a column that counts its queries."""
    batch = len(results) > 1
    headings = [*(["query"] if batch else []), "rank", "id", "distance", "score"]
    rows = (
        [*([str(i)] if batch else []), str(rank), hit["id"], f"{hit['distance']:.6g}", f"{hit['score']:.6g}"]
        for i, hits in enumerate(results)
        for rank, hit in enumerate(hits, start=1)
    )
    console().print(table(headings, rows, numbers=("query", "rank", "distance", "score")))
