"""What a selection is: chunks in reading order, what they cost, and why each candidate is in or out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ramet.engine.arguments import DEFAULT_TENANT

_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedChunk:
    """A chunk that was taken."""

    id: str
    """Id of its record."""
    text: str
    """As stored; the prompt shows it quoted."""
    document: str
    """Id of its document."""
    position: int
    """Where it begins in its document, in characters."""
    n_tokens: int
    """Reader's tokens, as rendered with its separator."""
    why: str
    number: int
    """By which the prompt and citations name it, from 1."""
    score: float
    metadata: dict[str, Any] | None = None
    tenant: str = DEFAULT_TENANT
    """In which it is known by its id: of those asked, the owner, or else the first that sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Chunks for a prompt under a budget. ``print`` gives a report."""

    question: str
    chunks: tuple[SelectedChunk, ...]
    """In reading order."""
    left_out: tuple[tuple[str, str], ...]
    """(id, why) of the other candidates, the best score first."""
    tokens: int
    """Of the whole prompt, template and question included; never above the budget."""
    budget: int
    utility: float
    """Value of the set, by the utility that chose it."""
    strategy: str
    parameters: dict[str, Any]
    passes: int
    """Passes of a model that the choice took beside the embedding of the question."""
    seconds: float
    trace: tuple[dict[str, Any], ...] = ()
    """What was done, step by step, with times."""

    @property
    def ids(self) -> list[str]:
        """Ids of the chunks, in reading order."""
        return [chunk.id for chunk in self.chunks]

    def __len__(self) -> int:
        return len(self.chunks)

    def __bool__(self) -> bool:
        """Whether anything was selected."""
        return bool(self.chunks)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts and lists."""
        found = asdict(self)
        found["chunks"] = [asdict(chunk) for chunk in self.chunks]
        found["left_out"] = [{"id": name, "why": why} for name, why in self.left_out]
        found["trace"] = list(found["trace"])
        return found

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        lines = [
            f"{self.question}",
            f"{len(self.chunks)} of {len(self.chunks) + len(self.left_out)} chunks, {self.tokens} of {self.budget} "
            f"tokens, by {self.strategy}({settings}) in {1e3 * self.seconds:.0f} ms",
        ]
        for chunk in self.chunks:
            lines.append(f"  [{chunk.number}] {chunk.id}, {chunk.n_tokens} tokens: {chunk.why}")
            lines.append(f"      {_shortened(chunk.text)}")
        lines += [f"  out  {name}: {why}" for name, why in self.left_out]
        return "\n".join(lines)


def _shortened(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
