"""The OpenAI protocol against a real server on loopback, also one that is slow, dead or talks nonsense."""

import asyncio
import pickle
import socket

import pytest

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.errors import (
    LlmError,
    LlmRefusedError,
    LlmResponseError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from ramet.engine.rag.llm.named import llm_of
from ramet.engine.rag.llm.openai import OpenAiLlm
from ramet.engine.rag.llm.protocol import Completion, Llm
from ramet.engine.rag.prompt import Prompt
from tests.engine.llm_server import PIECES, TEXT, LlmServer

PROMPT = Prompt(system="Answer from the sources.", user="Which city?")


@pytest.fixture
def server():
    with LlmServer() as running:
        running.models = []
        yield running
        for model in running.models:
            model.close()


def llm(server, model, **options):
    made = OpenAiLlm(model, server.base_url, "secret", **options)
    server.models.append(made)
    return made


async def all_of(pieces):
    return [piece async for piece in pieces]


def test_an_answer_with_what_it_took(server):
    found = llm(server, "good").complete(PROMPT, max_tokens=77, stop=["END"])
    assert (found.text, found.prompt_tokens, found.output_tokens, found.finish) == (TEXT, 40, 12, "stop")
    assert found.seconds > 0
    (asked,) = server.asked
    assert asked["messages"] == [
        {"role": "system", "content": "Answer from the sources."}, {"role": "user", "content": "Which city?"},
    ]  # fmt: skip
    assert (asked["max_tokens"], asked["stop"], asked["temperature"]) == (77, ["END"], 0)
    assert server.keys == ["Bearer secret"]


def test_a_stream_is_the_same_answer_in_pieces(server):
    *texts, done = llm(server, "good").stream(PROMPT)
    assert texts == PIECES
    assert isinstance(done, Completion)
    assert (done.text, done.prompt_tokens, done.output_tokens) == (TEXT, 40, 12)


def test_the_same_without_blocking(server):
    async def run():
        model = llm(server, "good")
        first, second = await asyncio.gather(model.acomplete(PROMPT), model.acomplete(PROMPT))
        return first, second, await all_of(model.astream(PROMPT))

    first, second, pieces = asyncio.run(run())
    assert first.text == second.text == TEXT
    assert pieces[:-1] == PIECES
    assert pieces[-1].output_tokens == 12


def test_one_object_serves_several_event_loops(server):
    model = llm(server, "good")
    assert [asyncio.run(model.acomplete(PROMPT)).text for _ in range(2)] == [TEXT, TEXT]


def test_event_loops_of_other_threads_do_not_change_the_client(server):
    class Shared(OpenAiLlm):
        """The loop of another thread puts its client there before anybody looks."""

        _asyncs = property(lambda self: (object(), None), lambda self, made: None)

    model = Shared("good", server.base_url)
    server.models.append(model)
    assert asyncio.run(model.acomplete(PROMPT)).text == TEXT


def test_options_are_sent_and_can_take_fields_away(server):
    options = {"temperature": 0.5, "max_tokens": None, "max_completion_tokens": 9, "cache_prompt": False}
    llm(server, "good", options=options).complete(PROMPT)
    (asked,) = server.asked
    assert "max_tokens" not in asked
    assert (asked["temperature"], asked["max_completion_tokens"], asked["cache_prompt"]) == (0.5, 9, False)


def test_it_is_asked_again_when_the_server_is_busy(server):
    assert llm(server, "busy-2", retries=2).complete(PROMPT).text == TEXT
    assert len(server.asked) == 3
    assert list(llm(server, "busy-1", retries=1).stream(PROMPT))[:-1] == PIECES


def test_retries_end(server):
    with pytest.raises(LlmRefusedError, match="429: too many requests"):
        llm(server, "busy-9", retries=1).complete(PROMPT)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind", "advice", "n"),
    [(401, LlmRefusedError, "api_key", 1), (404, LlmRefusedError, "base_url", 1), (400, LlmRefusedError, "why", 1),
     (503, LlmUnavailableError, "here is why", 2)],
)  # fmt: skip
def test_a_refusal_says_what_the_server_said(server, status, kind, advice, n):
    with pytest.raises(kind, match=advice) as caught:
        llm(server, f"status-{status}", retries=1).complete(PROMPT)
    assert str(status) in str(caught.value)
    assert len(server.asked) == n
    with pytest.raises(kind, match=advice):
        list(llm(server, f"status-{status}", retries=0).stream(PROMPT))
    with pytest.raises(kind, match=advice):
        asyncio.run(llm(server, f"status-{status}", retries=0).acomplete(PROMPT))


