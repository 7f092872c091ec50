"""`ramet compact`: give space back, and erase what was deleted."""

from __future__ import annotations

from time import perf_counter

from ramet.api.cli.output import AsJson, console, print_json, size
from ramet.api.cli.place import CollectionPath, opened


def compact(collection: CollectionPath, as_json: AsJson = False) -> None:
    """Write a collection anew without what was deleted; readers and writers may go on."""
    started = perf_counter()
    with opened(collection) as docs:
        report = docs.compact()
    seconds = perf_counter() - started
    if as_json:
        print_json({"collection": str(collection), "report": report, "seconds": seconds})
    else:
        change = f"{size(report.n_bytes_before)} before, {size(report.n_bytes_after)} now"
        console().print(f"Compacted {collection}: {change}, in {seconds:.1f} s.", markup=False)
