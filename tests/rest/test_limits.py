"""Limits over real sockets: large and endless bodies, slow requests and readers, too many at once and in a minute."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest

from ramet.api.rest import limits
from ramet.api.rest.events import Events
from ramet.engine.keys import ALL, RIGHTS, Keys
from tests.rest import probes

MB = 1 << 20


@pytest.fixture
def begin(start, tmp_path):
    """Start a server with probes."""

    def started(**settings):
        return start(tmp_path / "data", probes.add, **settings)

    return started


def connected(url):
    """A socket to a server."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def answer(raw):
    """Status, headers and body of one answer, read from a socket until it has come."""
    file = raw.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, value = line.decode().split(": ", 1)
        headers[name.lower()] = value
    body = file.read(int(headers["content-length"])) if "content-length" in headers else b""
    return status, headers, json.loads(body) if body else None


def send(raw, path, *headers, method="POST", body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    raw.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def test_a_body_announced_as_too_large_is_refused_unread(begin):
    url = begin(max_body_mb=0.5).url
    with connected(url) as raw:
        send(raw, "/v1/size", f"Content-Length: {100 << 30}")
        status, headers, body = answer(raw)
    assert (status, body["code"], headers["connection"]) == (413, "body_too_large", "close")
    assert "524,288 bytes" in body["detail"]


@pytest.mark.parametrize("size", [MB // 2, MB // 2 + 1, 3 * MB, 40 * MB])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_hears_why(begin, size, chunked):
    url = begin(max_body_mb=0.5).url
    content = (b"x" * 8192 for _ in range(-(-size // 8192))) if chunked else b"x" * size
    with httpx.Client(base_url=url, trust_env=False) as client:
        response = client.post("/v1/size", content=content)
        if size <= MB // 2:
            assert response.json() == {"size": size}
        else:
            assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
            assert response.headers["content-type"] == "application/problem+json"
        assert client.post("/v1/size", content=b"abc").json() == {"size": 3}


def test_who_has_no_key_takes_no_place(begin, tmp_path):
    (tmp_path / "data").mkdir()
    key = Keys(tmp_path / "data").create(ALL, RIGHTS)
    url = begin(max_in_flight=1).url
    with connected(url) as raw:
        send(raw, "/v1/size", f"Content-Length: {40 * MB}")
        assert raw.recv(12) == b"HTTP/1.1 401"  # and the server waits for a while, as the body may be on its way
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.post(url + "/v1/size", content=b"abc", headers=headers, trust_env=False).json() == {"size": 3}


def test_an_endless_chunked_body_is_cut_off(begin):
    url = begin(max_body_mb=0.1).url
    sent = 0
    with connected(url) as raw:
        send(raw, "/v1/swallow", "Transfer-Encoding: chunked")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with pytest.raises(OSError):
            while sent < 1000 * MB:
                raw.sendall(piece)
                sent += 65536
    assert 0.1 * MB < sent < 1000 * MB
    with connected(url) as raw:  # what the route makes of the broken body is not what the client gets
        send(raw, "/v1/swallow", "Transfer-Encoding: chunked", body=piece + piece + piece)
        status, _, body = answer(raw)
        assert (status, body["code"]) == (413, "body_too_large")


def test_memory_stays_small_whatever_is_sent(begin):
    """A body that is refused is not kept."""
    url = begin(max_body_mb=1).url
    for _ in range(3):
        with connected(url) as raw:
            send(raw, "/v1/size", "Transfer-Encoding: chunked")
            try:
                for _ in range(200):
                    raw.sendall(b"40000\r\n" + b"x" * 262144 + b"\r\n")
            except OSError:
                pass
    assert httpx.post(url + "/v1/size", content=b"abc", trust_env=False).json() == {"size": 3}


def test_bodies_together_are_bounded():
    """A layer alone: what has come of one body leaves no room for another until it is answered."""
    finish = asyncio.Event()

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    layer = limits.BodySize(app, most=MB, together=MB)

    async def status(size):
        parts = iter([(size // 2, True), (size - size // 2, False)])
        sent = []

        async def receive():
            n, more = next(parts)
            return {"type": "http.request", "body": b"x" * n, "more_body": more}

        async def send(message):
            sent.append(message)

        headers = [(b"content-length", b"%d" % size)]
        await layer({"type": "http", "path": "/v1/collections/c/records", "headers": headers}, receive, send)
        return sent[0]["status"]

    async def played():
        first = asyncio.create_task(status(MB - 1000))
        await asyncio.sleep(0)
        assert await status(100_000) == 503
        light = asyncio.create_task(status(1000))
        await asyncio.sleep(0)
        finish.set()
        assert (await first, await light, await status(100_000)) == (200, 200, 200)
        assert layer.held == 0

    asyncio.run(played())


def test_only_what_carries_records_may_be_large(begin):
    with begin().client() as client:
        response = client.post("/v1/collections", content=b"x" * (2 * MB + 1))
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        for path in ("collections/c/select", "collections/c/answer", "chat/completions", "collections/c/backups"):
            response = client.post(f"/v1/{path}", content=b"x" * (2 * MB + 1))
            assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        large, json = b"x" * (2 * MB + 1), {"Content-Type": "application/json"}
        assert client.post("/v1/collections/c/records", content=large, headers=json).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: abc",),
        ("Content-Length: 3", "Content-Length: 5"),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
def test_requests_whose_length_is_a_riddle_get_no_answer_from_a_route(begin, headers):
    url = begin().url
    with connected(url) as raw:
        send(raw, "/v1/size", *headers, body=b"0\r\n\r\nGET /v1/slow/0 HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b" 200 " not in received
    assert httpx.get(url + "/livez", trust_env=False).status_code == 200


def test_a_slow_request_gets_a_504_and_the_server_goes_on(begin):
    url = begin(request_timeout_s=0.3).url
    response = httpx.get(url + "/v1/slow/30", trust_env=False)
    assert (response.status_code, response.json()["code"]) == (504, "timeout")
    assert httpx.get(url + "/v1/slow/0", trust_env=False).json() == {"slept": 0}
    response = httpx.get(url + "/v1/own_timeout", trust_env=False)
    assert (response.status_code, response.json()["code"]) == (500, "internal")


def test_a_body_that_comes_slowly_is_not_waited_for(begin):
    url = begin(request_timeout_s=0.4).url
    with connected(url) as raw:
        send(raw, "/v1/size", "Content-Length: 1000", body=b"x")
        for _ in range(4):
            time.sleep(0.05)
            raw.sendall(b"x")
        status, _, body = answer(raw)
    assert (status, body["code"]) == (504, "timeout")


def test_a_stream_may_take_long_but_not_stand_still(begin):
    url = begin(request_timeout_s=0.4).url
    assert httpx.get(url + "/v1/stream/0.15", trust_env=False).text == "0\n1\n2\n3\n4\n"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url + "/v1/stream/2", trust_env=False)


def test_a_reader_that_takes_nothing_is_let_go(begin):
    running = begin(request_timeout_s=0.4, max_in_flight=1)
    with connected(running.url) as raw:
        send(raw, "/v1/endless", method="GET")
        raw.recv(10)
        deadline = time.monotonic() + 20
        while httpx.get(running.url + "/v1/slow/0", trust_env=False).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_too_many_at_once_are_shed_at_once_and_the_server_recovers(begin):
    running = begin(max_in_flight=4)
    codes = []

    def ask():
        response = httpx.get(running.url + "/v1/slow/1", trust_env=False, timeout=30)
        codes.append((response.status_code, response.headers.get("retry-after")))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert httpx.get(running.url + "/livez", trust_env=False).status_code == 200
    assert httpx.get(running.url + "/metrics", trust_env=False).status_code == 200
    for thread in threads:
        thread.join()
    assert sorted(codes) == [(200, None)] * 4 + [(503, "1")] * 8
    assert httpx.get(running.url + "/v1/slow/0", trust_env=False).status_code == 200


def test_requests_of_a_minute(begin, tmp_path):
    running = begin(rate_limit_per_minute=5)
    keys = Keys(tmp_path / "data")
    one, two = keys.create(ALL, RIGHTS), keys.create(ALL, RIGHTS)
    more = keys.create(ALL, RIGHTS, requests_per_minute=600)
    with running.client(one) as client:
        for left in (4, 3, 2, 1, 0):
            response = client.get("/v1/slow/0")
            assert response.status_code == 200
            assert response.headers["ratelimit-limit"] == "5"
            assert int(response.headers["ratelimit-remaining"]) in {left, left + 1}
            assert 0 < int(response.headers["ratelimit-reset"]) <= 60
        response = client.get("/v1/slow/0")
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(response.headers["retry-after"]) <= 12
        assert response.headers["ratelimit-remaining"] == "0"
        assert client.get("/livez").status_code == 200
    with running.client(two) as client:  # another key has its own
        assert client.get("/v1/slow/0").status_code == 200
    with running.client(more) as client:
        for _ in range(20):
            assert client.get("/v1/slow/0").status_code == 200
    with running.client("wrong") as client:  # nobody else can use up a key's requests
        for _ in range(20):
            assert client.get("/v1/slow/0").status_code == 401


def test_requests_come_back_evenly(begin):
    running = begin(rate_limit_per_minute=120)  # on a server without keys all count together
    with running.client() as client:
        for _ in range(200):
            response = client.get("/v1/slow/0")
            if response.status_code == 429:
                break
        assert response.headers["retry-after"] == "1"
        time.sleep(1.05)
        assert [client.get("/v1/slow/0").status_code for _ in range(2)] == [200, 200]


def test_tokens_of_a_minute(begin, tmp_path):
    running = begin(token_limit_per_minute=1000)
    keys = Keys(tmp_path / "data")
    with running.client(keys.create(ALL, RIGHTS)) as client:
        response = client.post("/v1/probe/600/answer")
        assert (response.status_code, response.headers["ratelimit-remaining-tokens"]) == (200, "1000")
        assert 390 <= int(client.post("/v1/probe/900/answer").headers["ratelimit-remaining-tokens"]) <= 450
        response = client.post("/v1/probe/1/answer")
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
        assert 20 <= int(response.headers["retry-after"]) <= 40
        assert client.post("/v1/probe/read", json={}).status_code == 200  # what uses no tokens goes on
    with running.client(keys.create(ALL, RIGHTS, tokens_per_minute=1)) as client:
        assert client.post("/v1/probe/1/answer").status_code == 200
        assert client.post("/v1/probe/1/answer").status_code == 429


def test_request_ids_are_taken_over_where_they_can_be_logged(begin):
    url = begin().url
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert (
            client.get("/v1/slow/0", headers={"X-Request-Id": "Order-7.b_c"}).headers["x-request-id"] == "Order-7.b_c"
        )
        found = set()
        for bad in ("", "a b", "x" * 129, 'a"b', "a;b", "é".encode(), "<script>"):
            given = client.get("/v1/nothing", headers={"X-Request-Id": bad})
            assert given.headers["x-request-id"] == given.json()["request_id"]
            found.add(given.headers["x-request-id"])
        assert len(found) == 7 and all(one.isalnum() for one in found)


def test_a_client_that_waits_to_be_told_to_go_on_is_told_not_to(begin):
    url = begin(max_body_mb=0.1).url
    with connected(url) as raw:
        send(raw, "/v1/size", "Expect: 100-continue", f"Content-Length: {MB}")
        status, _, body = answer(raw)
        assert (status, body["code"]) == (413, "body_too_large")
    with connected(url) as raw:
        send(raw, "/v1/size", "Expect: 100-continue", "Content-Length: 3")
        assert raw.recv(100).startswith(b"HTTP/1.1 100")
        raw.sendall(b"abc")
        assert answer(raw)[2] == {"size": 3}


def test_a_stream_that_waits_for_its_first_word_is_not_cut_off(start):
    async def late():
        await asyncio.sleep(1.5)
        yield b"data: at last\n\n"

    def add(app):
        async def events():
            return Events(late(), app.state.server.settings.request_timeout_s)

        app.add_api_route("/v1/late", events, response_model=None)

    with start(change=add, request_timeout_s=0.6).client() as client:
        text = client.get("/v1/late").text
    assert text.startswith(": wait") and text.endswith("data: at last\n\n")