def every_way(model, timeout_s=30.0):
    """The four ways to ask."""
    return [
        lambda: model.complete(PROMPT, timeout_s=timeout_s),
        lambda: list(model.stream(PROMPT, timeout_s=timeout_s)),
        lambda: asyncio.run(model.acomplete(PROMPT, timeout_s=timeout_s)),
        lambda: asyncio.run(all_of(model.astream(PROMPT, timeout_s=timeout_s))),
    ]


def test_nobody_at_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for ask in every_way(OpenAiLlm("m", f"http://127.0.0.1:{port}/v1", retries=0)):
        with pytest.raises(LlmUnavailableError, match="nobody answers, in 1 attempt .*is the server running"):
            ask()


@pytest.mark.parametrize("way", range(4))
def test_a_connection_that_ends_without_an_answer(server, way):
    with pytest.raises(LlmUnavailableError, match="in 2 attempts"):
        every_way(llm(server, "dying", retries=1))[way]()


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("model", ["slow", "dripping"])
def test_time_runs_out_also_while_bytes_come(server, model, way):
    with pytest.raises(LlmTimeoutError, match=r"no whole answer within 0.2 s"):
        every_way(llm(server, model, retries=0), 0.2)[way]()


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("model", ["html", "notjson", "wrong", "null"])
def test_what_is_no_answer_is_called_so(server, model, way):
    with pytest.raises(LlmResponseError):
        every_way(llm(server, model, retries=0))[way]()


@pytest.mark.parametrize("way", [1, 3])
@pytest.mark.parametrize("end", ["json", "shape", "error", "end", "socket"])
def test_a_stream_that_breaks_off_keeps_what_had_come(server, end, way):
    with pytest.raises(LlmError) as caught:
        every_way(llm(server, f"broken-{end}", retries=0))[way]()
    assert caught.value.partial == "".join(PIECES[:2])
    assert isinstance(caught.value, LlmResponseError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.partial) == (str(caught.value), caught.value.partial)


def test_a_stream_can_be_left(server):
    pieces = llm(server, "good").stream(PROMPT)
    assert next(pieces) == PIECES[0]
    pieces.close()


def test_tokens_are_counted_by_the_server_or_by_a_function(server):
    assert llm(server, "good").count is None
    assert llm(server, "good", count=len).count("four") == 4
    assert llm(server, "good", count="server").count("three words here") == 3
    with pytest.raises(LlmUnavailableError, match="/tokenize: .*is the server running"):
        llm(server, "torn", count="server").count("three words here")


def test_a_name_makes_one(server):
    model = llm_of(f"openai:good@{server.base_url}")
    assert isinstance(model, OpenAiLlm) and isinstance(model, Llm)
    assert model.complete(PROMPT).text == TEXT
    model.close()
    assert llm_of("openai:a@b").model == "a@b"


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: OpenAiLlm(""), "model"),
        (lambda: OpenAiLlm("m", "ftp://x"), "base_url"),
        (lambda: OpenAiLlm("m", retries=-1), "retries"),
        (lambda: OpenAiLlm("m", count="tokens"), "count"),
        (lambda: llm_of("llama"), "llm"),
        (lambda: llm_of("gguf:"), "llm"),
        (lambda: llm_of(3), "llm"),
    ],
)
def test_wrong_arguments_are_named(make, argument):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
