"""Selections and answers as people read them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ramet.api.cli.output import counted, table

if TYPE_CHECKING:
    from rich.console import Console

    from ramet import Answer, Selection

SHOWN_LETTERS = 70
SHOWN_LEFT_OUT = 5


def show_selection(screen: Console, selection: Selection, *, left_out: int = SHOWN_LEFT_OUT) -> None:
    """Print what would be read, what would not, and why."""
    settings = ", ".join(f"{name}={value}" for name, value in selection.parameters.items())
    how = f"{selection.strategy}({settings})" if settings else selection.strategy
    n = len(selection.chunks) + len(selection.left_out)
    screen.print(
        f"{len(selection.chunks)} of {counted(n, 'candidate')} for {selection.tokens:,} of {selection.budget:,} "
        f"tokens, template and question included; {how}, {1e3 * selection.seconds:.0f} ms",
        markup=False,
    )
    if selection.chunks:
        rows = (
            [f"[{one.number}]", str(one.n_tokens), f"{one.document} @{one.position}", one.why, shortened(one.text)]
            for one in selection.chunks
        )
        screen.print(table(["", "tokens", "from", "why", "text"], rows, numbers=("tokens",), title="Read"))
    if selection.left_out:
        shown = selection.left_out[:left_out]
        rows = ([name, why] for name, why in shown)
        screen.print(table(["best of the others", "why not"], rows, title="Left out"))
        if more := Counter(why_in_short(why) for _, why in selection.left_out[left_out:]):
            parts = ", ".join(f"{count} {why}" for why, count in more.most_common())
            screen.print(f"and {counted(sum(more.values()), 'other')}: {parts}", markup=False)


def show_answer(screen: Console, answer: Answer, *, with_text: bool = True) -> None:
    """Print an answer, where its citations lead, and what it took."""
    lines = str(answer).split("\n")
    whole = "\n".join(lines)
    screen.print(whole if with_text else whole[len(answer.text) :].lstrip("\n"), markup=False)


def shortened(text: str) -> str:
    """Write the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_LETTERS else line[: SHOWN_LETTERS - 1] + "…"


def why_in_short(why: str) -> str:
    """Leave out figures, so that equal reasons are counted together.

    Examples
    --------
    >>> why_in_short("its gain 0.012 is below 0.05; stopped")
    'its gain is below'
    """
    words = why.split(";")[0].split(":")[0].split()
    return " ".join(word for word in words if not any(one.isdigit() for one in word)).rstrip(",")


def as_document(value: Any) -> dict[str, Any]:
    """Lay a selection or an answer out for JSON."""
    found: dict[str, Any] = value.to_dict()
    return found
