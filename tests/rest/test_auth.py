"""Who gets in, and to what: rights x tenants, without a key, with a wrong one, with one that was revoked elsewhere."""

import itertools
import os
import shutil
import time
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.api.rest import auth
from ramet.api.rest.auth import Principal
from ramet.api.rest.problems import Refusal
from ramet.engine.keys import ALL, RIGHTS, Keys, id_of
from ramet.storage.keyring import LOOK_S
from tests.engine.key_process import Other
from tests.rest import probes

CLIENT = httpx.Client(trust_env=False)  # to make one takes longer than to ask


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    CLIENT.close()


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def url(start, data):
    return start(data, probes.add).url


def post(url, path, key=None, headers=None, **body):
    headers = dict(headers or {})
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return CLIENT.post(url + path, json=body, headers=headers)


def code(response):
    """Status and code of an answer, after looking at its form."""
    if response.is_success:
        return response.status_code
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["code"]


def test_without_any_key_everybody_is_everything_on_loopback(url):
    for right in RIGHTS:
        assert post(url, f"/v1/probe/{right}", tenant="acme").json() == {"tenants": ["acme"]}
        assert post(url, f"/v1/whole/{right}").json() == {"key": None}
    assert post(url, "/v1/probe/read").json() == {"tenants": ["default"]}
    assert post(url, "/v1/probe/read", "ramet_x_y").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("10.0.0.7:80", 200), ("ramet", 200),
        ("db.localhost", 200), ("evil.example:8000", 401), ("127.0.0.1.nip.io", 401), ("[evil.example", 401),
    ],
)  # fmt: skip
def test_without_any_key_a_page_that_points_its_name_here_gets_nothing(url, host, status):
    assert post(url, "/v1/probe/read", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 401), ({"Origin": "null"}, 401), ({"Origin": "http://localhost:3000"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 401), ({"Sec-Fetch-Site": "same-site"}, 401),
        ({"X-Forwarded-For": "192.0.2.1"}, 401), ({"Via": "1.1 proxy"}, 401), ({"Forwarded": "for=192.0.2.1"}, 401),
        ({"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
    ],
)  # fmt: skip
def test_without_any_key_pages_of_others_and_proxies_get_nothing(url, data, headers, status):
    sent = {"Host": "localhost:8000", **headers}
    assert post(url, "/v1/probe/write", headers=sent).status_code == status
    assert CLIENT.get(url + "/metrics", headers=sent).status_code == status
    key = Keys(data).create(ALL, RIGHTS)
    assert post(url, "/v1/probe/write", key, headers=sent).status_code == 200


def test_without_any_key_nobody_gets_in_from_elsewhere(start, data):
    closed = start(data, probes.add, host="0.0.0.0").url
    assert code(post(closed, "/v1/probe/read")) == (401, "unauthorized")
    assert CLIENT.get(closed + "/livez").status_code == 200
    wide = start(data, probes.add, host="0.0.0.0", allow_unauthenticated=True).url
    assert code(post(wide, "/v1/probe/read", headers={"Host": "db.example.com"})) == 200
    key = Keys(data).create("acme", "read")
    for url in (closed, wide):
        assert code(post(url, "/v1/probe/read")) == (401, "unauthorized")
        assert code(post(url, "/v1/probe/read", key)) == 200


def test_rights_times_tenants_times_kinds_of_requests(url, data):
    """Every key against every request: only what it was made for."""
    keys = Keys(data)
    for rights in (set(some) for n in (1, 2, 3) for some in itertools.combinations(RIGHTS, n)):
        for tenants in ({"acme"}, {"acme", "globex"}, {"default"}, ALL):
            key = keys.create(tenants, rights)
            for right in RIGHTS:
                got = code(post(url, f"/v1/whole/{right}", key))
                if right not in rights:
                    assert got == (403, "right_missing")
                else:
                    assert got == (200 if tenants is ALL else (403, "tenant_forbidden"))
                for named in (None, "acme", "globex", "nobody", ["acme", "globex"], ["acme", "nobody"]):
                    response = post(url, f"/v1/probe/{right}", key, tenant=named)
                    if right not in rights:
                        assert code(response) == (403, "right_missing")
                        continue
                    usual = next(iter(tenants)) if tenants is not ALL and len(tenants) == 1 else "default"
                    meant = [usual] if named is None else [named] if isinstance(named, str) else named
                    if tenants is ALL or set(meant) <= tenants:
                        assert response.json() == {"tenants": meant}
                    else:
                        assert code(response) == (403, "tenant_forbidden")
                        assert "nobody" not in response.text and "globex" not in response.text
    assert code(post(url, "/v1/probe/read", keys.create(ALL, "read"), tenant=[])) == (400, "invalid_argument")


@given(
    st.one_of(st.just(ALL), st.frozensets(st.sampled_from("abc"), min_size=1)),
    st.frozensets(st.sampled_from(RIGHTS)),
    st.one_of(st.none(), st.sampled_from("abcd"), st.lists(st.sampled_from("abcd"))),
    st.sampled_from(RIGHTS),
)
def test_a_scope_is_within_the_key_or_refused(tenants, rights, named, right):
    principal = Principal(None)
    principal.tenants, principal.rights = tenants, rights
    try:
        found = auth.scope(principal, named, right)
    except Refusal as refusal:
        assert refusal.code in {"right_missing", "tenant_forbidden", "invalid_argument"}
        assert (refusal.code == "right_missing") == (right not in rights)
    else:
        assert right in rights and found
        assert tenants is ALL or set(found) <= tenants
        assert named is None or found == ([named] if isinstance(named, str) else named)


def test_wrong_keys_are_all_refused_alike(url, data):
    keys = Keys(data)
    text, gone = keys.create("acme", "read"), keys.create("acme", "read")
    ended = keys.create("acme", "read", expires=timedelta(microseconds=1))
    keys.revoke(gone)
    wrong = [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"},
        {"Authorization": f"Basic {text}"}, {"Authorization": text}, {"Authorization": f"Bearer {text}x"},
        {"Authorization": f"Bearer {text[:-1]}"}, {"Authorization": f"Bearer {gone}"}, {"api-key": ended},
        {"Authorization": f"Bearer ramet_000000000000_{text.split('_')[2]}"}, {"api-key": "x" * 5000},
        {"Authorization": b"Bearer \xff\xfe\x80"}, {"Authorization": "Bearer ramet__"}, {"api-key": text.upper()},
        {"Authorization": f"Bearer {gone}", "api-key": text},
    ]  # fmt: skip
    details = set()
    for headers in wrong:
        response = post(url, "/v1/probe/read", headers=headers)
        assert code(response) == (401, "unauthorized"), headers
        assert response.headers["www-authenticate"].startswith("Bearer")
        details.add(response.json()["detail"])
    assert len(details) == 1
    for headers in (
        {"Authorization": f"bEaReR  {text}"},
        {"api-key": text},
        {"API-KEY": text, "Authorization": "Basic eDp5"},
    ):
        assert code(post(url, "/v1/probe/read", headers=headers)) == 200, headers


def test_the_key_is_asked_for_before_anything_else(url, data):
    Keys(data).create("acme", "read")
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/probe/read", "/v1/../v1/size", "/v1/%2e%2e/metrics"):
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS"):
            response = CLIENT.request(method, url + path, content=b"{broken")
            assert response.status_code == 401, (method, path)
    assert code(CLIENT.get(url + "/unguarded")) == (401, "unauthorized")  # the dependency asks, too
    assert CLIENT.get(url + "/livez").status_code == 200


def test_keys_made_and_revoked_by_another_process_count_at_once(url, data):
    with Other() as other, httpx.Client(base_url=url, trust_env=False) as client:
        for _ in range(10):
            text = other("create", data, ["acme"], ["read"])
            headers = {"api-key": text}
            assert client.post("/v1/probe/read", json={}, headers=headers).status_code == 200
            other("revoke", data, id_of(text))
            assert client.post("/v1/probe/read", json={}, headers=headers).status_code == 401
            assert client.post("/v1/probe/read", json={}).status_code == 401


def test_losing_the_keys_closes_the_server_and_damage_lets_nobody_in(url, data):
    keys = Keys(data)
    text = keys.create("acme", "read")
    assert code(post(url, "/v1/probe/read", text)) == 200
    path = data / ".ramet" / "keys.mdb"
    sound = path.read_bytes()
    (data / "other").write_bytes(sound.replace(b'["acme"]', b'["evil"]'))
    os.replace(data / "other", path)
    time.sleep(LOOK_S)
    response = post(url, "/v1/probe/read", text)
    assert code(response) == (500, "storage_error")
    assert "keys.mdb" not in response.text and str(data) not in response.text
    shutil.rmtree(data / ".ramet")
    time.sleep(LOOK_S)
    assert code(post(url, "/v1/probe/read")) == (401, "unauthorized")
    assert code(post(url, "/v1/probe/read", text)) == (401, "unauthorized")


def test_the_description_says_how_to_send_a_key(url):
    described = CLIENT.get(url + "/openapi.json").json()
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert described["paths"]["/v1/probe/{right}"]["post"]["security"] == [{"key": []}, {"api-key": []}]
