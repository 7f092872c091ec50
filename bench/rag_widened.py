"""Candidates as `ramet.Rag` finds them, second hop included, from a real collection, in place of exact search.

The collection is filled with the vectors and token codes that lie in the cache, by an embedder that looks them up:
nothing is embedded again. Its tokens have 64 dimensions already, so the projection that the collection fits to them is
a rotation, and cosines stay what they are but for one more rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

import ramet
from bench.rag_pools import Asked, Pools
from bench.rag_texts import RagSet
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.rag import Rag
from ramet.engine.rag.retrieval import Place

BATCH = 2048


class Known:
    """An embedder that knows the texts and questions of one set.

    Attributes
    ----------
    identity, dim, max_tokens, gives_tokens
        As of any embedder with vectors of tokens.
    """

    max_tokens = None
    gives_tokens = True

    def __init__(self, of: RagSet, pools: Pools) -> None:
        self._pools = pools
        self._documents = {text: place for place, text in enumerate(of.texts)}
        self._questions = {question.text.strip(): number for number, question in enumerate(of.questions)}
        self._ids = [question.id for question in of.questions]
        self.dim = int(pools.documents.shape[1])
        self.identity = f"bench:known:{of.name}:{self.dim}"

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of documents."""
        found: np.ndarray = self._pools.documents[[self._documents[text] for text in texts]]
        return found

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of questions."""
        found: np.ndarray = self._pools.vectors[[self._questions[text] for text in texts]]
        return found

    def embed_documents_with_tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Vectors of documents, and codes of their tokens as floats."""
        tokens = self._pools.tokens
        places = [self._documents[text] for text in texts]
        codes = [tokens.codes[tokens.starts[place] : tokens.starts[place + 1]] for place in places]
        return self.embed_documents(texts), [np.asarray(one, np.float32) / 127 for one in codes]

    def embed_question_with_tokens(self, text: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Vector of a question, and projected vectors of its tokens."""
        number = self._questions[text]
        vectors, words = self._pools.tokens.questions[self._ids[number]]
        return self._pools.vectors[number], vectors @ self._pools.tokens.projection, words

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """1 each: documents are stored whole, as they were embedded."""
        return [1] * len(texts)


@contextmanager
def filled(of: RagSet, pools: Pools, folder: Path) -> Iterator[Rag]:
    """A collection of the documents of a set, and questions to it."""
    embedder, texts = Known(of, pools), of.texts
    with ramet.connect(folder, create=True) as database:
        docs = database.create_collection("texts", dim=embedder.dim, embedder=embedder)
        for first in range(0, len(texts), BATCH):
            part = slice(first, first + BATCH)
            titles = [{"title": title} if title else None for title in of.titles[part]]
            docs.add_texts(texts[part], ids=of.ids[part], metadata=titles)
        yield Rag(docs, reader=pools.reader)


def asked(rag: Rag, of: RagSet, pools: Pools, numbers: Sequence[int]) -> list[Asked]:
    """Questions with the candidates that `Rag` finds; texts and costs are those of the other runs."""
    places, texts = {name: place for place, name in enumerate(of.ids)}, of.texts
    place = Place(("default",), None, "dense")
    out = []
    for number in numbers:
        question = of.questions[number]
        pool = rag._considered(question.text.strip(), place, True).pool
        found = [places[one.id] for one in pool.candidates]
        out.append(
            Asked(
                question=question,
                pool=_as_elsewhere(pool, found, pools),
                gold=frozenset(i for i, at in enumerate(found) if at in question.gold),
                shown=tuple(texts[at] for at in found),
            )
        )
    return out


def _as_elsewhere(pool: Pool, places: Sequence[int], pools: Pools) -> Pool:
    """A pool whose candidates have the text without the title, and cost what it costs."""
    plain = [pools.candidate(place, one.score) for place, one in zip(places, pool.candidates, strict=True)]
    return replace(pool, candidates=plain, costs=pools.costs(np.array(places, np.int64)))
