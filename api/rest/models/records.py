"""Bodies about records."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ramet.api.rest.models.fields import (
    MAX_BATCH,
    WHOLE,
    Answer,
    Body,
    Document,
    Ids,
    Include,
    Metadata,
    OnConflict,
    Tenant,
    Tenants,
    Vector,
    Where,
)

MAX_PAGE = 1_000
"""Records of a page."""

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE), WHOLE]
Cursor = Annotated[str, Field(min_length=1, max_length=1_000, description="`cursor` of the page before.")]
Owners = Annotated[list[Tenant], Field(fail_fast=True, min_length=1, max_length=MAX_BATCH)]


class UpsertTail(Body):
    """Records without their vectors, which come as bytes before it."""

    ids: Ids
    documents: Annotated[list[Document | None], Field(fail_fast=True, max_length=MAX_BATCH)] | None = None
    metadata: Annotated[list[Metadata | None], Field(fail_fast=True, max_length=MAX_BATCH)] | None = None
    tenant: Tenant | Owners | None = Field(default=None, description="Owner of all records, or the owner of each.")
    on_conflict: OnConflict = "replace"


class Upsert(UpsertTail):
    """Records to insert, or to put in the place of those of the same id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ids": ["b1", "b2"],
                    "vectors": [[0.1, 0.9, 0.2], [0.8, 0.1, 0.3]],
                    "documents": ["A book about rivers.", "A book about mountains."],
                    "metadata": [{"year": 1999}, {"year": 2021, "tags": ["snow"]}],
                }
            ]
        }
    )

    vectors: Annotated[list[Vector | None], Field(fail_fast=True, max_length=MAX_BATCH)] | None = None


class Upserted(Answer):
    """What an upsert did."""

    inserted: int
    replaced: int
    skipped: int


class Record(Answer):
    """One record, with what was asked for."""

    id: str
    tenant: str
    vector: list[float] | None = None
    document: str | None = None
    metadata: dict[str, Any] | None = None


class Records(Answer):
    """A page of records."""

    records: list[Record]
    cursor: str | None = Field(description="To send for the next page; null behind the last one.")


class Get(Body):
    """Which records to read: by id, or all that match, page by page."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["b1"], "include": ["documents"]}]})

    ids: Ids | None = None
    where: Where | None = None
    limit: Limit | None = None
    cursor: Cursor | None = None
    tenant: Tenant | None = None
    include: Include | None = None


class Delete(Body):
    """Which records to delete: by id, or all that match."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["b2"]}]})

    ids: Ids | None = None
    where: Where | None = None
    tenant: Tenant | None = None


class Deleted(Answer):
    """How many there were."""

    deleted: int


class Count(Body):
    """Which records to count."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"where": {"year": {"$gte": 2000}}}, {}]})

    tenant: Tenant | None = None
    where: Where | None = None


class Counted(Answer):
    """How many there are."""

    count: int


class Share(Body):
    """Records to let others see, or no more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["b1"], "to": "acme"}]})

    ids: Ids
    to: Tenant | Tenants
    tenant: Tenant | None = None


class Granted(Answer):
    """How many (record, tenant) are new."""

    granted: int


class Revoked(Answer):
    """How many (record, tenant) ended."""

    revoked: int
