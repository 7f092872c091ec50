"""What a selection chooses from: the candidates of one question, and all that is known about them, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.engine.arguments import DEFAULT_TENANT

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


class Name(NamedTuple):
    """What tells a record, or a document, from all others: ids are unique in one tenant only."""

    id: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One chunk that may be chosen."""

    id: str
    """Id of its record."""
    text: str
    score: float
    """By which the pool was retrieved: cosine, or fused; higher is better."""
    document: str
    """Id of the document that it was cut from, its own id if it is whole."""
    position: int
    """Offset in that document, 0 if it is whole."""
    metadata: dict[str, Any] | None = None
    tenant: str = DEFAULT_TENANT
    """Of those asked, the one that owns the record, or else the first one that sees it."""

    @property
    def name(self) -> Name:
        """Of the record, among several tenants'."""
        return Name(self.id, self.tenant)

    @property
    def source(self) -> Name:
        """Of the document, among several tenants'."""
        return Name(self.document, self.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What strategies see; all arrays are over n candidates, the best score first."""

    question: str
    candidates: Sequence[Candidate]
    relevance: F32
    """Cosine of question and chunk, (n,)."""
    similarity: F32
    """Cosine of chunk and chunk, (n, n)."""
    coverage: F32
    """For each aspect the best cosine with any token of the chunk, (a, n); (0, n) without token codes.

    An aspect is a token of the question that is no stop word and no special token.
    """
    weights: F32
    """Of the aspects, (a,); 1 where nothing is known."""
    costs: I64
    """Reader's tokens of each chunk as rendered with its separator, (n,)."""
    hops: F32 | None = None
    """How strongly the chunks found first bring up each one, 0 to 1, (n,); None where nobody looked."""
    aspects: Sequence[str] = ()
    """What the aspects are called in reasons: the tokens, (a,); empty where nothing is known."""
