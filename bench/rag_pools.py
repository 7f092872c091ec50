"""The candidates of every question, made once and shared by all strategies.

Candidates are the 50 documents of the highest cosine, by exact search: what is compared is the choice among them, so no
index is in between. A candidate costs what it has as the default template renders it (number, title, indented text,
separator), in tokens of the embedder's tokenizer, which is the default reader of `ramet.Rag`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench import rag_texts, rag_tokens, texts
from bench.rag_texts import Question, RagSet
from bench.rag_tokens import Tokens
from ramet.engine.rag.coverage import aspects, coverage
from ramet.engine.rag.pool import Candidate, Pool
from ramet.engine.rag.prompt import Reader, Template
from ramet.engine.rag.utility import CoverageUtility

CANDIDATES = 50


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question with its candidates."""

    question: Question
    pool: Pool
    gold: frozenset[int]
    """Numbers of its evidence among the candidates; what is not among them nobody can choose."""
    shown: tuple[str, ...]
    """Title and text of each candidate."""

    @cached_property
    def utility(self) -> CoverageUtility:
        """For strategies that need one but ask it nothing."""
        return CoverageUtility(self.pool)

    @property
    def n_gold(self) -> int:
        """Pieces of evidence in the corpus."""
        return len(self.question.gold)


class Pools:
    """Makes the pools of one set.

    Parameters
    ----------
    of : RagSet
    n : int
        Candidates of each question.
    reader : Reader, optional
        Counts tokens; the embedder's tokenizer if not given.

    Attributes
    ----------
    documents, vectors : arrays of float32, shapes (documents, dim) and (questions, dim)
    tokens : Tokens
    reader : Reader
    template : Template
    """

    def __init__(self, of: RagSet, n: int = CANDIDATES, reader: Reader | None = None) -> None:
        self._of, self._n = of, min(n, len(of.ids))
        self.documents = rag_texts.document_vectors(of)
        self.vectors = rag_texts.question_vectors(of)
        self.tokens: Tokens = rag_tokens.of_set(of)
        self.reader = reader or Reader.of(texts.embedder())
        self.template = Template()
        self._costs = np.full(len(of.ids), -1, np.int64)

    def of(self, numbers: Sequence[int]) -> list[Asked]:
        """The pools of questions."""
        found = [self._retrieved(number) for number in numbers]
        if found:
            self.costs(np.concatenate(found))
        return [self._asked(number, places) for number, places in zip(numbers, found, strict=True)]

    def _retrieved(self, number: int) -> np.ndarray:
        places: np.ndarray = np.argsort(-(self.documents @ self.vectors[number]), kind="stable")[: self._n]
        return places

    def candidate(self, place: int, score: float = 0.0) -> Candidate:
        """A document as a candidate."""
        of = self._of
        title = of.titles[place]
        return Candidate(
            id=of.ids[place],
            text=of.bodies[place],
            score=score,
            document=of.ids[place],
            position=0,
            metadata={"title": title} if title else None,
        )

    def costs(self, places: np.ndarray) -> np.ndarray:
        """Tokens of documents as rendered; what has been counted is not counted again."""
        new = np.unique(places[self._costs[places] < 0])
        shown = [self.template.quote(self.candidate(place), 1) + self.template.separator for place in new.tolist()]
        self._costs[new] = self.reader.counts(shown)
        found: np.ndarray = self._costs[places]
        return found

    def _asked(self, number: int, places: np.ndarray) -> Asked:
        question = self._of.questions[number]
        relevance = (self.documents[places] @ self.vectors[number]).astype(np.float32)
        coverage, names = self._coverage(question, places)
        pool = Pool(
            question=question.text,
            candidates=[self.candidate(p, float(s)) for p, s in zip(places.tolist(), relevance, strict=True)],
            relevance=relevance,
            similarity=(self.documents[places] @ self.documents[places].T).astype(np.float32),
            coverage=coverage,
            weights=np.ones(len(names), np.float32),
            costs=self._costs[places],
            aspects=names,
        )
        shown = tuple(f"{self._of.titles[place]} {self._of.bodies[place]}" for place in places.tolist())
        gold = frozenset(i for i, place in enumerate(places.tolist()) if place in question.gold)
        return Asked(question=question, pool=pool, gold=gold, shown=shown)

    def _coverage(self, question: Question, places: np.ndarray) -> tuple[np.ndarray, list[str]]:
        vectors, tokens = self.tokens.questions[question.id]
        kept = aspects(tokens)
        starts = self.tokens.starts
        codes = [np.asarray(self.tokens.codes[starts[place] : starts[place + 1]]) for place in places.tolist()]
        return coverage(vectors[kept] @ self.tokens.projection, codes), [tokens[place] for place in kept]
