"""Tokens of texts that are embedded count against the key that asked, wherever the text came from."""

import asyncio
import threading
import time

import numpy as np
import pytest

from ramet.api.rest import embedders
from ramet.api.rest.tokens import ACCOUNT, Account, Bucket, counted, paid_by, payer
from ramet.engine.keys import ALL, RIGHTS, Keys
from tests.engine.word_hash import WordHash
from tests.rest.test_records import ok, refused

TEXTS = ["Rivers carry water to the sea.", "Mountains carry snow.", "Deserts are dry."]
DOCS = "/v1/collections/docs"
LIMIT = 1_000


@pytest.fixture
def running(start, tmp_path, monkeypatch):
    """A server whose embedder counts words, with a collection of three documents and a limit of tokens."""
    monkeypatch.setattr(embedders, "_loaded", lambda name: WordHash())
    found = start(embedder="words", token_limit_per_minute=LIMIT)
    docs = found.server.database.create_collection("docs", embedder=WordHash())
    docs.add_texts(TEXTS, ["r", "m", "d"])
    found.server._equip(docs)
    return found


@pytest.fixture
def client(running, tmp_path):
    with running.client(Keys(tmp_path / "data").create(ALL, RIGHTS)) as found:
        yield found


def figure(running):
    """Tokens embedded so far, of all keys."""
    lines = running.server.metrics.text(running.server).decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith('ramet_tokens_total{kind="emb')), 0.0)


QUESTION = "where do rivers carry water"
N = len(QUESTION.split())

USING = {
    "query": ("query", {"text": QUESTION, "mode": "dense"}, N),
    "hybrid": ("query", {"text": QUESTION, "mode": "hybrid"}, N),
    "queries": ("query/batch", {"queries": [{"text": QUESTION}, {"vector": [1.0] * 16}, {"text": "rivers"}]}, N + 1),
    "texts of queries": ("query/batch", {"texts": [QUESTION, "rivers"]}, N + 1),
    "select": ("select", {"question": QUESTION, "budget": 200}, N),
    "texts": ("texts", {"texts": ["Glaciers carry stones."], "ids": ["g"]}, 3),
    "records": ("records", {"ids": ["w", "x"], "documents": ["Wells are deep.", None]}, 3),
}
USING_NONE = {
    "keyword": ("query", {"text": QUESTION, "mode": "keyword"}),
    "vector": ("query", {"vector": [1.0] * 16}),
    "own vectors": ("query", {"text": QUESTION, "vector": [1.0] * 16}),
    "own vectors of records": ("records", {"ids": ["o"], "vectors": [[1.0] * 16], "documents": ["Of its own."]}),
}


@pytest.mark.parametrize("case", USING)
def test_what_is_embedded_is_counted(running, client, case):
    path, body, n = USING[case]
    before = figure(running)
    left = int(ok_(client.post(f"{DOCS}/{path}", json=body)).headers["ratelimit-remaining-tokens"])
    assert LIMIT - n <= left <= LIMIT
    assert figure(running) - before == n
    again = ok_(client.post(f"{DOCS}/{path}", json=body))
    if case == "select":  # the same question is remembered, and costs nothing
        assert "ratelimit-remaining-tokens" not in again.headers and figure(running) - before == n
    else:
        assert LIMIT - 2 * n <= int(again.headers["ratelimit-remaining-tokens"]) < LIMIT


def ok_(response):
    ok(response)
    return response


@pytest.mark.parametrize("path", [f"{DOCS}/answer", "/v1/chat/completions"])
def test_the_question_of_an_answer_is_counted_beside_its_prompt(running, client, path):
    body = {"question": QUESTION, "budget": 200}
    if "chat" in path:
        body = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}], "budget": 200}
    before = figure(running)
    ok(client.post(path, json=body))
    assert figure(running) - before == N  # what the reader embeds to choose its sentences is in the prompt


def test_a_key_without_tokens_embeds_nothing_more_and_does_what_needs_none(running, tmp_path):
    with running.client(Keys(tmp_path / "data").create(ALL, RIGHTS, tokens_per_minute=1)) as client:
        ok(client.post(f"{DOCS}/query", json={"text": QUESTION, "mode": "dense"}))
        before = figure(running)
        for path, body, _ in USING.values():
            response = client.post(f"{DOCS}/{path}", json=body)
            assert "tokens of this minute" in refused(response, 429, "rate_limited")["detail"]
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["ratelimit-remaining-tokens"] == "0"
        for path, body in USING_NONE.values():
            response = client.post(f"{DOCS}/{path}", json=body)
            ok(response)
            assert "ratelimit-remaining-tokens" not in response.headers
        assert figure(running) == before
        assert ok(client.post(f"{DOCS}/records/count")) == {"count": 4}


def test_a_request_that_has_begun_is_finished():
    bucket = Bucket(10, time.monotonic())
    account = Account(bucket)
    account.ask()
    account.spend(500)
    account.ask()  # the second batch of one call
    assert bucket.level < -480
    with pytest.raises(Exception, match="rate_limited"):
        Account(bucket).ask()


def test_threads_lose_nothing():
    now = time.monotonic()
    bucket = Bucket(1_000_000, now)
    threads = [threading.Thread(target=lambda: [bucket.take(1, now) for _ in range(5_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.level == 1_000_000 - 40_000


def test_who_pays_is_known_inside_only():
    account = Account(Bucket(1, 0.0))

    async def played():
        with paid_by({"state": {ACCOUNT: account}}):
            assert await asyncio.to_thread(payer) is account and counted()
        assert payer() is None and not counted()
        with paid_by({}):
            assert payer() is None and counted()

    asyncio.run(played())


def test_vectors_are_the_embedder_s_own(running):
    made = running.server.embedders.default
    np.testing.assert_array_equal(made.embed_queries(TEXTS), WordHash().embed_queries(TEXTS))
