"""Records of one call: arguments of a write, checked as a whole before anything is written."""

from __future__ import annotations

from typing import Any

from ramet.engine import arguments, checks
from ramet.engine import metadata as meta
from ramet.engine.contents import Content
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings
from ramet.engine.upsert import Records

MAX_DOCUMENT_BYTES = 4 << 20


def checked(
    ids: object, vectors: object, documents: object, metadata: object, tenant: object, settings: Settings
) -> Records:
    """Records that may be written.

    Raises
    ------
    ArgumentError
        In any of the records: then none may be written.
    """
    names, block, bare, owners = checks.batch(ids, vectors, tenant, settings)
    return Records(
        names=names, block=block, bare=bare, content=content(documents, metadata, len(names)), tenants=owners
    )


def content(documents: object, metadata: object, n: int) -> Content:
    """Documents and metadata of ``n`` records.

    Raises
    ------
    ArgumentError
        Another number of them, or one that cannot be stored.
    """
    texts = None if documents is None else _documents(documents, n)
    fields = None if metadata is None else meta.checked(metadata, n)
    return Content(
        documents=texts if texts is not None and any(text is not None for text in texts) else None,
        metadata=fields if fields is not None and any(fields) else None,
    )


def _documents(documents: Any, n: int) -> list[str | None]:
    for i, text in enumerate(arguments.documents(documents, n)):
        if text is not None:
            check_document(text, f"documents[{i}]")
    return [None if text is None else str(text) for text in documents]


def check_document(text: object, argument: str) -> None:
    """Refuse what cannot be stored as a document.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(text, str):
        raise ArgumentError(argument, f"must be str or None, got {type(text).__name__}")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise ArgumentError(argument, f"is not valid Unicode text: {error.reason}") from error
    if size > MAX_DOCUMENT_BYTES:
        raise ArgumentError(
            argument,
            f"has {size:,} bytes in UTF-8, at most {MAX_DOCUMENT_BYTES:,} are allowed: cut it up (add_texts does that)",
        )
