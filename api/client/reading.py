"""Reads and queries of a collection on a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ramet.api.client.batches import given, pieces
from ramet.api.client.collection_calls import CollectionCalls
from ramet.api.client.errors import ServerError
from ramet.api.client.messages import JSON, NPY, Operation, Reply, Request
from ramet.api.client.results import Asked, answered, parsed, records_of, together
from ramet.api.client.values import Array, tagged, to_json, with_vectors
from ramet.api.client.vectors import query_form, refuse_endless
from ramet.engine import arguments
from ramet.engine import where as filters
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import Columns, Hits, Records

PAGE = 1000
"""Records of one request."""

MAX_HITS = 100_000
"""Hits of one batch that servers take."""

TOO_LARGE = "answer_too_large"

MODES = ("dense", "keyword", "hybrid")
FUSIONS = ("rrf", "weighted")


def wanted(include: Any, with_vectors: bool) -> frozenset[str]:
    """What is to come with ids."""
    found = arguments.included(("documents", "metadata") if include is None else include)
    return found | {"vectors"} if with_vectors else found


def filter_of(where: Any) -> Any:
    """A filter as it is sent, checked as the engine checks it; None when it says nothing."""
    return None if filters.parse(where) is None else tagged(where)


class Reading(CollectionCalls):
    """Reads and queries."""

    def get(
        self,
        ids: Any = None,
        *,
        where: Any = None,
        limit: Any = None,
        cursor: Any = None,
        tenant: Any = None,
        include: Any = None,
        with_vectors: bool = True,
    ) -> Operation[Records]:
        """Records; see `Collection.get`."""
        chosen = wanted(include, with_vectors and include is None)
        rest = given(tenant=None if tenant is None else arguments.name(tenant, "tenant")) | {"include": sorted(chosen)}
        if ids is not None:
            if where is not None or limit is not None or cursor is not None:
                raise ArgumentError("ids", "are given together with where, limit or cursor, which page through others")
            names = arguments.names(ids, "ids", twice=True)
            return self._by_id(names, rest, "vectors" in chosen)
        most = None if limit is None else arguments.positive(limit, "limit", 1 << 31)
        arguments.cursor(cursor)
        return self._paged(given(where=filter_of(where), **rest), most, cursor, "vectors" in chosen)

    def _by_id(self, names: list[str], rest: dict[str, Any], vectors: bool) -> Operation[Records]:
        found, waiting = Records(), list(reversed(list(pieces(names, PAGE))))
        while waiting:
            some = waiting.pop()
            try:
                found.extend((yield from self._page({"ids": some, **rest}, vectors)))
            except ServerError as error:
                if error.code != TOO_LARGE or len(some) == 1:
                    raise
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
        return found

    def _paged(self, rest: dict[str, Any], most: int | None, cursor: str | None, vectors: bool) -> Operation[Records]:
        found = Records(cursor=cursor)
        while True:
            size = PAGE if most is None else min(PAGE, most - len(found))
            page = yield from self._page({"limit": size, **given(cursor=found.cursor), **rest}, vectors)
            found.extend(page)
            found.cursor = page.cursor
            if page.cursor is None or len(found) == most:
                return found

    def _page(self, body: dict[str, Any], vectors: bool) -> Operation[Records]:
        request = Request(
            method="POST",
            path=f"{self.path}/records/get",
            body=to_json(body),
            accept=NPY if vectors else JSON,
        )
        settings = self.facts.settings
        return self.server.told(request, lambda reply: records_of(reply, settings))

    def count(self, tenant: Any = None, *, where: Any = None) -> Operation[int]:
        """Number of records; see `Collection.count`."""
        name = None if tenant is None else arguments.name(tenant, "tenant")
        chosen = filter_of(where)
        # A filter that says nothing is none, but it is asked of one tenant.
        body = given(tenant=name, where={} if chosen is None and where is not None else chosen)
        return self._post("/records/count", body, lambda reply: int(parsed(reply)["count"]))

    def query(self, vectors: Any, k: Any, *, text: Any, mode: Any, where: Any, **options: Any) -> Operation[Hits]:
        """Hits; see `Collection.query`, whose arguments ``options`` are."""
        rest = self._rest(k, where, options)
        texts, single = (None, False) if text is None else arguments.texts(text)
        chosen = _mode(mode, vectors, texts)
        queries: Array | None = None
        if chosen != "keyword" and vectors is not None:
            queries, alone = query_form(vectors, self.facts.settings)
            if texts is None:
                single = alone
            else:
                arguments.as_many_texts(texts, len(queries))
        if mode is not None:
            rest["mode"] = chosen
        asked = Asked(single=single, mode=chosen, include=frozenset(rest["include"]))
        if single:
            return self._one(queries, texts, rest, asked)
        return self._batch(queries, texts, rest, asked)

    def _rest(self, k: Any, where: Any, options: dict[str, Any]) -> dict[str, Any]:
        """What a question says beside vectors and texts, checked."""
        recall, nprobe, exact, prune = (options[name] for name in ("recall", "nprobe", "exact", "prune"))
        rest = {"k": arguments.positive(k, "k", arguments.MAX_K)}
        if (recall is not None) + (nprobe is not None) + bool(exact) > 1:
            raise ArgumentError("recall", "is given together with nprobe or exact; pass one of the three")
        if options["check"]:
            raise ArgumentError("check", "cannot be asked of a server; verify() checks the files")
        tenant, fusion, alpha = options["tenant"], options["fusion"], options["alpha"]
        several = None if tenant is None else list(arguments.tenants(tenant))
        return rest | given(
            recall=None if recall is None else arguments.share(recall, "recall"),
            nprobe=None if nprobe is None else arguments.positive(nprobe, "nprobe", 1 << 31),
            exact=True if exact else None,
            prune=None if prune is None else arguments.prune_ratio(prune, self.facts.settings),
            fusion=None if one_of(fusion, "fusion", FUSIONS) == "rrf" else fusion,
            alpha=None if arguments.fraction(alpha, "alpha") == 0.5 else float(alpha),
            include=sorted(wanted(options["include"], bool(options["with_vectors"]))),
            explain=True if options["explain"] else None,
            tenant=several if several is None or len(several) > 1 else several[0],
            where=filter_of(where),
        )

    def _one(
        self, queries: Array | None, texts: list[str] | None, rest: dict[str, Any], asked: Asked
    ) -> Operation[Hits]:
        if queries is not None:
            refuse_endless(queries, "query")
        body = given(vector=None if queries is None else queries[0].tolist(), text=None if texts is None else texts[0])
        return self.server.told(self._question("/query", to_json(body | rest), JSON, rest), self._answered(asked))

    def _batch(
        self, queries: Array | None, texts: list[str] | None, rest: dict[str, Any], asked: Asked
    ) -> Operation[Hits]:
        n = len(queries) if queries is not None else len(texts or ())
        if n == 0:
            return self._nothing(asked)
        width = 0 if queries is None else queries.shape[1] * queries.itemsize
        size = min(self.server.max_queries, max(1, self.server.max_bytes // (width + 1)), max(1, MAX_HITS // rest["k"]))
        return self._several(queries, texts, rest, asked, size)

    def _several(
        self, queries: Array | None, texts: list[str] | None, rest: dict[str, Any], asked: Asked, size: int
    ) -> Operation[Hits]:
        found: list[Hits] = []
        first, n = 0, len(queries) if queries is not None else len(texts or ())
        while first < n:
            more = rest | given(texts=None if texts is None else texts[first : first + size])
            if queries is None:
                body, kind = to_json(more), JSON
            else:
                body, kind = with_vectors(queries[first : first + size], more), NPY
            request = self._question("/query/batch", body, kind, rest)
            try:
                found.append((yield from self.server.told(request, self._answered(asked))))
            except ServerError as error:
                if error.code != TOO_LARGE or size == 1:
                    raise
                size = min(size, n - first) // 2 or 1
            else:
                first += size
        return together(found)

    def _question(self, path: str, body: bytes, kind: str, rest: dict[str, Any]) -> Request:
        accept = NPY if "vectors" in rest["include"] else JSON
        return Request(method="POST", path=self.path + path, body=body, content_type=kind, accept=accept)

    def _answered(self, asked: Asked) -> Callable[[Reply], Hits]:
        return lambda reply: answered(reply, self.facts, asked)

    def _nothing(self, asked: Asked) -> Operation[Hits]:
        """The hits of a batch without queries."""
        yield from ()
        columns = Columns(**{name: [] for name in asked.include})
        return Hits([], np.empty((0, 0), np.float32), self.facts.settings.metric, True, columns)


def _mode(mode: Any, vectors: Any, texts: list[str] | None) -> str | None:
    """What kind of search is asked for; None: the server decides, by whether it has an embedder."""
    if vectors is None and texts is None:
        raise ArgumentError("vectors", "is missing; pass vectors, or text=")
    if mode is None:
        return None if vectors is None else "dense" if texts is None else "hybrid"
    chosen = one_of(mode, "mode", MODES)
    if chosen != "dense" and texts is None:
        raise ArgumentError("text", f"is missing; mode={chosen!r} searches for words")
    return chosen
