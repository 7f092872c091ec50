"""`ramet backup`: a consistent copy of a collection, also while it is written to."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from ramet.api.cli.output import AsJson, console, print_json, program, size
from ramet.api.cli.place import CollectionPath, opened


def backup(
    collection: CollectionPath,
    target: Annotated[Path, typer.Argument(metavar="COPY", help="Directory of the copy; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Copy a collection; the copy is a collection itself and opens as one."""
    started = perf_counter()
    with opened(collection) as docs:
        docs.backup(target)
    seconds = perf_counter() - started
    n_bytes = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    if as_json:
        print_json({"collection": str(collection), "copy": str(target), "n_bytes": n_bytes, "seconds": seconds})
    else:
        screen = console()
        screen.print(f"Copied {collection} to {target}: {size(n_bytes)} in {seconds:.1f} s.", markup=False)
        screen.print(f"Check it: {program()} verify {target}", markup=False)
