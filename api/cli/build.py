"""`ramet build`: a collection from files of any size, in a job that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import ramet
from ramet.api.cli.build_shown import events, said_how_to_go_on, shown_plan, shown_report
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.models import Light, Model, embedder_of, refuse_light_alone
from ramet.api.cli.output import AsJson, console, counted, size, table
from ramet.api.cli.place import Place, collections_in, place_of, refuse_mistaken

if TYPE_CHECKING:
    from rich.table import Table

    from ramet import BuildReport

Column = Annotated[str | None, typer.Option(metavar="NAME", show_default=False)]


def build(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders or patterns: npy, fvecs, bvecs, fbin, u8bin, i8bin, Parquet, Arrow, JSON lines, "
            "folders of text, Markdown, HTML and PDF.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR/NAME", help="The collection to make.", show_default=False)],
    metric: Annotated[Literal["cosine", "l2", "ip"], typer.Option(help="What is near.")] = "cosine",
    dtype: Annotated[
        Literal["float32", "float16", "int8", "uint8"] | None,
        typer.Option(help="Element type to store.", show_default="the input's own, or float32"),
    ] = None,
    codes: Annotated[
        Literal["auto", "none", "sq8"],
        typer.Option(
            help="What posting lists hold: vectors (none) or 8-bit codes with exact rerank (sq8); "
            "auto: sq8 for floats, none for int8/uint8."
        ),
    ] = "auto",
    language: Annotated[str, typer.Option(help="How keyword search takes documents apart.")] = "en",
    ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ids, one per line, in the order of the rows of the one INPUT.",
            show_default="0 to n-1",
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Owner of the records without a tenant of their own.")] = "default",
    format: Annotated[
        str | None, typer.Option(help="Format of the inputs.", show_default="by the ending of each name")
    ] = None,
    id_column: Column = None,
    vector_column: Column = None,
    text_column: Column = None,
    tenant_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column with the owner of each record.", show_default=False)
    ] = None,
    metadata_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column to keep as metadata; repeat it.", show_default="all others"),
    ] = None,
    model: Model = None,
    light: Light = False,
    chunk_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a chunk.", show_default="what the model reads")
    ] = None,
    overlap: Annotated[int, typer.Option(help="Tokens that a chunk repeats of the one before.")] = 0,
    clusters: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Number of top-level groups (not of posting lists: their number follows from --list-size); "
            "default about 2 sqrt(n / list size); 'auto': PPP.",
            show_default=False,
        ),
    ] = None,
    list_size: Annotated[
        int | None, typer.Option(min=1, help="Vectors that a posting list should hold.", show_default="64")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Most posting lists that hold a vector.", show_default="2")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the clustering: same seed, same collection.")] = 0,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory that the job may take.")] = "2GB",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads to use.", show_default="all cores")] = None,
    on_error: Annotated[
        Literal["fail", "skip"], typer.Option(help="What to do with a record that cannot be taken.")
    ] = "fail",
    shards: Annotated[
        int | None, typer.Option(min=1, help="Make a sharded collection of so many shards.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="auto|ADDRESS", help="Work on a Ray cluster.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a job that was stopped.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what it would take.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a collection from files of any size, with bounded memory; prints the recall it measured on itself.

    The work is done in DIR/.build-NAME, and the collection appears when it is complete. A job that was stopped goes on
    with --resume, and ends with the same bytes as one that was not. With --json, every line is an event.
    """
    refuse_light_alone(model, light)
    if resume:
        place_of(out)
    else:
        new_place(out)
    options: dict[str, Any] = {
        "metric": metric, "dtype": dtype, "codes": codes, "language": language, "ids": ids, "tenant": tenant,
        "format": format, "id_column": id_column, "vector_column": vector_column, "text_column": text_column,
        "tenant_column": tenant_column, "metadata_columns": metadata_column, "chunk_tokens": chunk_tokens,
        "overlap": overlap, "clusters": parse_clusters(clusters), "list_size": list_size, "replicas": replicas,
        "seed": seed, "memory": memory, "workers": workers, "on_error": on_error, "shards": shards, "ray": ray,
        "embedder": None if model is None else embedder_of(model, light),
    }  # fmt: skip
    with shown_as(dim="INPUT", embedder="--model", inputs="INPUT", metadata_columns="--metadata-column"):
        if dry_run:
            shown_plan(ramet.plan_job(inputs, out, **options), as_json)
            return
        with said_how_to_go_on(), events(as_json) as progress:
            report = ramet.build_job(inputs, out, resume=resume, progress=progress, **options)
    shown_report(out, report, as_json)


def new_place(out: Path, option: str = "--out") -> Place:
    """Split the place of a collection that is to be made, named in errors as `option`.

    Raises
    ------
    InputError
        There is something at the place already.
    """
    place = place_of(out)
    refuse_mistaken(out, option)
    if place.name in collections_in(place.database):
        raise InputError(taken(out, option))
    if out.is_dir() and any(out.iterdir()):  # not ours: do not advise to delete it
        raise InputError(f"{option}: {out} is a directory with other files; choose another {option}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{option}: {out} is a file; choose another {option}")
    return place


def taken(out: Path, option: str = "--out") -> str:
    """Say that a place is in use."""
    return f"{out} exists already; choose another {option}, or delete the directory {out} first"


def parse_clusters(text: str | None) -> int | str | None:
    """Read `--clusters`.

    Raises
    ------
    InputError
        Neither a number nor `auto`.
    """
    if text is None or text == "auto":
        return text
    if text.isdecimal():
        return int(text)
    raise InputError(f"--clusters: {text!r} is neither a whole number nor 'auto'")


def recall_table(report: BuildReport) -> Table:
    """Pivot the recall curve: a row per number of probes, a column per k."""
    ks = sorted({point.k for point in report.curve})
    recalls = {(point.nprobe, point.k): point.recall for point in report.curve}
    rows = (
        [str(nprobe), *(f"{recalls[nprobe, k]:.3f}" if (nprobe, k) in recalls else "" for k in ks)]
        for nprobe in sorted({point.nprobe for point in report.curve})
    )
    headings = ["probes", *(f"recall@{k}" for k in ks)]
    return table(headings, rows, numbers=headings, title="Recall measured on held-out queries")


def show_report(out: Path, report: BuildReport) -> None:
    """Print what was built."""
    screen = console()
    screen.print(
        f"Built {out}: {counted(report.n_records, 'record')} in {counted(report.n_lists, 'posting list')} "
        f"({report.n_replicas:.2f} copies of a record on average), {size(report.n_bytes)}, {report.seconds:.1f} s",
        markup=False,
    )
    if not report.curve:
        every = f"all {report.n_lists:,} lists" if report.n_lists != 1 else "the one list"
        screen.print(f"Fewer than 2,000 records: recall is not measured, and a query reads {every} (exact).")
        return
    screen.print(recall_table(report))
    screen.print(f"A query reads {counted(report.nprobe, 'posting list')} by default (recall 0.95).")
