"""What the configuration agent sees of a question, its candidates and the budget: numbers, none of them a text.

All come from the arrays of a pool and from the words of the question, in well under a millisecond and without a model.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.pool import Pool

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

STEPS = 6
"""Chunks of the greedy order that are looked at."""
RANKS = (0, 1, 2, 4, 9, 19, 49)
"""Ranks whose cosine is looked at."""
_ASKED = ("who", "what", "which", "when", "where", "how")
_CLOSED = re.compile(r"^\s*(is|are|was|were|do|does|did|has|have|can)\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"\b(both|same|or|between|than|older|younger|earlier|later|first|more|longer|born)\b", re.IGNORECASE
)
_CHAINED = re.compile(r"\b(of|that|who|whose|where|in which|by)\b|'s\b", re.IGNORECASE)
_NAME = re.compile(r"(?<=\s)(?:[A-Z][\w.'-]*\s?)+")

NAMES: tuple[str, ...] = (
    "words", "names", "digits", "closed", "compared", "chained", "mark", *(f"asks {word}" for word in _ASKED),
    *(f"cosine {rank + 1}" for rank in RANKS), "gap 1-2", "gap 2-3", "gap 3-4", "gap 4-5", "place of the largest gap",
    "spread of cosines", "likeness of the best two", "likeness of the best ten",
    "aspects", "covered by the best", "covered by all", "least covered",
    *(f"gain {step + 1}" for step in range(STEPS)), *(f"cosine of step {step + 1}" for step in range(STEPS)),
    "tokens", "chunks that fit", "tokens of a chunk",
)  # fmt: skip
"""What the features are called, in their order."""


def features(pool: Pool, tokens: int) -> F32:
    """Features of a question with its candidates under a budget.

    Parameters
    ----------
    pool : Pool
    tokens : int
        For chunks.

    Returns
    -------
    array of float32, shape (len(NAMES),)
        Finite for every pool, the empty one included.
    """
    found = np.array([*_of_question(pool.question), *_of_pool(pool), *_of_budget(pool, tokens)], np.float32)
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _of_question(question: str) -> list[float]:
    low = question.lower()
    return [
        min(len(question.split()), 40) / 10.0,
        min(len(_NAME.findall(question)), 6) / 2.0,
        float(any(sign.isdigit() for sign in question)),
        float(bool(_CLOSED.match(question))),
        min(len(_COMPARED.findall(question)), 3) / 1.0,
        min(len(_CHAINED.findall(question)), 6) / 2.0,
        float(question.rstrip().endswith("?")),
        *(float(bool(re.search(rf"\b{word}\b", low))) for word in _ASKED),
    ]


def _of_pool(pool: Pool) -> list[float]:
    ranked = np.argsort(-pool.relevance.astype(np.float64), kind="stable")
    if not len(ranked):
        return [0.0] * (len(RANKS) + 12 + 2 * STEPS)
    near = pool.relevance.astype(np.float64)[ranked]
    at = [float(near[min(rank, len(near) - 1)]) for rank in RANKS]
    gaps = np.zeros(4)
    gaps[: min(4, len(near) - 1)] = (near[:-1] - near[1:])[:4]
    steepest = int(np.argmax((near[:-1] - near[1:])[:20])) if len(near) > 1 else 0
    best = ranked[:10]
    alike = pool.similarity[np.ix_(best, best)].astype(np.float64)
    pairs = alike[np.triu_indices(len(best), 1)]
    return [
        *at, *(gaps * 10.0).tolist(), steepest / 10.0, float(near.std()) * 10.0,
        float(alike[0, 1]) if len(best) > 1 else 0.0, float(pairs.mean()) if len(pairs) else 0.0,
        *_of_coverage(pool, int(ranked[0])),
    ]  # fmt: skip


def _of_coverage(pool: Pool, first: int) -> list[float]:
    covered = np.maximum(pool.coverage.astype(np.float64), 0.0)
    if not len(covered):
        return [0.0] * (4 + 2 * STEPS)
    whole = covered.max(axis=1)
    gains, near = _climbed(covered, pool.relevance.astype(np.float64))
    return [
        len(covered) / 10.0,
        float(covered[:, first].mean()),
        float(whole.mean()),
        float(whole.min()),
        *gains,
        *near,
    ]


def _climbed(covered: F64, relevance: F64) -> tuple[list[float], list[float]]:
    """What the first chunks of a greedy order add to the coverage, and their cosines."""
    reached = np.zeros(len(covered))
    free = np.ones(len(relevance), np.bool_)
    gains, near = np.zeros(STEPS), np.zeros(STEPS)
    for step in range(min(STEPS, len(relevance))):
        gain = np.where(free, np.maximum(covered - reached[:, None], 0.0).sum(axis=0) + relevance, -np.inf)
        best = int(gain.argmax())
        gains[step], near[step] = gain[best] - relevance[best], relevance[best]
        reached, free[best] = np.maximum(reached, covered[:, best]), False
    gains[0] /= len(covered)  # the first gain grows with the question; the others are what is left to find
    return gains.tolist(), near.tolist()


def _of_budget(pool: Pool, tokens: int) -> list[float]:
    mean = max(float(pool.costs.mean()), 1.0) if len(pool.costs) else 100.0
    return [
        float(np.log2(max(tokens, 1))) / 4.0,
        float(np.log2(max(tokens / mean, 0.25))),
        float(np.log2(mean)) / 4.0,
    ]
