"""`ramet demo`: a real corpus, questions about it, and cited answers under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramet.api.cli.demo_answers import BUDGET, show_answers
from ramet.api.cli.demo_speed import show_speed
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson


def demo(
    questions: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION...", help="What to ask of Python's reference.", show_default="four questions"),
    ] = None,
    dir_: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Keep the collection (in ramet-demo) and the plot here.",
            show_default="plot here, collection removed",
        ),
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Tokens that a prompt may have.")] = BUDGET,
    llm: Annotated[
        str, typer.Option(help="Who answers: extractive, openai:MODEL@URL or gguf:PATH.", metavar="MODEL")
    ] = "extractive",
    speed: Annotated[
        bool, typer.Option("--speed", help="Instead: 400,000 word vectors, recall and latency, with a plot.")
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option(min=100, help="With --speed: only the most frequent words.", show_default="all 400,000"),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="With --speed: words to take out and ask.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="With --speed: of the choice of queries and the clustering.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="With --speed: threads of the build.", show_default="all cores")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer questions from Python's own reference manual: chunks, embeddings, selection, citations."""
    if speed:
        if questions:
            raise InputError("QUESTION: --speed asks none; leave one of them out")
        show_speed(dir_, rows, queries, seed, threads, as_json=as_json)
    else:
        show_answers(dir_, questions, budget, llm, as_json=as_json)
