"""Queries: one, or several at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from ramet import ArgumentError, Collection, Hits
from ramet.api.rest.answers import dumps, result_of, stacked
from ramet.api.rest.auth import Asking, Principal, need, scope
from ramet.api.rest.bodies import JSON, SMALL, described, parsed, read, type_of
from ramet.api.rest.coalesce import Ask
from ramet.api.rest.context import Server
from ramet.api.rest.models import query as models
from ramet.api.rest.models.fields import MAX_HITS, CollectionName
from ramet.api.rest.problems import declared
from ramet.api.rest.routes.shared import at_most, opened, where_of
from ramet.api.rest.tokens import paid_by
from ramet.api.rest.wire import NPY, accepts_npy, npy, read_npy

Scoped = tuple[models.Query, tuple[str, ...]]
"""A query and the tenants that it is about."""

router = APIRouter(prefix="/v1", tags=["query"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    **declared(
        "unknown_collection", "collection_quarantined", "missing_embedder", "model_mismatch", "unsupported_media_type"
    ),
    200: {
        "description": "Hits, best first; as bytes: an .npy file of the vectors of the hits, in order, then JSON.",
        "content": {NPY: {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.post(
    "/collections/{name}/query", operation_id="queryRecords", response_model=models.Hits,
    openapi_extra=described(json=models.Query), responses=_RESPONSES,
)  # fmt: skip
async def query(request: Request, name: CollectionName, principal: Asking) -> Response:
    """Find the records nearest to a vector, or best for some words, or both."""
    need(principal, "read")
    type_of(request, JSON)
    server: Server = request.app.state.server
    raw = await request.body()
    body = parsed(models.Query, raw) if len(raw) <= SMALL else await server.run(parsed, models.Query, raw)
    collection = await opened(server, name)
    tenants = _tenants(principal, body)
    if body.k > server.settings.max_k:
        at_most(body.k, server.settings.max_k, "k", "hits")
    if body.vector is not None and _is_plain(body):
        content = await server.searches.search(_ask(collection, len(body.vector), tenants, body), body.vector)
        server.metrics.queries(name)
        return Response(content, media_type=JSON)
    with paid_by(request.scope):
        response = await server.search(_one, collection, body, tenants, accepts_npy(request.headers.get("accept")))
    server.metrics.queries(name)
    return response


@router.post(
    "/collections/{name}/query/batch", operation_id="queryBatch", response_model=models.Results,
    openapi_extra=described(json=models.QueryBatch, npy=models.QueryTail), responses=_RESPONSES,
)  # fmt: skip
async def query_batch(request: Request, name: CollectionName, principal: Asking) -> Response:
    """Answer several queries at once: each by itself, or all of one form."""
    need(principal, "read")
    server: Server = request.app.state.server
    most = server.settings.max_queries
    kind = type_of(request, JSON, NPY)

    def convert(raw: bytes) -> tuple[models.Options, Any]:
        if kind == JSON:
            found = parsed(models.QueryBatch, raw)
            return found, found.vectors
        vectors, rest = read_npy(raw, most)
        return parsed(models.QueryTail, rest or b"{}"), vectors if vectors.ndim == 2 else vectors[None]

    body, vectors = await read(server, request, convert)
    collection = await opened(server, name)
    binary = accepts_npy(request.headers.get("accept"))
    each = body.queries if isinstance(body, models.QueryBatch) else None
    if each is not None:
        at_most(len(each), most, "queries", "queries")
        scoped = [(one, _tenants(principal, one)) for one in each]
        at_most(max(one.k for one in each), server.settings.max_k, "k", "hits")
        at_most(sum(one.k for one in each), MAX_HITS, "queries", "hits together")
        with paid_by(request.scope):
            response = await server.search(_each, collection, scoped, binary)
        server.metrics.queries(name, len(each))
        return response
    assert isinstance(body, models.QueryBatch | models.QueryTail)
    n = len(body.texts or ()) if vectors is None else len(vectors)
    at_most(n, most, "texts" if vectors is None else "vectors", "queries")
    at_most(body.k, server.settings.max_k, "k", "hits")
    at_most(n * body.k, MAX_HITS, "k", "hits together")
    tenants = _tenants(principal, body)
    if vectors is not None and n == 1 and not binary and _is_plain(body):
        response = await _alone(server, collection, body, vectors[0], tenants)
    else:
        with paid_by(request.scope):
            response = await server.search(_form, collection, body, vectors, tenants, binary)
    server.metrics.queries(name, n)
    return response


async def _alone(
    server: Server, collection: Collection, body: models.Options, vector: Any, tenants: tuple[str, ...]
) -> Response:
    """A batch of one plain query: searched together with those of other requests."""
    found = await server.searches.search(_ask(collection, len(vector), tenants, body), vector)
    return Response(b'{"results":[' + found + b"]}", media_type=JSON)


def _tenants(principal: Principal, body: models.Options) -> tuple[str, ...]:
    return tuple(dict.fromkeys(scope(principal, body.tenant, "read")))


def _is_plain(body: models.Options) -> bool:
    """Whether one query, of a vector, can be searched together with others."""
    return (
        getattr(body, "text", None) is None
        and not getattr(body, "texts", None)
        and not body.where
        and not body.explain
        and (body.mode is None or body.mode == "dense")
        and (body.include is None or "vectors" not in body.include)
    )


def _ask(collection: Collection, dim: int, tenants: tuple[str, ...], body: models.Options) -> Ask:
    include = body.include
    return Ask(
        collection, dim, tenants, body.k, body.recall, body.nprobe, body.exact, body.prune,
        None if include is None else tuple(sorted(include)),
    )  # fmt: skip


def _options(body: models.Options, tenants: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of the engine."""
    found = body.model_dump(include=_ENGINES)
    return {**found, "where": where_of(body.where), "tenant": tenants if len(tenants) > 1 else tenants[0]}


