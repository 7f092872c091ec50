"""Records: store, read, count, delete, grant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from ramet import ArgumentError, Collection, MissingPackageError, Records, UnknownIdError
from ramet.api.rest.answers import dumps, page_of, record_of, stacked
from ramet.api.rest.arrow import read_arrow
from ramet.api.rest.auth import Asking, Principal, need, scope
from ramet.api.rest.bodies import JSON, described, in_body, parsed, read, type_of
from ramet.api.rest.commits import WAIT_S, Upsert
from ramet.api.rest.context import Server
from ramet.api.rest.models import records as models
from ramet.api.rest.models.fields import CollectionName, OfTenant, OnConflict, RecordId
from ramet.api.rest.problems import Refusal, declared
from ramet.api.rest.routes.shared import Serving, answer, at_most, opened, where_in, where_of
from ramet.api.rest.tokens import paid_by
from ramet.api.rest.values import metadata
from ramet.api.rest.wire import ARROW, NPY, accepts_npy, npy, read_npy
from ramet.engine.allowance import ReadLimitError
from ramet.engine.allowance import at_most as read_at_most
from ramet.engine.embedded import embedded

T = TypeVar("T")

router = APIRouter(prefix="/v1", tags=["records"])

DEFAULT_PAGE = 100
DEFAULT_INCLUDE = frozenset({"documents", "metadata"})

_READ = declared("unknown_collection", "collection_quarantined")
_WRITE = declared(
    "unknown_collection", "collection_quarantined", "not_owner", "writer_busy", "read_only", "storage_full"
)
_OF = {"name": "$request.path.name"}
_LINKS: dict[str, Any] = {
    "getRecord": {"operationId": "getRecord", "parameters": {**_OF, "id": "$request.body#/ids/0"}},
    "listRecords": {"operationId": "listRecords", "parameters": _OF},
    "queryRecords": {"operationId": "queryRecords", "parameters": _OF},
    "deleteRecords": {
        "operationId": "deleteRecords", "parameters": _OF, "requestBody": {"ids": ["$request.body#/ids/0"]}
    },
}  # fmt: skip

Including = Annotated[
    str | None,
    Query(
        pattern="^(documents|metadata|vectors)(,(documents|metadata|vectors)){0,2}$",
        description="What comes with each record, separated by commas; documents and metadata when left out.",
        examples=["documents,vectors"],
    ),
]


GetBody = Annotated[models.Get, Depends(in_body(models.Get))]
SharedBody = Annotated[models.Share, Depends(in_body(models.Share))]


@router.post(
    "/collections/{name}/records", operation_id="upsertRecords", response_model=models.Upserted,
    openapi_extra=described(json=models.Upsert, npy=models.UpsertTail, arrow=models.UpsertTail),
    responses={
        **_WRITE,
        **declared(
            "unknown_collection", "conflict", "model_mismatch", "analysis_mismatch", "unsupported_media_type"
        ),
        200: {"links": _LINKS},
    },
)  # fmt: skip
async def upsert_records(
    request: Request,
    name: CollectionName,
    principal: Asking,
    tenant: OfTenant = None,
    on_conflict: OnConflict | None = None,
) -> Response:
    """Insert records, or replace those of the same id. The answer comes when they are committed.

    `tenant` and `on_conflict` in the address are for Arrow streams, whose body has no place for them.
    """
    need(principal, "write")
    server: Server = request.app.state.server
    kind = type_of(request, JSON, NPY, ARROW)
    if kind != ARROW and (tenant is not None or on_conflict is not None):
        argument = "on_conflict" if tenant is None else "tenant"
        raise ArgumentError(argument, f"is in the address; send it in the body, only {ARROW} has no place for it")
    collection = await opened(server, name)
    most, dtype = server.settings.max_batch, collection.dtype

    def convert(body: bytes) -> tuple[Upsert, Any]:
        if kind == JSON:
            return _of_json(body, dtype)
        if kind == NPY:
            return _of_npy(body, most)
        return _of_arrow(body, most, tenant, on_conflict)

    records, owner = await read(server, request, convert)
    n = len(records.ids)
    at_most(n, most, "ids", "records")
    owners = scope(principal, owner, "write")
    records.tenants = owners if isinstance(owner, list) else owners * n
    if len(records.tenants) != n:
        raise ArgumentError("tenant", f"{len(records.tenants)} tenants for {n} records; send one, or one for each")
    _check_lengths(records)
    if records.vectors is None and records.documents is not None and collection.embedder is not None:
        with paid_by(request.scope):  # not in its turn to write, where others wait
            records.vectors = await server.texts.run(partial(embedded, collection, records.documents))
    report = await server.commits.upsert(collection, records)
    server.metrics.written(name, "upserted", report.n_inserted + report.n_replaced)
    return answer({"inserted": report.n_inserted, "replaced": report.n_replaced, "skipped": report.n_skipped})


def _of_json(body: bytes, dtype: str) -> tuple[Upsert, Any]:
    found = parsed(models.Upsert, body)
    vectors: Any = found.vectors
    if vectors is not None and None not in vectors:
        try:
            with np.errstate(over="ignore"):  # to infinity, which the engine refuses
                vectors = np.array(vectors, np.float32 if dtype == "float32" else np.float64)
        except ValueError as error:
            raise ArgumentError("vectors", "are of different lengths") from error
    return _of_model(found, vectors), found.tenant


def _of_npy(body: bytes, most: int) -> tuple[Upsert, Any]:
    vectors, rest = read_npy(body, most)
    if vectors.ndim != 2:
        raise ArgumentError("body", f"has vectors of shape {vectors.shape}; send (n, dim)")
    found = parsed(models.UpsertTail, rest)
    return _of_model(found, vectors), found.tenant


def _of_model(found: models.UpsertTail, vectors: Any) -> Upsert:
    fields = found.metadata
    plain = None if fields is None else [None if one is None else _plain(one) for one in fields]
    return Upsert(
        ids=found.ids, tenants=[], vectors=vectors, documents=found.documents, metadata=metadata(plain),
        on_conflict=found.on_conflict,
    )  # fmt: skip


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Metadata with dates as they came."""
    return {
        key: value if not hasattr(value, "model_dump") else value.model_dump(by_alias=True)
        for key, value in fields.items()
    }


