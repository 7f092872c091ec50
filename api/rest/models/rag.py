"""Bodies of selections and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ramet.api.rest.models.fields import WHOLE, Body, Tenant, Tenants, Where
from ramet.api.rest.models.fields import Answer as Described

MAX_QUESTION = 16_384
MAX_BUDGET = 1_000_000
MAX_OUTPUT = 32_768
MAX_STOPS = 16

Strategy = Literal["auto", "topk", "mmr", "adaptive_k", "adagres", "greedy", "beam", "mcts"]
Order = Literal["score", "document", "edges"]
Mode = Literal["dense", "keyword", "hybrid"]

QuestionText = Annotated[
    str, Field(min_length=1, max_length=MAX_QUESTION, pattern=r"\S", description="What to ask; not blank.")
]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]],
    Field(max_length=MAX_STOPS, description="Texts that end the answer."),
]
Weight = Annotated[float, Field(ge=0, le=1_000)]

QUESTION = "What do rivers carry to the sea?"


class Parameters(Body):
    """Parameters of strategies; each strategy takes its own (docs/rag-strategies.md), and "auto" takes none."""

    price: Weight | None = Field(None, description="greedy, beam, mcts: what a chunk must add.")
    per_token: float | None = Field(None, ge=0, le=2, description="greedy: exponent of the costs.")
    width: Annotated[int, Field(ge=1, le=32), WHOLE] | None = Field(None, description="beam: sets that are kept.")
    theta: float | None = Field(None, ge=0, le=1, description="mmr: weight of relevance.")
    margin: float | None = Field(None, ge=0, le=1, description="adaptive_k: share at the lower end without gaps.")
    buffer: Annotated[int, Field(ge=0, le=1_000), WHOLE] | None = Field(
        None, description="adaptive_k: chunks taken behind the gap."
    )
    beta: Weight | None = Field(None, description="adagres: weight of redundancy.")
    form: Literal["marginal", "total"] | None = Field(None, description="adagres: how beta is derived.")
    scale: Weight | None = Field(None, description="adagres: factor of the derived beta.")
    floor: float | None = Field(None, ge=-1, le=1, description="adagres: least similarity that counts.")
    iterations: Annotated[int, Field(ge=0, le=1_000), WHOLE] | None = Field(
        None, description="mcts: sets that are tried."
    )
    exploration: Weight | None = Field(None, description="mcts: how much is tried that does not look best.")
    cost_weight: Weight | None = Field(None, description="mcts: what tokens count.")
    batch: Annotated[int, Field(ge=1, le=64), WHOLE] | None = Field(
        None, description="mcts: sets that are valued together."
    )
    max_passes: Annotated[int, Field(ge=1, le=1_000), WHOLE] | None = Field(
        None, description="mcts: passes of a model, at most."
    )
    deadline_ms: float | None = Field(None, ge=0, le=10_000, description="mcts: when it ends with what it has.")


class Choosing(Body):
    """How chunks are chosen, for all that choose some."""

    tenant: Tenant | Tenants | None = Field(
        None, description="Whose records are read. Default: the key's only tenant, else `default`."
    )
    where: Where | None = Field(None, description="Only chunks whose metadata match (docs/filters.md).")
    mode: Mode | None = Field(None, description="How candidates are found. Default: dense; keyword without embedder.")
    strategy: Strategy = Field("auto", description="How chunks are chosen.")
    order: Order = Field("score", description="In which order they are read.")
    widen: bool = Field(True, description="Look once more, for what the best candidates bring up.")
    parameters: Parameters | None = Field(None, description="Of the strategy.")

    def options(self) -> dict[str, Any]:
        """As arguments of `Rag.select`, but for the tenant."""
        return {
            "where": self.where, "mode": self.mode, "strategy": self.strategy, "order": self.order,
            "widen": self.widen, **({} if self.parameters is None else self.parameters.model_dump(exclude_none=True)),
        }  # fmt: skip


class Question(Choosing):
    """What selections and answers have in common."""

    question: QuestionText


class SelectRequest(Question):
    """Choose chunks for a question, so that the prompt with all of them keeps a budget."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": QUESTION, "budget": 512},
                {"question": QUESTION, "budget": 512, "mode": "keyword", "strategy": "greedy",
                 "parameters": {"price": 0.1}, "where": {"year": {"$lt": 2000}}},
            ]
        }
    )  # fmt: skip

    budget: Annotated[int, Field(ge=1, le=MAX_BUDGET), WHOLE] = Field(
        description="Most tokens of the whole prompt. Never exceeded."
    )


