"""`ramet demo --speed`: build a collection from real word vectors, query it, and show what it does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ramet.api.cli import demo_plot
from ramet.api.cli.build import show_report
from ramet.api.cli.demo_measure import Examiner, Measurement
from ramet.api.cli.demo_place import FOLDER, kept_or_temporary, own_database, refuse_foreign
from ramet.api.cli.demo_words import SHOWN_WORDS, WordSet, read_words, take_queries
from ramet.api.cli.output import console, print_json, program, table
from ramet.api.cli.progress import stage_bars

if TYPE_CHECKING:
    from rich.console import Console

    from ramet import BuildReport, Collection

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


def show_speed(
    dir_: Path | None, rows: int | None, queries: int, seed: int, threads: int | None, *, as_json: bool
) -> None:
    """Build a collection of real word vectors, query it, print recall and latency, draw a plot."""
    screen = console(stderr=as_json)
    demo_plot.require()
    if dir_ is not None:
        refuse_foreign(dir_ / FOLDER)
    words = take_queries(*read_words(), n_rows=rows, n_queries=queries, seed=seed)
    screen.print(f"{len(words.words):,} GloVe word vectors to index, {len(words.query_words):,} others to ask")
    with kept_or_temporary(dir_) as folder, own_database(folder / FOLDER, NAME) as database:
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
