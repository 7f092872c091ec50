"""Documents to records: chunks, vectors, the fields that say where each chunk comes from."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ramet.engine import checks
from ramet.engine import metadata as meta
from ramet.engine.chunking import Chunk, chunk
from ramet.engine.contents import Content
from ramet.engine.documents import (
    CHUNK,
    DOCUMENT,
    END,
    OWN_FIELDS,
    START,
    known_documents,
    of_documents,
    refuse_taken,
    rows_of_documents,
)
from ramet.engine.embedded import has_words, vectors_of
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, ConflictError
from ramet.engine.hits import AddReport, UpsertReport
from ramet.engine.opened import Opened
from ramet.engine.ownership import refuse_foreign_rows
from ramet.engine.records import check_document
from ramet.engine.replacing import Replaced
from ramet.engine.texts import checked_texts
from ramet.engine.token_codes import Projection, StaleProjectionError, can_encode, embed
from ramet.engine.upsert import Records
from ramet.storage.writer import Writer

TOGETHER = 2048
"""Chunks that are embedded and stored together, at least; a document is not divided."""

MAX_ID_BYTES = checks.MAX_NAME_BYTES - 12
"""Chunks append their number."""

OWN_BYTES = 4096
"""Room in the metadata for the fields of add_texts."""

DELETED_TOGETHER = 64
"""Documents that are deleted in one transaction, whatever their number of chunks."""

CHUNK_TOKENS = 512
"""Most tokens of a chunk when the embedder reads texts of any length."""


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
    distinct = set(names)
    for i, name in enumerate(names):
        document, _, number = name.rpartition("#")
        if number.isdecimal() and document in distinct:
            raise ArgumentError(f"ids[{i}]", f"{name!r} may be a chunk of {document!r} of this call; use another id")
    fields: list[Any] = [None] * len(found) if metadata is None else meta.checked(metadata, len(found))
    for i, one in enumerate(fields):
        taken = [field for field in OWN_FIELDS if one and field in one]
        if taken:
            raise ArgumentError(f"metadata[{i}]", f"has the field {taken[0]!r}, which add_texts sets; use another name")
        if one and len(one) > meta.MAX_FIELDS - len(OWN_FIELDS):
            most = meta.MAX_FIELDS - len(OWN_FIELDS)
            raise ArgumentError(f"metadata[{i}]", f"has {len(one)} fields; at most {most}, as add_texts adds its own")
        if one and len(meta.encode(one)) > meta.MAX_BYTES - OWN_BYTES:
            raise ArgumentError(f"metadata[{i}]", f"has over {meta.MAX_BYTES - OWN_BYTES} bytes as JSON; use documents")
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
    total, n_chunks, n_tokens, skipped = UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0), 0, 0, set[str]()
    for part in _parts(documents, chosen, embedder, *chunks):
        stored = None
        while stored is None:
            stored = _stored(opened, embedder, part, documents.tenant, (encoded, on_conflict, timeout_s))
        total += stored.report
        skipped |= stored.skipped
        n_chunks += stored.report.n_inserted + stored.report.n_replaced
        n_tokens += part.n_tokens
    return AddReport(
        ids=documents.ids,
        n_documents=len(chosen) - len(skipped),
        n_skipped=len(documents.ids) - len(chosen) + len(skipped),
        n_chunks=n_chunks,
        n_replaced=total.n_replaced,
        n_tokens=n_tokens,
    )


def _stored(
    opened: Opened, embedder: TextEmbedder, part: _Part, tenant: str, how: tuple[bool, str, float]
) -> Replaced | None:
    """Embed and store chunks; None when that has to be done again, as another process chose a projection meanwhile."""
    made: Any = None
    codes = projection = None
    if how[0] and part.texts:
        with opened.store.read() as snapshot:
            projection = Projection.of(snapshot)
        made, codes, projection = embed(embedder, part.texts, projection)
    elif part.texts:
        made = embedder.embed_documents(part.texts)
    vectors = _known(made, len(part.texts), opened.settings.dim) if part.texts else None
    names, block, bare, owners = checks.batch(part.names, vectors, tenant, opened.settings)
    content = Content(documents=part.texts, metadata=part.metadata, tokens=codes)
    records = Records(names=names, block=block, bare=bare, content=content, tenants=owners)

    def bind(writer: Writer) -> None:
        opened.bind_model(writer, embedder)
        if projection is not None:
            projection.bind(writer)

    try:
        return opened.live.replace(records, part.documents, bind if part.texts else None, *how[1:])
    except StaleProjectionError:
        return None


def _known(vectors: Any, n: int, dim: int) -> Any:
    """Vectors of texts; None where the embedder knows none of the words: such chunks are found by words only."""
    known = has_words(vectors, n, dim).tolist()
    if all(known):
        return vectors
    return [vector if there else None for vector, there in zip(vectors, known, strict=True)]


def _without_conflicts(opened: Opened, documents: Documents, on_conflict: str) -> list[int]:
    """Positions of the documents that are to be stored; looked at once more when they are."""
    known: set[str] = set()
    with opened.store.read() as snapshot:
        number = snapshot.tenant_number(documents.tenant)
        for first in range(0, len(documents.ids) if number is not None else 0, TOGETHER):
            part = documents.ids[first : first + TOGETHER]
            assert number is not None
            if on_conflict == "replace":
                refuse_taken(snapshot, number, documents.tenant, part, part)
                refuse_foreign_rows(snapshot, number, documents.tenant, rows_of_documents(snapshot, number, part))
            else:
                known |= known_documents(snapshot, number, part)
    if known and on_conflict == "error":
        raise ConflictError(documents.tenant, sorted(known), 'pass on_conflict="replace" or "skip", or use other ids')
    return [i for i, name in enumerate(documents.ids) if name not in known]


def _parts(
    documents: Documents, chosen: list[int], embedder: TextEmbedder, chunk_tokens: int | None, overlap: int
) -> Iterator[_Part]:
    """Chunks of the chosen documents, some thousand at a time."""
    most = (embedder.max_tokens or CHUNK_TOKENS) if chunk_tokens is None else chunk_tokens
    part = _Part([], [], [], [])
    for first in range(0, len(chosen), TOGETHER):
        numbers = chosen[first : first + TOGETHER]
        texts = [documents.texts[i] for i in numbers]
        cut = _cut(texts, embedder, most, overlap)
        for i, chunks in zip(numbers, cut, strict=True):
            part.documents.append(documents.ids[i])
            for number, one in enumerate(chunks):
                check_document(one.text, f"chunk {number} of document {documents.ids[i]!r}")
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


def _cut(texts: list[str], embedder: TextEmbedder, most: int, overlap: int) -> list[list[Chunk]]:
    """Chunks of each text; what is wrong with the limit is said of the argument that callers know."""
    try:
        return chunk(texts, max_tokens=most, overlap=overlap, count_tokens=embedder.count_tokens)
    except ArgumentError as error:
        name = "chunk_tokens" if error.argument == "max_tokens" else error.argument
        raise ArgumentError(name, error.problem) from error


def delete(opened: Opened, ids: list[str], tenant: str, timeout_s: float) -> int:
    """Delete documents; see `Collection.delete_texts`."""
    total = 0
    for first in range(0, len(ids), DELETED_TOGETHER):
        chosen = of_documents(ids[first : first + DELETED_TOGETHER])
        total += opened.live.delete_matching(chosen, tenant, timeout_s, whole=True)
    return total


def with_vectors(opened: Opened, records: Records) -> tuple[Records, Callable[[Writer], None] | None]:
    """Records with vectors of the documents that have known words, and what binds the collection to the model."""
    if records.content.documents is None:
        return records, None
    made = vectors_of(opened, records.content.documents)
    block, bare = checks.with_gaps(made.column(), records.names, opened.settings)
    return replace(records, block=block, bare=bare), lambda writer: opened.bind_model(writer, made.embedder)
