"""What each chunk says about each part of a question: the best cosine of a question's token with any token of a chunk.

That is the late interaction of ColBERT (Khattab and Zaharia, SIGIR 2020), over codes that are stored with the chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.pool import F32
from ramet.engine.text.stopwords import STOP_WORDS
from ramet.engine.token_codes import I8, unit

_MARKS = "#▁Ġ "
"""By which tokenizers say that a token goes on with a word, or begins one."""


def is_aspect(token: str, language: str = "en") -> bool:
    """Whether a token of a question asks for something: it is no stop word and no punctuation."""
    word = token.strip(_MARKS).lower()
    return any(one.isalnum() for one in word) and word not in STOP_WORDS.get(language, frozenset())


def aspects(tokens: Sequence[str], language: str = "en") -> npt.NDArray[np.int64]:
    """Positions of the tokens of a question that ask for something; of all of them if none does."""
    found = [i for i, token in enumerate(tokens) if is_aspect(token, language)]
    return np.array(found or range(len(tokens)), np.int64)


def coverage(question: F32, codes: Sequence[I8 | None]) -> F32:
    """Best cosine of each aspect with any token of each chunk.

    Parameters
    ----------
    question : array of float32, shape (a, 64)
        Projected vectors of the aspects, of any length.
    codes : sequence of n arrays of int8, shape (t, 64)
        None or without tokens: such a chunk covers nothing, 0.

    Returns
    -------
    array of float32, shape (a, n)
        From 0 on: what points the other way covers nothing, either.
    """
    result = np.zeros((len(question), len(codes)), np.float32)
    there = [i for i, one in enumerate(codes) if one is not None and len(one)]
    if not there or not len(question):
        return result
    parts = [one for one in codes if one is not None and len(one)]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in parts[:-1]])]).astype(np.int64)
    every = np.concatenate(parts).astype(np.float32)
    scaled = unit(question) * np.float32(1 / 127)
    # Tokens along the last axis: the maxima of neighbours are then taken from consecutive memory.
    cosines = scaled @ every.T
    result[:, there] = np.clip(np.maximum.reduceat(cosines, starts, axis=1), 0.0, 1.0)
    return result
