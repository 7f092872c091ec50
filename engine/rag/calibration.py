"""A backend measured: answers of several lengths to prompts of several sizes, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ramet.engine.checks import positive
from ramet.engine.chunking import count_words
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.cost import CostModel, Measured, Prices
from ramet.engine.rag.llm.protocol import Completion, Llm
from ramet.engine.rag.prompt import Prompt, Template

PROMPTS = (64, 128, 256, 512, 1024, 2048)
OUTPUTS = (1, 16, 48)
REPEATS = 2
TIMEOUT_S = 600.0

# Words of one token each for the tokenizers that are common; the prompts need no meaning, but no two may begin alike.
_WORDS = (
    "time people year way day thing man world life hand part place case week company system program question work "
    "night point home water room mother area money story fact month lot right study book eye job word business side"
).split()


class _Text:
    """A source made of words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.metadata: None = None


def calibrate_llm(
    llm: Llm,
    *,
    prompts: Sequence[int] = PROMPTS,
    outputs: Sequence[int] = OUTPUTS,
    repeats: int = REPEATS,
    prices: Prices | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> CostModel:
    """Measure a backend and fit its cost model.

    Parameters
    ----------
    llm : Llm
    prompts : sequence of int
        Sizes of prompts in tokens, about; what the backend counts is what is fitted.
    outputs : sequence of int
        Tokens of answers; 1 should be among them. A model may stop earlier: what came is what is fitted.
    repeats : int
        Of every pair.
    prices : Prices, optional
        Stored with the model.
    progress : callable, optional
        Called with (answers measured, in all) after every one.

    Raises
    ------
    ArgumentError
    LlmError
        The backend failed; nothing is fitted.

    Notes
    -----
    Every prompt begins otherwise, so that a backend that remembers prompts has none of them.
    """
    sizes = [positive(size, "prompts", 1 << 20) for size in prompts]
    lengths = [positive(length, "outputs", 1 << 16) for length in outputs]
    times = positive(repeats, "repeats", 1000)
    if not sizes or not lengths:
        raise ArgumentError("prompts" if not sizes else "outputs", "is empty; give at least one number")
    rng = np.random.default_rng(0)
    total = len(sizes) * len(lengths) * times
    llm.complete(_prompt(llm, 16, rng), max_tokens=1, timeout_s=TIMEOUT_S)  # the first call loads and compiles
    found: list[tuple[int, Completion]] = []
    for size, length in _plan(sizes, lengths, times):
        prompt = _prompt(llm, size, rng)
        found.append((size, llm.complete(prompt, max_tokens=length, timeout_s=TIMEOUT_S)))
        if progress is not None:
            progress(len(found), total)
    measured = _grouped(found)
    if len(set(lengths)) > 1 and len({one.output_tokens for one in measured}) == 1:
        raise ArgumentError("llm", f"{llm.name} answers in one length whatever is asked for; its times fit no model")
    return CostModel.fit(measured, backend=llm.name, prices=prices)


def _plan(sizes: list[int], lengths: list[int], times: int) -> Iterator[tuple[int, int]]:
    """Sizes and lengths, each pair as often; rounds apart, so that a slow minute falls on all of them."""
    for _ in range(times):
        for size in sizes:
            for length in lengths:
                yield size, length


def _grouped(found: list[tuple[int, Completion]]) -> list[Measured]:
    """Measurements, those of one size with one number of tokens: the median of what was counted."""
    median = {
        size: max(1, int(np.median([one.prompt_tokens or size for asked, one in found if asked == size])))
        for size in {asked for asked, _ in found}
    }
    return [
        Measured(prompt_tokens=median[size], output_tokens=max(1, one.output_tokens), seconds=one.seconds)
        for size, one in found
    ]


def _prompt(llm: Llm, size: int, rng: np.random.Generator) -> Prompt:
    """A prompt of about so many tokens, the chat format included, whose first words nobody has seen."""
    template = Template(system="", header="", chunk="{text}", question="\n\n{question}")
    words = [str(rng.integers(10**6)), *rng.choice(_WORDS, size)]

    def made(n: int) -> Prompt:
        return template.prompt("Count slowly from one to one thousand.", [_Text(" ".join(words[:n]))])

    def counted(n: int) -> int:
        text = made(n).text
        return llm.overhead + (llm.count(text) if llm.count is not None else count_words([text])[0])

    low, high = 1, size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if counted(middle) <= size else (low, middle - 1)
    return made(low)
