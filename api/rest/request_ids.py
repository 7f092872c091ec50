"""The id of a request: from the caller's ``X-Request-Id`` where that can be logged, else a new one."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from typing import Any

HEADER = b"x-request-id"
_SAFE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The id of the request, the same whenever it is asked for."""
    state: dict[str, Any] = scope.setdefault("state", {})
    found: str | None = state.get("request_id")
    if found is None:
        given = next((value for name, value in scope.get("headers", ()) if name == HEADER), b"")
        found = given.decode() if _SAFE.fullmatch(given) else uuid.uuid4().hex
        state["request_id"] = found
    return found
