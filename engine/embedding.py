"""Texts made into vectors by a sentence-transformers model.

`TextEmbedder` is what the engine asks of any embedder, and `Embedder` the one that most users take. torch and
sentence-transformers are imported when an `Embedder` is made, never before: they take seconds and gigabytes.
`ramet.engine.embedding_static` has one that needs neither.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ramet.engine.checks import positive
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.forking import tell_after_fork
from ramet.engine.model_identity import identity_of
from ramet.engine.texts import checked_texts

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]
"""Called with (texts done, texts in all) after every batch."""

MOST_BATCH = 65_536
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


@runtime_checkable
class TextEmbedder(Protocol):
    """What makes vectors of texts; any object with these attributes will do.

    Attributes
    ----------
    identity : str
        The same for embedders whose vectors can be compared, another one otherwise; at most 480 bytes. It is stored
        with a collection.
    dim : int
        Dimension of the vectors.
    max_tokens : int or None
        Tokens of a text that are read; what is beyond is ignored. None: all of them.
    """

    @property
    def identity(self) -> str:
        """Name of the model by its content."""
        ...

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read."""
        ...

    def embed_documents(self, texts: list[str]) -> Floats:
        """Vectors of documents, float32 of shape (n, dim), in the order of the texts."""
        ...

    def embed_queries(self, texts: list[str]) -> Floats:
        """Vectors of queries, float32 of shape (n, dim), in the order of the texts."""
        ...

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text as a document, with all that is added to it, before anything is cut off."""
        ...


class Embedder:
    """A sentence-transformers model, by name or from a folder.

    Parameters
    ----------
    model : str or Path
        A folder with a model, or a name such as ``"sentence-transformers/all-MiniLM-L6-v2"``, which is downloaded
        unless it is in the local cache. From a folder, nothing is asked of the network.
    batch_size : int
        Texts that the model reads together; they are sorted by length first, so that little is padded.
    normalize : bool
        Scale vectors to length 1.
    query_prefix, document_prefix : str, optional
        What is put before every query or document. None: what the model's own configuration says, mostly nothing.
    device : str, optional
        ``"cpu"``, ``"cuda"``, ...; None takes an accelerator if there is one.
    progress : callable, optional
        Called with (texts done, texts in all) after every batch.

    Attributes
    ----------
    identity : str
        Of weights, tokenizer, pooling, prefixes and normalisation; not of the path (`ramet.engine.model_identity`).
    dim : int
    max_tokens : int or None
        Longer texts are cut off by the model, silently: cut them into chunks before (`ramet.engine.chunking`).

    Raises
    ------
    MissingPackageError
        sentence-transformers or torch is not installed.
    ArgumentError
        There is no such folder or model, or an argument is wrong.

    Notes
    -----
    Several threads may call one embedder: batches of theirs take turns. The last bits of a vector depend on the texts
    that are in the same batch, as matrix products of another shape add in another order.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        batch_size: int = 32,
        normalize: bool = True,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._batch_size = positive(batch_size, "batch_size", MOST_BATCH)
        self._normalize = bool(normalize)
        self._progress = progress
        self.after_fork()
        tell_after_fork(self)
        self._model = _loaded(model, device)
        self._query_prefix = _prefix(query_prefix, "query_prefix", self._model, ("query",))
        names = ("document", "passage", "corpus")  # those that encode_document looks for
        self._document_prefix = _prefix(document_prefix, "document_prefix", self._model, names)
        dim = self._model.get_embedding_dimension()
        if not dim:
            raise ArgumentError("model", f"{str(model)!r} does not say the dimension of its vectors")
        self.dim = int(dim)
        length = self._model.max_seq_length
        self.max_tokens = int(length) if length is not None and length < 1 << 30 else None
        settings = {
            "query": self._query_prefix, "document": self._document_prefix, "normalize": self._normalize,
        }  # fmt: skip
        self.identity = identity_of(
            "sentence-transformers", self.dim, self._weights(), self._tokens, self._facts(), settings
        )

    def after_fork(self) -> None:
        """Make the lock: in a forked child anew, as another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Embedder({self.identity})"

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Vectors of documents.

        Parameters
        ----------
        texts : sequence of str
            What is beyond `max_tokens` tokens is not read.

        Returns
        -------
        array of float32, shape (n, dim)
            In the order of the texts.

        Raises
        ------
        ArgumentError
            Not a list of strings.
        """
        return self._embed(texts, self._model.encode_document, self._document_prefix)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Vectors of queries; as `embed_documents`, with the prefix of queries."""
        return self._embed(texts, self._model.encode_query, self._query_prefix)

    def _embed(self, texts: Sequence[str], encode: Callable[..., Any], prefix: str) -> Floats:
        def work(batch: list[str]) -> Floats:
            with self._lock:  # tokenizers refuse a second thread while they change their settings
                vectors: Floats = encode(
                    batch, prompt=prefix, batch_size=len(batch), show_progress_bar=False, convert_to_numpy=True,
                    normalize_embeddings=self._normalize,
                )  # fmt: skip
            return vectors

        return in_batches(work, checked_texts(texts, "texts"), self.dim, self._batch_size, self._progress)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a document, with its prefix and special tokens, before anything is cut off.

        A text of at most `max_tokens` is read whole.
        """
        checked = checked_texts(texts, "texts")
        if not checked:
            return []
        return [len(tokens) for tokens in self._tokens([self._document_prefix + text for text in checked])]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        """Token numbers of texts, nothing cut off."""
        tokenizer = self._model.tokenizer
        with self._lock:
            if hasattr(tokenizer, "encode_batch"):  # of static embeddings: a tokenizer without the wrapper
                return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
            found = tokenizer(
                texts, add_special_tokens=True, truncation=False, padding=False,
                return_attention_mask=False, return_token_type_ids=False, verbose=False,
            )  # fmt: skip
        return list(found["input_ids"])

    def _weights(self) -> Iterator[npt.NDArray[Any]]:
        for parameter in self._model.parameters():
            yield parameter.detach().cpu().float().numpy()

    def _facts(self) -> dict[str, object]:
        """What decides about the vectors beside weights and tokens."""
        config = getattr(self._model.transformers_model, "config", None)
        parts = [
            [
                type(module).__name__,
                _words(getattr(module, "pooling_mode", ())),
                getattr(module, "include_prompt", True),
            ]
            for module in self._model
        ]
        names = ("model_type", "num_attention_heads", "hidden_act")
        return {
            "modules": parts,
            "config": [str(getattr(config, name, None)) for name in names],
            "max_tokens": self.max_tokens,
        }


