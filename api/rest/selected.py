"""Selections and answers as JSON has them."""

from __future__ import annotations

from typing import Any

from ramet import Answer, Selection
from ramet.api.rest.values import plain


def selection_of(selection: Selection) -> dict[str, Any]:
    """A selection; dates and infinities in metadata as everywhere else."""
    found = selection.to_dict()
    for chunk in found["chunks"]:
        chunk["metadata"] = None if chunk["metadata"] is None else plain(chunk["metadata"])
    return found


def answer_of(answer: Answer) -> dict[str, Any]:
    """An answer with its selection."""
    return {**answer.to_dict(), "selection": selection_of(answer.selection)}
