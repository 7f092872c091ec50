"""A GGUF model in this process, by llama.cpp. The one file that knows xllamacpp."""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ramet.engine.checks import given, positive, seconds
from ramet.engine.errors import ArgumentError, MissingPackageError
from ramet.engine.rag.errors import LlmError, LlmRefusedError, LlmResponseError, LlmTimeoutError
from ramet.engine.rag.llm.protocol import MAX_TOKENS, TIMEOUT_S, Completion, InThreads, Piece
from ramet.engine.rag.llm.served_tokens import ServedTokens
from ramet.engine.rag.prompt import Prompt

CONTEXT = 4096
MOST_CONTEXT = 1 << 20
_ERRORS_ONLY = 1


class GgufLlm(InThreads):
    """A model file run by llama.cpp, on the processor or what its package was built for.

    Parameters
    ----------
    path : str or Path
        A ``.gguf`` file.
    context : int
        Tokens of prompt and answer together; memory grows with it.
    threads : int, optional
        All cores when left out.
    chat : bool
        Use the model's chat format. False for base models, which go on with the prompt as it is.
    options : dict, optional
        Further fields of a request to llama.cpp's server (``temperature`` is 0 unless given here).

    Attributes
    ----------
    base_url : str
        Where the same model answers by the OpenAI protocol, on loopback only, as long as this object lives.
    api_key : str
        What it asks of those who come by that address: every process and every web page of this machine could.

    Raises
    ------
    MissingPackageError
        xllamacpp is not installed.
    ArgumentError
        There is no such file, or it is no model that llama.cpp can load.

    Notes
    -----
    One answer at a time; further callers wait, and their time runs meanwhile.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        context: int = CONTEXT,
        threads: int | None = None,
        chat: bool = True,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self.context = positive(context, "context", MOST_CONTEXT)
        n_threads = given(threads, os.cpu_count() or 1, "threads", 1024)
        _refuse_other_files(self.path)
        self.name = f"gguf:{self.path}"
        self._chat, self._options = bool(chat), dict(options or {})
        self._turn = threading.Lock()
        self.api_key = secrets.token_urlsafe(24)
        self._server = _served(self.path, self.context, n_threads, self.api_key)
        self.base_url = f"{self._server.listening_address}/v1"
        self._tokens = ServedTokens(self.base_url, api_key=self.api_key)
        self._led = False  # whether a system message always goes along
        self.overhead = self._of_format() if self._chat else 1

    def __repr__(self) -> str:
        return f"GgufLlm({self.name})"

    def count(self, text: str) -> int:
        """Tokens of a text, no special ones added."""
        return self._tokens(text)

    def complete(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Completion:
        """Answer a prompt.

        Raises
        ------
        LlmTimeoutError, LlmRefusedError, LlmResponseError
        """
        *_, done = self.stream(prompt, max_tokens=max_tokens, stop=stop, timeout_s=timeout_s)
        assert isinstance(done, Completion)
        return done

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = (), timeout_s: float = TIMEOUT_S
    ) -> Iterator[Piece]:
        """Answer a prompt, piece by piece; the last piece is a `Completion`.

        Raises
        ------
        LlmError
            As `complete`; what had come is its ``partial``.
        """
        started = time.monotonic()
        end = started + seconds(timeout_s, "timeout_s")
        asked = self._asked(prompt, max_tokens, stop)
        if not self._turn.acquire(timeout=max(0.0, end - time.monotonic())):
            raise LlmTimeoutError(self.name, f"answered others for {timeout_s:g} s; raise timeout_s")
        try:
            events = _Events(self._handle(), asked)
            heard = _Heard(self.name)
            try:
                for event in events.until(end):
                    if piece := heard.of(event):
                        yield piece
            except queue.Empty:
                raise LlmTimeoutError(
                    self.name, f"no whole answer within {timeout_s:g} s; raise timeout_s", partial=heard.text
                ) from None
            finally:
                events.close()
            yield heard.completion(time.monotonic() - started)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Give the memory back; no further answers."""
        self._server = None

    def _handle(self) -> Callable[..., Any]:
        if self._server is None:
            raise LlmError(self.name, "is closed; make a new one")
        found: Callable[..., Any] = (
            self._server.handle_chat_completions if self._chat else self._server.handle_completions
        )
        return found

    def _asked(self, prompt: Prompt, max_tokens: int, stop: Sequence[str]) -> dict[str, Any]:
        """The request."""
        body: dict[str, Any] = {"max_tokens": max_tokens, "temperature": 0, "stream": True}
        body["stream_options"] = {"include_usage": True}
        if self._chat:
            body["messages"] = self._messages(prompt)
        else:
            body["prompt"] = prompt.text
        if stop:
            body["stop"] = list(stop)
        return {**body, **self._options}

    def _of_format(self) -> int:
        """Tokens that the chat format adds to a prompt, be it with a system text or without one."""
        bare, led = Prompt(system="", user="b"), Prompt(system="a", user="b")
        # Some formats put a system text of their own where there is none, uncounted; an empty one stops them.
        self._led = self._added(bare) > self._added(led)
        return max(self._added(bare), self._added(led)) + 1

    def _added(self, prompt: Prompt) -> int:
        """Tokens that the chat format adds to this prompt."""
        shown = self._tokens.post("/apply-template", {"messages": self._messages(prompt)})
        return max(0, self._tokens(str(shown.get("prompt", ""))) - self._tokens(prompt.text))

    def _messages(self, prompt: Prompt) -> list[dict[str, str]]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system or self._led else []
        return [*system, {"role": "user", "content": prompt.user}]


