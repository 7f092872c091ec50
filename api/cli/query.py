"""`ramet query`: the records nearest to a vector or to each row of a file, or best for some words, or both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.filters import Where, parse_where
from ramet.api.cli.hits import show_hits
from ramet.api.cli.inputs import InputError, parse_vector, read_npy
from ramet.api.cli.models import Light, Model, embedder_of, refuse_light_alone
from ramet.api.cli.output import AsJson, console, print_json
from ramet.api.cli.place import CollectionPath, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ramet import Collection, Hits, TextEmbedder

Mode = Literal["dense", "keyword", "hybrid"]


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
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="What to look for, in words.", show_default=False)
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="By near vectors, by words (BM25), or by both.",
            show_default="keyword for a text alone, dense for a vector or a text with --model, hybrid for both",
        ),
    ] = None,
    model: Model = None,
    light: Light = False,
    where: Where = None,
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
    fusion: Annotated[
        Literal["rrf", "weighted"], typer.Option(help="How --mode hybrid joins: by places, or by scores.")
    ] = "rrf",
    alpha: Annotated[float, typer.Option(help="Weight of the vectors in --fusion weighted, 0 to 1.")] = 0.5,
    tenant: Annotated[str, typer.Option(help="Whose records to search.")] = "default",
    explain: Annotated[bool, typer.Option("--explain", help="Say what was read and why, and what it took.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the records nearest to a vector, or best for some words, or both."""
    n_vectors = sum(given is not None for given in (vector, text_vector, like))
    if n_vectors > 1 or (n_vectors == 0 and text is None):
        raise InputError("give exactly one of --vector, --text-vector and --like, or --text, or one with --text")
    if row is not None and vector is None:
        raise InputError("--row chooses a row of the file given with --vector")
    if (recall is not None) + (nprobe is not None) + exact > 1:
        raise InputError("give at most one of --recall, --nprobe and --exact")
    chosen = mode_of(mode, n_vectors == 1, text, model, light)
    option = "--vector" if vector is not None else "--like" if like is not None else "--text-vector"
    filter_ = parse_where(where)

    def load() -> TextEmbedder | None:
        return embedder_of(model, light) if model is not None and chosen != "keyword" else None

    with opened(collection, load) as docs, shown_as(vectors=option, ids=option):
        metric = docs.metric
        if prune is not None and metric == "ip":
            raise InputError("--prune works on distances; with metric 'ip' use --nprobe or --recall")
        queries = query_vectors(docs, vector, row, text_vector, like, tenant) if n_vectors else None
        if queries is not None and text is not None:
            queries = single(queries)
        hits = docs.query(
            queries, k, text=text, mode=chosen, where=filter_, tenant=tenant, recall=recall, nprobe=nprobe, exact=exact,
            prune=prune, check=check, fusion=fusion, alpha=alpha, explain=explain,
        )  # fmt: skip
        note_nothing(docs, collection, tenant, chosen)
    facts = {"collection": str(collection), "metric": metric, "k": k, "mode": chosen}
    show(facts, hits, as_json)


def note_nothing(docs: Collection, collection: Path, tenant: str, mode: Mode) -> None:
    """Say on stderr when there was nothing to search in."""
    if not docs.count(tenant):
        print(f"ramet: note: tenant {tenant!r} has no records in {collection}", file=sys.stderr)
    elif mode != "dense" and not docs.stats(tenant)["tenants"][tenant]["documents"]:
        print(f"ramet: note: no record of tenant {tenant!r} in {collection} has a text", file=sys.stderr)


def show(facts: dict[str, Any], hits: Hits, as_json: bool) -> None:
    """Print what was found, and how, if that was asked for."""
    # The same shape for one query and for many: a list of hits for each.
    results = hits.to_list() if hits.batch else [hits.to_list()]
    if as_json:
        explained = {} if hits.explanation is None else {"explanation": hits.explanation.to_dict()}
        print_json({**facts, "results": results, **explained})
        return
    show_hits(results, distances=facts["mode"] == "dense")
    if hits.explanation is not None:
        console().print(str(hits.explanation), markup=False)


def mode_of(mode: Mode | None, has_vector: bool, text: str | None, model: str | None, light: bool) -> Mode:
    """Choose the kind of search, and refuse options that do not go together.

    Raises
    ------
    InputError

    Examples
    --------
    >>> mode_of(None, False, "rice", None, False), mode_of(None, False, "rice", "a/model", False)
    ('keyword', 'dense')
    >>> mode_of(None, True, "rice", None, False), mode_of(None, True, None, None, False)
    ('hybrid', 'dense')
    """
    refuse_light_alone(model, light)
    if text is None:
        if model is not None:
            raise InputError("--model makes a vector of --text, which is missing")
        if mode not in (None, "dense"):
            raise InputError(f"--mode {mode} needs --text")
        return "dense"
    if has_vector:
        if model is not None:
            raise InputError("--model makes a vector of --text, and there is one already")
        if mode not in (None, "hybrid"):
            raise InputError(f"--mode {mode} takes --text or a vector, and not both; --mode hybrid does")
        return "hybrid"
    if mode in ("dense", "hybrid") and model is None:
        raise InputError(f"--mode {mode} needs a vector, or --model to make one of --text")
    return mode or ("keyword" if model is None else "dense")


def query_vectors(
    docs: Collection, vector: Path | None, row: int | None, text_vector: str | None, like: str | None, tenant: str
) -> NDArray[Any]:
    """Fetch what to search for, as shape (dim,) or (n, dim), whichever of the options was given."""
    if vector is not None:
        return row_of(read_npy(vector), row, vector)
    if text_vector is not None:
        return parse_vector(text_vector)
    assert like is not None
    records = docs.get(ids=[like], tenant=tenant, include=["vectors"])
    if not records:
        raise InputError(f"--like: tenant {tenant!r} has no record {like!r}")
    if records[0].vector is None:
        raise InputError(f"--like: record {like!r} has no vector")
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


def single(vectors: NDArray[Any]) -> NDArray[Any]:
    """Take the one vector that goes with a text.

    Raises
    ------
    InputError
        There are several.
    """
    if vectors.ndim == 2 and len(vectors) != 1:
        raise InputError(f"--vector: --text goes with one vector, the file has {len(vectors)}; choose one with --row")
    return vectors.reshape(-1)
