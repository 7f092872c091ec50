"""Collections: make, list, describe, delete, and what keeps them in order."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from ramet import Collection as Opened
from ramet import CollectionExistsError, CorruptionError, FormatError, RametError
from ramet.api.rest.auth import Asking, Principal, need, scope, whole
from ramet.api.rest.bodies import described, in_body
from ramet.api.rest.context import Server
from ramet.api.rest.models import collections as models
from ramet.api.rest.models.fields import CollectionName, OfTenant
from ramet.api.rest.problems import Refusal, declared
from ramet.api.rest.routes.shared import Serving, answer, at_most, opened

router = APIRouter(prefix="/v1", tags=["collections"])

_THERE = declared("unknown_collection", "collection_quarantined")
_WRITTEN = declared("unknown_collection", "collection_quarantined", "writer_busy", "read_only", "storage_full")
_LINKS: dict[str, Any] = {
    operation: {"operationId": operation, "parameters": {"name": "$request.body#/name"}}
    for operation in ("getCollection", "upsertRecords", "queryRecords", "deleteCollection")
}


@router.get("/collections", operation_id="listCollections", response_model=models.Collections)
async def list_collections(server: Serving, principal: Asking) -> Response:
    """List all collections; each with the number of records that the key's tenants see."""
    need(principal, "read")
    return answer({"collections": await server.run(_described_all, server, principal)})


@router.post(
    "/collections", operation_id="createCollection", status_code=201, response_model=models.Collection,
    responses={
        **declared("collection_exists", "storage_full", "collection_quarantined"),
        200: {"model": models.Collection, "description": "It was there already."},
        201: {"links": _LINKS},
    },
)  # fmt: skip
async def create_collection(server: Serving, principal: Asking, body: models.NewCollection) -> Response:
    """Make an empty collection."""
    whole(principal, "admin")
    found, is_new = await server.run(_created, server, body)
    content = await server.run(_described, server, found, principal)
    return answer(content, 201 if is_new else 200, {"Location": f"/v1/collections/{body.name}"})


