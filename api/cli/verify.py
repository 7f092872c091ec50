"""`ramet verify`: read everything and compare it with its checksums."""

from __future__ import annotations

import typer

from ramet.api.cli.output import AsJson, console, print_json, table
from ramet.api.cli.place import CollectionPath, database_of, place_of


def verify(collection: CollectionPath, as_json: AsJson = False) -> None:
    """Check every byte of a collection; the exit code is 1 when something is damaged."""
    with database_of(collection) as database:
        report = database.verify(place_of(collection).name)  # from outside: a badly damaged one may not open
    if as_json:
        print_json(report)
    else:
        screen = console()
        checked = ", ".join(f"{count:,} {what}" for what, count in report.checked.items())
        screen.print(f"{collection}: checked {checked}", markup=False)
        if report.ok:
            screen.print("No problem found.")
        else:
            rows = ([problem.file, problem.where, problem.what] for problem in report.problems)
            screen.print(table(["file", "where", "problem"], rows))
    if not report.ok:
        raise typer.Exit(1)
