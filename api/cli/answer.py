"""`ramet answer` and `ramet select`: a question to a collection, and what is read for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, print_json
from ramet.api.cli.place import CollectionPath, database_of, place_of
from ramet.api.cli.rag_report import as_document, show_answer, show_selection

if TYPE_CHECKING:
    from ramet import Answer, Rag

BUDGET = 1024

Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="EMBEDDER",
        help="Folder or name of the sentence-transformers model that made the vectors; static:FOLDER for model2vec.",
        show_default=False,
    ),
]
Strategy = Annotated[
    str, typer.Option(help="How chunks are selected: auto, topk, mmr, adaptive_k, adagres, greedy, beam or mcts.")
]
Order = Annotated[str, typer.Option(help="In which order they are read: score, document or edges.")]
Tenant = Annotated[str, typer.Option(help="Whose records to read.")]
Where = Annotated[
    str | None, typer.Option(metavar="JSON", help='Filter, such as \'{"lang": "en"}\'.', show_default=False)
]


def select(
    collection: CollectionPath,
    question: Question,
    budget: Annotated[int, typer.Option(min=1, help="Tokens that the prompt may have.")] = BUDGET,
    model: Model = None,
    strategy: Strategy = "auto",
    order: Order = "score",
    tenant: Tenant = "default",
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be read for an answer under a budget, what would not, and why."""
    with asking(collection, model, "extractive", None) as rag:
        found = rag.select(question, budget, tenant=tenant, where=filter_of(where), strategy=strategy, order=order)
    if as_json:
        print_json(as_document(found))
    else:
        show_selection(console(), found, left_out=20)


def answer(
    collection: CollectionPath,
    question: Question,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Tokens that the prompt may have.", show_default=str(BUDGET))
    ] = None,
    cost: Annotated[
        float | None, typer.Option(help="What an answer may cost, by the prices of --cost-model.", show_default=False)
    ] = None,
    latency_ms: Annotated[
        float | None, typer.Option(help="What it may take, by the times of --cost-model.", show_default=False)
    ] = None,
    cost_model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="As `ramet rag calibrate` wrote it.", show_default=False)
    ] = None,
    model: Model = None,
    llm: Annotated[
        str, typer.Option(metavar="MODEL", help="Who answers: extractive, openai:MODEL@URL or gguf:PATH.")
    ] = "extractive",
    strategy: Strategy = "auto",
    order: Order = "score",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens that the answer may have.")] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds that the language model may take.")] = 60.0,
    tenant: Tenant = "default",
    where: Where = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question from a collection, with citations, under a budget."""
    if stream and as_json:
        raise InputError("--stream prints text as it comes, --json one document at the end; leave one of them out")
    amounts = {name: value for name, value in (("cost", cost), ("latency_ms", latency_ms)) if value is not None}
    options = {
        "budget": budget if budget is not None or amounts else BUDGET,
        **amounts,
        "max_tokens": max_tokens, "timeout_s": timeout, "tenant": tenant, "where": filter_of(where),
        "strategy": strategy, "order": order,
    }  # fmt: skip
    with asking(collection, model, llm, cost_model) as rag:
        try:
            found = streamed(rag, question, options) if stream else rag.answer(question, **options)
        except ramet.LlmError as error:
            if error.selection is not None and not as_json:
                show_selection(console(stderr=True), error.selection)
            raise
    if as_json:
        print_json(as_document(found))
    else:
        show_answer(console(), found, with_text=not stream)


def streamed(rag: Rag, question: str, options: dict[str, Any]) -> Answer:
    """Print an answer as it comes."""
    pieces = rag.stream(question, **options)
    for text in pieces:
        print(text, end="", flush=True)
    print("\n")
    return pieces.answer


@contextmanager
def asking(collection: Path, model: str | None, llm: str, cost_model: Path | None) -> Iterator[Rag]:
    """Open a collection for questions; errors are in the words of the command line."""
    names = {"model": "--model", "llm": "--llm", "cost_model": "--cost-model", "where": "--where", "budget": "--budget"}
    names |= {"strategy": "--strategy", "order": "--order", "question": "QUESTION", "max_tokens": "--max-tokens"}
    names |= {"cost": "--cost", "latency_ms": "--latency-ms", "timeout_s": "--timeout"}
    with database_of(collection) as database, shown_as(**names):
        embedder = embedder_of(model)
        docs = database.collection(place_of(collection).name, embedder=embedder)
        costs = None if cost_model is None else ramet.CostModel.load(cost_model)
        yield ramet.Rag(docs, llm=llm, cost_model=costs)


def embedder_of(text: str | None) -> Any:
    """Make the embedder that `--model` names."""
    if text is None:
        return None
    kind, _, folder = text.partition("static:")
    return ramet.StaticEmbedder(folder) if not kind and folder else ramet.Embedder(text)


def filter_of(text: str | None) -> Any:
    """Read `--where`.

    Raises
    ------
    InputError
        It is not JSON.
    """
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InputError(f'--where: {error}; write a filter as JSON, such as \'{{"lang": "en"}}\'') from error
