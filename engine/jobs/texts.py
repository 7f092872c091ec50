"""Vectors of texts inside a job."""

from __future__ import annotations

from typing import Any

import numpy as np

from ramet.engine.embedding import TextEmbedder
from ramet.engine.jobs.inputs.blocks import Block
from ramet.engine.jobs.inputs.checking import checked
from ramet.engine.jobs.inputs.embedding import Chunking, embedded, fitted_projection
from ramet.engine.jobs.place import Place
from ramet.engine.token_codes import WIDTH, Projection

PROJECTION = "read/projection"


class Texts:
    """Chunks texts and embeds them; leaves blocks that have vectors as they are.

    Parameters
    ----------
    embedder : TextEmbedder, optional
    chunk_tokens : int, optional
    overlap : int
    """

    def __init__(self, embedder: TextEmbedder | None, chunk_tokens: int | None, overlap: int) -> None:
        self.embedder = embedder
        self._chunk_tokens = chunk_tokens
        self._overlap = overlap
        self._chunking: Chunking | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the chunks and vectors depend on."""
        if self.embedder is None:
            return {}
        return {"model": self.embedder.identity, "chunk_tokens": self._chunk_tokens, "overlap": self._overlap}

    def made(self, block: Block, place: Place) -> Block:
        """A block with vectors."""
        if block.vectors is not None or self.embedder is None:
            return block
        block = checked(_named(block), self.embedder.dim, "l2", "float32")
        if self._chunking is None:
            self._chunking = self._chosen(block, place)
        return embedded(block, self.embedder, self._chunking)

    def _chosen(self, block: Block, place: Place) -> Chunking:
        """One projection for all blocks, fitted on the first of them that is read."""
        assert self.embedder is not None
        plain = Chunking(chunk_tokens=self._chunk_tokens, overlap=self._overlap)
        if not place.has(PROJECTION):
            texts = [text for text in block.texts or [] if text]
            fitted = fitted_projection(texts, self.embedder, plain) if texts else None
            place.put_bytes(PROJECTION, b"" if fitted is None else fitted.content())
        return Chunking(chunk_tokens=self._chunk_tokens, overlap=self._overlap, projection=self.stored(place))

    @staticmethod
    def stored(place: Place) -> Projection | None:
        """The projection of the job; None where there are no token codes."""
        if not place.has(PROJECTION):
            return None
        content = place.get_array(PROJECTION, np.float32)
        return Projection(content.reshape(-1, WIDTH)) if len(content) else None


def _named(block: Block) -> Block:
    """A block whose documents have ids: those that are given, or the file and the row."""
    if block.ids is None:
        block.ids = [f"{block.file.name}:{row}" for row in block.rows.tolist()]
    return block
