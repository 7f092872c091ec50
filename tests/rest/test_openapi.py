"""The description of the interface: complete, true, and its examples run. A short attack by schemathesis holds it."""

import re

import httpx
import pytest

from ramet.engine.keys import ALL, Keys
from tests.engine.models import static_model
from tests.rest.fuzz import DIM, attack, target

# In an order in which every example finds what it speaks of.
ORDER = """
livez healthz readyz metrics listCollections createCollection getCollection upsertRecords addTexts
listRecords getRecord readRecords countRecords queryRecords queryBatch grantRecords listTenants getTenant getStats
selectChunks answerQuestion createChatCompletion listModels getModel
calibrateTenant maintainCollection flushCollection verifyCollection createBackup listBackups
revokeRecords deleteRecords deleteTexts dropTenant compactCollection deleteCollection
""".split()

OPEN = {"livez", "healthz", "readyz", "metrics"}
MAY_FIND_NOTHING = {"dropTenant"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("model"), dim=DIM)


@pytest.fixture
def server(start, model):
    return start(embedder=f"static:{model}")


@pytest.fixture
def schema(client):
    return client.get("/openapi.json").json()


def operations(schema):
    """operationId -> (method, path, operation)"""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def at(schema, reference):
    found = schema
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def resolved(schema, part):
    return at(schema, part["$ref"]) if "$ref" in part else part


def every(part, name):
    """Every value of a member, however deep."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == name)
        for value in part.values():
            yield from every(value, name)
    elif isinstance(part, list):
        for value in part:
            yield from every(value, name)


def bodies(schema, operation):
    """The JSON examples of an operation's body; [None] where it has none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return [None]
    described = resolved(schema, content["schema"])
    if "examples" not in described:  # a body that may be left out
        described = resolved(schema, described["anyOf"][0])
    return described["examples"]


def address(path, operation):
    """The path with the examples of its parameters."""
    values = {
        one["name"]: (one.get("examples") or one["schema"]["examples"])[0]
        for one in operation.get("parameters", [])
        if one["in"] == "path"
    }
    return re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), path)


def test_every_example_runs(client, schema):
    known = operations(schema)
    assert set(ORDER) == set(known)
    for name in ORDER:
        method, path, operation = known[name]
        for body in bodies(schema, operation):
            options = {} if body is None else {"json": body}
            response = client.request(method, address(path, operation), **options)
            fine = response.is_success or (name in MAY_FIND_NOTHING and response.status_code == 404)
            assert fine, (name, body, response.text)
            assert str(response.status_code) in operation["responses"]


def test_every_operation_says_what_it_is(schema):
    names = [operation["operationId"] for methods in schema["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in schema["tags"]}
    assert all(tag["description"] for tag in schema["tags"])
    for name, (_, _, operation) in operations(schema).items():
        assert re.fullmatch(r"[a-z][A-Za-z]+", name)
        assert operation["summary"] and operation["description"]
        assert len(operation["tags"]) == 1 and operation["tags"][0] in tags
        for response in operation["responses"].values():
            assert response["description"]


def test_every_operation_says_how_it_fails(schema):
    for name, (_, _, operation) in operations(schema).items():
        if name in OPEN:
            continue
        assert {"400", "401", "403", "405", "413", "422", "429", "500", "503", "504"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if status >= "4":
                (kind, content), *more = response["content"].items()
                assert (kind, more) == ("application/problem+json", []), (name, status)
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_references_and_links_lead_somewhere(schema):
    for reference in every(schema, "$ref"):
        assert at(schema, reference) is not None
    known = operations(schema)
    n = 0
    for links in every(schema, "links"):
        for link in links.values():
            _, _, operation = known[link["operationId"]]
            assert set(link["parameters"]) <= {one["name"] for one in operation.get("parameters", [])}
            n += 1
    assert n >= 15


def test_every_operation_takes_a_key_in_either_header(server, schema):
    schemes = schema["components"]["securitySchemes"]
    assert {(one["type"], one.get("scheme") or one.get("name")) for one in schemes.values()} == {
        ("http", "bearer"), ("apiKey", "api-key"),
    }  # fmt: skip
    key = Keys(server.data).create(ALL, ("read", "write", "admin"))
    headers = [{"Authorization": f"Bearer {key}"}, {"api-key": key}]
    with server.client() as client:
        for name, (method, path, operation) in operations(schema).items():
            if name in OPEN:
                assert "security" not in operation
                continue
            assert sorted(map(str, operation["security"])) == sorted(str({scheme: []}) for scheme in schemes)
            there = address(path, operation)
            refused = client.request(method, there)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), name
            assert refused.headers["www-authenticate"].startswith("Bearer")
            for one in headers:
                assert client.request(method, there, headers=one).status_code != 401, name


@pytest.mark.timeout(300)
def test_a_short_attack_finds_nothing(tmp_path):
    """Examples, random requests and chains of them; `make fuzz` does it at length, with all phases."""
    with target(tmp_path) as running:
        key = Keys(running.data).create(ALL, ("read", "write", "admin"))
        found = attack(
            running, key, examples=2, seed=20260101, out=tmp_path / "found", phases="examples,fuzzing,stateful"
        )
        assert httpx.get(f"{running.url}/readyz", trust_env=False).status_code == 200
    assert found.code == 0, found.text
    assert found.operations == len(ORDER)
    assert (found.failures, found.cases > 100) == (0, True)