def _words(value: str | Sequence[str]) -> list[str]:
    """One word or several as a list."""
    return [value] if isinstance(value, str) else [str(one) for one in value]


def in_batches(
    embed: Callable[[list[str]], Floats], texts: list[str], dim: int, batch_size: int, progress: Progress | None
) -> Floats:
    """Vectors of texts, float32 of shape (n, dim), in their order; embedded in batches of about the same length."""
    vectors: Floats = np.empty((len(texts), dim), np.float32)
    # The longest first: if memory does not suffice, it fails at once.
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        vectors[rows] = embed([texts[i] for i in rows])
        if progress is not None:
            progress(first + len(rows), len(order))
    return vectors


def located(model: str | Path) -> tuple[str, bool]:
    """Where a model is: the path of its folder, or its name as given; and whether it is a folder.

    Raises
    ------
    ArgumentError
        There is no such folder, or no model in it.
    """
    if not isinstance(model, (str, Path)) or not str(model):
        raise ArgumentError("model", f"must be a name or a path, got {model!r}")
    folder = Path(model).expanduser()
    if folder.exists():
        if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
            raise ArgumentError("model", f"{str(folder)!r} holds no model: modules.json or config.json is missing")
        return str(folder), True
    if isinstance(model, Path) or not _HUB_NAME.fullmatch(model):
        raise ArgumentError(
            "model", f"there is no folder {str(folder)!r}; pass the folder of a model, or a model's name"
        )
    return model, False


def not_loaded(model: str | Path, local: bool, error: Exception) -> ArgumentError:
    """The error for a model that its library cannot load."""
    what = str(error).strip().splitlines() or [type(error).__name__]
    advice = "is the folder complete?" if local else "without a network, pass the folder of a model"
    return ArgumentError("model", f"{str(model)!r} cannot be loaded ({what[0]}); {advice}")


def prefix_of(value: object, argument: str) -> str:
    """A prefix that was given."""
    if not isinstance(value, str):
        raise ArgumentError(argument, f"must be str, got {type(value).__name__} ({value!r})")
    return value


def _loaded(model: str | Path, device: str | None) -> Any:
    """The model of a folder or a name."""
    where, local = located(model)
    try:
        import torch  # noqa: F401 - so that the error names what is missing
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "text") from error
    shown = local and logging.is_progress_bar_enabled()  # a bar for a file that is there says nothing
    try:
        if shown:
            logging.disable_progress_bar()
        return SentenceTransformer(where, device=device, local_files_only=local)
    except Exception as error:  # loaders raise what they like: OSError, ValueError, RuntimeError, errors of formats
        raise not_loaded(model, local, error) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _prefix(given: str | None, argument: str, model: Any, names: tuple[str, ...]) -> str:
    """The prefix that was given, or else that of the model's own configuration."""
    if given is not None:
        return prefix_of(given, argument)
    prompts: dict[str, str] = model.prompts or {}
    return next((prompts[name] for name in names if prompts.get(name)), "")
