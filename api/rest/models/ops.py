"""What the routes for operators answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Health(BaseModel):
    """A process that lives."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"]


class Readiness(BaseModel):
    """A server that takes requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "collections": 3, "quarantined": []}]})

    status: Literal["ok"]
    collections: int = Field(ge=0, description="Collections in the data directory.")
    quarantined: list[str] = Field(description="Collections that are damaged and therefore not served.")
