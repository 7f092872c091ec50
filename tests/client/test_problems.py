"""What a server says is wrong becomes what the engine raises."""

import pickle

import pytest

import ramet
from ramet.api.client import problems
from tests.client.answering import URL, problem

SERVERS_OWN = {
    "internal", "not_found", "method_not_allowed", "not_acceptable", "body_too_large", "answer_too_large",
    "unsupported_media_type",
    "http_error", "unauthorized", "right_missing", "tenant_forbidden", "unknown_backup", "rate_limited", "overloaded",
    "not_ready", "timeout", "not_installed",
}  # fmt: skip


def test_every_code_of_the_server_is_known():
    kinds = pytest.importorskip("ramet.api.rest.problems").KINDS
    assert set(problems.ENGINE) <= set(kinds)
    assert set(kinds) - set(problems.ENGINE) == SERVERS_OWN


def test_codes_lead_to_the_class_that_they_are_of():
    codes = pytest.importorskip("ramet.api.rest.errors").CODES
    for kind, code in codes.items():
        if code in problems.ENGINE and kind not in (ramet.MissingError, ramet.AccessError):
            assert getattr(ramet, problems.ENGINE[code]) is kind, code


@pytest.mark.parametrize("code", sorted(problems.ENGINE))
def test_an_error_of_the_engine_has_its_class_its_attributes_and_its_message(code):
    error = problems.error_of(problem(418, code, "where: it is wrong", argument="where"), URL)
    assert type(error) is getattr(ramet, problems.ENGINE[code])
    assert str(error) == "where: it is wrong"
    for name in problems.ATTRIBUTES.get(problems.ENGINE[code], {}):
        assert hasattr(error, name)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)


def test_an_argument_is_named():
    error = problems.error_of(problem(400, "invalid_argument", "k: is too large", argument="k"), URL)
    assert (error.argument, error.problem) == ("k", "is too large")
    assert isinstance(error, ValueError)


def test_details_travel():
    said = problem(409, "conflict", "ids: tenant 'a' has 'x' already; no", tenant="a", ids=["x"])
    error = problems.error_of(said, URL)
    assert (error.tenant, error.ids) == ("a", ["x"])


def test_an_error_says_which_request_it_was():
    error = problems.error_of(problem(404, "unknown_collection", request_id="abc"), URL)
    assert error.__notes__ == [f"request abc of {URL}"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", ramet.ServerRefusedError),
        (403, "tenant_forbidden", ramet.ServerRefusedError),
        (413, "body_too_large", ramet.ServerRefusedError),
        (429, "rate_limited", ramet.ServerRefusedError),
        (500, "internal", ramet.ServerError),
        (503, "overloaded", ramet.ServerUnavailableError),
        (504, "timeout", ramet.ServerTimeoutError),
        (418, "of_a_later_release", ramet.ServerRefusedError),
    ],
)
def test_the_servers_own_no_has_classes_of_its_own(status, code, kind):
    error = problems.error_of(problem(status, code), URL)
    assert type(error) is kind
    assert (error.url, error.status, error.code) == (URL, status, code)
    assert str(error).startswith(f"{URL}: said so")
