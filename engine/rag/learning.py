"""An agent for a collection of the user's, from questions whose evidence is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ramet.engine import checks
from ramet.engine import where as filters
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.agent import Agent
from ramet.engine.rag.labels import BUDGETS, RECALL_SHARE, Labelled, labelled
from ramet.engine.rag.parameters import number
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.retrieval import Place
from ramet.engine.rag.training import AgentReport, Settings, train

if TYPE_CHECKING:
    from ramet.engine.rag.rag import Rag

Progress = Callable[[str, int, int], object]
"""Called with (what is done, how much of it, of how much)."""


def train_agent(
    rag: Rag,
    questions: Sequence[Mapping[str, Any]],
    *,
    tenant: str | Sequence[str] = checks.DEFAULT_TENANT,
    where: Any = None,
    budgets: Sequence[int] = BUDGETS,
    recall_share: float = RECALL_SHARE,
    seed: int = 5,
    progress: Progress | None = None,
) -> tuple[Agent, AgentReport]:
    """Train the configuration agent: try every configuration on every question, and learn which is right when.

    Parameters
    ----------
    rag : Rag
    questions : sequence of mapping
        Each has ``"question"``, and ``"gold"``: ids of the records that hold its evidence, or of their documents (of
        which then the best chunk counts). Hundreds are needed to beat the agent that ships.
    tenant, where
        As in `Rag.select`.
    budgets : sequence of int
        Tokens for chunks under which it is to choose.
    recall_share : float
        Weight of evidence recall beside evidence F1 in what is learned, 0 to 1.
    seed : int
    progress : callable, optional

    Returns
    -------
    (Agent, AgentReport)
        `Agent.save` writes it to a file.

    Raises
    ------
    ArgumentError
        A question has no text or no evidence, or fewer than two have any among their candidates.
    """
    share = number(recall_share, "recall_share", 0.0, 1.0)
    tokens = [checks.positive(one, "budgets", 1 << 30) for one in budgets]
    place = Place(checks.tenants(tenant), filters.parse(where), rag._mode(None))
    examples: list[Labelled] = []
    for done, (text, gold) in enumerate([_checked(one, i) for i, one in enumerate(questions)], 1):
        pool = rag._considered(text, place, True).pool
        found = evidence(pool, gold)
        if found:  # of the others nothing can be learned: all configurations are equally wrong
            examples.append(Labelled(pool=pool, gold=found, n_gold=len(gold)))
        _tell(progress, "candidates", done, len(questions))
    if len(examples) < 2:
        raise ArgumentError(
            "questions", f"have evidence among their candidates in {len(examples)} cases; at least 2 are needed"
        )
    labels = labelled(examples, tokens, share, lambda done, total: _tell(progress, "labels", done, total))
    settings = Settings(seed=seed)
    agent, report = train(labels, settings, lambda done, total: _tell(progress, "networks", done, total))
    agent.trained_on = f"{rag.collection.name} ({len(examples)})"
    return agent, report


def evidence(pool: Pool, gold: frozenset[str]) -> frozenset[int]:
    """Numbers of the candidates that are evidence: those named, and the best chunk of each document named."""
    found: set[int] = set()
    best: dict[str, int] = {}
    for i, one in enumerate(pool.candidates):
        if one.id in gold:
            found.add(i)
        elif one.document in gold and one.score > _score(pool, best.get(one.document)):
            best[one.document] = i
    return frozenset(found | set(best.values()))


def _score(pool: Pool, number: int | None) -> float:
    return float("-inf") if number is None else pool.candidates[number].score


def _checked(one: object, number: int) -> tuple[str, frozenset[str]]:
    """Text and evidence of one question."""
    if not isinstance(one, Mapping):
        raise ArgumentError(f"questions[{number}]", f"must be a mapping, got {type(one).__name__}")
    text, gold = one.get("question"), one.get("gold")
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError(f"questions[{number}]", 'has no "question"; it must be a text')
    if isinstance(gold, str) or not isinstance(gold, Sequence) or not gold or not all(isinstance(g, str) for g in gold):
        raise ArgumentError(f"questions[{number}]", 'has no "gold"; it must be a list of ids')
    return text.strip(), frozenset(gold)


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
