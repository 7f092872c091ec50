"""`ramet demo`: build a collection from real word vectors, query it, and show what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

import ramet
from ramet.api.cli import demo_plot
from ramet.api.cli.build import show_report
from ramet.api.cli.demo_measure import Examiner, Measurement
from ramet.api.cli.demo_words import SHOWN_WORDS, WordSet, read_words, take_queries
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, print_json, program, table
from ramet.api.cli.progress import stage_bars

if TYPE_CHECKING:
    from rich.console import Console

    from ramet import BuildReport, Collection, Database

FOLDER = "ramet-demo"  # the demo's database, in the directory that --dir names
MARKER = "made-by-ramet-demo.txt"
MARKER_TEXT = "`ramet demo` made this directory, and replaces the collection glove50 in it when it runs again.\n"
NAME = "glove50"
PLOT = "demo-glove50.png"
K = 10
TARGETS = (0.90, 0.95, 0.99)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Everything the demo found out."""

    report: BuildReport
    """What the build said of itself."""

    targets: dict[float, Measurement]
    """Recall asked for -> what came of it."""

    curve: dict[int, Measurement]
    """Number of probes -> what came of it."""

    neighbours: dict[str, list[str]]
    """Query word -> the nearest indexed words."""


def demo(
    dir_: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Keep the collection (in ramet-demo) and the plot here.",
            show_default="plot here, collection removed",
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=100, help="Use only the most frequent words.", show_default="all 400,000")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Words to take out and ask.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of queries and of the clustering.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the build.", show_default="all cores")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a collection of 400,000 real word vectors, query it, print recall and latency, draw a plot."""
    screen = console(stderr=as_json)
    demo_plot.require()
    if dir_ is not None:
        refuse_foreign(dir_ / FOLDER)
    words = take_queries(*read_words(), n_rows=rows, n_queries=queries, seed=seed)
    screen.print(f"{len(words.words):,} GloVe word vectors to index, {len(words.query_words):,} others to ask")
    with kept_or_temporary(dir_) as folder, shown_as(path="--dir"), own_database(folder / FOLDER) as database:
        docs = database.create_collection(NAME, dim=words.vectors.shape[1], metric="cosine")
        with stage_bars(shown=not as_json) as progress:
            report = docs.build(words.vectors, words.words, seed=seed, n_threads=threads, progress=progress)
        if not as_json:
            show_report(folder / FOLDER / NAME, report)
        result = ask(docs, words, report, screen)
    plot = (dir_ or Path()) / PLOT
    title = f"{len(words.words):,} GloVe vectors, 50 dimensions, cosine, one query at a time"
    demo_plot.draw(plot, title, list(result.curve.values()), result.targets)
    if as_json:
        print_json({"plot": plot.resolve(), "collection": dir_ and dir_ / FOLDER / NAME, **vars_of(result)})
    else:
        show(screen, result)
        screen.print(f"Plot: {plot.resolve()}", markup=False)
        if dir_ is not None:
            screen.print(f"Try: {program()} query {dir_ / FOLDER / NAME} --like london", markup=False)


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """Yield the given directory, or one that is removed at the end."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="ramet-demo-") as name:
        yield Path(name)


def refuse_foreign(folder: Path) -> None:
    """Refuse a place for the demo's database that something else takes already.

    Raises
    ------
    InputError
        There is something that no demo made.
    """
    if (folder / MARKER).is_file() or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    raise InputError(f"--dir: {folder} exists and was not made by ramet demo; choose another --dir")


@contextmanager
def own_database(folder: Path) -> Iterator[Database]:
    """Open the demo's database, without the collection that an earlier demo left in it."""
    with ramet.connect(folder, create=True) as database:
        (folder / MARKER).write_text(MARKER_TEXT, "utf-8")
        if NAME in database.collections():
            database.delete_collection(NAME)
        yield database


def ask(docs: Collection, words: WordSet, report: BuildReport, screen: Console) -> DemoResult:
    """Search with recall targets and with fixed numbers of probes, and mark the answers."""
    with screen.status("exact search with NumPy, for the right answers"):
        examiner = Examiner(words.words, words.vectors, words.query_vectors, K)
    with screen.status("queries, one at a time"):
        targets = {target: examiner.measure(partial(docs.query, k=K, recall=target)) for target in TARGETS}
        probes = [nprobe for nprobe in PROBES if nprobe <= report.n_lists]
        curve = {nprobe: examiner.measure(partial(docs.query, k=K, nprobe=nprobe)) for nprobe in probes}
    shown = [(word, row) for row, word in enumerate(words.query_words) if word in SHOWN_WORDS]
    neighbours = {word: list(docs.query(words.query_vectors[row], 6).ids) for word, row in shown}
    return DemoResult(report=report, targets=targets, curve=curve, neighbours=neighbours)


def vars_of(result: DemoResult) -> dict[str, object]:
    """Lay the result out for JSON."""
    return {
        "report": result.report,
        "targets": [{"asked": target, "measured": point} for target, point in result.targets.items()],
        "curve": [{"nprobe": nprobe, "measured": point} for nprobe, point in result.curve.items()],
        "neighbours": result.neighbours,
    }


def show(screen: Console, result: DemoResult) -> None:
    """Print the measurements and some neighbours."""
    rows = [[f"recall={target:g}", *written(point)] for target, point in result.targets.items()]
    rows += [[f"nprobe={nprobe}", *written(point)] for nprobe, point in result.curve.items()]
    title = "One query at a time, one thread, against exact search"
    headings = ["asked", f"recall@{K}", "p50 us", "p99 us"]
    screen.print(table(headings, rows, numbers=headings[1:], title=title))
    for word, nearest in result.neighbours.items():
        screen.print(f"{word}: {', '.join(nearest)}", markup=False)


def written(point: Measurement) -> list[str]:
    """Write one measurement as cells of a table."""
    return [f"{point.recall:.3f}", f"{point.p50_us:.0f}", f"{point.p99_us:.0f}"]
