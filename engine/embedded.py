"""Vectors of documents, made before the records are written: whoever writes for others need not embed in their turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError
from ramet.engine.opened import Opened
from ramet.engine.records import content

if TYPE_CHECKING:
    from ramet.engine.collection import Collection


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """What ``vectors=`` of `Collection.upsert` may be in the place of vectors that the collection's embedder makes.

    Attributes
    ----------
    block : array of float32, shape (n, dim)
        Zeros for records that have no text, or no word that the embedder knows.
    known : array of bool, shape (n,)
        Which of them have a vector.
    embedder : TextEmbedder
        Whose they are; storing them binds the collection to its model.
    """

    block: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    embedder: TextEmbedder

    def __len__(self) -> int:
        return len(self.block)

    def column(self) -> Any:
        """Vectors as `Collection.upsert` takes them: an array, or a list with None where there is none."""
        if self.known.all():
            return self.block
        return [row if there else None for row, there in zip(self.block, self.known.tolist(), strict=True)]

    @classmethod
    def joined(cls, parts: Sequence[Embedded]) -> Embedded:
        """Those of several calls, of one embedder."""
        return cls(
            block=np.concatenate([part.block for part in parts]),
            known=np.concatenate([part.known for part in parts]),
            embedder=parts[0].embedder,
        )


def embedded(collection: Collection, documents: Sequence[str | None]) -> Embedded | None:
    """Vectors of documents as `Collection.upsert` would make them; None: there is no embedder, or no text.

    Raises
    ------
    ArgumentError
        One of the documents cannot be stored.
    ModelMismatchError
        The vectors of the collection are of another model.
    """
    found = content(documents, None, len(documents)).documents
    if collection.embedder is None or found is None:
        return None
    return vectors_of(collection._opened, found)


def vectors_of(opened: Opened, documents: Sequence[str | None]) -> Embedded:
    """Vectors of documents that were checked; see `embedded`."""
    embedder = opened.needed()
    opened.check(embedder)
    there = [i for i, text in enumerate(documents) if text is not None]
    made = embedder.embed_documents([text for text in documents if text is not None])
    known = np.zeros(len(documents), bool)
    known[there] = has_words(made, len(there), opened.settings.dim)
    block = np.zeros((len(documents), opened.settings.dim), np.float32)
    block[there] = made
    return Embedded(block=block, known=known, embedder=embedder)


def has_words(vectors: Any, n: int, dim: int) -> npt.NDArray[np.bool_]:
    """Which vectors of texts are any, (n,): where the embedder knows none of the words it makes zeros.

    Raises
    ------
    ArgumentError
        The embedder made something else.
    """
    if getattr(vectors, "shape", None) != (n, dim):
        found = getattr(vectors, "shape", type(vectors).__name__)
        raise ArgumentError("embedder", f"made {found} of {n} texts; it must return shape {(n, dim)}")
    known: npt.NDArray[np.bool_] = np.any(vectors, axis=1)
    return known
