"""Tenants: who has records in a collection."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ramet.api.rest.auth import Asking, need, scope
from ramet.api.rest.commits import WAIT_S
from ramet.api.rest.models import records, texts
from ramet.api.rest.models.fields import CollectionName, TenantName
from ramet.api.rest.problems import declared
from ramet.api.rest.routes.shared import Serving, answer, opened

router = APIRouter(prefix="/v1", tags=["tenants"])

_THERE = ("unknown_collection", "collection_quarantined")


@router.get(
    "/collections/{name}/tenants", operation_id="listTenants", response_model=texts.TenantList,
    responses=declared(*_THERE),
)  # fmt: skip
async def list_tenants(server: Serving, principal: Asking, name: CollectionName) -> Response:
    """List the tenants that have or had records, as far as the key is for them."""
    need(principal, "read")
    collection = await opened(server, name)
    found = await server.run(collection.tenants)
    return answer({"tenants": [{"name": one, "records": n} for one, n in found.items() if principal.reaches(one)]})


@router.get(
    "/collections/{name}/tenants/{tenant:anything}", operation_id="getTenant", response_model=texts.TenantInfo,
    responses=declared(*_THERE, "unknown_tenant"),
)  # fmt: skip
async def get_tenant(server: Serving, principal: Asking, name: CollectionName, tenant: TenantName) -> Response:
    """Describe a tenant."""
    scope(principal, tenant, "read")
    collection = await opened(server, name)
    found = (await server.run(collection.stats, tenant))["tenants"][tenant]
    return answer({"name": tenant, "records": found["records"], "stats": found})


@router.delete(
    "/collections/{name}/tenants/{tenant:anything}", operation_id="dropTenant", response_model=records.Deleted,
    responses=declared(*_THERE, "unknown_tenant", "writer_busy", "read_only", "storage_full"),
)  # fmt: skip
async def drop_tenant(server: Serving, principal: Asking, name: CollectionName, tenant: TenantName) -> Response:
    """Delete a tenant: the records that it owns, for everybody, and its view of others'."""
    scope(principal, tenant, "admin")
    collection = await opened(server, name)
    n = await server.commits.run(collection, lambda: collection.drop_tenant(tenant, timeout_s=WAIT_S))
    server.metrics.written(name, "deleted", n)
    return answer({"deleted": n})
