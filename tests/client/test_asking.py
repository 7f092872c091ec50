"""When a request is tried again, and what is raised when it is not."""

import pickle

import pytest

import ramet
from ramet.api.client.errors import ServerError
from ramet.api.client.messages import Failure, Reply, Request
from tests.client.answering import URL, played, problem, refused, reply, server

READ = Request(method="GET", path="/v1/collections")
ONCE = Request(method="POST", path="/v1/collections", repeatable=False)
REFUSED = Failure(reason="connection refused", sent=False)
LOST = Failure(reason="connection reset", sent=True)
LATE = Failure(reason="read timed out", sent=True, timed_out=True)
DONE = reply({"ok": True})


def test_an_answer_is_returned_as_it_is():
    found, requests, pauses = played(server().asked(READ), [DONE])
    assert found is DONE and requests == [READ] and not pauses


@pytest.mark.parametrize("request_", [READ, ONCE], ids=["read", "once"])
@pytest.mark.parametrize(
    "first",
    [REFUSED, problem(503, "overloaded"), problem(429, "rate_limited"), problem(503, "closed")],
    ids=["refused", "overloaded", "rate-limited", "closed"],
)
def test_what_the_server_has_not_done_is_tried_again(request_, first):
    _, requests, pauses = played(server().asked(request_), [first, first, DONE])
    assert len(requests) == 3
    assert pauses == [0.1, 0.2]


def test_what_it_may_have_done_is_tried_again_only_if_that_changes_nothing():
    _, requests, _ = played(server().asked(READ), [LOST, DONE])
    assert len(requests) == 2
    error, requests, _ = refused(server().asked(ONCE), [LOST])
    assert len(requests) == 1
    assert isinstance(error, ramet.ServerUnavailableError)
    assert "whether the call was carried out is not known" in str(error)


def test_a_time_out_is_not_tried_again():
    error, requests, _ = refused(server().asked(READ), [LATE])
    assert isinstance(error, ramet.ServerTimeoutError) and len(requests) == 1
    assert "timeout_s" in str(error)


def test_the_server_says_how_long_to_wait():
    busy = problem(429, "rate_limited", headers={"retry-after": "7"})
    _, _, pauses = played(server().asked(READ), [busy, busy, DONE])
    assert pauses == [7, 7]


def test_nobody_waits_longer_than_was_said():
    busy = problem(429, "rate_limited", headers={"retry-after": "20"})
    error, requests, pauses = refused(server(wait_s=30).asked(READ), [busy, busy])
    assert isinstance(error, ramet.ServerRefusedError)
    assert (len(requests), pauses) == (2, [20])
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limited", 20)


def test_attempts_are_bounded_and_counted():
    error, requests, pauses = refused(server(retries=3).asked(READ), [REFUSED] * 9)
    assert len(requests) == 4 and pauses == [0.1, 0.2, 0.4]
    assert isinstance(error, ramet.ServerUnavailableError)
    assert str(error).startswith(f"{URL}: nobody answers, in 4 attempts (connection refused)")


def test_pauses_double_up_to_a_limit_and_vary():
    chosen = server(retries=9, wait_s=100)
    _, _, pauses = refused(chosen.asked(READ), [REFUSED] * 20)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    chosen.random = lambda: 0.0
    _, _, pauses = refused(chosen.asked(READ), [REFUSED] * 20)
    assert pauses[:2] == [0.05, 0.1]


def test_another_writer_is_waited_for_as_long_as_the_caller_says():
    busy = problem(503, "writer_busy", headers={"retry-after": "0"})
    found, requests, _ = played(server(retries=0).asked(READ, busy_s=60), [busy] * 5 + [DONE])
    assert found is DONE and len(requests) == 6
    error, requests, _ = refused(server().asked(READ, busy_s=0), [busy] * 5)
    assert isinstance(error, ramet.WriterBusyError) and len(requests) == 1


@pytest.mark.parametrize("code", ["collection_quarantined", "read_only"])
def test_what_does_not_pass_is_not_waited_for(code):
    error, requests, _ = refused(server().asked(READ), [problem(503, code, headers={"retry-after": "30"})])
    assert len(requests) == 1 and isinstance(error, ramet.StorageError)


@pytest.mark.parametrize("code", ["writer_busy", "closed"])
def test_what_was_committed_in_part_is_tried_again_only_if_that_changes_nothing(code):
    partly = problem(503, code, headers={"retry-after": "0"}, partly_done=True)
    assert len(played(server().asked(READ, busy_s=60), [partly, DONE])[1]) == 2
    error, requests, _ = refused(server().asked(ONCE, busy_s=60), [partly])
    assert len(requests) == 1 and error.partly_done is True
    nothing = problem(503, code, headers={"retry-after": "0"})
    assert len(played(server().asked(ONCE, busy_s=60), [nothing, DONE])[1]) == 2


@pytest.mark.parametrize("status", [502, 503])
def test_a_proxy_does_not_say_what_was_done(status):
    page = Reply(status=status, headers={"content-type": "text/plain"}, body=b"reset before headers")
    assert len(played(server().asked(READ), [page, DONE])[1]) == 2
    error, requests, _ = refused(server().asked(ONCE), [page])
    assert isinstance(error, ramet.ServerUnavailableError) and len(requests) == 1


def test_a_gateway_without_a_server_behind_it_is_tried_again():
    bad = Reply(status=502, headers={"content-type": "text/html"}, body=b"<h1>Bad gateway</h1>")
    assert len(played(server().asked(READ), [bad, DONE])[1]) == 2
    error, requests, _ = refused(server().asked(ONCE), [bad])
    assert isinstance(error, ramet.ServerUnavailableError) and len(requests) == 1


def test_a_foreign_answer_is_shown():
    page = Reply(status=404, headers={"content-type": "text/html"}, body=b"<p>Not\nhere</p>")
    error, _, _ = refused(server().asked(READ), [page])
    assert isinstance(error, ramet.ServerResponseError)
    assert "404" in str(error) and "<p>Not here</p>" in str(error) and "Ramet server?" in str(error)


def test_a_redirection_says_where_to():
    moved = Reply(status=308, headers={"location": "https://there/"})
    error, _, _ = refused(server().asked(READ), [moved])
    assert isinstance(error, ramet.ServerResponseError) and "https://there/" in str(error)


@pytest.mark.parametrize("found", [{}, [], {"count": "many"}, {"count": None}], ids=str)
def test_an_answer_without_what_it_should_have_is_no_answer(found):
    operation = server().told(READ, lambda got: int(__import__("json").loads(got.body)["count"]))
    error, _, _ = refused(operation, [reply(found)])
    assert isinstance(error, ramet.ServerResponseError) and URL in str(error)


def test_errors_cross_processes():
    error, _, _ = refused(server().asked(READ), [problem(401, "unauthorized", request_id="r1")])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ramet.ServerRefusedError
    assert str(again) == str(error) and "api_key" in str(again)
    assert (again.status, again.code, again.request_id) == (401, "unauthorized", "r1")
    assert isinstance(again, ServerError)
