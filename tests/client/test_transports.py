"""Over real sockets: servers that are not there, hang up, take too long, or speak another language."""

import asyncio
import threading

import pytest

import ramet
from tests.client.answering import hangs_up, listening, says

EMPTY = b'{"collections": []}'


@pytest.fixture(params=["client", "async"])
def collections(request):
    """A function that asks a server for its collections, in either way."""

    def ask(url, **options):
        if request.param == "client":
            with ramet.connect(url, **options) as db:
                return db.collections()

        async def asked():
            async with await ramet.connect_async(url, **options) as db:
                return await db.collections()

        return asyncio.run(asked())

    return ask


def test_an_answer(collections):
    with listening(says(200, EMPTY)) as (url, came):
        assert collections(url) == [] and len(came) == 1


def test_nobody_is_there(collections):
    with listening() as (url, _):
        pass
    with pytest.raises(ramet.ServerUnavailableError, match="nobody answers, in 2 attempts") as caught:
        collections(url, retries=1)
    assert caught.value.url == url and str(caught.value).startswith(url)
    assert "is the server running" in str(caught.value)


def test_a_name_that_nobody_has(collections):
    with pytest.raises(ramet.ServerUnavailableError, match="nobody answers"):
        collections("http://nobody.invalid:1", retries=0)


def test_a_connection_that_breaks_off_is_tried_again(collections):
    with listening(hangs_up, hangs_up, says(200, EMPTY)) as (url, came):
        assert collections(url) == [] and len(came) == 3


def test_a_server_that_is_busy_is_asked_again(collections):
    busy = says(429, b'{"code": "rate_limited"}', "application/problem+json", Retry_After="0.05")
    with listening(busy, says(200, EMPTY)) as (url, came):
        assert collections(url) == [] and len(came) == 2


def test_time_is_limited(collections):
    done = threading.Event()
    with listening(lambda connection: done.wait(20)) as (url, came):
        with pytest.raises(ramet.ServerTimeoutError, match="timeout_s") as caught:
            collections(url, timeout_s=0.2)
        done.set()
    assert isinstance(caught.value, ramet.ServerUnavailableError) and len(came) == 1


def test_an_answer_that_breaks_off(collections):
    def half(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")

    with listening(half, half) as (url, came):
        with pytest.raises(ramet.ServerUnavailableError, match="broke off, in 2 attempts"):
            collections(url, retries=1)
    assert len(came) == 2


def test_another_language(collections):
    with listening(lambda connection: connection.sendall(b"220 mail.there ESMTP\r\n")) as (url, _):
        with pytest.raises(ramet.ServerError) as caught:
            collections(url, retries=0)
    assert caught.value.url == url


@pytest.mark.parametrize(
    "answer",
    [
        says(200, b"<html></html>", "text/html"), says(200, b"[]"), says(200, b'{"collections": [{}]}'),
        says(200, b'{"collections": "x'), says(404, b"not here", "text/plain"), says(301, b"", Location="https://there/"),
    ],
    ids=["html", "list", "nameless", "cut-off", "foreign-404", "redirect"],
)  # fmt: skip
def test_somebody_else_is_there(collections, answer):
    with listening(answer) as (url, _):
        with pytest.raises(ramet.ServerResponseError, match="Ramet server|really has") as caught:
            collections(url, retries=0)
    assert caught.value.url == url


def test_the_key_is_sent_and_never_shown(collections):
    seen = []

    def noting(connection):
        connection.sendall(b"")

    def serve(key, **options):
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                seen.append(self.headers["Authorization"])
                self.send_response(401)
                self.send_header("Content-Type", "application/problem+json")
                self.end_headers()
                self.wfile.write(b'{"status": 401, "code": "unauthorized", "detail": "no such key"}')

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                url = f"http://127.0.0.1:{server.server_port}"
                with pytest.raises(ramet.ServerRefusedError) as caught:
                    collections(url, api_key=key, **options)
            finally:
                server.shutdown()
        return caught.value

    error = serve("rk_secret_123")
    assert seen == ["Bearer rk_secret_123"]
    assert "secret" not in str(error) + repr(error) and "api_key" in str(error)
    assert (error.status, error.code) == (401, "unauthorized")


def test_the_key_of_the_environment(monkeypatch):
    monkeypatch.setenv("RAMET_API_KEY", "rk_env")
    with ramet.connect("http://127.0.0.1:9") as db:
        assert db._transport.access.api_key == "rk_env"
        assert "rk_env" not in repr(db) + repr(db._transport.access) + str(vars(db))
    with ramet.connect("http://127.0.0.1:9", api_key="rk_own") as db:
        assert db._transport.access.api_key == "rk_own"


def test_a_closed_client_says_so():
    db = ramet.connect("http://127.0.0.1:9")
    db.close()
    assert db.closed
    with pytest.raises(ramet.ClosedError, match="127.0.0.1:9"):
        db.collections()


@pytest.mark.parametrize(
    ("url", "argument"),
    [
        ("http://", "url"), ("http://user:pass@there", "url"), ("http://there?x=1", "url"), ("http://there#x", "url"),
        ("http://there:99999", "url"), ("http://[::1", "url"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_named(url, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        ramet.connect(url)
    assert caught.value.argument == argument
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"timeout_s": 0}, "timeout_s"), ({"timeout_s": "x"}, "timeout_s"), ({"retries": -1}, "retries"),
        ({"retries": 1000}, "retries"), ({"wait_s": -1}, "wait_s"), ({"api_key": "a\nb"}, "api_key"),
        ({"api_key": ""}, "api_key"), ({"api_key": "ä"}, "api_key"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_named(options, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        ramet.connect("http://there:8000", **options)
    assert caught.value.argument == argument


def test_addresses_are_forgiving():
    for url in ("http://there:8000", "http://there:8000/", "http://there:8000/v1", "HTTP://there:8000/v1/"):
        with ramet.connect(url) as db:
            assert db.url == "http://there:8000"
    with ramet.connect("https://there/prefix/") as db:
        assert db.url == "https://there/prefix"


def test_a_prefix_stays_in_front():
    seen = []

    def noting(connection):
        says(200, EMPTY)(connection)

    with listening(noting) as (url, came):
        with ramet.connect(f"{url}/some/where") as db:
            assert db.collections() == []
            request = db._transport.access.message(db._transport._http, _request("/v1/collections/c/tenants/%2E%2E"))
        seen.append(str(request.url))
    assert seen == [f"{url}/some/where/v1/collections/c/tenants/%2E%2E"] and len(came) == 1


def _request(path):
    from ramet.api.client.messages import Request

    return Request(method="GET", path=path)


def test_threads_share_a_client():
    answers = [says(200, EMPTY)] * 8
    with listening(*answers) as (url, came), ramet.connect(url) as db:
        found = []
        threads = [threading.Thread(target=lambda: found.append(db.collections())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert found == [[]] * 8 and len(came) == 8
