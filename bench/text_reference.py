"""What Ramet's text search is held to: exact search over the same vectors, bm25s over the same words, both fused.

Written without a look at Ramet's code paths: NumPy over all documents. The words are those of Ramet's analyzer, since
what is compared is the ranking; the parameters of BM25 and of the fusions are those that Ramet documents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine.text.analysis import Analyzer

K1, B = 1.5, 0.75
RRF = 60
DEPTH = 100
"""Places of either ranking that a fusion looks at."""

Ranking = tuple[np.ndarray, np.ndarray]
"""Places, best first, and their scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The documents of one set, indexed by others."""

    vectors: np.ndarray
    bm25: Any
    analyzer: Analyzer

    @classmethod
    def of(cls, texts: Sequence[str], vectors: np.ndarray, language: str = "en") -> "Reference":
        """Index documents."""
        import bm25s

        analyzer = Analyzer(language)
        bm25 = bm25s.BM25(k1=K1, b=B, method="lucene")
        bm25.index([analyzer.words(text) for text in texts], show_progress=False)
        return cls(vectors=_unit(vectors), bm25=bm25, analyzer=analyzer)

    def dense(self, query: np.ndarray) -> Ranking:
        """By cosine, over all documents."""
        return _best(self.vectors @ _unit(query[None])[0])

    def keyword(self, text: str) -> Ranking:
        """By BM25; documents that have none of the words are not ranked."""
        words = [word for word in self.analyzer.words(text) if word in self.bm25.vocab_dict]
        if not words:
            return np.empty(0, np.int64), np.empty(0)
        places, scores = _best(np.asarray(self.bm25.get_scores(words)))
        return places[scores > 0], scores[scores > 0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    out: np.ndarray = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return out


def _best(scores: np.ndarray) -> Ranking:
    places = np.argsort(-scores, kind="stable")[:DEPTH]
    return places, scores[places]


def rrf(dense: Ranking, keyword: Ranking) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    scores: dict[int, float] = {}
    for places, _ in (dense, keyword):
        for rank, place in enumerate(places.tolist(), 1):
            scores[place] = scores.get(place, 0.0) + 1 / (RRF + rank)
    return _sorted(scores)


def weighted(dense: Ranking, keyword: Ranking, alpha: float) -> list[int]:
    """Scores of each ranking between 0 and 1, added with the weights `alpha` and ``1 - alpha``."""
    scores: dict[int, float] = {}
    for (places, raw), weight in ((dense, alpha), (keyword, 1 - alpha)):
        width = float(raw.max() - raw.min()) if len(raw) else 0.0
        scaled = (raw - raw.min()) / width if width else np.ones(len(raw))
        for place, score in zip(places.tolist(), scaled.tolist(), strict=True):
            scores[place] = scores.get(place, 0.0) + weight * score
    return _sorted(scores)


def _sorted(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda place: (-scores[place], place))


def tuned_alpha(judge: Callable[[Callable[[Ranking, Ranking], list[int]]], float], alphas: Sequence[float]) -> float:
    """Return the weight that a judge of fusions (nDCG on queries that are not tested with) likes best."""

    def quality(alpha: float) -> float:
        return judge(lambda dense, keyword: weighted(dense, keyword, alpha))

    return max(alphas, key=quality)
