"""In which order chosen chunks are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ramet.engine.errors import one_of
from ramet.engine.rag.pool import Candidate, Name

Order = Callable[[Sequence[Candidate], Sequence[int]], tuple[int, ...]]


def _by_score(candidates: Sequence[Candidate], chosen: Sequence[int]) -> tuple[int, ...]:
    """The best score first; equal scores by id, then tenant."""
    return tuple(sorted(chosen, key=lambda i: (-candidates[i].score, candidates[i].name)))


def _by_document(candidates: Sequence[Candidate], chosen: Sequence[int]) -> tuple[int, ...]:
    """As in their documents, the document with the best chunk first."""
    best: dict[Name, float] = {}
    for i in chosen:
        one = candidates[i]
        best[one.source] = max(best.get(one.source, one.score), one.score)

    def key(i: int) -> tuple[float, Name, int, str]:
        one = candidates[i]
        return -best[one.source], one.source, one.position, one.id

    return tuple(sorted(chosen, key=key))


def _edges(candidates: Sequence[Candidate], chosen: Sequence[int]) -> tuple[int, ...]:
    """The best first, the second best last, the worst in the middle, where readers look least."""
    ranked = _by_score(candidates, chosen)
    return ranked[::2] + ranked[1::2][::-1]


ORDERS: dict[str, Order] = {"score": _by_score, "document": _by_document, "edges": _edges}


def reading_order(name: object) -> Order:
    """The order of that name: "score", "document" or "edges".

    Raises
    ------
    ArgumentError
    """
    return ORDERS[one_of(name, "order", tuple(ORDERS))]
