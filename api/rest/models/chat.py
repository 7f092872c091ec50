"""Bodies of /v1/chat/completions and /v1/models, as the OpenAI protocol has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ramet.api.rest.models.fields import NAME_PATTERN, WHOLE, Answer, Body
from ramet.api.rest.models.rag import (
    DEFAULT_BUDGET,
    MAX_BUDGET,
    MAX_OUTPUT,
    QUESTION,
    Choosing,
    Citation,
    Stops,
)

MAX_MESSAGES = 1_000
MAX_CONTENT = 262_144
IGNORED = "Taken, without effect."


class TextPart(Body):
    """A part of a message. There are only texts."""

    type: Literal["text"]
    text: str = Field(max_length=MAX_CONTENT)


class Message(Body):
    """A message. The last of the user is the question; others are taken and not read."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_CONTENT)] | list[TextPart] | None = None
    name: str | None = Field(None, max_length=256)
    # What a client sends back of an answer of ours or others'.
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def text(self) -> str:
        """The whole text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Body):
    """Options of a stream."""

    include_usage: bool = Field(False, description="A last chunk says what it took.")
    include_obfuscation: bool | None = Field(None, description="Taken, without effect.")


class ChatRequest(Choosing):
    """An answer from a collection, with citations, as a chat completion."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "books", "messages": [{"role": "user", "content": QUESTION}]},
                {"model": "books", "messages": [{"role": "user", "content": QUESTION}], "budget": 512, "stream": True,
                 "stream_options": {"include_usage": True}, "temperature": 0},
            ]
        }
    )  # fmt: skip

    model: str = Field(
        min_length=1, max_length=128, pattern=NAME_PATTERN, description="Name of the collection that answers."
    )
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = Field(None, description="`chat.completion.chunk` events, then `[DONE]`.")
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT), WHOLE] | None = Field(
        None, description="Most tokens of the answer; default 256."
    )
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT), WHOLE] | None = Field(
        None, description="The same by its newer name."
    )
    stop: Annotated[str, Field(min_length=1, max_length=256)] | Stops | None = None
    budget: Annotated[int, Field(ge=1, le=MAX_BUDGET), WHOLE] = Field(
        DEFAULT_BUDGET, description="Most tokens of the prompt."
    )
    n: Annotated[int, Field(ge=1, le=1), WHOLE] | None = Field(None, description="There is one answer.")

    # What clients send unasked. Answers are made at temperature 0 unless the server's model is configured otherwise.
    temperature: float | None = Field(None, ge=0, le=2, description=IGNORED)
    top_p: float | None = Field(None, ge=0, le=1, description=IGNORED)
    presence_penalty: float | None = Field(None, ge=-2, le=2, description=IGNORED)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description=IGNORED)
    logit_bias: dict[str, float] | None = Field(None, description=IGNORED)
    logprobs: bool | None = Field(None, description="Taken, without effect: there are none.")
    seed: Annotated[int, WHOLE] | None = Field(None, description=IGNORED)
    user: str | None = Field(None, max_length=512, description=IGNORED)
    safety_identifier: str | None = Field(None, max_length=512, description=IGNORED)
    prompt_cache_key: str | None = Field(None, max_length=512, description=IGNORED)
    service_tier: str | None = Field(None, max_length=64, description=IGNORED)
    reasoning_effort: str | None = Field(None, max_length=64, description=IGNORED)
    verbosity: str | None = Field(None, max_length=64, description=IGNORED)
    store: bool | None = Field(None, description=IGNORED)
    metadata: dict[str, str] | None = Field(None, description=IGNORED)

    def amounts(self) -> dict[str, Any]:
        """Budget and limits, as arguments of `Rag.prepare`."""
        most = min(self.max_completion_tokens or MAX_OUTPUT, self.max_tokens or MAX_OUTPUT)
        given = self.max_completion_tokens or self.max_tokens
        return {"budget": self.budget, "max_tokens": most if given else 256, "stop": _listed(self.stop)}


def _listed(stop: str | list[str] | None) -> list[str]:
    return [stop] if isinstance(stop, str) else stop or []


class UrlPlace(Answer):
    """A source with an address, which its metadata have as `url`."""

    start_index: int = Field(description="Where the mark is in the content, in characters.")
    end_index: int
    title: str
    url: str


class FilePlace(Answer):
    """A source without one."""

    start_index: int
    end_index: int
    file_id: str = Field(description="Id of the document.")
    filename: str = Field(description="Its title, or its id.")


class Annotation(Answer):
    """A citation in the content."""

    type: Literal["url_citation", "file_citation"]
    url_citation: UrlPlace | None = None
    file_citation: FilePlace | None = None


class ChatMessage(Answer):
    """The answer."""

    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Annotation]


class Choice(Answer):
    """The one answer."""

    index: int
    message: ChatMessage
    logprobs: None
    finish_reason: str


class ChatUsage(Answer):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Sources(Answer):
    """What the protocol has no place for."""

    text: str = Field(description="The answer as a whole, which the places of citations refer to.")
    citations: list[Citation]
    unknown: list[int] = Field(description="Numbers that were cited and are no sources.")
    in_context: bool
    selection: list[str] = Field(description="Ids of the records that were read, in reading order.")
    tokens: int = Field(description="Of the prompt, as the reader counts them.")
    budget: int


class ChatCompletion(Answer):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    ramet: Sources


class Model(Answer):
    """A collection, as a model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Answer):
    """All collections that can be asked."""

    object: Literal["list"]
    data: list[Model]


class Delta(Answer):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    annotations: list[Annotation] | None = Field(None, description="In the last one; places refer to `ramet.text`.")


class ChunkChoice(Answer):
    """A piece of the one answer."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: str | None


class ChatCompletionChunk(Answer):
    """An event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    ramet: Sources | None = None
