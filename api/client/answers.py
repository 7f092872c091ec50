"""Selections and answers, made again from what a server sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from ramet.api.client.values import untagged

if TYPE_CHECKING:
    from ramet import Answer, Selection

T = TypeVar("T")


def _made(kind: type[T], found: Mapping[str, Any], **instead: Any) -> T:
    """A dataclass of the fields that it knows."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{**{name: value for name, value in found.items() if name in known}, **instead})


def selection_of(found: Mapping[str, Any]) -> Selection:
    """A selection, from what `Selection.to_dict` gave."""
    from ramet import SelectedChunk, Selection

    return _made(
        Selection,
        found,
        chunks=tuple(_made(SelectedChunk, one, metadata=untagged(one.get("metadata"))) for one in found["chunks"]),
        left_out=tuple((one["id"], one["why"]) for one in found["left_out"]),
        trace=tuple(found.get("trace", ())),
    )


def answer_of(found: Mapping[str, Any]) -> Answer:
    """An answer, from what `Answer.to_dict` gave."""
    from ramet import Answer, Citation, Usage

    return _made(
        Answer,
        found,
        citations=tuple(_made(Citation, one) for one in found["citations"]),
        unknown=tuple(found["unknown"]),
        selection=selection_of(found["selection"]),
        usage=_made(Usage, found["usage"]),
    )
