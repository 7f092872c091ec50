"""Bodies about collections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ramet.api.rest.models.fields import MAX_QUERIES, NAME_PATTERN, WHOLE, Answer, Body, Tenant, Vector
from ramet.api.rest.wire import MAX_DIM

Language = Annotated[str, Field(min_length=2, max_length=16)]


class NewCollection(Body):
    """A collection that is to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "books", "dim": 3, "metric": "cosine"}]})

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    dim: Annotated[int, Field(ge=1, le=MAX_DIM), WHOLE] | None = Field(
        default=None, description="Left out: that of the server's embedder."
    )
    metric: Literal["cosine", "l2", "ip"] = "cosine"
    dtype: Literal["float32", "float16", "int8", "uint8"] = "float32"
    codes: Literal["auto", "none", "sq8"] = "auto"
    language: Language = "en"
    durability: Literal["commit", "batch"] = "commit"
    exist_ok: bool = False


class Collection(Answer):
    """A collection. Of one that is quarantined, as its files are damaged, only the name and what is wrong is known."""

    name: str
    status: Literal["ok", "quarantined"]
    detail: str | None = Field(default=None, description="What is wrong, when it is quarantined.")
    dim: int | None
    metric: str | None
    dtype: str | None
    codes: str | None
    language: str | None
    durability: str | None
    embedder: str | None = Field(description="Model that makes vectors of texts.")
    records: int | None = Field(description="Records that the key's tenants see.")


class Collections(Answer):
    """All collections."""

    collections: list[Collection]


class Compacted(Answer):
    """What a compaction did."""

    bytes_before: int
    bytes_after: int


class Found(Answer):
    """One thing that is not as it was committed."""

    file: str
    where: str
    what: str


class Verified(Answer):
    """What a verification found."""

    ok: bool
    problems: list[Found]
    checked: dict[str, int]


class Calibrate(Body):
    """Queries to measure recall with."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"vectors": [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], "tenant": "default"}]}
    )

    vectors: Annotated[list[Vector], Field(fail_fast=True, min_length=2, max_length=MAX_QUERIES)]
    tenant: Tenant | None = None


class Point(Answer):
    """Recall measured with so many lists read."""

    k: int
    nprobe: int
    recall: float


class Curve(Answer):
    """The recall curve of a tenant."""

    curve: list[Point]


class Maintain(Body):
    """How long to go on with rebalancing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 1}]})

    seconds: Annotated[float, Field(ge=0, le=600)] = 5.0


class Maintained(Answer):
    """Whether all of it is done."""

    done: bool


Stats = dict[str, Any]