@router.get(
    "/collections/{name}", operation_id="getCollection", response_model=models.Collection,
    responses=declared("unknown_collection"),
)  # fmt: skip
async def get_collection(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """Describe a collection."""
    need(principal, "read")
    return answer(await server.run(_described_by_name, server, name, principal))


@router.delete(
    "/collections/{name}", operation_id="deleteCollection", status_code=204, responses=declared("unknown_collection")
)
async def delete_collection(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """Delete a collection and its files."""
    whole(principal, "admin")
    await server.slowly(server.database.delete_collection, name)
    return Response(status_code=204)


@router.get(
    "/collections/{name}/stats", operation_id="getStats", response_model=models.Stats,
    responses={**_THERE, **declared("unknown_collection", "unknown_tenant")},
)  # fmt: skip
async def get_stats(server: Serving, principal: Asking, name: CollectionName, tenant: OfTenant = None) -> Response:
    """Sizes, list lengths and recall curves: of one tenant, or, for keys to all tenants, of the whole collection."""
    if tenant is None:
        whole(principal, "read")
    else:
        scope(principal, tenant, "read")
    collection = await opened(server, name)
    found = await server.run(collection.stats, tenant)
    if not principal.everywhere:  # totals are about others, too
        found = {key: value for key, value in found.items() if key in _OF_ANYBODY}
    return answer(found)


_OF_ANYBODY = {
    "name", "format_version", "dim", "metric", "dtype", "codes", "durability", "language", "model", "tenants"
}  # fmt: skip


@router.post(
    "/collections/{name}/compact", operation_id="compactCollection", response_model=models.Compacted, responses=_WRITTEN
)
async def compact(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """Write a collection anew without anything that was deleted; others read meanwhile, and writes wait."""
    whole(principal, "admin")
    collection = await opened(server, name)
    report = await server.slowly(collection.compact)
    return answer({"bytes_before": report.n_bytes_before, "bytes_after": report.n_bytes_after})


@router.post(
    "/collections/{name}/verify", operation_id="verifyCollection", response_model=models.Verified,
    responses=declared("unknown_collection"),
)  # fmt: skip
async def verify(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """Check every checksum and every cross-reference of a collection; also of one that cannot be opened."""
    whole(principal, "admin")
    report = await server.slowly(server.database.verify, name)
    problems = [{"file": one.file, "where": one.where, "what": one.what} for one in report.problems]
    return answer({"ok": report.ok, "problems": problems, "checked": report.checked})


@router.post(
    "/collections/{name}/calibrate", operation_id="calibrateTenant", response_model=models.Curve,
    openapi_extra=described(json=models.Calibrate), responses={**_WRITTEN, **declared("unsupported_media_type")},
)  # fmt: skip
async def calibrate(
    server: Serving,
    principal: Asking,
    name: CollectionName,
    body: Annotated[models.Calibrate, Depends(in_body(models.Calibrate))],
) -> Response:
    """Measure a tenant's recall curve with queries of your own; `recall` goes by it from then on."""
    at_most(len(body.vectors), server.settings.max_queries, "vectors", "queries")
    tenant = scope(principal, body.tenant, "admin")[0]
    collection = await opened(server, name)
    curve = await server.slowly(collection.calibrate, body.vectors, tenant=tenant)
    return answer({"curve": [{"k": one.k, "nprobe": one.nprobe, "recall": one.recall} for one in curve]})


@router.post(
    "/collections/{name}/maintain", operation_id="maintainCollection", response_model=models.Maintained,
    responses=_WRITTEN,
)  # fmt: skip
async def maintain(
    server: Serving, principal: Asking, name: CollectionName, body: models.Maintain | None = None
) -> Response:
    """Go on with rebalancing that writes have left, for so many seconds."""
    whole(principal, "admin")
    collection = await opened(server, name)
    return answer({"done": await server.slowly(collection.maintain, (body or models.Maintain()).seconds)})


@router.post("/collections/{name}/flush", operation_id="flushCollection", status_code=204, responses=_WRITTEN)
async def flush(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """Put everything that is committed on disk, where `durability` is "batch"."""
    need(principal, "write")
    collection = await opened(server, name)
    await server.slowly(collection.flush)
    return Response(status_code=204)


def _created(server: Server, body: models.NewCollection) -> tuple[Opened, bool]:
    """Make a collection, and tell whether it was not there before."""
    embedder = server.embedder_of(body.name)
    if embedder is not None and body.dim not in (None, embedder.dim):
        embedder = None  # it is to hold vectors of another kind
    options: dict[str, Any] = body.model_dump(exclude={"name", "exist_ok"})
    try:
        return server.database.create_collection(body.name, **options, embedder=embedder), True
    except CollectionExistsError:
        if not body.exist_ok:
            raise
    return server.database.create_collection(body.name, **options, embedder=embedder, exist_ok=True), False


def _described(server: Server, collection: Opened, principal: Principal) -> dict[str, Any]:
    embedder = collection.embedder
    tenants = principal.tenants
    n_records = (
        sum(collection.count(tenant) for tenant in tenants) if isinstance(tenants, frozenset) else collection.count()
    )
    return {
        "name": collection.name,
        "status": "ok",
        "detail": None,
        "dim": collection.dim,
        "metric": collection.metric,
        "dtype": collection.dtype,
        "codes": collection.codes,
        "language": collection.language,
        "durability": collection.durability,
        "embedder": None if embedder is None else embedder.identity,
        "records": n_records,
    }


def _described_by_name(server: Server, name: str, principal: Principal) -> dict[str, Any]:
    """A collection as it is shown, also a damaged one."""
    try:
        try:
            return _described(server, server.opened(name), principal)
        except (CorruptionError, FormatError) as error:
            raise server.put_away(name, error) from error
    except Refusal as refusal:
        facts = ("dim", "metric", "dtype", "codes", "language", "durability", "embedder", "records")
        return {"name": name, "status": "quarantined", "detail": refusal.detail, **dict.fromkeys(facts)}


def _described_all(server: Server, principal: Principal) -> list[dict[str, Any]]:
    found = []
    for name in server.database.collections():
        try:
            found.append(_described_by_name(server, name, principal))
        except RametError as error:  # deleted meanwhile, or something that is wrong with this one only
            server.log.warning("collection_not_listed", collection=name, error=error)
    return found
