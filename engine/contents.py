"""What a transaction does to documents, metadata, and the tables by which filters and words find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine import metadata as meta
from ramet.engine.errors import AnalysisMismatchError
from ramet.engine.text.analysis import Analyzer
from ramet.storage.writer import Writer

Rows = npt.NDArray[Any]
Metadata = dict[str, Any]

BARE = "$bare"
"""Field by which the rows without vectors are found. Users' fields cannot begin with a dollar sign."""


ANALYSIS = "analysis"
"""Entry of META: how the words of the documents were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Documents and metadata of consecutive records, None where a record has none."""

    documents: Sequence[str | None] | None = None
    metadata: Sequence[Metadata | None] | None = None

    def taken(self, positions: Sequence[int]) -> Content:
        """Of some records only, in the order of their positions."""
        documents, metadata = self.documents, self.metadata
        return Content(
            documents=None if documents is None else [documents[i] for i in positions],
            metadata=None if metadata is None else [metadata[i] for i in positions],
        )


class Contents:
    """Keeps what tenants find by filters and words in step with what they see.

    Parameters
    ----------
    writer : Writer
    analyzer : Analyzer
        Takes documents apart into words.
    """

    def __init__(self, writer: Writer, analyzer: Analyzer) -> None:
        self._writer = writer
        self._analyzer = analyzer
        self._first = self._end = 0
        self._is_bound = False
        self._metadata: Sequence[Metadata | None] | None = None
        self._words: list[list[str] | None] | None = None

    def store(self, first_row: int, n: int, content: Content) -> None:
        """Store what consecutive new rows hold; they are nobody's until `enter`."""
        rows = np.arange(first_row, first_row + n)
        self._first, self._end = first_row, first_row + n
        self._metadata, self._words = content.metadata, None
        if content.metadata is not None:
            self._writer.put_metadata(rows, [meta.encode(one) if one else None for one in content.metadata])
        if content.documents is not None:
            analyzed = self._analyzer.words
            self._words = [None if text is None else analyzed(text) for text in content.documents]
            self._writer.put_documents(rows, content.documents)

    def enter(self, tenant: int, rows: Rows, bare: npt.NDArray[np.bool_] | None = None) -> None:
        """Rows become visible to a tenant; ``bare`` ones have no vector."""
        self._writer.see_rows(tenant, rows, _marked(self._metadata_of(rows), bare))
        places, words = self._words_of(rows)
        if words:
            self._bind_analysis()
            self._writer.add_words(tenant, rows[places], words)

    def leave(self, tenant: int, rows: Rows, bare: npt.NDArray[np.bool_]) -> None:
        """Rows go from what a tenant sees; they have not been forgotten yet."""
        self._writer.unsee_rows(tenant, rows, _marked(self._metadata_of(rows), bare))
        self._writer.drop_words(tenant, rows)

    def forget(self, tenant: int) -> None:
        """A tenant is no more."""
        self._writer.forget_fields(tenant)
        self._writer.forget_words(tenant)

    def _bind_analysis(self) -> None:
        """Remember how words are found, at the first text; refuse to mix them with words found otherwise.

        Raises
        ------
        AnalysisMismatchError
        """
        if self._is_bound:
            return
        known, own = self._writer.meta(ANALYSIS), self._analyzer.identity
        if known is None:
            self._writer.set_meta(ANALYSIS, own)
        elif known != own:
            raise AnalysisMismatchError(known, own)
        self._is_bound = True

    def _is_fresh(self, rows: Rows) -> bool:
        return len(rows) > 0 and int(rows.min()) >= self._first and int(rows.max()) < self._end

    def _metadata_of(self, rows: Rows) -> list[Metadata | None]:
        if self._is_fresh(rows):
            if self._metadata is None:
                return [None] * len(rows)
            known = self._metadata
            return [known[row] for row in (rows - self._first).tolist()]
        return [None if one is None else meta.decode(one) for one in self._writer.metadata(rows)]

    def _words_of(self, rows: Rows) -> tuple[npt.NDArray[np.int64], list[list[str]]]:
        """Positions of the rows that have a document, and its words."""
        if self._is_fresh(rows):
            known = self._words or []
            found = [known[row] for row in (rows - self._first).tolist()] if known else []
        else:
            texts = self._writer.documents(rows)
            found = [None if text is None else self._analyzer.words(text) for text in texts]
        there = [(i, words) for i, words in enumerate(found) if words is not None]
        return np.array([i for i, _ in there], np.int64), [words for _, words in there]


def _marked(metadata: list[Metadata | None], bare: npt.NDArray[np.bool_] | None) -> list[Metadata | None]:
    """Metadata as the tables of filters get them, with a mark on records without a vector."""
    if bare is None or not bare.any():
        return metadata
    return [{**(one or {}), BARE: True} if marked else one for one, marked in zip(metadata, bare.tolist(), strict=True)]
