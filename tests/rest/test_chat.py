"""The OpenAI protocol, by the SDK against the real server."""

import openai
import pytest

from ramet.engine.keys import Keys
from tests.engine.llm_server import TEXT
from tests.rest.test_rag import QUESTION, asked, llm  # noqa: F401 - fixtures

MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def sdk(asked):  # noqa: F811
    """``sdk("good")``: a client of a server that answers by that model."""
    made = []

    def begin(model=None, key="none", **settings):
        running = asked(model, **settings)
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
        client.running = running
        made.append(client)
        return client

    yield begin
    for client in made:
        client.close()


def test_a_completion_with_citations(sdk):
    client = sdk("good")
    found = client.chat.completions.create(
        model="docs", messages=MESSAGES, temperature=0, max_tokens=50, extra_body={"strategy": "topk", "budget": 300}
    )
    (choice,) = found.choices
    assert choice.message.content.startswith("Paris is the capital [1].")
    assert (choice.finish_reason, choice.message.role, found.model) == ("stop", "assistant", "docs")
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (40, 12, 52)
    first = choice.message.annotations[0]
    assert first.type == "file_citation"
    place = first.file_citation
    assert choice.message.content[place["start_index"] : place["end_index"]] == "[1]"
    assert place["file_id"] in found.ramet["selection"] or place["file_id"] in "paris berlin rome"
    assert place["filename"] == place["file_id"].title()
    assert found.ramet["citations"][0]["document"] == place["file_id"]


def test_a_source_with_an_address_is_a_url_citation(sdk):
    client = sdk("good")
    docs = client.running.server.database["docs"]
    docs.add_texts(["The capital of France is Paris."], ["wiki"], metadata=[{"url": "https://x.example/p"}])
    found = client.chat.completions.create(
        model="docs", messages=MESSAGES, extra_body={"strategy": "topk", "where": {"url": "https://x.example/p"}}
    )
    (one,) = found.choices[0].message.annotations
    assert (one.type, one.url_citation.url, one.url_citation.title) == ("url_citation", "https://x.example/p", "wiki")
    assert found.ramet["unknown"] == [2]


def test_a_stream(sdk):
    client = sdk("good")
    chunks = list(
        client.chat.completions.create(
            model="docs",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"strategy": "topk"},
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    *parts, last, usage = chunks
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content for chunk in parts) == TEXT
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].delta.annotations[0]["type"] == "file_citation"
    assert last.ramet["text"].startswith("Paris is the capital [1].")
    assert (usage.choices, usage.usage.total_tokens) == ([], 52)


def test_without_usage_asked_for_there_is_none(sdk):
    client = sdk("good")
    chunks = list(client.chat.completions.create(model="docs", messages=MESSAGES, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_the_sdk_s_own_helper_for_streams(sdk):
    client = sdk("good")
    with client.chat.completions.stream(model="docs", messages=MESSAGES) as stream:
        found = stream.get_final_completion()
    assert found.choices[0].message.content == TEXT


def test_a_conversation_goes_back_as_it_came(sdk):
    client = sdk()
    first = client.chat.completions.create(model="docs", messages=MESSAGES, extra_body={"mode": "keyword"})
    again = [*MESSAGES, first.choices[0].message, {"role": "user", "content": [{"type": "text", "text": "And Italy?"}]}]
    found = client.chat.completions.create(model="docs", messages=again, extra_body={"mode": "keyword"})
    assert found.choices[0].finish_reason == "stop"


def test_errors_are_those_of_the_sdk(sdk):
    client = sdk("broken-end")
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nowhere", messages=MESSAGES)
    assert caught.value.code == "unknown_collection"
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="docs", messages=MESSAGES, n=2)
    with pytest.raises(openai.BadRequestError, match="last of them"):
        client.chat.completions.create(model="docs", messages=[{"role": "system", "content": "x"}])
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model="docs", messages=MESSAGES, stream=True))
    assert caught.value.body["problem"]["selection"]["chunks"]
    Keys(client.running.data).create("default", "read")
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="docs", messages=MESSAGES)


def test_a_key_is_the_sdk_s_key(sdk):
    client = sdk("good")
    key = Keys(client.running.data).create("other", "read")
    mine = client.with_options(api_key=key)
    found = mine.chat.completions.create(model="docs", messages=MESSAGES)
    assert found.ramet["citations"][0]["document"] == "secret"
    assert [one.id for one in mine.models.list()] == ["docs"]


def test_collections_are_models(sdk):
    client = sdk()
    (model,) = client.models.list()
    assert (model.id, model.object, model.owned_by) == ("docs", "model", "ramet")
    assert model.created > 1_600_000_000
    assert client.models.retrieve("docs") == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")
