"""Texts made into vectors without torch: static embeddings of model2vec, a table of token vectors and their mean.

Two orders of magnitude faster than a transformer on a CPU, and worse (figures in `docs/text.md`). model2vec needs
NumPy, the tokenizers of Hugging Face and little else; it is imported when a `StaticEmbedder` is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ramet.engine.checks import positive
from ramet.engine.embedding import MOST_BATCH, Floats, Progress, in_batches, located, not_loaded, prefix_of
from ramet.engine.errors import MissingPackageError
from ramet.engine.forking import tell_after_fork
from ramet.engine.model_identity import identity_of
from ramet.engine.texts import checked_texts


class StaticEmbedder:
    """A model2vec model, by name or from a folder.

    Parameters
    ----------
    model : str or Path
        A folder with a model, or a name such as ``"minishlab/potion-retrieval-32M"``, which is downloaded unless it is
        in the local cache. From a folder, nothing is asked of the network.
    batch_size : int
        Texts that are embedded together.
    normalize : bool
        Scale vectors to length 1.
    query_prefix, document_prefix : str
        What is put before every query or document.
    progress : callable, optional
        Called with (texts done, texts in all) after every batch.

    Attributes
    ----------
    identity : str
        Of weights, tokenizer, prefixes and normalisation; not of the path (`ramet.engine.model_identity`).
    dim : int
    max_tokens : None
        Texts are read whole, whatever limit the model's configuration names.

    Raises
    ------
    MissingPackageError
        model2vec is not installed.
    ArgumentError
        There is no such folder or model, or an argument is wrong.

    Notes
    -----
    A text without a token that the model knows, such as an empty one, has the zero vector, which collections with the
    metric ``"cosine"`` refuse. Several threads may call one embedder: batches of theirs take turns.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        batch_size: int = 1024,
        normalize: bool = True,
        query_prefix: str = "",
        document_prefix: str = "",
        progress: Progress | None = None,
    ) -> None:
        self._batch_size = positive(batch_size, "batch_size", MOST_BATCH)
        self._normalize = bool(normalize)
        self._query_prefix = prefix_of(query_prefix, "query_prefix")
        self._document_prefix = prefix_of(document_prefix, "document_prefix")
        self._progress = progress
        self.after_fork()
        tell_after_fork(self)
        self._model = _loaded(model)
        self.dim = int(self._model.dim)
        self.max_tokens: int | None = None
        settings = {"query": query_prefix, "document": document_prefix, "normalize": self._normalize}
        self.identity = identity_of("model2vec", self.dim, self._weights(), self._tokens, {}, settings)

    def after_fork(self) -> None:
        """Make the lock: in a forked child anew, as another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"StaticEmbedder({self.identity})"

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Vectors of documents.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        array of float32, shape (n, dim)
            In the order of the texts.

        Raises
        ------
        ArgumentError
            Not a list of strings.
        """
        return self._embed(texts, self._document_prefix)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Vectors of queries; as `embed_documents`, with the prefix of queries."""
        return self._embed(texts, self._query_prefix)

    def _embed(self, texts: Sequence[str], prefix: str) -> Floats:
        def work(batch: list[str]) -> Floats:
            with self._lock:
                vectors: Floats = self._model.encode(
                    [prefix + text for text in batch], max_length=None, normalize=self._normalize,
                    batch_size=len(batch), use_multiprocessing=False,
                )  # fmt: skip
            return vectors

        return in_batches(work, checked_texts(texts, "texts"), self.dim, self._batch_size, self._progress)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a document, with its prefix; those that the model does not know are counted, too."""
        checked = checked_texts(texts, "texts")
        if not checked:
            return []
        return [len(tokens) for tokens in self._tokens([self._document_prefix + text for text in checked])]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        with self._lock:
            return [found.ids for found in self._model.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def _weights(self) -> Iterator[npt.NDArray[Any]]:
        for array in (self._model.embedding, self._model.weights, self._model.token_mapping):
            if array is not None:
                yield array


def _loaded(model: str | Path) -> Any:
    """The model of a folder or a name."""
    where, local = located(model)
    try:
        from model2vec import StaticModel
    except ImportError as error:
        raise MissingPackageError("model2vec", "light") from error
    try:
        return StaticModel.from_pretrained(where, max_length=None, force_download=False)
    except Exception as error:  # loaders raise what they like: OSError, ValueError, errors of formats
        raise not_loaded(model, local, error) from error
