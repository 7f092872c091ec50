"""Bodies about texts, tenants and backups."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ramet.api.rest.models.fields import (
    MAX_BATCH,
    NAME_PATTERN,
    WHOLE,
    Answer,
    Body,
    Id,
    Ids,
    Metadata,
    OnConflict,
    Tenant,
)

MAX_TEXT = 64 << 20
"""Characters of a document that is cut up; the body's size is limited as well."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Texts(Body):
    """Documents to cut up, embed and store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"texts": ["Rivers carry water to the sea."], "ids": ["rivers"], "metadata": [{"year": 1999}]}]
        }
    )

    texts: Annotated[list[Text], Field(fail_fast=True, min_length=1, max_length=MAX_BATCH)]
    ids: Annotated[list[Id], Field(fail_fast=True, max_length=MAX_BATCH)] | None = None
    metadata: Annotated[list[Metadata | None], Field(fail_fast=True, max_length=MAX_BATCH)] | None = None
    tenant: Tenant | None = None
    chunk_tokens: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    overlap: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] = 0
    on_conflict: OnConflict = "replace"
    token_codes: bool | Literal["auto"] = "auto"


class Added(Answer):
    """What became of documents."""

    ids: list[str] = Field(description="Of all documents, in their order.")
    documents: int = Field(description="Documents stored.")
    skipped: int
    chunks: int = Field(description="Records stored.")
    replaced: int
    tokens: int


class DeleteTexts(Body):
    """Documents to delete, with all their chunks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["rivers"]}]})

    ids: Ids
    tenant: Tenant | None = None


class TenantCount(Answer):
    """A tenant."""

    name: str
    records: int = Field(description="Records that it sees: its own and those granted to it.")


class TenantList(Answer):
    """The tenants of a collection, as far as the key is for them."""

    tenants: list[TenantCount]


class TenantInfo(TenantCount):
    """A tenant, with figures."""

    stats: dict[str, Any]


class NewBackup(Body):
    """A backup that is to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "monday"}]})

    name: Annotated[str, Field(pattern=NAME_PATTERN)]


class Backup(Answer):
    """A backup of one collection."""

    name: str
    collection: str
    bytes: int
    created: str | None = Field(default=None, description="ISO 8601, in UTC.")


class Backups(Answer):
    """All backups."""

    backups: list[Backup]
