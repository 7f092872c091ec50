"""Bodies of queries and of their answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from ramet.api.rest.models.fields import (
    MAX_QUERIES,
    WHOLE,
    Answer,
    Body,
    Include,
    Question,
    Tenant,
    Tenants,
    Vector,
    Where,
)


class Options(Body):
    """What a query may say beside its vector or text."""

    k: Annotated[int, Field(ge=1, le=100_000), WHOLE] = 10
    mode: Literal["dense", "keyword", "hybrid"] | None = None
    where: Where | None = None
    tenant: Tenant | Tenants | None = None
    recall: Annotated[float, Field(gt=0, le=1)] | None = None
    nprobe: Annotated[int, Field(ge=1, lt=1 << 31), WHOLE] | None = None
    exact: bool = False
    prune: Annotated[float, Field(gt=1)] | None = None
    fusion: Literal["rrf", "weighted"] = "rrf"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    include: Include | None = None
    explain: bool = False


_ONE: dict[str, JsonValue] = {
    "anyOf": [
        {"required": ["vector"], "properties": {"vector": {"type": "array"}}},
        {"required": ["text"], "properties": {"text": {"type": "string"}}},
    ]
}


class Query(Options):
    """One query: by a vector, by words, or by both."""

    model_config = ConfigDict(
        json_schema_extra={
            **_ONE,
            "examples": [
                {"vector": [0.1, 0.9, 0.2], "k": 2},
                {"text": "rivers", "mode": "keyword", "where": {"year": {"$lt": 2000}}},
            ],
        }
    )

    vector: Vector | None = None
    text: Question | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.vector is None and self.text is None:
            raise ValueError("send vector, text or both")
        return self


class QueryBatch(Options):
    """Several queries: each by itself, or of one form that differ in vector or text only."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["queries"],
                    "properties": {"queries": {"type": "array"}},
                    "maxProperties": 1,
                },
                {
                    "required": ["vectors"],
                    "properties": {"vectors": {"type": "array"}, "queries": {"type": "null"}},
                },
                {
                    "required": ["texts"],
                    "properties": {
                        "texts": {"type": "array"},
                        "vectors": {"type": "null"},
                        "queries": {"type": "null"},
                    },
                },
            ],
            "examples": [
                {"vectors": [[0.1, 0.9, 0.2], [0.8, 0.1, 0.3]], "k": 1},
                {"queries": [{"vector": [0.1, 0.9, 0.2], "k": 1}, {"text": "mountains", "mode": "keyword"}]},
            ],
        }
    )

    queries: Annotated[list[Query], Field(fail_fast=True, min_length=1, max_length=MAX_QUERIES)] | None = None
    vectors: Annotated[list[Vector], Field(fail_fast=True, min_length=1, max_length=MAX_QUERIES)] | None = None
    texts: Annotated[list[Question], Field(fail_fast=True, min_length=1, max_length=MAX_QUERIES)] | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.queries is not None:
            if self.model_fields_set != {"queries"}:
                raise ValueError("send queries, each with what is its own, and nothing beside them")
        elif self.vectors is None and self.texts is None:
            raise ValueError("send queries, vectors or texts")
        return self


class QueryTail(Options):
    """What several queries have in common, behind their vectors as bytes."""

    texts: Annotated[list[Question], Field(fail_fast=True, min_length=1, max_length=MAX_QUERIES)] | None = None


class Hit(Answer):
    """One record found; what it does not have, or was not asked for, is left out."""

    id: str
    distance: float = Field(description="Smaller is better.")
    score: float = Field(description="Larger is better.")
    document: str | None = None
    metadata: dict[str, Any] | None = None
    vector: list[float] | None = None


class Hits(Answer):
    """What one query found, best first."""

    hits: list[Hit]
    explanation: dict[str, Any] | None = Field(default=None, description="How it was answered, with `explain`.")


class Results(Answer):
    """What several queries found."""

    results: list[Hits]
    explanation: dict[str, Any] | None = Field(default=None, description="Of queries of one form, with `explain`.")