_ENGINES = {"k", "mode", "recall", "nprobe", "exact", "prune", "fusion", "alpha", "include", "explain"}


def _block(vectors: Any) -> Any:
    """Vectors as the engine takes them best.

    Raises
    ------
    ArgumentError
        They are of different lengths.
    """
    if vectors is None or isinstance(vectors, np.ndarray):
        return vectors
    try:
        with np.errstate(over="ignore"):  # to infinity, which the engine refuses
            return np.array(vectors, np.float32)
    except ValueError as error:
        raise ArgumentError("vectors", "are of different lengths") from error


def _search(collection: Collection, body: models.Query, tenants: tuple[str, ...]) -> Hits:
    """One query."""
    return collection.query(_block(body.vector), text=body.text, **_options(body, tenants))


def _one(collection: Collection, body: models.Query, tenants: tuple[str, ...], binary: bool) -> Response:
    hits = _search(collection, body, tenants)
    content = result_of(hits, vectors=not binary)
    if hits.explanation is not None:
        content["explanation"] = hits.explanation.to_dict()
    return _sent(collection, content, [hits], binary)


def _each(collection: Collection, queries: list[Scoped], binary: bool) -> Response:
    """Queries that have nothing in common but the collection."""
    together = _alike(collection, queries)
    every: list[Hits] = []
    for i, (body, tenants) in enumerate(queries):
        try:
            every.append(together[i] if i in together else _search(collection, body, tenants))
        except ArgumentError as error:
            raise ArgumentError(f"queries[{i}].{error.argument}", error.problem) from error
    results = [result_of(one, vectors=not binary) for one in every]
    for one, result in zip(every, results, strict=True):
        if one.explanation is not None:
            result["explanation"] = one.explanation.to_dict()
    return _sent(collection, {"results": results}, every, binary)


def _alike(collection: Collection, queries: list[Scoped]) -> dict[int, Hits]:
    """Hits of those queries that differ in nothing but the vector, searched together, by position."""
    alike: dict[Ask, list[int]] = {}
    for i, (body, tenants) in enumerate(queries):
        if body.vector is not None and _is_plain(body):
            alike.setdefault(_ask(collection, len(body.vector), tenants, body), []).append(i)
    found: dict[int, Hits] = {}
    for places in alike.values():
        body, tenants = queries[places[0]]
        try:
            hits = collection.query(_block([queries[i][0].vector for i in places]), **_options(body, tenants))
        except ArgumentError:
            continue  # one by one, to say which it is
        found.update(zip(places, hits, strict=True))
    return found


def _form(
    collection: Collection,
    body: models.QueryBatch | models.QueryTail,
    vectors: Any,
    tenants: tuple[str, ...],
    binary: bool,
) -> Response:
    """Queries of one form."""
    hits = collection.query(_block(vectors), text=body.texts, **_options(body, tenants))
    every = list(hits)
    content: dict[str, Any] = {"results": [result_of(one, vectors=not binary) for one in every]}
    if hits.explanation is not None:
        content["explanation"] = hits.explanation.to_dict()
    return _sent(collection, content, every, binary)


def _sent(collection: Collection, content: dict[str, Any], found: list[Hits], binary: bool) -> Response:
    """JSON, or the vectors of all hits and then JSON."""
    if not binary:
        return Response(dumps(content), media_type=JSON)
    vectors = [vector for hits in found for vector in (() if hits.vectors is None else hits.vectors)]
    results = content.get("results", [content])
    for hits, result in zip(found, results, strict=True):
        if hits.vectors is not None:
            for hit, vector in zip(result["hits"], hits.vectors, strict=True):
                hit["has_vector"] = vector is not None
    return Response(npy(stacked(vectors, collection.dim, collection.dtype)) + dumps(content), media_type=NPY)