def _of_arrow(body: bytes, most: int, tenant: str | None, on_conflict: str | None) -> tuple[Upsert, Any]:
    try:
        found = read_arrow(body, most)
    except MissingPackageError as error:
        raise Refusal("unsupported_media_type", f"{ARROW}: {error}") from error
    if tenant is not None and "tenant" in found:
        raise ArgumentError("tenant", "is both a column and in the address; send one of them")
    upsert = Upsert(
        ids=found["ids"], tenants=[], vectors=found.get("vectors"), documents=found.get("documents"),
        metadata=metadata(found.get("metadata")), on_conflict=on_conflict or "replace",
    )  # fmt: skip
    return upsert, found.get("tenant", tenant)


def _check_lengths(records: Upsert) -> None:
    """Refuse columns of different lengths, which would be taken for each other's once they are joined.

    Raises
    ------
    ArgumentError
    """
    n = len(records.ids)
    for argument in ("vectors", "documents", "metadata"):
        column = getattr(records, argument)
        if column is not None and len(column) != n:
            raise ArgumentError(argument, f"{len(column)} for {n} ids; send one for each, or leave it out")


@router.get("/collections/{name}/records", operation_id="listRecords", response_model=models.Records, responses=_READ)
async def list_records(
    request: Request,
    server: Serving,
    principal: Asking,
    name: CollectionName,
    limit: Annotated[int, Query(ge=1, le=models.MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(min_length=1, max_length=1_000)] = None,
    tenant: OfTenant = None,
    where: Annotated[str | None, Query(description="A filter, as JSON.", examples=['{"year": 1999}'])] = None,
    include: Including = None,
) -> Response:
    """Read the records of a tenant page by page, in the order of their ids."""
    owner = scope(principal, tenant, "read")[0]
    collection = await opened(server, name)
    page = _Page(
        owner, server.settings.max_answer_bytes, where=where_in(where), limit=limit, cursor=cursor,
        include=_include(include),
    )  # fmt: skip
    return await server.run(page.answer, collection, False)


@router.get(
    "/collections/{name}/records/{id:anything}", operation_id="getRecord", response_model=models.Record,
    responses={**_READ, **declared("unknown_collection", "unknown_id")},
)  # fmt: skip
async def get_record(
    server: Serving, principal: Asking, name: CollectionName, id: RecordId, tenant: OfTenant = None,
    include: Including = None,
) -> Response:  # fmt: skip
    """Read one record."""
    owner = scope(principal, tenant, "read")[0]
    collection = await opened(server, name)
    chosen = _include(include)
    found = await server.run(collection.get, [id], tenant=owner, include=sorted(chosen))
    if not found:
        raise UnknownIdError(owner, [id])
    return answer(record_of(found[0], chosen))


@router.post(
    "/collections/{name}/records/get", operation_id="readRecords", response_model=models.Records,
    openapi_extra=described(json=models.Get),
    responses={
        **_READ,
        **declared("unsupported_media_type"),
        200: {
            "description": "Records; as bytes: an .npy file of the vectors of those that have one, then JSON.",
            "content": {NPY: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)  # fmt: skip
async def read_records(
    request: Request,
    server: Serving,
    principal: Asking,
    name: CollectionName,
    body: GetBody,
) -> Response:
    """Read records by id, or all that match, page by page; with `Accept: application/x-npy` vectors come as bytes."""
    owner = scope(principal, body.tenant, "read")[0]
    binary = accepts_npy(request.headers.get("accept"))
    collection = await opened(server, name)
    chosen = DEFAULT_INCLUDE if body.include is None else frozenset(body.include)
    if body.ids is not None:
        at_most(len(body.ids), server.settings.max_batch, "ids", "ids")
        if body.where is not None or body.limit is not None or body.cursor is not None:
            raise ArgumentError("ids", "are sent together with where, limit or cursor, which page through others")
        limit = None
    else:
        limit = body.limit or DEFAULT_PAGE
    page = _Page(
        owner, server.settings.max_answer_bytes, ids=body.ids, where=where_of(body.where), limit=limit,
        cursor=body.cursor, include=chosen | {"vectors"} if binary else chosen,
    )  # fmt: skip
    return await server.run(page.answer, collection, binary)


class _Page:
    """Which records to read, and how to send them."""

    def __init__(
        self, tenant: str, most_bytes: int, *, include: frozenset[str], limit: int | None, **which: Any
    ) -> None:
        self.tenant, self.most_bytes, self.include, self.limit, self.which = tenant, most_bytes, include, limit, which

    def answer(self, collection: Collection, binary: bool) -> Response:
        found = self._read(collection)
        content = dumps(page_of(found, self.include, binary=binary))
        if not binary:
            return Response(content, media_type=JSON)
        vectors = stacked((one.vector for one in found), collection.dim, collection.dtype)
        return Response(npy(vectors) + content, media_type=NPY)

    def _read(self, collection: Collection) -> Records:
        """The records: fewer than asked for, with a cursor for the others, where a page would be too large."""
        limit, include = self.limit, sorted(self.include)
        while True:
            try:
                with read_at_most(self.most_bytes):
                    return collection.get(tenant=self.tenant, include=include, limit=limit, **self.which)
            except ReadLimitError:
                if limit is None or limit == 1:  # by id, which has no pages
                    raise
                limit //= 2


def _include(text: str | None) -> frozenset[str]:
    return DEFAULT_INCLUDE if text is None else frozenset(text.split(","))


@router.post(
    "/collections/{name}/records/count", operation_id="countRecords", response_model=models.Counted, responses=_READ
)
async def count_records(
    server: Serving, principal: Asking, name: CollectionName, body: models.Count | None = None
) -> Response:
    """Count records: of a tenant, or, without one and a filter, for keys to all tenants, of all."""
    tenant, where = (None, None) if body is None else (body.tenant, where_of(body.where))
    everything = tenant is None and (body is None or body.where is None) and principal.everywhere
    owner = None if everything else scope(principal, tenant, "read")[0]
    need(principal, "read")
    collection = await opened(server, name)
    return answer({"count": await server.run(collection.count, owner, where=where)})


@router.post(
    "/collections/{name}/records/delete", operation_id="deleteRecords", response_model=models.Deleted,
    openapi_extra=described(json=models.Delete),
    responses={**_WRITE, **declared("unsupported_media_type", "unknown_collection", "unknown_tenant")},
)  # fmt: skip
async def delete_records(
    server: Serving,
    principal: Asking,
    name: CollectionName,
    body: Annotated[models.Delete, Depends(in_body(models.Delete))],
) -> Response:
    """Delete records, for everybody they are granted to as well: by id, or all that match."""
    owner = scope(principal, body.tenant, "write")[0]
    at_most(len(body.ids or ()), server.settings.max_batch, "ids", "ids")
    where = None if body.where is None else where_of(body.where) or {}
    n = await _written(server, name, lambda found: found.delete(body.ids, where=where, tenant=owner, timeout_s=WAIT_S))
    server.metrics.written(name, "deleted", n)
    return answer({"deleted": n})


@router.post(
    "/collections/{name}/records/grant", operation_id="grantRecords", response_model=models.Granted,
    openapi_extra=described(json=models.Share),
    responses={**_WRITE, **declared(
        "unsupported_media_type", "unknown_collection", "unknown_tenant", "unknown_id", "conflict"
    )},
)  # fmt: skip
async def grant_records(server: Serving, principal: Asking, name: CollectionName, body: SharedBody) -> Response:
    """Let other tenants see records, under the same ids."""
    owner, to = _shared(server, principal, body)
    n = await _written(server, name, lambda found: found.grant(body.ids, to=to, tenant=owner, timeout_s=WAIT_S))
    return answer({"granted": n})


@router.post(
    "/collections/{name}/records/revoke", operation_id="revokeRecords", response_model=models.Revoked,
    openapi_extra=described(json=models.Share),
    responses={**_WRITE, **declared("unsupported_media_type", "unknown_collection", "unknown_tenant")},
)  # fmt: skip
async def revoke_records(server: Serving, principal: Asking, name: CollectionName, body: SharedBody) -> Response:
    """Take records back that were granted to other tenants."""
    owner, to = _shared(server, principal, body)
    n = await _written(server, name, lambda found: found.revoke(body.ids, to=to, tenant=owner, timeout_s=WAIT_S))
    return answer({"revoked": n})


def _shared(server: Server, principal: Principal, body: models.Share) -> tuple[str, list[str]]:
    """The owner and the others, all of them the key's."""
    at_most(len(body.ids), server.settings.max_batch, "ids", "ids")
    return scope(principal, body.tenant, "write")[0], scope(principal, body.to, "write")


async def _written(server: Server, name: str, work: Callable[[Collection], T]) -> T:
    """Write to a collection when it is this request's turn."""
    collection = await opened(server, name)
    return await server.commits.run(collection, lambda: work(collection))
