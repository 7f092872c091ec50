"""`ramet build`: a collection from a file of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import ramet
from ramet.api.cli.inputs import InputError, read_ids, read_npy
from ramet.api.cli.output import AsJson, console, counted, print_json, size, table
from ramet.api.cli.place import Place, collections_in, place_of, refuse_mistaken
from ramet.api.cli.progress import stage_bars

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

    from ramet import BuildReport

DTYPES = ("float32", "float16", "int8", "uint8")


def build(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT.npy", help="Vectors, one per row, as numpy.save writes them.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR/NAME", help="The collection to make.", show_default=False)],
    metric: Annotated[Literal["cosine", "l2", "ip"], typer.Option(help="What is near.")] = "cosine",
    dtype: Annotated[
        Literal["float32", "float16", "int8", "uint8"] | None,
        typer.Option(help="Element type to store.", show_default="the file's own, or float32"),
    ] = None,
    codes: Annotated[
        Literal["auto", "none", "sq8"],
        typer.Option(
            help="What posting lists hold: vectors (none) or 8-bit codes with exact rerank (sq8); "
            "auto: sq8 for floats, none for int8/uint8."
        ),
    ] = "auto",
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ids, one per line, in the order of the rows.", show_default="0 to n-1"),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Owner of the records.")] = "default",
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
    navigation: Annotated[
        Literal["groups", "hnsw"],
        typer.Option(help="How queries find posting lists: two levels of 8-bit centroids, or a faiss graph."),
    ] = "groups",
    seed: Annotated[int, typer.Option(help="Seed of the clustering: same seed, same collection.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to use.", show_default="all cores")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a collection from a .npy file; prints the recall it measured on itself."""
    place = new_place(out)
    vectors = read_npy(source)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"{source}: expected vectors of shape (n, dim), found shape {vectors.shape}")
    options = {
        "ids": None if ids is None else read_ids(ids),
        "tenant": tenant,
        "clusters": parse_clusters(clusters),
        "list_size": list_size,
        "replicas": replicas,
        "navigation": navigation,
        "seed": seed,
        "n_threads": threads,
    }
    settings = {"dim": vectors.shape[1], "metric": metric, "dtype": dtype or stored_dtype(vectors), "codes": codes}
    report, made = build_new(place, settings, vectors, options, shown=not as_json)
    if as_json:
        print_json({"collection": str(out), **settings, "codes": made, "report": report})
    else:
        show_report(out, report)


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


def stored_dtype(vectors: NDArray[Any]) -> str:
    """Choose the element type for vectors of a file: its own where a collection can store it, else float32."""
    return vectors.dtype.name if vectors.dtype.name in DTYPES else "float32"


def build_new(
    place: Place, settings: dict[str, Any], vectors: Any, options: dict[str, Any], *, shown: bool
) -> tuple[BuildReport, str]:
    """Create a collection and build it; a build that fails leaves no collection behind.

    Returns
    -------
    report : BuildReport
    codes : str
        What its posting lists hold: "none" or "sq8", also where the settings say "auto".
    """
    with ramet.connect(place.database, create=True) as database:
        try:
            collection = database.create_collection(place.name, **settings)
        except ramet.CollectionExistsError as error:  # made since `new_place` looked
            raise InputError(taken(place.database / place.name)) from error
        try:
            with stage_bars(shown) as progress:
                return collection.build(vectors, progress=progress, **options), collection.codes
        except BaseException:  # Ctrl-C too
            collection.close()
            database.delete_collection(place.name)
            raise


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
