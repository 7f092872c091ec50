"""What an answer is: a text, where every citation leads, what was read for it, and what it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ramet.engine.rag.citations import Citation, cited, says_not_in_context
from ramet.engine.rag.cost import CostModel, Prices
from ramet.engine.rag.llm.protocol import Completion
from ramet.engine.rag.selection import Selection

NOT_IN_CONTEXT = "Not in the context."
NO_SOURCES = "no_sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer took."""

    prompt_tokens: int
    """As the backend counted them; as the reader's tokenizer did, where the backend does not say."""
    output_tokens: int
    seconds: dict[str, float]
    """Stage -> seconds: "select", "first_token" (of streams: until the first text), "llm", "total"."""
    cost: float | None
    """In the currency of the cost model's prices; None without prices."""
    budget: int
    """Tokens that the prompt was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, its sources, and what it took. ``print`` gives a report."""

    question: str
    text: str
    """Without citations that point to nothing."""
    citations: tuple[Citation, ...]
    """In the order of the text."""
    unknown: tuple[int, ...]
    """Numbers that were cited and are no sources; they are taken out of the text."""
    in_context: bool
    """False: it says that the sources do not hold the answer and cites none, or there are none."""
    selection: Selection
    """What was read, what was left out, and why."""
    usage: Usage
    finish: str
    """"stop"; "length": cut off by `max_tokens`; "no_sources": nothing was selected, and nobody was asked."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts and lists."""
        return {
            "question": self.question,
            "text": self.text,
            "citations": [asdict(one) for one in self.citations],
            "unknown": list(self.unknown),
            "in_context": self.in_context,
            "selection": self.selection.to_dict(),
            "usage": asdict(self.usage),
            "finish": self.finish,
        }

    def __str__(self) -> str:
        lines = [self.text, ""]
        for one in {(one.number, one.start, one.end): one for one in self.citations}.values():
            word = "quotes" if one.quoted else "cites"
            lines.append(
                f"  [{one.number}] {word} {one.document}, characters {one.start} to {one.end} (record {one.id})"
            )
        lines += [f"  dropped: [{number}], which is no source" for number in self.unknown]
        usage = self.usage
        price = "" if usage.cost is None else f", cost {usage.cost:.6g}"
        lines.append(
            f"  {usage.prompt_tokens} tokens read of {usage.budget} allowed, {usage.output_tokens} written, "
            f"{usage.seconds['total']:.2f} s ({usage.seconds['select']:.2f} selecting){price}"
        )
        return "\n".join(lines)


def made(selection: Selection, completion: Completion, seconds: dict[str, float], model: CostModel | None) -> Answer:
    """The answer of what a model said about a selection."""
    checked = cited(completion.text.strip(), selection.chunks)
    text = checked.text.strip()
    before = checked.text.index(text)  # a mark that was taken out at the beginning leaves white space
    prompt_tokens = completion.prompt_tokens or selection.tokens
    usage = Usage(
        prompt_tokens=prompt_tokens,
        output_tokens=completion.output_tokens,
        seconds=seconds,
        cost=_cost(model, prompt_tokens, completion.output_tokens),
        budget=selection.budget,
    )
    return Answer(
        question=selection.question,
        text=text,
        citations=tuple(replace(one, at=one.at - before) for one in checked.citations),
        unknown=checked.unknown,
        in_context=bool(checked.citations) or not says_not_in_context(checked.text),
        selection=selection,
        usage=usage,
        finish=completion.finish,
    )


def without_sources(selection: Selection, seconds: dict[str, float], model: CostModel | None) -> Answer:
    """The answer when nothing was selected: nobody needs to be asked."""
    usage = Usage(prompt_tokens=0, output_tokens=0, seconds=seconds, cost=_cost(model, 0, 0), budget=selection.budget)
    return Answer(
        question=selection.question,
        text=NOT_IN_CONTEXT,
        citations=(),
        unknown=(),
        in_context=False,
        selection=selection,
        usage=usage,
        finish=NO_SOURCES,
    )


def _cost(model: CostModel | None, prompt_tokens: int, output_tokens: int) -> float | None:
    """What was paid; None where no price is known."""
    if model is None or model.prices == Prices():
        return None
    return model.cost(prompt_tokens, output_tokens) if prompt_tokens or output_tokens else 0.0
