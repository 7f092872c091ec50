"""Which columns of tables, or fields of JSON lines, are the id, the vector, the text, the tenant and the metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ramet.engine.jobs.inputs.blocks import InputOptions, failed

USUAL = {"id": ("id", "_id"), "vector": ("vector", "embedding", "emb"), "text": ("text", "document", "content")}
METADATA = "metadata"
"""The column whose fields are metadata by themselves, where it holds objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns by what they are for; None where there is none."""

    id: str | None = None
    vector: str | None = None
    text: str | None = None
    tenant: str | None = None
    metadata: tuple[str, ...] | None = None
    """None: all the others."""
    own: bool = False
    """Whether nobody named the columns of metadata."""

    @property
    def has(self) -> frozenset[str]:
        """What records have, without metadata."""
        pairs = {"ids": self.id, "vectors": self.vector, "texts": self.text, "tenants": self.tenant}
        return frozenset(what for what, column in pairs.items() if column is not None)

    @property
    def taken(self) -> frozenset[str]:
        """Columns that are no metadata, unless they are named as that."""
        return frozenset(one for one in (self.id, self.vector, self.text, self.tenant) if one is not None)


def chosen(
    path: Path,
    options: InputOptions,
    names: Collection[str],
    possible: Mapping[str, Collection[str]],
) -> Columns:
    """The columns of a file.

    Parameters
    ----------
    path : Path
    options : InputOptions
    names : collection of str
        Columns that the file has.
    possible : dict
        ``"id"``, ``"vector"`` and ``"text"`` -> the columns whose type can be that, for the usual names.

    Raises
    ------
    ArgumentError
        A column that was named is not there, or there is neither a vector nor a text.
    """
    asked = {
        "id": options.id_column, "vector": options.vector_column, "text": options.text_column,
        "tenant": options.tenant_column,
    }  # fmt: skip
    shown = ", ".join(map(repr, sorted(names)[:20]))
    for what, column in asked.items():
        if column is not None and column not in names:
            raise failed(path, f"has no column {column!r}, which was named by {what}_column; there are {shown}")
    for column in options.metadata_columns or ():
        if column not in names:
            raise failed(path, f"has no column {column!r}, which was named by metadata_columns; there are {shown}")
    named = {one for one in asked.values() if one is not None}
    found = dict(asked)
    for what, usual in USUAL.items():
        if found[what] is None:
            free = (one for one in usual if one in possible[what] and one not in named)
            found[what] = next(free, None)
    if found["vector"] is None and found["text"] is None:
        raise failed(path, f"has no vectors and no texts; say which with vector_column or text_column: {shown}")
    return Columns(**found, metadata=options.metadata_columns, own=options.metadata_columns is None)


def spread(fields: dict[str, Any], own: bool) -> dict[str, Any] | None:
    """Metadata of a record: fields of ``metadata`` stand beside the others when nobody named columns (``own``)."""
    inner = fields.get(METADATA)
    if own and isinstance(inner, dict):
        fields = {**{name: value for name, value in fields.items() if name != METADATA}, **inner}
    return fields or None


def as_id(value: object) -> object:
    """Whole numbers are ids as well, in decimal digits."""
    return str(value) if type(value) is int else value