class _Events:
    """What llama.cpp says while it answers, which it does in a thread of its own."""

    def __init__(self, handle: Callable[..., Any], asked: dict[str, Any]) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, args=(handle, asked), daemon=True)
        self._thread.start()

    def _work(self, handle: Callable[..., Any], asked: dict[str, Any]) -> None:
        try:
            handle(asked, self._heard)
            self._queue.put(None)
        except Exception as error:
            self._queue.put(error)

    def _heard(self, event: Any) -> bool:
        """Called by llama.cpp with each event; True ends the answer."""
        self._queue.put(event)
        return self._stopped

    def until(self, end: float) -> Iterator[Any]:
        """Events as they come; `queue.Empty` when the time is up."""
        while (event := self._queue.get(timeout=max(0.001, end - time.monotonic()))) is not None:
            if time.monotonic() > end:
                raise queue.Empty
            yield event

    def close(self) -> None:
        """End the answer, wherever it is."""
        self._stopped = True
        self._thread.join(timeout=1.0)  # it looks when the next token comes, which a long prompt delays


class _Heard:
    """What has come of an answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[str] = []
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    def of(self, event: Any) -> str:
        """The text of one event; an error that came in its place is raised."""
        if isinstance(event, Exception):
            raise LlmResponseError(self._name, f"failed: {event}", partial=self.text) from event
        if not isinstance(event, dict):
            raise LlmResponseError(self._name, f"sent an event that is none: {event!r}", partial=self.text)
        if "error" in event or ("code" in event and "message" in event):
            found = event.get("error", event)
            said = found.get("message", found) if isinstance(found, dict) else found
            raise LlmRefusedError(self._name, f"refuses: {said}", partial=self.text)
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices") or ():
            self._finish = choice.get("finish_reason") or self._finish
            text = (choice.get("delta") or {}).get("content") or choice.get("text") or ""
            self._parts.append(text)
            return str(text)
        return ""

    def completion(self, took: float) -> Completion:
        """The end of the answer.

        Raises
        ------
        LlmResponseError
            There was none.
        """
        if self._finish is None:
            raise LlmResponseError(self._name, "the stream ended before the answer did", partial=self.text)
        return Completion(
            text=self.text,
            prompt_tokens=int(self._usage.get("prompt_tokens", 0)),
            output_tokens=int(self._usage.get("completion_tokens", 0)),
            seconds=took,
            finish=self._finish,
        )


def _refuse_other_files(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.read(4) == b"GGUF":
                return
    except OSError as error:
        raise ArgumentError("path", f"{path} cannot be read ({error.strerror}); pass a .gguf file") from error
    raise ArgumentError("path", f"{path} is no GGUF file; pass a model in that format")


def _served(path: Path, context: int, threads: int, key: str) -> Any:
    """The model, loaded, with its server on loopback."""
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingPackageError("xllamacpp", "gguf") from error
    _quiet(xllamacpp.xllamacpp)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context
    parameters.api_keys = [key]
    parameters.n_parallel = 1  # the context is divided by it
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    try:
        server = xllamacpp.Server(parameters)
    except Exception as error:  # the binding raises RuntimeError, ValueError and what C++ throws
        raise ArgumentError("path", f"{path} cannot be loaded ({error})") from error
    _quiet(xllamacpp.xllamacpp)  # a new server is loud again
    return server


def _quiet(module: Any) -> None:
    """Let llama.cpp report errors only: it writes a page of figures to stderr, and its binding has no name for this."""
    import ctypes

    try:
        ctypes.CDLL(module.__file__)._Z30common_log_set_verbosity_tholdi(_ERRORS_ONLY)
    except (OSError, AttributeError):  # another build: then it is loud
        return
