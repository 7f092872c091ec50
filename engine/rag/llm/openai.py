"""Language models behind the OpenAI protocol: llama.cpp, vLLM, Ollama, hosted ones. The one file that knows the SDK."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from ramet.engine.checks import seconds, whole
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.rag.errors import (
    LlmError,
    LlmRefusedError,
    LlmResponseError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from ramet.engine.rag.llm.protocol import MAX_TOKENS, TIMEOUT_S, Completion, Counter, Piece
from ramet.engine.rag.llm.served_tokens import ServedTokens
from ramet.engine.rag.prompt import Prompt

MOST_RETRIES = 20
CHAT_OVERHEAD = 16
"""Tokens allowed for the marks of system, user and assistant; formats that are known have 9 to 14. Set ``overhead`` of
the object where that is not enough: some formats put a system text of their own where a template has none."""


class OpenAiLlm:
    """A model behind an OpenAI-compatible address.

    Parameters
    ----------
    model : str
        As the server calls it.
    base_url : str, optional
        Such as ``"http://127.0.0.1:8080/v1"``; None: the environment's OPENAI_BASE_URL, else OpenAI's.
    api_key : str, optional
        None: the environment's OPENAI_API_KEY; servers of your own mostly want none.
    retries : int
        Further attempts when the connection fails, time runs out before anything came, or the server says 408, 409, 429
        or 5xx; with growing pauses, and those that the server asks for. An answer that broke off is not asked again.
    count : callable, "server" or None
        Tokens of a text. "server": its ``/tokenize``, which llama.cpp and vLLM have. None: nobody says, and budgets are
        counted by the embedder's tokenizer, also those that a cost model makes of ``cost=`` and ``latency_ms=``: they
        hold as far as the two tokenizers agree.
    options : dict, optional
        Further fields of the request (``temperature`` is 0 unless given here); None as a value removes one, as in
        ``{"max_tokens": None, "max_completion_tokens": 256}``.

    Notes
    -----
    ``timeout_s`` of a call holds for every attempt by itself, and for all of it: also for a server that goes on sending
    something, but never the end.

    Raises
    ------
    MissingPackageError
        The openai package is not installed.
    ArgumentError
    """

    overhead = CHAT_OVERHEAD

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        retries: int = 2,
        count: Counter | str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ArgumentError("model", f"must be the name of a model, got {model!r}")
        if whole(retries, "retries") > MOST_RETRIES:
            raise ArgumentError("retries", f"is {retries}; at most {MOST_RETRIES}")
        where = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        if not where.startswith(("http://", "https://")):
            raise ArgumentError("base_url", f"{where!r} is no address; it begins with http:// or https://")
        self.name = f"openai:{model}@{where}"
        self.model, self._where, self._retries = model, where, retries
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._options = dict(options or {})
        self._count = self._counter(count)
        self._sdk: Any = _sdk()
        self._client: Any = None
        self._asyncs: Any = None  # (event loop, client)
        self._open()

    def __repr__(self) -> str:
        return f"OpenAiLlm({self.name})"

    @property
    def count(self) -> Counter | None:
        """Tokens of a text, if somebody says."""
        return self._count

    def complete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """Answer a prompt.

        Raises
        ------
        LlmUnavailableError, LlmTimeoutError, LlmRefusedError, LlmResponseError
        """
        started = time.perf_counter()
        try:
            found = self._client.chat.completions.create(**self._asked(prompt, max_tokens, stop, timeout_s))
        except Exception as error:
            raise self._problem(error, timeout_s) from error
        return self._completion(found, time.perf_counter() - started)

    async def acomplete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """As `complete`."""
        started = time.perf_counter()
        try:
            found = await self._aclient().chat.completions.create(**self._asked(prompt, max_tokens, stop, timeout_s))
        except Exception as error:
            raise self._problem(error, timeout_s) from error
        return self._completion(found, time.perf_counter() - started)

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Iterator[Piece]:
        """Answer a prompt, piece by piece; the last piece is a `Completion`.

        Raises
        ------
        LlmError
            As `complete`; what had come is its ``partial``.
        """
        heard = _Heard(self)
        asked = self._asked(prompt, max_tokens, stop, timeout_s, streamed=True)
        try:
            with self._client.chat.completions.create(**asked) as events:
                for event in events:
                    if piece := heard.of(event):
                        yield piece
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._problem(error, timeout_s, heard.text) from error
        yield heard.completion()

    async def astream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[Piece]:
        """As `stream`."""
        heard = _Heard(self)
        asked = self._asked(prompt, max_tokens, stop, timeout_s, streamed=True)
        try:
            async with await self._aclient().chat.completions.create(**asked) as events:
                async for event in events:
                    if piece := heard.of(event):
                        yield piece
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._problem(error, timeout_s, heard.text) from error
        yield heard.completion()

    def close(self) -> None:
        """Close the connections; the next call opens new ones. They are closed with the object, too."""
        self._closing()
        self._open()

    def _open(self) -> None:
        self._client = self._made(self._sdk.OpenAI, self._sdk.DefaultHttpx2Client, _limit)
        self._closing = weakref.finalize(self, self._client.close)

    def _counter(self, count: Counter | str | None) -> Counter | None:
        if count == "server":
            return ServedTokens(self._where, self.model, self._key)
        if count is None or callable(count):
            return count
        raise ArgumentError("count", f'must be a function from a text to its tokens, "server" or None, got {count!r}')

    def _made(self, kind: Any, http: Any, limit: Callable[[Any], Any], **options: Any) -> Any:
        """A client of the SDK, which keeps the time of a call as a whole."""
        client = http(event_hooks={"response": [limit]}, **options)
        return kind(base_url=self._where, api_key=self._key, max_retries=self._retries, http_client=client)

    def _aclient(self) -> Any:
        """The client of the running event loop; it keeps no connections, as nobody closes them when a loop ends."""
        import httpx2

        loop = asyncio.get_running_loop()
        kept = self._asyncs  # the loop of another thread may put its own there meanwhile
        if kept is None or kept[0] is not loop:
            http, limits = self._sdk.DefaultAsyncHttpx2Client, httpx2.Limits(max_keepalive_connections=0)
            self._asyncs = kept = loop, self._made(self._sdk.AsyncOpenAI, http, _alimit, limits=limits)
        return kept[1]

    def _asked(
        self, prompt: Prompt, max_tokens: int, stop: Sequence[str], timeout_s: float, *, streamed: bool = False
    ) -> dict[str, Any]:
        """The request."""
        messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages.append({"role": "user", "content": prompt.user})
        asked: dict[str, Any] = {
            "model": self.model, "messages": messages, "max_tokens": max_tokens, "temperature": 0,
        }  # fmt: skip
        if stop:
            asked["stop"] = list(stop)
        if streamed:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        known = {**asked, **self._options}
        extra = {name: value for name, value in known.items() if name not in _NAMED and value is not None}
        return {
            **{name: value for name, value in known.items() if name in _NAMED and value is not None},
            "extra_body": extra,  # of the server's own; the SDK takes only names that it knows
            "timeout": seconds(timeout_s, "timeout_s"),
        }

    def _completion(self, found: Any, took: float) -> Completion:
        """The answer of a server, if it is one."""
        choices: Any = getattr(found, "choices", None)
        message = getattr(choices[0], "message", None) if choices else None
        if message is None:
            raise LlmResponseError(self.name, f"sent no answer of the protocol but {_shown(found)}; check base_url")
        text = message.content if isinstance(message.content, str) else ""
        return _complete(text, choices[0].finish_reason, found.usage, took)

    def _problem(self, error: Exception, timeout_s: float, partial: str = "") -> Exception:
        """An error of the SDK, of HTTP or of JSON in our words; one of ours as it is."""
        sdk = self._sdk
        if isinstance(error, LlmError):
            error.partial = error.partial or partial
            return error
        if isinstance(error, sdk.APITimeoutError):
            again = "" if partial or not self._retries else f", in {self._retries + 1} attempts"
            return LlmTimeoutError(
                self.name, f"no whole answer within {timeout_s:g} s{again}; raise timeout_s", partial=partial
            )
        if isinstance(error, sdk.APIConnectionError):
            if partial:
                return LlmResponseError(
                    self.name, "the connection broke off in the middle of an answer", partial=partial
                )
            attempts = f"{self._retries + 1} attempts" if self._retries else "1 attempt"
            cause = _innermost(error)
            return LlmUnavailableError(self.name, f"nobody answers, in {attempts} ({cause}); is the server running?")
        if isinstance(error, sdk.APIStatusError):
            advice = _ADVICE.get(error.status_code, "")
            kind = LlmUnavailableError if error.status_code >= 500 else LlmRefusedError
            return kind(self.name, f"says {error.status_code}: {_shown(_message(error))}{advice}", partial=partial)
        if isinstance(error, (sdk.OpenAIError, ValueError, TypeError, AttributeError)):  # JSON, Unicode, other shapes
            return LlmResponseError(self.name, f"sent what is no answer: {_shown(error)}", partial=partial)
        return error


_NAMED = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream",
    "stream_options", "presence_penalty", "frequency_penalty", "logit_bias", "user", "n",
})  # fmt: skip

_ADVICE = {
    401: "; pass api_key or set OPENAI_API_KEY",
    403: "; the key may not use this model",
    404: "; check model and base_url",
    429: "; too many requests or no credit left",
}


class _Heard:
    """What has come of a stream."""

    def __init__(self, llm: OpenAiLlm) -> None:
        self._llm = llm
        self._started = time.perf_counter()
        self._parts: list[str] = []
        self._finish: str | None = None
        self._usage: Any = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    def of(self, event: Any) -> str:
        """The text of one event.

        Raises
        ------
        LlmResponseError
            It is none of the protocol's.
        """
        choices = getattr(event, "choices", None)
        if not isinstance(choices, list):
            raise LlmResponseError(self._llm.name, f"sent an event that is none: {_shown(event)}")
        self._usage = getattr(event, "usage", None) or self._usage
        if not choices:  # the last one carries what it took
            return ""
        self._finish = choices[0].finish_reason or self._finish
        text = choices[0].delta.content or ""
        self._parts.append(text)
        return text

    def completion(self) -> Completion:
        """The end of the stream."""
        if self._finish is None:
            raise LlmResponseError(self._llm.name, "the stream ended before the answer did", partial=self.text)
        n = sum(1 for part in self._parts if part)
        return _complete(self.text, self._finish, self._usage, time.perf_counter() - self._started, n)


def _complete(text: str, finish: str | None, usage: Any, took: float, n_pieces: int = 0) -> Completion:
    return Completion(
        text=text,
        prompt_tokens=int(getattr(usage, "prompt_tokens", 0) or 0),
        output_tokens=int(getattr(usage, "completion_tokens", 0) or n_pieces),
        seconds=took,
        finish=finish or "stop",
    )


def _sdk() -> Any:
    """The SDK; of a version that has the clients used here."""
    try:
        import httpx2  # noqa: F401 - what the SDK sends with
        import openai
    except ImportError as error:
        raise MissingPackageError("openai", "openai") from error
    return openai


def _limit(response: Any) -> None:
    """Give the body of an answer as much time as its request has: a read time-out begins anew with every byte."""
    response.stream = _limited(response)


async def _alimit(response: Any) -> None:
    response.stream = _limited(response)


def _limited(response: Any) -> Any:
    import httpx2

    class Limited(httpx2.SyncByteStream, httpx2.AsyncByteStream):
        """The bytes of a body until the time is up."""

        def __init__(self, stream: Any, request: Any) -> None:
            self._stream, self._request = stream, request
            allowed = request.extensions.get("timeout", {}).get("read")
            self._end = float("inf") if allowed is None else time.monotonic() + allowed

        def _checked(self, block: bytes) -> bytes:
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout("the whole answer took too long", request=self._request)
            return block

        def __iter__(self) -> Iterator[bytes]:
            for block in self._stream:
                yield self._checked(block)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for block in self._stream:
                yield self._checked(block)

        def close(self) -> None:
            self._stream.close()

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Limited(response.stream, response.request)


def _message(error: Any) -> Any:
    """What a server says of its refusal."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    return inner.get("message", inner) if isinstance(inner, dict) else (inner or error.message)


def _innermost(error: BaseException) -> str:
    """What an error comes down to."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _shown(value: object) -> str:
    """Something foreign on one line."""
    line = " ".join(str(value).split())
    return line if len(line) <= 200 else line[:199] + "…"
