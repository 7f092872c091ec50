"""`ramet verify`: read everything and compare it with its checksums."""

from __future__ import annotations

import typer

from ramet.api.cli.output import AsJson, console, plain, print_json, table
from ramet.api.cli.place import CollectionPath, database_of, place_of


def verify(collection: CollectionPath, as_json: AsJson = False) -> None:
    """Check every byte of a collection; the exit code is 1 when something is damaged."""
    with database_of(collection) as database:
        report = database.verify(place_of(collection).name)  # from outside: a badly damaged one may not open
    if as_json:
        print_json({"collection": str(collection), **plain(report)})
    else:
        screen = console()
        checked = ", ".join(found(count, what) for what, count in report.checked.items())
        screen.print(f"{collection}: checked {checked}", markup=False)
        if report.ok:
            screen.print("No problem found.")
        else:
            rows = ([problem.file, problem.where, problem.what] for problem in report.problems)
            screen.print(table(["file", "where", "problem"], rows))
    if not report.ok:
        raise typer.Exit(1)


def found(count: int, what: str) -> str:
    """Write how many things of a kind, named in the plural as `VerifyReport.checked` does, were looked at.

    Examples
    --------
    >>> found(1, "row_blocks"), found(1, "copies"), found(1200, "ids")
    ('1 row block', '1 copy', '1,200 ids')
    """
    name = what.replace("_", " ")
    if count == 1:
        name = "copy" if name == "copies" else name.removesuffix("s")
    return f"{count:,} {name}"
