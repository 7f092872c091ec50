"""As many candidates as stand out: a cut at the largest gap between neighbouring cosines.

After Adaptive-k (arXiv 2506.08479, EMNLP 2025). No model and no threshold: the cut follows from the cosines alone.
"""

from __future__ import annotations

import numpy as np

from ramet.engine.rag.choice import Choice, Limit, ranked
from ramet.engine.rag.parameters import number, whole
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.strategies.topk import packed
from ramet.engine.rag.utility import SetUtility

MARGIN = 0.1
BUFFER = 0


def choose(pool: Pool, limit: Limit, utility: SetUtility, *, margin: float = MARGIN, buffer: int = BUFFER) -> Choice:
    """Take the candidates before the largest gap, by cosine, as far as they fit.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        Not asked.
    margin : float
        Share of the candidates at the lower end between which no gap counts, 0 to 1: noise has large gaps, too.
    buffer : int
        Candidates to take from behind the gap, at least 0.

    Returns
    -------
    Choice
        `gains` are the scores.
    """
    share = number(margin, "margin", 0.0, 1.0)
    extra = whole(buffer, "buffer", 0, 1 << 31)
    run = Run(pool, limit, utility)
    relevance = pool.relevance.astype(np.float64)
    by_cosine = ranked(relevance, run.places, np.ones(len(relevance), np.bool_))
    cut = min(_cut(relevance[by_cosine], share) + extra, len(by_cosine))
    run.trace.append({"cut": cut, "candidates": len(by_cosine)})
    order = packed(run, by_cosine[:cut].tolist())
    return run.done(order, [pool.candidates[c].score for c in order], word="score", rest="behind the largest gap")


def _cut(cosines: np.ndarray[tuple[int], np.dtype[np.float64]], margin: float) -> int:
    """How many cosines, highest first, lie before the largest gap; the first of equal gaps."""
    counted = len(cosines) - int(margin * len(cosines))
    if counted < 2:
        return len(cosines[:1])
    return int(np.argmax(cosines[: counted - 1] - cosines[1:counted])) + 1
