"""`ramet answer` and `ramet select`: a question to a collection, and what is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.filters import Where, parse_where
from ramet.api.cli.inputs import InputError
from ramet.api.cli.models import Light, Model, embedder_of, refuse_light_alone
from ramet.api.cli.output import AsJson, console, print_json
from ramet.api.cli.place import CollectionPath, opened
from ramet.api.cli.rag_report import as_document, show_answer, show_selection

if TYPE_CHECKING:
    from ramet import Agent, Answer, Rag, TextEmbedder

BUDGET = 1024

# What arguments of the Python functions are called here.
NAMES = {
    "agent": "--agent",
    "budget": "--budget", "cost": "--cost", "cost_model": "--cost-model", "latency_ms": "--latency-ms", "llm": "--llm",
    "max_tokens": "--max-tokens", "order": "--order", "path": "--llm", "question": "QUESTION", "strategy": "--strategy",
    "timeout_s": "--timeout",
}  # fmt: skip

Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)]
Strategy = Annotated[
    str, typer.Option(help="How chunks are selected: auto, topk, mmr, adaptive_k, adagres, greedy, beam or mcts.")
]
AgentFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", help="Selects in place of auto; `ramet rag train` writes it.", show_default=False),
]
Order = Annotated[str, typer.Option(help="In which order they are read: score, document or edges.")]
Tenant = Annotated[str, typer.Option(help="Whose records to read.")]


def select(
    collection: CollectionPath,
    question: Question,
    budget: Annotated[int, typer.Option(min=1, help="Tokens that the prompt may have.")] = BUDGET,
    model: Model = None,
    light: Light = False,
    strategy: Strategy = "auto",
    agent: AgentFile = None,
    order: Order = "score",
    tenant: Tenant = "default",
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be read for an answer under a budget, what would not, and why."""
    with asking(collection, model, light, "extractive", None) as rag:
        found = rag.select(
            question, budget, tenant=tenant, where=parse_where(where), strategy=choosing(strategy, agent), order=order
        )
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
    light: Light = False,
    llm: Annotated[
        str, typer.Option(metavar="MODEL", help="Who answers: extractive, openai:MODEL@URL or gguf:PATH.")
    ] = "extractive",
    strategy: Strategy = "auto",
    agent: AgentFile = None,
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
    if amounts and cost_model is None:
        raise InputError(f"{NAMES[next(iter(amounts))]}: needs --cost-model FILE, as `ramet rag calibrate` writes it")
    options = {
        "budget": budget if budget is not None or amounts else BUDGET,
        **amounts,
        "max_tokens": max_tokens, "timeout_s": timeout, "tenant": tenant, "where": parse_where(where),
        "order": order,
    }  # fmt: skip
    with asking(collection, model, light, llm, cost_model) as rag:
        options["strategy"] = choosing(strategy, agent)
        found = streamed(rag, question, options) if stream else rag.answer(question, **options)
    if as_json:
        print_json(as_document(found))
    else:
        show_answer(console(), found, with_text=not stream)


def choosing(strategy: str, agent: Path | None) -> str | Agent:
    """Who chooses chunks.

    Raises
    ------
    InputError
        Both a strategy and an agent are named.
    ArgumentError
        The file holds no agent.
    """
    if agent is None:
        return strategy
    if strategy != "auto":
        raise InputError("--agent chooses the strategy itself; leave out --strategy")
    return ramet.Agent.load(agent)


def streamed(rag: Rag, question: str, options: dict[str, Any]) -> Answer:
    """Print an answer as it comes."""
    pieces = rag.stream(question, **options)
    for text in pieces:
        print(text, end="", flush=True)
    print("\n")
    return pieces.answer


@contextmanager
def asking(collection: Path, model: str | None, light: bool, llm: str, cost_model: Path | None) -> Iterator[Rag]:
    """Open a collection for questions; errors are in the words of the command line."""
    refuse_light_alone(model, light)

    def load() -> TextEmbedder | None:
        return None if model is None else embedder_of(model, light)

    with opened(collection, load) as docs, shown_as(**NAMES):
        costs = None if cost_model is None else ramet.CostModel.load(cost_model)
        yield ramet.Rag(docs, llm=llm, cost_model=costs)
