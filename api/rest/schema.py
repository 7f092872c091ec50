"""What FastAPI cannot describe: models of bodies that routes read themselves, and the limits of this server."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ramet.api.rest.models.collections import Calibrate
from ramet.api.rest.models.query import Query, QueryBatch, QueryTail
from ramet.api.rest.models.records import Delete, Get, Share, Upsert, UpsertTail
from ramet.api.rest.models.texts import DeleteTexts, Texts
from ramet.api.rest.settings import Settings

READ_BY_ROUTES: tuple[type[BaseModel], ...] = (
    Calibrate, Delete, DeleteTexts, Get, Query, QueryBatch, QueryTail, Share, Texts, Upsert, UpsertTail,
)  # fmt: skip


TEMPLATE = "#/components/schemas/{model}"


def add_bodies_and_limits(components: dict[str, Any], settings: Settings) -> None:
    """Add to the schemas of an OpenAPI document what FastAPI does not know.

    Parameters
    ----------
    components : dict
        Schemas by name; changed in place.
    settings : Settings
        Their limits are those that the schemas of this server say.
    """
    _, found = models_json_schema([(model, "validation") for model in READ_BY_ROUTES], ref_template=TEMPLATE)
    components.update(found.get("$defs", {}))
    for (model, field), (word, most) in _limits(settings).items():
        for part in _parts(components.get(model, {}).get("properties", {}).get(field, {})):
            if word in part:
                part[word] = most


def _limits(settings: Settings) -> dict[tuple[str, str], tuple[str, int]]:
    """(model, field) -> the word of JSON schema that limits it, and this server's limit."""
    records = ("maxItems", settings.max_batch)
    queries = ("maxItems", settings.max_queries)
    return {
        **{(model, "k"): ("maximum", settings.max_k) for model in ("Query", "QueryBatch", "QueryTail")},
        **{
            (model, field): queries
            for model in ("QueryBatch", "QueryTail")
            for field in ("queries", "vectors", "texts")
        },
        ("Calibrate", "vectors"): queries,
        **{
            (model, field): records
            for model in ("Upsert", "UpsertTail", "Get", "Delete", "Share", "Texts", "DeleteTexts")
            for field in ("ids", "vectors", "documents", "metadata", "tenant", "texts")
        },
    }


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A field's schema, and those that it is any of."""
    return [schema, *schema.get("anyOf", ())]
