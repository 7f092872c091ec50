"""Training of the configuration agent on the train halves; what ships was made here."""

from collections.abc import Mapping, Sequence

from bench.rag_pools import Asked
from ramet.engine.rag.agent import Agent
from ramet.engine.rag.labels import Labelled, labelled
from ramet.engine.rag.training import AgentReport, train


def examples(pools: Mapping[str, Sequence[Asked]]) -> list[Labelled]:
    """Labelled questions of all sets."""
    return [
        Labelled(pool=one.pool, gold=one.gold, n_gold=one.n_gold, key=one.question.id, group=name)
        for name, of_set in pools.items()
        for one in of_set
    ]


def trained(pools: Mapping[str, Sequence[Asked]]) -> tuple[Agent, str]:
    """An agent, and what to say of its training.

    Parameters
    ----------
    pools : mapping
        Set -> questions of its train half.
    """
    agent, report = train(labelled(examples(pools)))
    agent.trained_on = ", ".join(f"{name} ({len(of_set)})" for name, of_set in pools.items())
    return agent, said(report)


def said(report: AgentReport) -> str:
    """The report of a training as a few lines."""
    fixed = max(report.fixed, key=lambda name: report.fixed[name])
    return (
        f"  agent: worth {report.validation:.3f} in cross-validation, {report.train:.3f} where it was "
        f"trained; the best fixed configuration with hindsight ({fixed}) {report.fixed[fixed]:.3f}, "
        f"perfect knowledge {report.best:.3f}"
        f"; chooses {', '.join(f'{name} {share:.0%}' for name, share in report.chosen.items())}"
    )
