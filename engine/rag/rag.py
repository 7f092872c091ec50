"""Questions to a collection under a budget: what `ramet.Rag` is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ramet.engine import checks
from ramet.engine import where as filters
from ramet.engine.checks import positive
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, MissingEmbedderError, one_of
from ramet.engine.rag import agent, retrieval, widening
from ramet.engine.rag.agent import Agent
from ramet.engine.rag.answering import Answering
from ramet.engine.rag.budget import Budget
from ramet.engine.rag.choice import Choice, Limit
from ramet.engine.rag.considered import Considered, Memory
from ramet.engine.rag.cost import CostModel
from ramet.engine.rag.llm.named import llm_of
from ramet.engine.rag.order import reading_order
from ramet.engine.rag.prompt import Reader, Template
from ramet.engine.rag.retrieval import Place
from ramet.engine.rag.selection import SelectedChunk, Selection
from ramet.engine.rag.strategies import STRATEGIES, choose, parameters_of
from ramet.engine.rag.utility import CoverageUtility, SetUtility
from ramet.engine.token_codes import Projection

if TYPE_CHECKING:
    from ramet.engine.collection import Collection

CANDIDATES = 50
MOST_CANDIDATES = 1000
MOST_TOKENS = 1 << 30
AUTO = "auto"
AUTO_ELSEWHERE: tuple[str, dict[str, Any]] = ("mcts", {"price": 0.0})
"""What "auto" means for utilities of the user's. The agent's prices are in units of coverage, which such a utility may
never reach; greedy and beam would ask for every candidate at every step."""
MODES = ("dense", "keyword", "hybrid")
Strategy = str | Agent


class Rag(Answering):
    """Questions to a collection, answered from chunks that are selected under a budget. Threads may share one.

    Parameters
    ----------
    collection : Collection
        Whose records with documents are the chunks; `Collection.add_texts` stores such.
    embedder : TextEmbedder, optional
        Makes vectors of questions; the collection's when left out. Without any, chunks are found by words.
    llm : str or Llm, optional
        Who answers; ``"extractive"``, ``"openai:MODEL@URL"``, ``"gguf:PATH"`` or an object. Default: extractive.
    template : Template, optional
        What is around the chunks in a prompt.
    reader : callable or Reader, optional
        ``text -> number of tokens``, as the model that reads the prompt counts. Default: the language model's own
        tokenizer, or else the embedder's; without either, words are counted.
    n_candidates : int
        Chunks to choose from, before the second hop.
    cost_model : CostModel, optional
        For budgets in money or time (``ramet rag calibrate``).

    Raises
    ------
    ArgumentError, ModelMismatchError, MissingPackageError
    """

    def __new__(cls, collection: Any = None, *args: Any, **options: Any) -> Any:
        """A `Rag`; of a collection that is elsewhere, what asks there: it has the same methods."""
        elsewhere = getattr(collection, "_rag", None)
        return super().__new__(cls) if elsewhere is None else elsewhere(*args, **options)

    def __init__(
        self,
        collection: Collection,
        *,
        embedder: TextEmbedder | None = None,
        llm: Any = None,
        template: Template | None = None,
        reader: Reader | Callable[[str], int] | None = None,
        n_candidates: int = CANDIDATES,
        cost_model: CostModel | None = None,
    ) -> None:
        self.collection = collection
        self._opened = collection._opened
        if embedder is not None:
            self._opened.check(embedder)
        self.embedder = embedder or collection.embedder
        self.llm = llm_of(llm, self.embedder, self._opened.settings.language)
        self.template = template or Template()
        own = self.llm if getattr(self.llm, "count", None) is not None else self.embedder
        self.reader = Reader.of(own if reader is None else reader).beside(self.llm.overhead)
        self.n_candidates = positive(n_candidates, "n_candidates", MOST_CANDIDATES)
        self.cost_model = cost_model
        self._memory = Memory()

    def select(
        self,
        question: str,
        budget: int,
        *,
        tenant: str | Sequence[str] = checks.DEFAULT_TENANT,
        where: Any = None,
        mode: str | None = None,
        strategy: Strategy = AUTO,
        order: str = "score",
        utility: Any = "coverage",
        widen: bool = True,
        **parameters: Any,
    ) -> Selection:
        """Choose chunks for a question, so that the prompt with all of them keeps a budget.

        Parameters
        ----------
        question : str
        budget : int
            Most tokens of the whole prompt, template and question included, as the reader counts them. Never exceeded.
        tenant : str or sequence of str
        where : dict, optional
            Only chunks whose metadata match.
        mode : {"dense", "keyword", "hybrid"}, optional
            How candidates are found. Default: "dense", but "keyword" without an embedder.
        strategy : str or Agent
            "topk", "mmr", "adaptive_k", "adagres", "greedy", "beam", "mcts"; or "auto", by which the configuration
            agent chooses strategy and parameters for this question (with a `utility` of your own, whose units it does
            not know: "mcts" with a price of 0); or an `Agent` of your own (``ramet rag train``).
        order : {"score", "document", "edges"}
            In which order they are read.
        utility : {"coverage"}, cross-encoder or callable
            What a set is worth; `ramet.engine.rag.utility`.
        widen : bool
            Look once more, for what the best candidates bring up (``docs/rag.md``).
        **parameters
            Of the strategy.

        Returns
        -------
        Selection
            Empty when nothing was found, or nothing fits; it says why.

        Raises
        ------
        ArgumentError
            A wrong argument, or a budget that the template with the question alone exceeds.
        MissingEmbedderError
            ``mode`` needs one.
        """
        begun = time.perf_counter()
        text, most = _question(question), positive(budget, "budget", MOST_TOKENS)
        if not isinstance(strategy, Agent):
            one_of(strategy, "strategy", (AUTO, *STRATEGIES))
        arrange = reading_order(order)
        Budget(most, text, (), self.template, self.reader)  # an impossible one is refused before any work
        place = Place(checks.tenants(tenant), filters.parse(where), self._mode(mode))
        considered = self._considered(text, place, bool(widen))
        candidates = considered.pool.candidates
        limits = Budget(most, text, candidates, self.template, self.reader)
        value = considered.utility(utility)
        passes = value.passes
        made = self._chosen(considered, limits, strategy, parameters, value)
        kept = limits.enforced(made.choice.order, lambda chosen: arrange(candidates, chosen))
        reading = arrange(candidates, kept)
        worth = float(value.value(kept))  # asks the model once more if the strategy did not ask for this set
        return Selection(
            question=text,
            chunks=_chunks(considered, made.choice, reading),
            left_out=_left_out(considered, made.choice, kept, limits),
            tokens=limits.used(reading),
            budget=most,
            utility=worth,
            strategy=made.strategy,
            parameters=made.parameters,
            passes=value.passes - passes,
            seconds=time.perf_counter() - begun,
            trace=(*considered.stages, {"stage": "choose", "ms": 1e3 * made.choice.seconds}, *made.choice.trace),
        )

    def _chosen(
        self,
        considered: Considered,
        limits: Budget,
        strategy: Strategy,
        parameters: dict[str, Any],
        value: SetUtility,
    ) -> _Made:
        """What a strategy chooses, the one that was asked for or that the agent takes."""
        # Every cost has a separator, of which a prompt has one less than chunks.
        room = limits.for_chunks + self.reader.count(self.template.separator)
        if strategy == AUTO and not parameters and not isinstance(value, CoverageUtility):
            name, settings = AUTO_ELSEWHERE
        else:
            name, settings = _configured(strategy, parameters, considered, room)
        limit = Limit(tokens=room, costs=considered.pool.costs)
        choice = choose(name, considered.pool, limit, value, **settings)
        return _Made(name, {**parameters_of(name), **settings}, choice)

    def _mode(self, mode: str | None) -> str:
        """How candidates are found."""
        if mode is None:
            return "keyword" if self.embedder is None else "dense"
        if one_of(mode, "mode", MODES) != "keyword" and self.embedder is None:
            raise MissingEmbedderError(self.collection.name)
        return mode

    def _considered(self, text: str, place: Place, widen: bool) -> Considered:
        """The pool of a question, made if it is not known."""
        with self._opened.store.read() as snapshot:
            state, projection = snapshot.txn_id, Projection.of(snapshot)
        key = (text, place, widen, state, self.template, self.n_candidates)
        return self._memory.of(key, lambda: self._consider(text, place, widen, projection))

    def _consider(self, text: str, place: Place, widen: bool, projection: Projection | None) -> Considered:
        """Find candidates, look once more, and make the pool."""
        clock = _Clock()
        if self.embedder is not None:
            self._opened.check(self.embedder)  # another process may have stored vectors of another model since
        question = retrieval.asked(self.embedder, text, needed=place.mode == "dense")
        if question.vector is None and place.mode == "hybrid":
            place = replace(place, mode="keyword")  # the embedder knows no word of it; as `Collection.query` does
        clock.done("embed")
        found = retrieval.in_order(retrieval.retrieved(self._opened, question, place, self.n_candidates))
        clock.done("retrieve")
        language = self._opened.settings.language

        more = widening.Widening()
        if widen and found:
            first = retrieval.pool_of(question, found, np.zeros(len(found), np.int64), projection, language, None)
            more = widening.widened(self._opened, question, place, first)
            found = retrieval.in_order([*found, *more.new])
            clock.done("widen")
        every = Budget(MOST_TOKENS, text, [one.candidate for one in found], self.template, self.reader)
        costs = every.costs()
        clock.done("costs")
        pool = retrieval.pool_of(question, found, costs, projection, language, more.hops if widen else None)
        clock.done("pool")
        return Considered(pool, more.seeds, clock.stages)


@dataclass(frozen=True, slots=True)
class _Made:
    """A choice, and who made it."""

    strategy: str
    parameters: dict[str, Any]
    choice: Choice


class _Clock:
    """Times of stages, one after the other."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        """Note a stage that ends now."""
        now = time.perf_counter()
        self.stages.append({"stage": stage, "ms": round(1e3 * (now - self._last), 3)})
        self._last = now


def _question(question: object) -> str:
    """A question that says something."""
    if not isinstance(question, str):
        raise ArgumentError("question", f"must be str, got {type(question).__name__} ({question!r})")
    if not question.strip():
        raise ArgumentError("question", "is empty; ask something")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError("question", f"is not valid Unicode text: {error.reason}") from error
    return question.strip()


def _configured(
    strategy: Strategy, parameters: dict[str, Any], considered: Considered, room: int
) -> tuple[str, dict[str, Any]]:
    """Strategy and parameters, chosen by the agent where that is asked for and it is there."""
    if isinstance(strategy, str) and strategy != AUTO:
        return strategy, parameters
    for name in parameters:
        raise ArgumentError(name, f'goes with a strategy by its name; strategy="{AUTO}" chooses its parameters')
    if isinstance(strategy, Agent):
        return strategy.choose(considered.pool, room)
    return agent.shipped().choose(considered.pool, room) if agent.SHIPPED.is_file() else (agent.FALLBACK, {})


def _left_out(
    considered: Considered, choice: Choice, kept: Sequence[int], limits: Budget
) -> tuple[tuple[str, str], ...]:
    """(id, why) of the candidates that are not read, the best score first."""
    dropped = dict.fromkeys(choice.order[len(kept) :], "")
    for i in dropped:
        whole = limits.used((*kept, i))
        dropped[i] = f"does not fit: with it, the prompt has {whole} tokens, the budget is {limits.tokens}"
    there = set(kept)
    return tuple(
        (one.id, dropped[i] if i in dropped else choice.reasons[i])
        for i, one in enumerate(considered.pool.candidates)
        if i not in there
    )


def _chunks(considered: Considered, choice: Choice, reading: Sequence[int]) -> tuple[SelectedChunk, ...]:
    """The chosen chunks in reading order."""
    pool, chunks = considered.pool, []
    for number, i in enumerate(reading, 1):
        one = pool.candidates[i]
        seed = considered.seeds.get(one.name)
        why = choice.reasons[i] if seed is None else f"brought up by {seed!r}; {choice.reasons[i]}"
        chunks.append(
            SelectedChunk(
                id=one.id, text=one.text, document=one.document, position=one.position, n_tokens=int(pool.costs[i]),
                why=why, number=number, score=one.score, metadata=one.metadata,
                tenant=one.tenant,
            )
        )  # fmt: skip
    return tuple(chunks)