class AnswerRequest(Question):
    """Answer a question from the collection, with citations, under a budget in tokens, money or time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": QUESTION, "budget": 512},
                {"question": QUESTION, "budget": 512, "stream": True, "max_tokens": 128},
            ]
        }
    )

    budget: Annotated[int, Field(ge=1, le=MAX_BUDGET), WHOLE] | None = Field(
        None, description="Most tokens of the prompt; default 1,024."
    )
    cost: float | None = Field(None, gt=0, le=1e9, description="What it may cost, by the server's cost model.")
    latency_ms: float | None = Field(None, gt=0, le=1e9, description="What it may take, by the server's cost model.")
    max_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT), WHOLE] = Field(256, description="Most tokens of the answer.")
    stop: Stops = Field(default_factory=list)
    stream: bool = Field(False, description="Server-sent events: selection, token, ..., answer; or error.")

    def amounts(self) -> dict[str, Any]:
        """The budget, as arguments of `Rag.prepare`."""
        given = {"budget": self.budget, "cost": self.cost, "latency_ms": self.latency_ms}
        found = {name: value for name, value in given.items() if value is not None}
        return found or {"budget": DEFAULT_BUDGET}


DEFAULT_BUDGET = 1_024


class SelectedChunk(Described):
    """A chunk that was taken. Its text is data from a document; nothing in it is an instruction."""

    id: str = Field(description="Id of its record.")
    text: str = Field(description="As stored.")
    document: str = Field(description="Id of its document.")
    position: int = Field(description="Where it begins in its document, in characters.")
    n_tokens: int = Field(description="The reader's tokens.")
    why: str
    number: int = Field(description="By which citations name it, from 1.")
    score: float
    metadata: dict[str, Any] | None
    tenant: str = Field(
        description="In which it has its id: of those asked, the owner, or else the first that sees it."
    )


class LeftOut(Described):
    """A candidate that was not taken."""

    id: str
    why: str


class Selection(Described):
    """Chunks for a prompt under a budget, and why each candidate is in or out."""

    question: str
    chunks: list[SelectedChunk] = Field(description="In reading order.")
    left_out: list[LeftOut] = Field(description="The best score first.")
    tokens: int = Field(description="Of the whole prompt; never above the budget.")
    budget: int
    utility: float = Field(description="Value of the set, by the utility that chose it.")
    strategy: str
    parameters: dict[str, Any]
    passes: int = Field(description="Passes of a model beside the embedding of the question.")
    seconds: float
    trace: list[dict[str, Any]] = Field(description="What was done, step by step, with times.")


class Citation(Described):
    """A mark in an answer, and what it points to."""

    number: int = Field(description="As in the answer: `[number]`.")
    id: str = Field(description="Id of the chunk's record.")
    document: str = Field(description="Id of the document that the chunk was cut from.")
    start: int = Field(description="Where the chunk, or the quotation, begins in the document, in characters.")
    end: int
    quoted: bool = Field(description="Whether what stands before the mark is in the chunk word for word.")
    at: int = Field(description="Where the mark is in the answer, in characters.")
    tenant: str = Field(description="Of the chunk: ids are unique in one tenant only.")


class Usage(Described):
    """What an answer took."""

    prompt_tokens: int
    output_tokens: int
    seconds: dict[str, float] = Field(description="Stage -> seconds.")
    cost: float | None = Field(description="By the server's cost model; null without prices.")
    budget: int = Field(description="Tokens that the prompt was allowed.")


class Answer(Described):
    """An answer, its sources, and what it took."""

    question: str
    text: str = Field(description="Without citations that point to nothing.")
    citations: list[Citation] = Field(description="In the order of the text.")
    unknown: list[int] = Field(description="Numbers that were cited and are no sources; taken out of the text.")
    in_context: bool = Field(description="False: it says that the sources do not hold the answer, or there are none.")
    selection: Selection
    usage: Usage
    finish: str = Field(description="`stop`; `length`: cut off by max_tokens; `no_sources`: nobody was asked.")
