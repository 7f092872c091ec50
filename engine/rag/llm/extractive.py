"""Answers without a language model: the sentences of the sources that are nearest to the question, each cited."""

from __future__ import annotations

import math
import re
import time
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ramet.engine.checks import fraction, positive
from ramet.engine.chunking import count_words
from ramet.engine.embedding import TextEmbedder
from ramet.engine.rag.llm.protocol import MAX_TOKENS, TIMEOUT_S, Completion, InThreads, Piece
from ramet.engine.rag.llm.sentences import Sentence, sentences
from ramet.engine.rag.pool import F32
from ramet.engine.rag.prompt import Prompt
from ramet.engine.text.analysis import Analyzer

NOT_IN_CONTEXT = "not in the context"

SENTENCES = 3
NEAR = 0.45
NEAR_WORDS = 0.4
BESIDE_BEST = 0.8
WORDS_WEIGHT = 0.3
ALIKE = 0.9
FEWEST_WORDS = 4
_B, _K1 = 0.5, 1.2


@dataclass(frozen=True, slots=True)
class _Scored:
    """Sentences of all sources with their scores, which of them are near enough, and how alike they are."""

    score: F32
    near: bool
    alike: F32


class Extractive(InThreads):
    """The embedded default: quotes the best sentences and says "not in the context" when none is near enough.

    Parameters
    ----------
    embedder : TextEmbedder, optional
        Compares sentences and question by their vectors, and by the words they share. None: by words alone.
    sentences : int
        Most sentences of an answer.
    near : float, optional
        Cosine that the best sentence must have, 0 to 1; without an embedder the share of the question's words that it
        must hold, weighed by how rare they are. None: 0.45 and 0.4. It depends on the embedder: raise it if answers
        come that have nothing to do with questions, lower it if there are none.
    language : str
        Of the words, as collections have it.

    Notes
    -----
    No sentence is made up and none is changed, but for white space; whether it answers the question is the reader's to
    judge. ``[1]`` in a source is written ``[ 1 ]``, as it cites nothing here, and three backticks have
    spaces between them.
    """

    overhead = 0

    def __init__(
        self,
        embedder: TextEmbedder | None = None,
        *,
        sentences: int = SENTENCES,
        near: float | None = None,
        language: str = "en",
    ) -> None:
        self._embedder = embedder
        self._most = positive(sentences, "sentences", 100)
        default = NEAR_WORDS if embedder is None else NEAR
        self._near = default if near is None else fraction(near, "near")
        self._analyzer = Analyzer(language)
        self.name = "extractive"

    def __repr__(self) -> str:
        return f"Extractive({self._embedder!r})"

    @property
    def count(self) -> None:
        """Nobody reads tokens here; the embedder's tokenizer counts budgets."""
        return None

    def complete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """Quote the best sentences of the prompt's sources; ``stop`` and ``timeout_s`` are not needed."""
        started = time.perf_counter()
        found = [(number, one) for number, chunk in enumerate(prompt.sources, 1) for one in sentences(chunk.text)]
        chosen = self._chosen(prompt.question, [one for _, one in found]) if found else []
        lines: list[str] = []
        left, finish = max_tokens, "stop"
        for i in chosen:
            number, sentence = found[i]
            line = f"{_harmless(sentence.text)} [{number}]"
            left -= self._tokens(line)
            if left < 0 and lines:
                finish = "length"
                break
            lines.append(line)
        text = "\n".join(lines) or f"{NOT_IN_CONTEXT.capitalize()}."
        return Completion(
            text=text,
            prompt_tokens=0,  # nothing is read as tokens: the budget's count holds
            output_tokens=self._tokens(text),
            seconds=time.perf_counter() - started,
            finish=finish,
        )

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Iterator[Piece]:
        """The same, sentence by sentence."""
        done = self.complete(prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)
        yield from (line for line in done.text.splitlines(keepends=True))
        yield done

    def _tokens(self, text: str) -> int:
        return int(count_words([text])[0] if self._embedder is None else self._embedder.count_tokens([text])[0])

    def _chosen(self, question: str, found: list[Sentence]) -> list[int]:
        """Positions of the sentences to quote, in reading order; none: nothing is near enough."""
        scored = self._scored(question, found)
        if not scored.near:
            return []
        order = sorted(range(len(found)), key=lambda i: (-scored.score[i], i))
        best, chosen = scored.score[order[0]], list[int]()
        for i in order:
            if len(chosen) == self._most or scored.score[i] < BESIDE_BEST * best:
                break
            if all(scored.alike[i, j] < ALIKE for j in chosen):
                chosen.append(i)
        return sorted(chosen)

    def _scored(self, question: str, found: list[Sentence]) -> _Scored:
        words = [self._analyzer.words(one.text) for one in found]
        asked = self._analyzer.words(question)
        bm25, held = _overlap(asked, words)
        full = np.array([min(1.0, len(one.text.split()) / FEWEST_WORDS) for one in found], np.float32)  # titles
        if self._embedder is None:
            return _Scored(bm25 * full, bool(held.max() >= self._near), _jaccard(words))
        vectors = _unit(self._embedder.embed_documents([one.text for one in found]))
        cosines = vectors @ _unit(self._embedder.embed_queries([question]))[0]
        score = (cosines + WORDS_WEIGHT * held) * full
        return _Scored(score, bool(cosines[int(np.argmax(score))] >= self._near), vectors @ vectors.T)


def _overlap(asked: list[str], words: list[list[str]]) -> tuple[F32, F32]:
    """BM25 of each sentence for the question, and the share of the question's words, by their idf, that each holds."""
    n, mean = len(words), max(1.0, sum(map(len, words)) / len(words))
    holders = Counts(word for one in words for word in set(one))
    weights = {word: math.log(1 + (n - holders[word] + 0.5) / (holders[word] + 0.5)) for word in set(asked)}
    total = sum(weights.values())
    scores, held = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for i, one in enumerate(words):
        times = Counts(one)
        length = _K1 * (1 - _B + _B * len(one) / mean)
        scores[i] = sum(w * times[q] * (_K1 + 1) / (times[q] + length) for q, w in weights.items())
        held[i] = sum(w for q, w in weights.items() if q in times) / total if total else 0.0
    return scores, held


def _jaccard(words: list[list[str]]) -> F32:
    """Share of common words of each two sentences."""
    sets = [set(one) for one in words]
    return np.array([[len(a & b) / max(1, len(a | b)) for b in sets] for a in sets], np.float32)


def _unit(vectors: F32) -> F32:
    """Rows scaled to length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _harmless(text: str) -> str:
    """A quotation in which nothing looks like a citation, or like code, in which there are none."""
    unmarked = re.sub(r"([\[【])(\d[\d\s,;–-]*)([\]】])", r"\1 \2 \3", text)
    return re.sub(r"`{3,}", lambda at: " ".join(at[0]), unmarked)
