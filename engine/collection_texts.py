"""Texts in: chunked, embedded and stored by one call; the methods that `Collection` inherits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramet.engine import adding, checks
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import one_of
from ramet.engine.hits import AddReport
from ramet.engine.opened import Opened
from ramet.engine.partly import in_parts
from ramet.storage.store import DEFAULT_TIMEOUT_S


class CollectionTexts:
    """Texts and the embedder; `Collection` adds the rest."""

    _opened: Opened

    @property
    def embedder(self) -> TextEmbedder | None:
        """What makes vectors of texts: given to ``db.collection(name, embedder=...)``."""
        return self._opened.embedder

    @in_parts
    def add_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        *,
        metadata: Sequence[dict[str, Any] | None] | None = None,
        tenant: str = checks.DEFAULT_TENANT,
        chunk_tokens: int | None = None,
        overlap: int = 0,
        on_conflict: str = "replace",
        token_codes: bool | str = "auto",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AddReport:
        """Store documents: cut into chunks, embedded, and each chunk a record with its text and metadata.

        A document of one chunk is a record under its own id; of several, the records are ``id#0``, ``id#1``, ... Every
        one has, beside the metadata given, the fields ``_document`` (the id), ``_chunk`` (its number), ``_start`` and
        ``_end`` (where it is in the document, in characters). A document that is added again under its id replaces the
        old one in one step: chunks that it has no more are gone.

        Parameters
        ----------
        texts : sequence of str
            Documents of any length. White space alone is no chunk and stores nothing.
        ids : sequence of str, optional
            Of the documents; random ones when left out.
        metadata : sequence of dict or None, optional
            One for each document.
        tenant : str
        chunk_tokens : int, optional
            Most tokens of a chunk, as the embedder's tokenizer counts them; what the embedder reads when left out.
        overlap : int
            Tokens that a chunk repeats of the one before.
        on_conflict : str
            When a document of that id is there: "replace" it, "skip" the new one, or "error".
        token_codes : bool or "auto"
            Store 64 bytes for each token, by which `Rag` sees what a chunk says about each part of a question;
            "auto" does when the embedder has vectors of tokens. The first call decides in which directions tokens are
            told apart (``docs/rag.md``): let it have some dozens of texts.
        timeout_s : float
            How long to wait for another writer, in seconds.

        Returns
        -------
        AddReport

        Raises
        ------
        MissingEmbedderError
            The collection was opened without an embedder.
        ModelMismatchError
            The vectors in the collection are of another model.
        ArgumentError, ConflictError, NotOwnerError, WriterBusyError, StorageFullError
            As `upsert`. What an embedder raises comes as it is; batches that were stored before stay.
        """
        action = one_of(on_conflict, "on_conflict", ("replace", "skip", "error"))
        documents = adding.checked(texts, ids, metadata, checks.name(tenant, "tenant"))
        wait_s = checks.seconds(timeout_s, "timeout_s")
        return adding.add(self._opened, documents, (chunk_tokens, overlap), action, token_codes, wait_s)

    @in_parts
    def delete_texts(
        self, ids: Sequence[str], *, tenant: str = checks.DEFAULT_TENANT, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> int:
        """Delete documents that `add_texts` stored, all chunks of each in one step; returns how many records that were.

        Ids of documents that are not there are passed over.

        Raises
        ------
        UnknownTenantError, WriterBusyError, StorageFullError
        """
        names = checks.names(ids, "ids")
        return adding.delete(self._opened, names, checks.name(tenant, "tenant"), checks.seconds(timeout_s, "timeout_s"))
