"""Nothing of a tenant reaches a key that is not for it: no body, error, header, figure or line of the log."""

import json
import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramet.api.rest.wire import NPY, read_npy
from ramet.engine.keys import ALL
from tests.rest import isolation_world as world
from tests.rest.isolation_world import MINE, NOBODY, OURS, RANDOM_REQUEST, REACH, REQUESTS, THEIRS, WORDS

# What differs from one request to the next by itself.
VARYING = {"request_id", "created", "seconds", "ms", "total_us", "microseconds"}
HEADERS = {"x-request-id", "date", "content-length"}

MIXING = {"grantRecords", "upsertRecords", "addTexts"}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    with world.worlds(tmp_path_factory.mktemp("isolation")) as found:
        yield found


def settled(value):
    """JSON without what differs by itself."""
    if isinstance(value, dict):
        return {key: settled(one) for key, one in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [settled(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"chatcmpl-[0-9a-f]+", "chatcmpl", value)
    return value


def body_of(response):
    """The body, without what differs by itself."""
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        lines = response.text.splitlines()
        return [settled(json.loads(line[6:])) if line.startswith("data: {") else line for line in lines]
    if "json" in kind:
        return settled(response.json())
    if kind == NPY:
        vectors, rest = read_npy(response.content, 10_000)
        return vectors.tobytes(), settled(json.loads(rest))
    return response.content


def answer_of(response):
    headers = {name: value for name, value in response.headers.items() if name not in HEADERS}
    return response.status_code, headers, body_of(response)


def everything(response):
    """An answer as text, to look for words in."""
    return f"{list(response.headers.multi_items())}\n{response.content.decode('utf-8', 'replace')}"


def assert_nothing_of_others(response, request, reached):
    said = everything(response)
    for word in WORDS:
        if word not in reached and word not in request.text:
            assert word not in said, (request, response.text[:2000])


ASKS = st.lists(
    st.tuples(
        RANDOM_REQUEST,
        st.sampled_from(["mine", "mine", "ours", "both", "theirs", "nobody"]),
        st.sets(st.sampled_from(["read", "write", "admin"]), min_size=1).map(lambda rights: rights | {"read"}),
    ),
    min_size=1,
    max_size=10,
)


def check(worlds, name, asks):
    """Send requests one after the other to both servers, and compare."""
    mixed = False  # records of mine may have come to ours, by a key for both
    for request, whose, rights in asks:
        key = worlds.keys.get((whose, tuple(right for right in ("read", "write", "admin") if right in rights)))
        mixed = mixed or (whose == "both" and request.operation in MIXING)
        request = fitted(request, name)
        one = worlds.send(0, request, name, key)
        assert one.status_code < 500, (request, one.text)
        if whose == "nobody" and request.path.startswith("/v1"):
            assert one.status_code == 401
        reached = REACH.get(whose, set()) | ({MINE, OURS} if mixed and whose in ("mine", "ours") else set())
        assert_nothing_of_others(one, request, reached)
        if whose != "theirs":
            other = worlds.send(1, request, name, key)
            assert answer_of(one) == answer_of(other), request


def fitted(request, name):
    """The request with the name of the collection in its body."""
    if isinstance(request.body, dict) and request.body.get("model") == "{c}":
        request.body = {**request.body, "model": name}
    return request


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(asks=ASKS)
def test_a_key_gets_the_same_whatever_there_is_of_others(worlds, asks):
    name = worlds.fill()
    try:
        check(worlds, name, asks)
    finally:
        worlds.drop(name)


def test_the_logs_and_figures_name_nobody(worlds):
    """After all of the requests above; of figures also what a key to everything gets."""
    assert worlds.n > 1
    said = worlds.log.getvalue()
    assert said.count('"event":"request"') + said.count('"event": "request"') > worlds.n, said[:500]
    for client in worlds.clients:
        figures = client.get("/metrics", headers={"api-key": worlds.keys["all", ("read",)]})
        assert figures.status_code == 200
        said += figures.text
    for word in (*WORDS, NOBODY, "rivers", "passwd", *worlds.secrets):
        assert word not in said


def test_every_operation_is_asked(worlds):
    described = worlds.clients[0].get("/openapi.json").json()
    operations = {
        one["operationId"]
        for path in described["paths"].values()
        for method, one in path.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }
    assert operations == set(REQUESTS)


def test_every_operation_under_v1_asks_for_a_key(worlds):
    described = worlds.clients[0].get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            response = worlds.clients[0].request(method, path.replace("{name}", "docs"))
            if path.startswith("/v1/"):
                assert response.status_code == 401, path
                assert one.get("security") == [{"key": []}, {"api-key": []}], path
                assert "401" in one["responses"] and "403" in one["responses"], path


@pytest.mark.parametrize("whose", ["mine", "both", "theirs"])
def test_what_concerns_a_whole_collection_takes_a_key_to_all_tenants(worlds, whose):
    name = worlds.fill()
    key = worlds.keys[whose, ("read", "write", "admin")]
    docs = f"/v1/collections/{name}"
    for method, path, body in [
        ("POST", "/v1/collections", {"name": "more", "dim": 3}),
        ("DELETE", docs, None),
        ("GET", docs + "/stats", None),
        ("POST", docs + "/compact", None),
        ("POST", docs + "/verify", None),
        ("POST", docs + "/maintain", None),
        ("POST", docs + "/backups", {"name": "b"}),
        ("GET", "/v1/backups", None),
        ("GET", "/metrics", None),
    ]:
        response = worlds.send(0, world.Sent("", method, path, body, headers={"Via": "proxy"}), name, key)
        assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden"), path
    worlds.drop(name)


def test_forged_tenants_reach_nothing_anywhere(worlds):
    """Every place where a request can name a tenant."""
    name = worlds.fill()
    key = worlds.keys["mine", ("read", "write", "admin")]
    docs = f"/v1/collections/{name}"
    vector = [1.0] * world.DIM
    before = worlds.running[0].server.database.collection(name).count(THEIRS)
    for forged in (THEIRS, [THEIRS], [MINE, THEIRS], NOBODY):
        single = forged if isinstance(forged, str) else THEIRS
        for path, body in [
            ("/records", {"ids": ["a"], "vectors": [vector], "tenant": single}),
            ("/records", {"ids": ["a", "b"], "vectors": [vector, vector], "tenant": [MINE, single]}),
            ("/records/get", {"ids": [f"{THEIRS}-0"], "tenant": single}),
            ("/records/count", {"tenant": single}),
            ("/records/delete", {"where": {}, "tenant": single}),
            ("/records/delete", {"ids": [f"{THEIRS}-0"], "tenant": single}),
            ("/records/grant", {"ids": [f"{MINE}-0"], "to": forged}),
            ("/records/grant", {"ids": [f"{THEIRS}-0"], "to": MINE, "tenant": single}),
            ("/records/revoke", {"ids": [f"{MINE}-0"], "to": forged}),
            ("/texts", {"texts": ["x"], "tenant": single}),
            ("/texts/delete", {"ids": ["x"], "tenant": single}),
            ("/query", {"vector": vector, "tenant": forged}),
            ("/query", {"text": "rivers", "mode": "keyword", "tenant": forged}),
            ("/query/batch", {"vectors": [vector], "tenant": forged}),
            ("/query/batch", {"queries": [{"vector": vector}, {"vector": vector, "tenant": forged}]}),
            ("/select", {"question": "rivers", "budget": 500, "tenant": forged}),
            ("/answer", {"question": "rivers", "budget": 500, "tenant": forged}),
            ("/calibrate", {"vectors": [vector, vector], "tenant": single}),
        ]:
            response = worlds.send(0, world.Sent("", "POST", docs + path, body), name, key)
            assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden"), (path, body)
        chat = {"model": name, "messages": [{"role": "user", "content": "rivers"}], "tenant": forged}
        assert worlds.send(0, world.Sent("", "POST", "/v1/chat/completions", chat), name, key).status_code == 403
        for method, path in [
            ("GET", f"/records?tenant={single}"), ("GET", f"/records/{THEIRS}-0?tenant={single}"),
            ("GET", f"/stats?tenant={single}"), ("GET", f"/tenants/{single}"), ("DELETE", f"/tenants/{single}"),
        ]:  # fmt: skip
            response = worlds.send(0, world.Sent("", method, docs + path), name, key)
            assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden"), path
    assert worlds.running[0].server.database.collection(name).count(THEIRS) == before
    worlds.drop(name)


NASTY = [
    "..", ".", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%2e%2e%2f%2e%2e", "..\\..", "%00", "docs%00",
    ".ramet", ".ramet/keys.mdb", ".ramet%2Fkeys.mdb", "%2Fetc%2Fpasswd", "//etc/passwd", "....//", "a/../../b",
    "%c0%ae%c0%ae", "%252e%252e", "docs%2f..%2f.ramet", "~root", "-", "a" * 300, "\u202e", "CON", ".backups",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
def test_no_path_leads_out_of_the_data_directory(worlds, nasty):
    """As the name of a collection, a tenant, a record, a backup: refused or not found, and nothing is made or read."""
    from tests.rest.test_limits import answer, connected, send

    running, key = worlds.running[0], worlds.keys["all", ("read", "write", "admin")]
    before = sorted(path for path in running.data.parent.rglob("*") if "docs" not in str(path))
    plain = nasty.encode().decode("latin-1")
    for method, path in [
        ("GET", f"/v1/collections/{plain}"), ("DELETE", f"/v1/collections/{plain}"),
        ("GET", f"/v1/collections/{plain}/records"), ("POST", f"/v1/collections/{plain}/compact"),
        ("POST", f"/v1/collections/{plain}/verify"), ("GET", f"/v1/collections/{plain}/stats"),
        ("GET", f"/v1/models/{plain}"), ("GET", f"/v1/{plain}"), ("GET", f"/{plain}"),
        ("GET", f"/docs/{plain}"), ("GET", f"/v1/collections/{plain}/records/{plain}"),
    ]:  # fmt: skip
        with connected(running.url) as raw:  # clients would tidy the path up
            try:
                send(raw, path, f"api-key: {key}", "Content-Length: 0", method=method)
                status, _, body = answer(raw)
            except (UnicodeEncodeError, ValueError, IndexError):
                continue  # no request at all
        assert status in {307, 400, 404, 405, 422} or (path.startswith("/docs") and status == 200), (method, path)
        assert "root:" not in str(body) and str(running.data) not in str(body)
    headers = {"api-key": key}
    with httpx.Client(base_url=running.url, headers=headers, trust_env=False) as client:
        for body in ({"name": nasty, "dim": 3}, {"name": nasty + "/x", "dim": 3}):
            if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", body["name"]):
                continue
            assert client.post("/v1/collections", json=body).status_code in {400, 422}
        name = worlds.fill()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", nasty):
            assert client.post(f"/v1/collections/{name}/backups", json={"name": nasty}).status_code in {400, 422}
        worlds.drop(name)
    after = sorted(path for path in running.data.parent.rglob("*") if "docs" not in str(path))
    assert after == before


def test_all_is_all():
    assert REACH["all"] is ALL
