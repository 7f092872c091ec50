"""Documents to records: chunks, vectors, the fields that say where each chunk comes from."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine import checks, where
from ramet.engine import metadata as meta
from ramet.engine.chunking import MOST_TOKENS, chunk
from ramet.engine.contents import Content
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, ConflictError
from ramet.engine.filters import rows_of_documents
from ramet.engine.hits import AddReport, UpsertReport
from ramet.engine.opened import Opened
from ramet.engine.ownership import refuse_foreign_rows
from ramet.engine.texts import checked_texts
from ramet.engine.token_codes import Projection, StaleProjectionError, can_encode, embed
from ramet.engine.upsert import Records
from ramet.engine.where import Filter
from ramet.storage.writer import Writer

TOGETHER = 2048
"""Chunks that are embedded and stored together, at least; a document is not divided."""

DOCUMENT, CHUNK, START, END = "_document", "_chunk", "_start", "_end"
OWN_FIELDS = (DOCUMENT, CHUNK, START, END)

MAX_ID_BYTES = checks.MAX_NAME_BYTES - 12
"""Chunks append their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Documents of one call, checked."""

    texts: list[str]
    ids: list[str]
    metadata: list[dict[str, Any] | None]
    tenant: str


def checked(texts: Any, ids: Any, metadata: Any, tenant: str) -> Documents:
    """Documents that may be added.

    Raises
    ------
    ArgumentError
    """
    found = checked_texts(texts, "texts")
    names = [uuid.uuid4().hex for _ in found] if ids is None else checks.record_ids(ids, len(found))
    for i, name in enumerate(names):
        if len(name.encode()) > MAX_ID_BYTES:
            raise ArgumentError(f"ids[{i}]", f"has over {MAX_ID_BYTES} bytes in UTF-8, and chunks append their number")
    fields: list[Any] = [None] * len(found) if metadata is None else meta.checked(metadata, len(found))
    for i, one in enumerate(fields):
        taken = [field for field in OWN_FIELDS if one and field in one]
        if taken:
            raise ArgumentError(f"metadata[{i}]", f"has the field {taken[0]!r}, which add_texts sets; use another name")
    return Documents(texts=found, ids=names, metadata=fields, tenant=tenant)


@dataclass(slots=True)
class _Part:
    """Chunks that are stored together, and the documents that they are of."""

    names: list[str]
    texts: list[str]
    metadata: list[dict[str, Any]]
    documents: list[str]
    n_tokens: int = 0


def with_codes(embedder: TextEmbedder, token_codes: Any) -> bool:
    """Whether token codes are to be stored: "auto" if the embedder can make them.

    Raises
    ------
    ArgumentError
        Another value, or True for an embedder that cannot.
    """
    if token_codes not in ("auto", True, False):
        raise ArgumentError("token_codes", f'is {token_codes!r}; pass "auto", True or False')
    possible = bool(token_codes) and can_encode(embedder)
    if token_codes is True and not possible:
        raise ArgumentError("token_codes", 'is True, and the embedder has no vectors of tokens; pass "auto"')
    return possible


def add(
    opened: Opened,
    documents: Documents,
    chunks: tuple[int | None, int],
    on_conflict: str,
    token_codes: Any,
    timeout_s: float,
) -> AddReport:
    """Cut, embed and store documents; see `Collection.add_texts`."""
    embedder = opened.needed()
    encoded = with_codes(embedder, token_codes)
    chosen = _without_conflicts(opened, documents, on_conflict)
    total, n_chunks, n_tokens = UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0), 0, 0
    for part in _parts(documents, chosen, embedder, *chunks):
        stored = None
        while stored is None:
            stored = _store(opened, part, documents.tenant, encoded, timeout_s)
        total += stored
        n_chunks += len(part.names)
        n_tokens += part.n_tokens
    return AddReport(
        ids=documents.ids,
        n_documents=len(chosen),
        n_skipped=len(documents.ids) - len(chosen),
        n_chunks=n_chunks,
        n_replaced=total.n_replaced,
        n_tokens=n_tokens,
    )


def _store(opened: Opened, part: _Part, tenant: str, encoded: bool, timeout_s: float) -> UpsertReport | None:
    """Embed and store chunks; None when that has to be done again, as another process chose a projection meanwhile."""
    embedder, codes, projection = opened.needed(), None, None
    if encoded and part.texts:
        with opened.store.read() as snapshot:
            projection = Projection.of(snapshot)
        vectors, codes, projection = embed(embedder, part.texts, projection)
    else:
        vectors = embedder.embed_documents(part.texts) if part.texts else None
    block_or_gaps = _known(vectors, len(part.texts), opened.settings.dim)
    names, block, bare, owners = checks.batch(part.names, block_or_gaps, tenant, opened.settings)
    content = Content(documents=part.texts, metadata=part.metadata, tokens=codes)
    records = Records(names=names, block=block, bare=bare, content=content, tenants=owners)

    def bind(writer: Writer) -> None:
        opened.bind_model(writer)
        if projection is not None:
            projection.bind(writer)

    try:
        before = bind if part.texts else None
        return opened.live.replace(records, of_documents(part.documents), part.documents, before, timeout_s)
    except StaleProjectionError:
        return None


def _known(vectors: Any, n: int, dim: int) -> Any:
    """Vectors of texts; None where the embedder knows none of the words: such chunks are found by words only."""
    if not n:
        return None
    if getattr(vectors, "shape", None) != (n, dim):
        found = getattr(vectors, "shape", type(vectors).__name__)
        raise ArgumentError("embedder", f"made {found} of {n} texts; it must return shape {(n, dim)}")
    known = np.any(vectors, axis=1).tolist()
    if all(known):
        return vectors
    return [vector if there else None for vector, there in zip(vectors, known, strict=True)]


def _without_conflicts(opened: Opened, documents: Documents, on_conflict: str) -> list[int]:
    """Positions of the documents that are to be stored."""
    known: set[str] = set()
    with opened.store.read() as snapshot:
        number = snapshot.tenant_number(documents.tenant)
        for first in range(0, len(documents.ids) if number is not None else 0, TOGETHER):
            part = documents.ids[first : first + TOGETHER]
            assert number is not None
            rows = rows_of_documents(snapshot, number, of_documents(part), part)
            if on_conflict == "replace":
                refuse_foreign_rows(snapshot, number, documents.tenant, rows)
                continue
            there = set(snapshot.ids_of(rows))
            known.update(name for name in part if name in there)
            fields = (meta.decode(one or b"{}") for one in snapshot.metadata(rows))
            known.update({str(one.get(DOCUMENT)) for one in fields} & set(part))
    if known and on_conflict == "error":
        raise ConflictError(documents.tenant, sorted(known), 'pass on_conflict="replace" or "skip", or use other ids')
    return [i for i, name in enumerate(documents.ids) if name not in known]


def _parts(
    documents: Documents, chosen: list[int], embedder: TextEmbedder, chunk_tokens: int | None, overlap: int
) -> Iterator[_Part]:
    """Chunks of the chosen documents, some thousand at a time."""
    most = (embedder.max_tokens or MOST_TOKENS) if chunk_tokens is None else chunk_tokens
    part = _Part([], [], [], [])
    for first in range(0, len(chosen), TOGETHER):
        numbers = chosen[first : first + TOGETHER]
        texts = [documents.texts[i] for i in numbers]
        cut = chunk(texts, max_tokens=most, overlap=overlap, count_tokens=embedder.count_tokens)
        for i, chunks in zip(numbers, cut, strict=True):
            part.documents.append(documents.ids[i])
            for number, one in enumerate(chunks):
                part.names.append(f"{documents.ids[i]}#{number}" if len(chunks) > 1 else documents.ids[i])
                part.texts.append(one.text)
                part.n_tokens += one.n_tokens
                own = {DOCUMENT: documents.ids[i], CHUNK: number, START: one.start, END: one.end}
                part.metadata.append({**(documents.metadata[i] or {}), **own})
            if len(part.names) >= TOGETHER:
                yield part
                part = _Part([], [], [], [])
    if part.documents:
        yield part


def of_documents(ids: list[str]) -> Filter:
    """The filter that finds the chunks of documents."""
    found = where.parse({DOCUMENT: {"$in": ids}})
    assert found is not None
    return found


def delete(opened: Opened, ids: list[str], tenant: str, timeout_s: float) -> int:
    """Delete documents; see `Collection.delete_texts`."""
    return sum(
        opened.live.delete_matching(of_documents(ids[first : first + TOGETHER]), tenant, timeout_s)
        for first in range(0, len(ids), TOGETHER)
    )
