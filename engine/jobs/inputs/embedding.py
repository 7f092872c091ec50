"""Texts of a block made into chunks with vectors, as `Collection.add_texts` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine import adding
from ramet.engine.chunking import Chunk
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError
from ramet.engine.jobs.inputs.blocks import Block
from ramet.engine.jobs.inputs.checking import without
from ramet.engine.records import check_document
from ramet.engine.token_codes import FITTED_ON, Projection, can_encode, embed

_REASONS = {"ids": "bad_id", "metadata": "bad_metadata", "texts": "bad_text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How documents are cut and encoded.

    Attributes
    ----------
    chunk_tokens : int, optional
        Tokens of a chunk at most; None: what the embedder reads.
    overlap : int
        Tokens that a chunk has in common with the one before.
    projection : Projection, optional
        Makes token codes; None: none are made. One for all blocks of a collection: see `fitted_projection`.
    """

    chunk_tokens: int | None = None
    overlap: int = 0
    projection: Projection | None = None


def fitted_projection(texts: Sequence[str], embedder: TextEmbedder, chunking: Chunking) -> Projection | None:
    """The projection for token codes, from the first texts; None where there is no token that has a vector."""
    if not can_encode(embedder):
        return None
    chunks = [one.text for part in _cut(list(texts[:FITTED_ON]), embedder, chunking) for one in part]
    return embed(embedder, chunks[:FITTED_ON], None)[2]


def embedded(block: Block, embedder: TextEmbedder, chunking: Chunking) -> Block:
    """Chunks of a block's texts, with vectors, ids and metadata; ``rows`` has the row of each chunk's document.

    Documents need ids. What cannot be a document, or has no text, is in ``rejected``.

    Raises
    ------
    ArgumentError
        The block has no texts or no ids, a setting is wrong, or the embedder returns another shape.
    """
    if block.texts is None or block.ids is None:
        raise ArgumentError("block", f"of {block.file} has no {'texts' if block.texts is None else 'ids'}; set them")
    bad: dict[int, tuple[str, str]] = {}
    metadata = block.metadata or [None] * len(block)
    for i, (text, name, fields) in enumerate(zip(block.texts, block.ids, metadata, strict=True)):
        try:
            adding.checked([text], [name], [fields], "")
        except ArgumentError as error:
            bad[i] = _REASONS[error.argument.partition("[")[0]], error.problem
        else:
            if not text or text.isspace():
                bad[i] = "empty_text", "is empty or white space: there is nothing to embed"
    good = without(block, bad)
    assert good.texts is not None
    texts = [text or "" for text in good.texts]
    cut = _cut(texts, embedder, chunking)
    large: dict[int, tuple[str, str]] = {}
    for i, chunks in enumerate(cut):
        try:
            for number, one in enumerate(chunks):
                check_document(one.text, f"chunk {number}")
        except ArgumentError as error:
            large[i] = "too_long", str(error)
    return _records(without(good, large), [one for i, one in enumerate(cut) if i not in large], embedder, chunking)


def _cut(texts: list[str], embedder: TextEmbedder, chunking: Chunking) -> list[list[Chunk]]:
    most = (embedder.max_tokens or adding.CHUNK_TOKENS) if chunking.chunk_tokens is None else chunking.chunk_tokens
    return adding.cut(texts, embedder, most, chunking.overlap)


def _records(block: Block, cut: list[list[Chunk]], embedder: TextEmbedder, chunking: Chunking) -> Block:
    """Every chunk a record."""
    assert block.ids is not None
    names: list[str] = []
    texts: list[str] = []
    fields: list[dict[str, Any] | None] = []
    sources: list[int] = []
    for i, chunks in enumerate(cut):
        for name, one, own in adding.chunk_records(block.ids[i], block.metadata[i] if block.metadata else None, chunks):
            names.append(name)
            texts.append(one.text)
            fields.append(own)
            sources.append(i)
    codes = None
    if chunking.projection is not None and texts:
        vectors, codes, _ = embed(embedder, texts, chunking.projection)
    else:
        vectors = embedder.embed_documents(texts) if texts else np.empty((0, embedder.dim), np.float32)
    if getattr(vectors, "shape", None) != (len(texts), embedder.dim):
        found = getattr(vectors, "shape", type(vectors).__name__)
        raise ArgumentError(
            "embedder", f"made {found} of {len(texts)} texts; it must return {(len(texts), embedder.dim)}"
        )
    bare = ~np.any(vectors, axis=1)
    return Block(
        file=block.file,
        first=block.first,
        rows=block.rows[sources],
        vectors=np.ascontiguousarray(vectors, np.float32),
        bare=bare if bare.any() else None,
        ids=names,
        texts=list(texts),
        metadata=fields,
        tenants=None if block.tenants is None else [block.tenants[i] for i in sources],
        tokens=codes,
        rejected=block.rejected,
    )
