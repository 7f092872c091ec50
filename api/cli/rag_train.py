"""`ramet rag train`: a configuration agent from questions whose evidence is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ramet
from ramet.api.cli.answer import Tenant, asking
from ramet.api.cli.errors import shown_as
from ramet.api.cli.filters import Where, parse_where
from ramet.api.cli.inputs import InputError, refuse_unwritable
from ramet.api.cli.models import Light, Model
from ramet.api.cli.output import AsJson, console, counted, print_json, table
from ramet.api.cli.place import CollectionPath
from ramet.api.cli.progress import stage_bars

if TYPE_CHECKING:
    from ramet import AgentReport


def train(
    collection: CollectionPath,
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl", help='One {"question": ..., "gold": [ids of records or documents]} per line.',
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where the agent goes.")],
    model: Model = None,
    light: Light = False,
    tenant: Tenant = "default",
    where: Where = None,
    recall_share: Annotated[
        float, typer.Option(help="Weight of evidence recall beside evidence F1 in what is learned, 0 to 1.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same agent.")] = 5,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train the agent that chooses strategy and parameters for --strategy auto, on questions of your own."""
    refuse_unwritable(out)
    asked = read_questions(questions)
    with (
        asking(collection, model, light, "extractive", None) as rag,
        shown_as(questions=str(questions), recall_share="--recall-share"),
        stage_bars(shown=not as_json) as bars,
    ):
        agent, report = ramet.train_agent(
            rag, asked, tenant=tenant, where=parse_where(where), recall_share=recall_share, seed=seed,
            progress=None if bars is None else lambda what, done, total: bars(what, done / total),
        )  # fmt: skip
    agent.save(out)
    if as_json:
        print_json({"file": str(out), "questions": len(asked), "report": report})
    else:
        show_report(report, len(asked), out)


def read_questions(path: Path) -> list[dict[str, Any]]:
    """Read the labelled questions.

    Raises
    ------
    InputError
        It is not UTF-8 text, or a line is no JSON object.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if not isinstance(one, dict):
            raise InputError(f'{path}, line {number}: no object; write {{"question": ..., "gold": [...]}}')
        found.append(one)
    return found


def show_report(report: AgentReport, n: int, out: Path) -> None:
    """Print what the agent is worth beside configurations that stay the same."""
    screen = console()
    rows = [["the agent, in cross-validation", f"{report.validation:.3f}"]]
    rows += [
        [f"always {name}", f"{worth:.3f}"] for name, worth in sorted(report.fixed.items(), key=lambda one: -one[1])
    ]
    rows.append(["the best for every question, if it were known", f"{report.best:.3f}"])
    screen.print(table(["", "worth"], rows, numbers=("worth",), title=counted(n, "question")))
    if report.validation < max(report.fixed.values()):
        screen.print("No better than always the same: train with more questions, or name a strategy.", markup=False)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in report.chosen.items())
    screen.print(f"It chooses {shares}. Written to {out}.", markup=False)
