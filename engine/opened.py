"""What belongs to one open collection."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, MissingEmbedderError, ModelMismatchError
from ramet.engine.filters import Filters
from ramet.engine.live import Live
from ramet.engine.residency import Residency
from ramet.engine.searchers import Searchers
from ramet.engine.settings import Settings
from ramet.storage.format import POSTINGS
from ramet.storage.store import Store
from ramet.storage.writer import Writer

MODEL = "model"
"""META entry: identity of the model whose vectors the collection holds."""


@dataclass(slots=True)
class Opened:
    """Files, caches and the writing side of an open collection, and the embedder that it was opened with."""

    store: Store
    settings: Settings
    residency: Residency
    searchers: Searchers
    filters: Filters
    live: Live
    embedder: TextEmbedder | None = None

    @classmethod
    def of(cls, store: Store) -> Opened:
        """Everything anew, around open files."""
        settings = Settings.from_storage(store.settings)
        return cls(
            store=store,
            settings=settings,
            residency=Residency(may_ask=os.access(store.path / POSTINGS, os.W_OK)),
            searchers=Searchers(settings),
            filters=Filters(),
            live=Live(store, settings),
        )

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self.store.path.name

    def is_current(self) -> bool:
        """Tell whether the collection at the path is still the one that is open here; costs one stat(2)."""
        return self.store.is_current()

    def use(self, embedder: TextEmbedder) -> None:
        """Take texts with this embedder from now on.

        Raises
        ------
        ArgumentError
            Its vectors have another dimension.
        ModelMismatchError
            The vectors of the collection are of another model.
        """
        self.check(embedder)
        self.embedder = embedder

    def check(self, embedder: TextEmbedder) -> None:
        """Refuse an embedder whose vectors cannot be compared with the collection's, as `use` does."""
        if embedder.dim != self.settings.dim:
            raise ArgumentError(
                "embedder", f"makes vectors of dimension {embedder.dim}, the collection's is {self.settings.dim}"
            )
        self._compare(self.model(), embedder)

    def model(self) -> object:
        """Identity of the model whose vectors the collection holds; None: of no model that is known."""
        with self.store.read() as snapshot:
            return snapshot.meta(MODEL)

    def _compare(self, known: object, embedder: TextEmbedder) -> None:
        if known is not None and known != embedder.identity:
            raise ModelMismatchError(self.name, str(known), embedder.identity)

    def needed(self) -> TextEmbedder:
        """The embedder, which a text needs.

        Raises
        ------
        MissingEmbedderError
        """
        if self.embedder is None:
            raise MissingEmbedderError(self.name)
        return self.embedder

    def embedded_queries(
        self, texts: list[str], *, words_too: bool = False
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Vectors of questions, (n, dim), and for which of them the embedder knows a word.

        The vectors of the others mean nothing.

        Raises
        ------
        ModelMismatchError
            The vectors of the collection are of another model.
        ArgumentError
            There are others, and it is not ``words_too`` that the question is answered by.
        """
        if not texts:
            return np.empty((0, self.settings.dim), np.float32), np.empty(0, bool)
        embedder = self.needed()
        self._compare(self.model(), embedder)  # another process may have stored vectors of another model since
        vectors = embedder.embed_queries(texts)
        known: npt.NDArray[np.bool_] = (vectors != 0).any(axis=1)
        if not known.all():
            first = int(np.argmin(known))
            if not words_too:
                raise ArgumentError(f"text[{first}]", f"{texts[first]!r} has no word that the embedder knows")
            vectors = np.where(known[:, None], vectors, np.float32(1.0))
        return vectors, known

    def bind_model(self, writer: Writer, embedder: TextEmbedder) -> None:
        """Remember, in a transaction that stores vectors of an embedder, whose they are.

        Raises
        ------
        ModelMismatchError
            Another model was there first.
        """
        known = writer.meta(MODEL)
        self._compare(known, embedder)
        if known is None:
            writer.set_meta(MODEL, embedder.identity)

    def close(self) -> None:
        """Give the files back."""
        self.searchers.clear()
        self.filters.clear()
        self.store.close()
