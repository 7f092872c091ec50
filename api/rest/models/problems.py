"""The body of an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

EXAMPLE: dict[str, JsonValue] = {
    "type": "urn:ramet:error:unknown_collection",
    "title": "No such collection",
    "status": 404,
    "detail": "there is no collection of that name; GET /v1/collections names those that there are",
    "code": "unknown_collection",
    "request_id": "0f8fad5bd9cb469fa16570867728950e",
}


class Problem(BaseModel):
    """An error, as RFC 9457 says; the members of one kind of error are always the same."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [EXAMPLE]})

    type: str = Field(description="`urn:ramet:error:` and the code.")
    title: str = Field(description="What all errors of the code have in common.")
    status: int = Field(description="Status of the answer.")
    detail: str = Field(description="What is wrong with this request, and what to do.")
    code: str = Field(description="Short name of the error, for programs.")
    request_id: str = Field(description="As in the header X-Request-Id; the server's log has it, too.")
    argument: str | None = Field(default=None, description="Which part of the request is wrong, where one is.")
    partly_done: bool | None = Field(
        default=None, description="True when some of the transactions of a write were committed; else it is left out."
    )
