"""Hits of `ramet query` as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ramet.api.cli.columns import Column, first_line, fitted, written_fields
from ramet.api.cli.output import console


def show_hits(results: Sequence[Sequence[Mapping[str, Any]]], *, distances: bool = True) -> None:
    """Print one table; a batch gets a column that counts its queries, and texts and metadata are cut to the terminal.

    Parameters
    ----------
    results : sequence of sequences of dict
        For each query its hits, as `Hits.to_list` gives them.
    distances : bool
        False: the hits were ranked by scores, and have no distance of their own.
    """
    placed = [(i, rank, hit) for i, hits in enumerate(results) for rank, hit in enumerate(hits, start=1)]
    found = [hit for _, _, hit in placed]
    columns = [Column("query", [str(i) for i, _, _ in placed], number=True)] if len(results) > 1 else []
    columns.append(Column("rank", [str(rank) for _, rank, _ in placed], number=True))
    columns.append(Column("id", [hit["id"] for hit in found]))
    for name in ("distance", "score") if distances else ("score",):
        columns.append(Column(name, [f"{hit[name]:.6g}" for hit in found], number=True))
    if any(hit.get("document") is not None for hit in found):
        columns.append(Column("document", [first_line(hit.get("document")) for hit in found], cut=True))
    if any(hit.get("metadata") for hit in found):
        columns.append(Column("metadata", [written_fields(hit.get("metadata")) for hit in found], cut=True))
    screen = console()
    screen.print(fitted(columns, screen.width))
