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
from ramet.engine.model_identity import identity_of
from ramet.engine.texts import checked_texts

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]
"""Called with (texts done, texts in all) after every batch."""

MOST_BATCH = 65_536
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


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
        self._lock = threading.Lock()
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
        checked = checked_texts(texts, "texts")
        vectors: Floats = np.empty((len(checked), self.dim), np.float32)
        # The longest first: if memory does not suffice, it fails at once.
        order = sorted(range(len(checked)), key=lambda i: -len(checked[i]))
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            with self._lock:
                vectors[rows] = encode(
                    [checked[i] for i in rows], prompt=prefix, batch_size=len(rows), show_progress_bar=False,
                    convert_to_numpy=True, normalize_embeddings=self._normalize,
                )  # fmt: skip
            if self._progress is not None:
                self._progress(first + len(rows), len(order))
        return vectors

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
                [text.strip() for text in texts], add_special_tokens=True, truncation=False, padding=False,
                return_attention_mask=False, return_token_type_ids=False, verbose=False,
            )  # fmt: skip
        return list(found["input_ids"])

    def _weights(self) -> Iterator[npt.NDArray[Any]]:
        for parameter in self._model.parameters():
            yield parameter.detach().cpu().float().numpy()

    def _facts(self) -> dict[str, object]:
        """What decides about the vectors beside weights and tokens."""
        parts: list[object] = []
        for module in self._model:
            part: dict[str, object] = {"type": type(module).__name__}
            if hasattr(module, "get_pooling_mode_str"):
                part["pooling"] = module.get_pooling_mode_str()
            config = getattr(getattr(module, "auto_model", None), "config", None)
            for name in ("model_type", "num_attention_heads", "hidden_act"):
                part[name] = getattr(config, name, None)
            parts.append(part)
        return {"modules": parts, "max_tokens": self.max_tokens}


def _loaded(model: str | Path, device: str | None) -> Any:
    """The model of a folder or a name."""
    if not isinstance(model, (str, Path)) or not str(model):
        raise ArgumentError("model", f"must be a name or a path, got {model!r}")
    folder = Path(model).expanduser()
    local = folder.exists()
    if local and not any((folder / file).is_file() for file in ("modules.json", "config.json")):
        raise ArgumentError("model", f"{str(folder)!r} holds no model: it is no folder with modules.json or config.json")
    if not local and (isinstance(model, Path) or not _HUB_NAME.fullmatch(model)):
        raise ArgumentError("model", f"there is no folder {str(folder)!r}; pass the folder of a model, or a model's name")
    try:
        import torch  # noqa: F401 - named by itself in the error, and by far the larger of the two
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingPackageError(error.name or "sentence-transformers", "text") from error
    try:
        return SentenceTransformer(str(folder) if local else str(model), device=device, local_files_only=local)
    except Exception as error:  # loaders raise what they like: OSError, ValueError, RuntimeError, errors of formats
        what = str(error).strip().splitlines() or [type(error).__name__]
        advice = "is the folder complete?" if local else "without a network, pass the folder of a model"
        raise ArgumentError("model", f"{str(model)!r} cannot be loaded ({what[0]}); {advice}") from error


def _prefix(given: str | None, argument: str, model: Any, names: tuple[str, ...]) -> str:
    """The prefix that was given, or else that of the model's own configuration."""
    if given is None:
        prompts: dict[str, str] = model.prompts or {}
        return next((prompts[name] for name in names if prompts.get(name)), "")
    if not isinstance(given, str):
        raise ArgumentError(argument, f"must be str or None, got {type(given).__name__} ({given!r})")
    return given
