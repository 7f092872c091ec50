"""`ramet rag ...`: what is done once for a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError, refuse_unwritable
from ramet.api.cli.output import AsJson, console, print_json, table
from ramet.api.cli.progress import stage_bars
from ramet.api.cli.rag_train import train

if TYPE_CHECKING:
    from ramet import CostModel

# What arguments of the Python functions are called here.
NAMES = {
    "prompts": "--prompts", "outputs": "--outputs", "repeats": "--repeats", "llm": "--llm", "path": "--llm",
    "input_per_million": "--price-in", "output_per_million": "--price-out", "per_hour": "--price-hour",
}  # fmt: skip

rag = typer.Typer(help="Look after answers from language models.", no_args_is_help=True)
rag.command()(train)


@rag.command()
def calibrate(
    llm: Annotated[
        str, typer.Option(metavar="MODEL", help="Whom to measure: openai:MODEL@URL, gguf:PATH or extractive.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.json", help="Where the cost model goes.")],
    prompts: Annotated[
        str, typer.Option(metavar="N,N,...", help="Tokens of prompts to measure.")
    ] = "64,128,256,512,1024,2048",
    outputs: Annotated[str, typer.Option(metavar="N,N,...", help="Tokens of answers to measure.")] = "1,16,48",
    repeats: Annotated[int, typer.Option(min=1, help="Times that each is measured.")] = 2,
    price_in: Annotated[float, typer.Option(help="Price of a million tokens of prompts.")] = 0.0,
    price_out: Annotated[float, typer.Option(help="Price of a million tokens of answers.")] = 0.0,
    price_hour: Annotated[float, typer.Option(help="Price of an hour of the machine.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Measure what answers of a language model take, for budgets in time and money."""
    refuse_unwritable(out)
    with shown_as(**NAMES), stage_bars(shown=not as_json) as bars:
        prices = ramet.Prices(input_per_million=price_in, output_per_million=price_out, per_hour=price_hour)
        model = ramet.calibrate_llm(
            ramet.llm_of(llm),
            prompts=numbers(prompts, "--prompts"),
            outputs=numbers(outputs, "--outputs"),
            repeats=repeats,
            prices=prices,
            progress=None if bars is None else lambda done, total: bars("measuring", done / total),
        )
    model.save(out)
    if as_json:
        print_json({"file": str(out), "cost_model": model})
    else:
        show_model(model, out)


def numbers(text: str, option: str) -> list[int]:
    """Read whole numbers between commas.

    Raises
    ------
    InputError
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option}: {text!r} is no list of whole numbers; write 64,256") from error


def show_model(model: CostModel, out: Path) -> None:
    """Print what was measured."""
    screen = console()
    rows = ([f"{p:,}", f"{1e3 * t:.0f}"] for p, t in zip(model.prompt_tokens, model.first_token, strict=True))
    headings = ["tokens of the prompt", "ms to the first token"]
    screen.print(table(headings, rows, numbers=headings, title=model.backend))
    screen.print(
        f"Every further token {1e3 * model.per_token:.1f} ms; R2 {model.r2:.4f}, largest error "
        f"{1e3 * model.max_error:.0f} ms, {model.n_measured} answers measured. Written to {out}.",
        markup=False,
    )
