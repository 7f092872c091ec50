"""Documents that were cut into chunks: the fields that hold them together, and what is there of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine import metadata as meta
from ramet.engine import where
from ramet.engine.errors import ConflictError
from ramet.engine.filters import rows_matching
from ramet.engine.where import Filter
from ramet.storage.snapshot import Snapshot
from ramet.storage.writer import Writer

Rows = npt.NDArray[np.int64]

DOCUMENT, CHUNK, START, END = "_document", "_chunk", "_start", "_end"
OWN_FIELDS = (DOCUMENT, CHUNK, START, END)


def of_documents(ids: list[str]) -> Filter:
    """The filter that finds the chunks of documents."""
    found = where.parse({DOCUMENT: {"$in": ids}})
    assert found is not None
    return found


def rows_of_documents(reader: Snapshot | Writer, tenant: int, ids: list[str]) -> Rows:
    """Rows of the chunks of documents, and of records under the documents' ids, rising; int64 (n,)."""
    by_name = reader.rows_of(tenant, ids)
    chunks = np.array(rows_matching(reader, tenant, of_documents(ids)), np.int64) if ids else np.empty(0, np.int64)
    return np.union1d(chunks, by_name[by_name >= 0])


def known_documents(reader: Snapshot | Writer, tenant: int, ids: list[str]) -> set[str]:
    """Which documents have chunks, or a record under their id."""
    plain = {name for name, row in zip(ids, reader.rows_of(tenant, ids).tolist(), strict=True) if row >= 0}
    rows = rows_of_documents(reader, tenant, ids)
    return plain | ({str(_document(one, "")) for one in reader.metadata(rows)} & set(ids))


def refuse_taken(reader: Snapshot | Writer, tenant: int, name: str, ids: list[str], documents: list[str]) -> None:
    """Refuse ids under which there is a record of another document, or one that is none of these documents.

    Raises
    ------
    ConflictError
    """
    rows = reader.rows_of(tenant, ids)
    there = np.flatnonzero(rows >= 0)
    mine = set(documents)
    contents = reader.metadata(rows[there])
    taken = [ids[i] for i, one in zip(there.tolist(), contents, strict=True) if _document(one, ids[i]) not in mine]
    if taken:
        raise ConflictError(name, taken, "as other records or as chunks of other documents; use other ids of documents")


def _document(content: bytes | None, otherwise: str) -> Any:
    """The document that a record with this metadata is a chunk of."""
    return otherwise if content is None else meta.decode(content).get(DOCUMENT, otherwise)
