"""What the commands print: one JSON document for machines, tables for people."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramet.api.cli.values import iso

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# The option that every command has.
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def plain(value: Any) -> Any:
    """Turn dataclasses, arrays, NumPy scalars, datetimes and paths into what JSON knows; inf and NaN become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return iso(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy here
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(document: Any) -> None:
    """Print the one document of a `--json` run."""
    print(json.dumps(plain(document), ensure_ascii=False, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """Make a console; progress bars go to stderr so that stdout can be piped."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Container[str] = (), title: str | None = None
) -> Table:
    """Make a table; the columns named in `numbers` stand to the right."""
    from rich.markup import escape
    from rich.table import Table

    result = Table(title=title, title_justify="left", header_style="bold")
    for heading in headings:
        result.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        result.add_row(*(escape(cell) for cell in row))  # an id may look like markup
    return result


def counted(number: int, what: str) -> str:
    """Write a number of things, whose name is given in the singular.

    Examples
    --------
    >>> counted(1, "posting list"), counted(1200, "posting list")
    ('1 posting list', '1,200 posting lists')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def program() -> str:
    """Return what was typed to start this command, such as `.venv/bin/ramet`, for lines to copy."""
    return sys.argv[0] if Path(sys.argv[0]).name == "ramet" else "ramet"


def size(n_bytes: float) -> str:
    """Write a number of bytes for people, in powers of 1024.

    Examples
    --------
    >>> size(999), size(80_000_128)
    ('999 B', '76.3 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"
