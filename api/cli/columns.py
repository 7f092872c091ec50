"""Columns of what was found: the long ones are cut so that a line of the terminal holds a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ramet.api.cli.output import table
from ramet.api.cli.values import iso

if TYPE_CHECKING:
    from rich.table import Table

LEAST = 16
"""Characters that a column which may be cut has at least."""

FRAME = 3
"""Characters of a line that each column takes beside its content."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    cells: Sequence[str]
    cut: bool = False
    """Its cells may be cut off."""
    number: bool = False
    """Stands to the right."""

    @property
    def width(self) -> int:
        """Characters of the longest cell, as a terminal counts them."""
        from rich.cells import cell_len

        return max(map(cell_len, (self.name, *self.cells)))


def fitted(columns: Sequence[Column], width: int) -> Table:
    """Make a table no wider than the terminal, if cutting the cells that may be cut is enough for that."""
    widths = [column.width for column in columns]
    long = sorted((i for i, column in enumerate(columns) if column.cut), key=lambda i: widths[i])
    room = width - 1 - FRAME * len(columns) - sum(widths) + sum(widths[i] for i in long)
    shown = list(columns)
    for place, i in enumerate(long):  # the narrowest first: what it does not need is for the others
        share = max(LEAST, room // (len(long) - place))
        if widths[i] > share:
            shown[i] = replace(columns[i], cells=[cut(cell, share) for cell in columns[i].cells])
        room -= min(widths[i], share)
    rows = zip(*(column.cells for column in shown), strict=True)
    numbers = [column.name for column in shown if column.number]
    return table([column.name for column in shown], rows, numbers=numbers)


def cut(text: str, width: int) -> str:
    """Cut a text off so that a terminal shows it in so many characters.

    Examples
    --------
    >>> cut("phosphate in rice", 10), cut("rice", 10)
    ('phosphate…', 'rice')
    """
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def first_line(text: str | None) -> str:
    """Return the first line of a text that is not empty; nothing for None.

    Examples
    --------
    >>> first_line("   A title" + chr(10) + "and more"), first_line(None)
    ('A title', '')
    """
    lines = (line.strip() for line in (text or "").splitlines())
    return next((line for line in lines if line), "")


def written_fields(metadata: Mapping[str, Any] | None) -> str:
    """Write metadata for people.

    Examples
    --------
    >>> written_fields({"lang": "en", "ok": True, "tags": ["a", "b"], "n": 1.5})
    'lang=en, ok=true, tags=[a, b], n=1.5'
    """
    return ", ".join(f"{name}={_written(value)}" for name, value in (metadata or {}).items())


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    return f"[{', '.join(value)}]" if isinstance(value, list) else " ".join(str(value).split())
