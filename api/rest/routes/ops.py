"""For those who operate a server: whether it lives and is ready, and what it counts."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from ramet import AccessError
from ramet.api.rest import auth
from ramet.api.rest.context import Server, server_of
from ramet.api.rest.metrics import CONTENT_TYPE
from ramet.api.rest.models.ops import Health, Readiness
from ramet.api.rest.problems import Refusal, declared

router = APIRouter(tags=["operations"])

Here = Annotated[Server, Depends(server_of)]


@router.get("/livez", summary="Does the process live?", operation_id="livez")
async def livez() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/healthz", summary="Does the process live?", operation_id="healthz")
async def healthz() -> Health:
    """The process answers: the same as `/livez`, under the older name."""
    return Health(status="ok")


@router.get(
    "/readyz", summary="Are requests to come?", operation_id="readyz", responses=declared("not_ready", "storage_error")
)
async def readyz(server: Here) -> Readiness:
    """The server has started, does not stop, and can read its data directory."""
    if not server.ready:
        raise Refusal("not_ready", "the server is starting or stopping; try again")
    try:
        names = await server.run(_readable, server)
    except (OSError, AccessError) as error:
        server.log.error("data_dir_unreadable", error=error)
        raise Refusal("not_ready", "the data directory cannot be read") from error
    damaged = [name for name in names if server.quarantine.reason(name) is not None]
    return Readiness(status="ok", collections=len(names), quarantined=damaged)


def _readable(server: Server) -> list[str]:
    """Names of the collections, read from the disk."""
    os.stat(server.database.path)
    return server.database.collections()


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses=declared("unauthorized", "right_missing", "tenant_forbidden", "storage_error")
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "All figures"}},
)
async def metrics(request: Request, server: Here) -> Any:
    """All figures in the text format of Prometheus.

    As soon as there are keys, one is needed that has the right to read, and all tenants.
    """
    auth.whole(await auth.principal_of(request), "read")
    server.count_reads()
    text = await server.run(server.metrics.text, server)
    return Response(text, media_type=CONTENT_TYPE)
