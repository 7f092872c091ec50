"""Texts of a block made into chunks with vectors, as `Collection.add_texts` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ramet.engine.embedding import TextEmbedder
from ramet.engine.jobs.inputs.blocks import Block
from ramet.engine.token_codes import Projection


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
    """The projection for token codes, from the first texts; None where the embedder has no vectors of tokens."""
    raise NotImplementedError


def embedded(block: Block, embedder: TextEmbedder, chunking: Chunking) -> Block:
    """Chunks of a block's texts, with vectors, ids and metadata; ``rows`` has the row of each chunk's document."""
    raise NotImplementedError
