"""Types of fields that several bodies have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ramet.api.rest.wire import MAX_DIM

NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

MAX_BATCH, MAX_QUERIES, MAX_K = 10_000, 1_000, 1_000
"""What schemas say until a server's settings say otherwise (`ramet.api.rest.schema`)."""

MAX_HITS = 100_000
"""Hits of all queries of a batch together."""

MAX_TEXT = 100_000
"""Characters of a question."""

MAX_DOCUMENT = 4 << 20
"""Characters of a document."""


class Body(BaseModel):
    """Base of all bodies: what is not described is refused, and nothing is taken for something else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of what is answered. It describes; answers are made without it."""

    model_config = ConfigDict(extra="forbid")


def _whole(value: Any) -> Any:
    """A number without a fraction is a whole one, however it is written: in JSON, 3.0 and 3 are the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""For whole numbers in bodies, behind their limits: ``Annotated[int, Field(ge=1), WHOLE]``."""

Id = Annotated[str, Field(min_length=1, max_length=480, description="At most 480 bytes in UTF-8.")]
Tenant = Annotated[str, Field(min_length=1, max_length=480, description="Name of a tenant.")]
Tenants = Annotated[list[Tenant], Field(fail_fast=True, min_length=1, max_length=1_000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(fail_fast=True, min_length=1, max_length=MAX_DIM)]
Document = Annotated[str, Field(max_length=MAX_DOCUMENT)]
Question = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Include = Annotated[list[Literal["documents", "metadata", "vectors"]], Field(max_length=3)]
OnConflict = Literal["replace", "skip", "error"]
Ids = Annotated[list[Id], Field(fail_fast=True, min_length=1, max_length=MAX_BATCH)]


class Date(Body):
    """A point in time, in ISO 8601; without a time zone it is in UTC."""

    date: Annotated[str, Field(alias="$date", min_length=10, max_length=40)]


class Endless(Body):
    """A number without end."""

    number: Annotated[Literal["inf", "-inf"], Field(alias="$float")]


Tags = Annotated[list[str], Field(fail_fast=True)]
Value = str | bool | int | float | Tags | Date | Endless | None
Metadata = Annotated[
    dict[str, Value],
    Field(
        max_length=256,
        description='Flat: field -> text, number, bool, list of texts, or {"$date": "2024-01-31T12:00:00Z"}; '
        "a field that is null is absent.",
    ),
]
Where = Annotated[
    dict[str, Any],
    Field(description='Filter (docs/filters.md): {"lang": "en", "year": {"$gte": 2020}}.'),
]

CollectionName = Annotated[str, Path(pattern=NAME_PATTERN, description="Name of a collection.", examples=["books"])]
TenantName = Annotated[str, Path(min_length=1, max_length=480, description="Name of a tenant.", examples=["acme"])]
RecordId = Annotated[str, Path(min_length=1, max_length=480, description="Id of a record.", examples=["b1"])]
OfTenant = Annotated[
    str | None,
    Query(
        alias="tenant", min_length=1, max_length=480,
        description='Whose; when left out, the tenant of the key, or "default" if it has several.',
    ),
]  # fmt: skip
