"""Codes of tokens: what a token means in its text, in 64 bytes, stored beside the chunk that it is in.

A projection takes the model's vectors of tokens to 64 dimensions. It keeps the directions in which the tokens of the
first texts of a collection differ most, and stays as it is from then on: codes of two projections cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine.embedding import TextEmbedder
from ramet.engine.embedding_tokens import TokenEmbedder
from ramet.engine.errors import ArgumentError
from ramet.storage.catalog import TOKEN_BYTES
from ramet.storage.reader import CatalogReader
from ramet.storage.writer import Writer

Floats = npt.NDArray[np.float32]
I8 = npt.NDArray[np.int8]

WIDTH = TOKEN_BYTES
BLOB = "tokens"
"""Where a collection keeps its projection."""

FITTED_ON = 256
"""Texts that a projection is fitted on at most. 150 of a corpus keep 0.88 of the correlation between passages of the
best cosines with a question's tokens, 8 of them 0.83, one 0.79, and texts of another kind 0.71 (MiniLM, HotpotQA)."""

TOGETHER = 128
"""Texts whose vectors of tokens are in memory at once: 50 MB for 256 tokens of 384 dimensions."""


class StaleProjectionError(Exception):
    """Another process stored its projection first; encode again with that one."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A matrix that takes vectors of tokens to 64 dimensions."""

    matrix: Floats
    """Shape (d, 64); columns of zeros where d is smaller."""

    @classmethod
    def of(cls, reader: CatalogReader) -> Projection | None:
        """That of a collection, None before its first codes."""
        content = reader.blob(BLOB)
        return None if content is None else cls(np.frombuffer(content, "<f4").reshape(-1, WIDTH))

    @classmethod
    def fitted(cls, tokens: Sequence[Floats]) -> Projection:
        """The directions in which unit vectors of tokens, (t, d) each, have most of their length."""
        every = unit(np.concatenate(tokens)).astype(np.float64)
        _, directions = np.linalg.eigh(every.T @ every)
        matrix = np.zeros((every.shape[1], WIDTH), np.float32)
        kept = directions[:, ::-1][:, :WIDTH]
        matrix[:, : kept.shape[1]] = kept
        return cls(matrix)

    def content(self) -> bytes:
        """As it is stored."""
        return self.matrix.astype("<f4").tobytes()

    def encode(self, tokens: Floats) -> I8:
        """Codes of vectors of tokens, int8 of shape (t, 64): directions, times 127."""
        codes: I8 = np.rint(127.0 * unit(tokens @ self.matrix)).astype(np.int8)
        return codes

    def bind(self, writer: Writer) -> None:
        """Store it in the transaction that stores its first codes.

        Raises
        ------
        StaleProjectionError
        """
        known = writer.blob(BLOB)
        if known is None:
            writer.put_blob(BLOB, self.content())
        elif known != self.content():
            raise StaleProjectionError


def unit(vectors: Floats) -> Floats:
    """Vectors of length 1; zeros stay zeros."""
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def can_encode(embedder: TextEmbedder) -> bool:
    """Whether token codes can be made with an embedder."""
    return isinstance(embedder, TokenEmbedder) and embedder.gives_tokens


def embed(
    embedder: TextEmbedder, texts: list[str], projection: Projection | None
) -> tuple[Floats, list[I8 | None], Projection | None]:
    """Vectors and token codes of documents, and the projection, fitted on these texts where there was none.

    A text without a token has no codes; without any token there is no projection to fit.
    """
    vectors: Floats = np.empty((len(texts), embedder.dim), np.float32)
    codes: list[I8 | None] = [None] * len(texts)
    # Those that a projection is fitted on are the first ones; the others by length, so that little is padded.
    n_first = FITTED_ON if projection is None else 0
    rest = sorted(range(min(n_first, len(texts)), len(texts)), key=lambda i: -len(texts[i]))
    parts = [list(range(min(n_first, len(texts))))]
    parts += [rest[first : first + TOGETHER] for first in range(0, len(rest), TOGETHER)]
    for part in parts:
        if not part:
            continue
        assert isinstance(embedder, TokenEmbedder)
        made, tokens = embedder.embed_documents_with_tokens([texts[i] for i in part])
        if made.shape != (len(part), vectors.shape[1]) or len(tokens) != len(part):
            what = f"made vectors {made.shape} and tokens of {len(tokens)} for {len(part)} texts"
            raise ArgumentError("embedder", f"{what}; it must return shape {(len(part), vectors.shape[1])} and a list")
        vectors[part] = made
        if projection is None and any(len(one) for one in tokens):
            projection = Projection.fitted([one for one in tokens if len(one)])
        for i, one in zip(part, tokens, strict=True):
            codes[i] = projection.encode(one) if projection is not None and len(one) else None
    return vectors, codes, projection
