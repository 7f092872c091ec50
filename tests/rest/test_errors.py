"""Errors on the wire: one table that knows every error, one form of body, nothing of the server's insides."""

import importlib
import inspect
import pickle
import pkgutil
from datetime import datetime

import httpx
import pytest
from starlette.exceptions import HTTPException

import ramet
from ramet.api.rest.errors import CODES, code_of, detail_of
from ramet.api.rest.pool import OverloadedError
from ramet.api.rest.problems import EVERYWHERE, KINDS, MEDIA_TYPE, Refusal, declared

# Whose errors no request can meet: the command line's, those of the other side of the wire, and those of build jobs.
ELSEWHERE = {"ramet.api.cli", "ramet.api.client", "ramet.engine.jobs"}


def all_errors():
    """Every subclass of RametError in any module of the package."""
    for module in pkgutil.walk_packages(ramet.__path__, "ramet."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, queue = set(), [ramet.RametError]
    while queue:
        one = queue.pop()
        found.add(one)
        queue.extend(one.__subclasses__())
    return {one for one in found if one.__module__.startswith("ramet.")}


def served_errors():
    return {one for one in all_errors() if not one.__module__.startswith(tuple(ELSEWHERE))}


@pytest.mark.filterwarnings("ignore")  # importing everything imports what others warn about
def test_the_table_knows_every_error_that_a_request_can_meet():
    public = {getattr(ramet, name) for name in ramet.__all__ if name.endswith("Error")}
    assert {error for error in public if not error.__module__.startswith(tuple(ELSEWHERE))} <= set(CODES)
    for error in served_errors():
        assert code_of(error.__new__(error)) in KINDS
    # By their nearest base: what is a fault of ours, and what the engine turns into a ConflictError.
    unnamed = served_errors() - set(CODES)
    assert {error.__name__ for error in unnamed} == {"BrokenNavigatorError", "DuplicateIdError", "IndexRoomError"}


def test_every_code_of_the_table_has_a_kind_and_every_kind_is_an_error():
    assert set(CODES.values()) <= set(KINDS)
    assert set(EVERYWHERE) <= set(KINDS)
    assert all(400 <= kind.status <= 599 and kind.title for kind in KINDS.values())
    retried = {code for code, kind in KINDS.items() if kind.retry_after}
    assert {"rate_limited", "overloaded", "writer_busy"} <= retried
    assert all(KINDS[code].status in {429, 503} for code in retried)


def test_what_the_server_did_wrong_is_told_in_words_that_name_nothing():
    """Messages of 5xx errors are for the log: they name files, addresses, sometimes keys."""
    for error, code in CODES.items():
        if KINDS[code].status >= 500:
            said = detail_of(made(error, "/srv/secret/path"))
            assert said and "secret" not in said, error


def made(error, text):
    """An error of a class with some message, however it is made."""
    found = error.__new__(error)
    Exception.__init__(found, text)
    return found


class Broken(Exception):
    """Nobody thought of this one."""


RAISED = {
    "argument": lambda: ramet.ArgumentError("k", "must be positive"),
    "unknown-id": lambda: ramet.UnknownIdError("acme", ["a"]),
    "corrupt": lambda: ramet.CorruptionError("/srv/secret/postings.bin", "page 7", 1, 2),
    "busy": lambda: ramet.WriterBusyError("/srv/secret", 4711, 2.0),
    "full": lambda: ramet.StorageFullError("/srv/secret", "ENOSPC"),
    "llm": lambda: ramet.LlmRefusedError("openai:model@http://secret:1", "bad key secret-key"),
    "llm-timeout": lambda: ramet.LlmTimeoutError("openai", "secret"),
    "missing-package": lambda: ramet.MissingPackageError("secret", "text"),
    "refusal": lambda: Refusal("tenant_forbidden", "tenant: the key is for others", argument="tenant"),
    "overloaded": lambda: OverloadedError("requests"),
    "http": lambda: HTTPException(418, "a teapot"),
    "broken": lambda: Broken("secret of tenant acme"),
    "key-error": lambda: KeyError("secret"),
}
EXPECTED = {
    "argument": (400, "invalid_argument"),
    "unknown-id": (404, "unknown_id"),
    "corrupt": (500, "corrupt"),
    "busy": (503, "writer_busy"),
    "full": (507, "storage_full"),
    "llm": (502, "llm_refused"),
    "llm-timeout": (504, "llm_timeout"),
    "missing-package": (501, "not_installed"),
    "refusal": (403, "tenant_forbidden"),
    "overloaded": (503, "overloaded"),
    "http": (418, "http_error"),
    "broken": (500, "internal"),
    "key-error": (500, "internal"),
}


def raising(app):
    """Add routes that raise."""

    def failing(make):
        def fail() -> None:
            raise make()

        return fail

    for name, make in RAISED.items():
        app.add_api_route(f"/v1/raise/{name}", failing(make), methods=["GET"])

    def typed(n: int, when: datetime) -> None:
        pass

    app.add_api_route("/v1/typed", typed, methods=["GET"])


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    from tests.rest.serving import serving

    with serving(tmp_path_factory.mktemp("broken") / "data", raising) as running, running.client() as client:
        yield client


def checked(answer: httpx.Response) -> dict:
    """A problem, whose form is the same for all."""
    body = answer.json()
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:ramet:error:{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers.get_list("x-request-id") == [body["request_id"]]
    assert set(body) <= {
        "type", "title", "status", "detail", "code", "request_id", "argument", "errors", "selection", "tenant", "ids",
        "advice",
    }  # fmt: skip
    assert "secret" not in answer.text
    return body


@pytest.mark.parametrize("name", RAISED)
def test_an_error_becomes_a_problem_without_insides(broken, name):
    answer = broken.get(f"/v1/raise/{name}")
    body = checked(answer)
    assert (answer.status_code, body["code"]) == EXPECTED[name]
    retry = KINDS[body["code"]].retry_after
    assert answer.headers.get("retry-after") == (None if retry is None else str(retry))
    assert broken.get("/livez").status_code == 200


def test_errors_of_form_say_where_and_do_not_repeat_the_value(broken):
    answer = broken.get("/v1/typed", params={"n": "secret", "when": "secret"})
    body = checked(answer)
    assert (answer.status_code, body["code"], body["argument"]) == (422, "invalid_request", "query n")
    assert [error["at"] for error in body["errors"]] == ["query n", "query when"]


def test_the_router_speaks_the_same_language(broken):
    assert checked(broken.get("/v1/nothing"))["code"] == "not_found"
    answer = broken.post("/livez")
    assert checked(answer)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET"


def test_a_request_keeps_its_id_when_it_can_be_logged(broken):
    assert broken.get("/livez", headers={"X-Request-Id": "trace-1.2:3_4"}).headers["x-request-id"] == "trace-1.2:3_4"
    for bad in ("", "a b", "x" * 129, '"}{', "ü".encode("latin-1")):
        found = broken.get("/livez", headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert len(found) == 32 and found.isalnum()


def test_documentation_of_errors_groups_codes_by_status():
    found = declared("tenant_forbidden", "right_missing", "unknown_id")
    assert set(found) == {403, 404}
    assert "`tenant_forbidden`" in found[403]["description"] and "`right_missing`" in found[403]["description"]


def test_errors_of_the_engine_survive_a_pickle_with_their_code():
    for make in (RAISED["argument"], RAISED["corrupt"], RAISED["llm"]):
        assert code_of(pickle.loads(pickle.dumps(make()))) == code_of(make())
    assert inspect.isclass(Broken)
