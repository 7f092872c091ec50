"""Texts: cut up, embedded and stored by one call."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ramet import ArgumentError
from ramet.api.rest.auth import Asking, scope
from ramet.api.rest.bodies import described, in_body
from ramet.api.rest.commits import WAIT_S
from ramet.api.rest.models import records, texts
from ramet.api.rest.models.fields import CollectionName
from ramet.api.rest.problems import declared
from ramet.api.rest.routes.records import _plain
from ramet.api.rest.routes.shared import Serving, answer, at_most, opened
from ramet.api.rest.tokens import paid_by
from ramet.api.rest.values import metadata

router = APIRouter(prefix="/v1", tags=["texts"])

_WRITE = ("unknown_collection", "collection_quarantined", "writer_busy", "read_only", "storage_full")


@router.post(
    "/collections/{name}/texts", operation_id="addTexts", response_model=texts.Added,
    openapi_extra=described(json=texts.Texts),
    responses=declared(
        *_WRITE, "unsupported_media_type", "not_owner", "conflict", "missing_embedder", "model_mismatch",
        "analysis_mismatch", "not_installed",
    ),
)  # fmt: skip
async def add_texts(
    request: Request,
    server: Serving,
    principal: Asking,
    name: CollectionName,
    body: Annotated[texts.Texts, Depends(in_body(texts.Texts))],
) -> Response:
    """Store documents: cut into chunks, embedded, each chunk a record. A document of the same id is replaced."""
    owner = scope(principal, body.tenant, "write")[0]
    at_most(len(body.texts), server.settings.max_batch, "texts", "texts")
    if body.ids is not None and len(body.ids) != len(body.texts):
        raise ArgumentError("ids", f"{len(body.ids)} ids for {len(body.texts)} texts; send one for each, or none")
    fields = None if body.metadata is None else [None if one is None else _plain(one) for one in body.metadata]
    collection = await opened(server, name)
    adding = partial(
        collection.add_texts,
        body.texts,
        body.ids,
        metadata=metadata(fields),
        tenant=owner,
        chunk_tokens=body.chunk_tokens,
        overlap=body.overlap,
        on_conflict=body.on_conflict,
        token_codes=body.token_codes,
        timeout_s=WAIT_S,
    )
    with paid_by(request.scope):
        report = await server.texts.run(adding)
    server.metrics.written(name, "upserted", report.n_chunks)
    return answer(
        {
            "ids": report.ids,
            "documents": report.n_documents,
            "skipped": report.n_skipped,
            "chunks": report.n_chunks,
            "replaced": report.n_replaced,
            "tokens": report.n_tokens,
        }
    )


@router.post(
    "/collections/{name}/texts/delete", operation_id="deleteTexts", response_model=records.Deleted,
    openapi_extra=described(json=texts.DeleteTexts),
    responses=declared(*_WRITE, "unsupported_media_type", "not_owner", "unknown_tenant"),
)  # fmt: skip
async def delete_texts(
    server: Serving,
    principal: Asking,
    name: CollectionName,
    body: Annotated[texts.DeleteTexts, Depends(in_body(texts.DeleteTexts))],
) -> Response:
    """Delete documents that were added as texts, with all their chunks."""
    owner = scope(principal, body.tenant, "write")[0]
    at_most(len(body.ids), server.settings.max_batch, "ids", "ids")
    collection = await opened(server, name)
    n = await server.commits.run(collection, lambda: collection.delete_texts(body.ids, tenant=owner, timeout_s=WAIT_S))
    server.metrics.written(name, "deleted", n)
    return answer({"deleted": n})
