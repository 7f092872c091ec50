"""Calls that are larger than a request may be: how they are divided, and what holds for them as a whole."""

import json

import numpy as np
import pytest

import ramet
from ramet.api.client.described import Calls
from ramet.api.client.messages import NPY, Failure
from ramet.api.client.values import vectors_and_rest
from tests.client.answering import facts, played, problem, refused, reply, server


def calls(**options):
    return Calls(server(**options), facts())


def upsert(chosen, n, **options):
    vectors = np.arange(1, 4 * n + 1, dtype=np.float32).reshape(n, 4)
    named = {"documents": None, "metadata": None, "tenant": None, "on_conflict": "replace", "timeout_s": 1.0}
    return chosen.upsert([str(i) for i in range(n)], vectors, **{**named, **options})


def stored(requests):
    """Ids of each request, after a check that the vectors are theirs."""
    found = []
    for request in requests:
        vectors, rest = vectors_and_rest(request.body)
        assert vectors.tolist() == [[4 * int(i) + j for j in range(1, 5)] for i in rest["ids"]]
        found.append(rest["ids"])
    return found


def counted(request):
    _, rest = vectors_and_rest(request.body)
    return reply({"inserted": len(rest["ids"]), "replaced": 0, "skipped": 0})


def test_a_call_that_fits_is_one_request():
    report, requests, _ = played(upsert(calls(), 10), counted)
    assert report == ramet.UpsertReport(n_inserted=10, n_replaced=0, n_skipped=0)
    (request,) = requests
    assert (request.method, request.path, request.content_type) == ("POST", "/v1/collections/c/records", NPY)


def test_records_are_divided_by_their_number():
    report, requests, _ = played(upsert(calls(max_records=4), 10), counted)
    assert stored(requests) == [list("0123"), list("4567"), list("89")]
    assert report.n_inserted == 10


def test_records_are_divided_by_their_bytes():
    texts = ["x" * 500] * 10
    report, requests, _ = played(upsert(calls(max_bytes=2000), 10, documents=texts), counted)
    assert all(len(request.body) <= 2000 for request in requests)
    assert [i for ids in stored(requests) for i in ids] == list("0123456789")
    assert report.n_inserted == 10


def test_a_server_that_takes_less_is_believed_and_remembered():
    chosen = calls()

    def stingy(request):
        return counted(request) if len(request.body) <= 400 else problem(413, "body_too_large")

    report, requests, _ = played(upsert(chosen, 30), stingy)
    assert report.n_inserted == 30
    taken = [request for request in requests if len(request.body) <= 400]
    assert [i for ids in stored(taken) for i in ids] == [str(i) for i in range(30)]
    _, requests, _ = played(upsert(chosen, 10), stingy)
    assert all(len(request.body) <= 400 for request in requests)


def test_one_record_that_is_too_large_is_refused():
    error, requests, _ = refused(upsert(calls(), 1), [problem(413, "body_too_large", "at most 64 MiB")])
    assert isinstance(error, ramet.ServerRefusedError) and len(requests) == 1
    assert "at most 64 MiB" in str(error)


def test_tenants_and_metadata_stay_with_their_records():
    tenants = [f"t{i % 3}" for i in range(7)]
    fields = [{"n": i} for i in range(7)]
    _, requests, _ = played(upsert(calls(max_records=3), 7, tenant=tenants, metadata=fields), counted)
    rests = [vectors_and_rest(request.body)[1] for request in requests]
    assert [one for rest in rests for one in rest["tenant"]] == tenants
    assert [one for rest in rests for one in rest["metadata"]] == fields


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"documents": ["x"] * 9 + [3]}, "documents[9]"),
        ({"metadata": [None] * 9 + [{"x": {}}]}, "metadata[9]['x']"),
        ({"tenant": ["t"] * 9 + [""]}, "tenant[9]"),
    ],
)
def test_a_wrong_argument_anywhere_leaves_nothing_sent(change, argument):
    with pytest.raises(ramet.ArgumentError) as caught:
        played(upsert(calls(max_records=4), 10, **change), [])
    assert caught.value.argument == argument


def test_a_wrong_vector_in_a_later_request_leaves_nothing_sent():
    vectors = np.ones((10, 4), np.float32)
    vectors[8] = np.nan
    named = {"documents": None, "metadata": None, "tenant": None, "on_conflict": "replace", "timeout_s": 1.0}
    operation = calls(max_records=4).upsert([str(i) for i in range(10)], vectors, **named)
    error, requests, _ = refused(operation, [])
    assert isinstance(error, ramet.ArgumentError) and "row 8" in str(error) and not requests


def test_an_error_in_the_middle_says_what_was_written():
    answers = [reply({"inserted": 4, "replaced": 0, "skipped": 0}), problem(507, "storage_full", "no room")]
    error, _, _ = refused(upsert(calls(max_records=4), 10), answers)
    assert isinstance(error, ramet.StorageFullError)
    assert error.__notes__ == ["the first 4 of 10 of this call were written before, in requests of their own"]


def test_only_what_may_be_sent_twice_is():
    lost = Failure(reason="reset", sent=True)
    again = reply({"inserted": 0, "replaced": 1, "skipped": 0})
    _, requests, _ = played(upsert(calls(), 1), [lost, again])
    assert len(requests) == 2
    error, requests, _ = refused(upsert(calls(), 1, on_conflict="error"), [lost])
    assert isinstance(error, ramet.ServerUnavailableError) and len(requests) == 1


def test_texts_without_ids_get_the_same_ones_in_every_attempt():
    bodies = []

    def added(request):
        bodies.append(json.loads(request.body))
        if len(bodies) == 1:
            return Failure(reason="reset", sent=True)
        n = len(bodies[-1]["texts"])
        return reply(
            {"ids": bodies[-1]["ids"], "documents": n, "skipped": 0, "chunks": n, "replaced": 0, "tokens": 5 * n}
        )

    named = {"metadata": None, "tenant": None, "on_conflict": "replace", "timeout_s": 1.0}
    options = {"chunk_tokens": None, "overlap": 0, "token_codes": "auto"}
    report, _, _ = played(calls().add_texts([f"text {i}" for i in range(200)], None, **named, **options), added)
    assert bodies[0] == bodies[1]
    assert [one for body in bodies[1:] for one in body["ids"]] == report.ids
    assert (report.n_documents, report.n_chunks, report.n_tokens) == (200, 200, 1000)
    assert max(len(body["texts"]) for body in bodies) <= 128


def test_a_wrong_document_in_a_later_request_leaves_nothing_sent():
    named = {"tenant": None, "on_conflict": "replace", "timeout_s": 1.0}
    options = {"chunk_tokens": None, "overlap": 0, "token_codes": "auto"}
    fields = [None] * 199 + [{"_document": "x"}]
    operation = calls().add_texts(["text"] * 200, None, metadata=fields, **named, **options)
    error, requests, _ = refused(operation, [])
    assert isinstance(error, ramet.ArgumentError) and error.argument == "metadata[199]" and not requests


def test_what_the_server_embeds_is_sent_in_small_parts():
    embedding = Calls(server(), facts(embedder="some model"))
    named = {"metadata": None, "tenant": None, "on_conflict": "replace", "timeout_s": 1.0}

    def counted(request):
        return reply({"inserted": len(json.loads(request.body)["ids"]), "replaced": 0, "skipped": 0})

    ids = [str(i) for i in range(300)]
    report, requests, _ = played(embedding.upsert(ids, None, documents=["text"] * 300, **named), counted)
    assert report.n_inserted == 300 and len(requests) == 3
    assert len(played(calls().upsert(ids, None, documents=["text"] * 300, **named), counted)[1]) == 1


def test_a_batch_of_queries_is_divided_and_put_together():
    def found(request):
        vectors, _ = vectors_and_rest(request.body)
        hits = [
            [{"id": str(i), "distance": float(i), "score": 1.0 - i} for i in range(int(vector[0]))]
            for vector in vectors
        ]
        return reply({"results": [{"hits": one} for one in hits]})

    queries = np.array([[n, 1, 1, 1] for n in (2, 0, 3, 1, 5)], np.float32)
    chosen = calls(max_queries=2)
    named = {name: None for name in ("text", "mode", "where", "recall", "nprobe", "prune", "include", "tenant")}
    flags = {name: False for name in ("exact", "with_vectors", "explain", "check")}
    hits, requests, _ = played(chosen.query(queries, 9, **named, **flags, fusion="rrf", alpha=0.5), found)
    assert len(requests) == 3
    assert [len(ids) for ids in hits.ids] == [2, 0, 3, 1, 5]
    assert hits.batch and hits.distances.shape == (5, 5)
    assert hits.distances[3].tolist() == [0.0] + [np.inf] * 4
    assert hits[2].scores.tolist() == [1.0, 0.0, -1.0]


def test_pages_are_followed_to_the_end():
    pages = {
        None: (["a", "b"], "1"),
        "1": (["c"], "2"),
        "2": ([], None),
    }

    def page(request):
        body = json.loads(request.body)
        ids, cursor = pages[body.get("cursor")]
        return reply({"records": [{"id": one, "tenant": "default"} for one in ids], "cursor": cursor})

    records, requests, _ = played(calls().get(include=[]), page)
    assert [one.id for one in records] == ["a", "b", "c"] and records.cursor is None
    assert len(requests) == 3
    records, requests, _ = played(calls().get(include=[], limit=3), page)
    assert [one.id for one in records] == ["a", "b", "c"] and records.cursor == "2"
    assert [json.loads(one.body)["limit"] for one in requests] == [3, 1]


PARTLY = problem(503, "writer_busy", headers={"retry-after": "0"}, partly_done=True)


@pytest.mark.parametrize(("on_conflict", "again"), [("replace", True), ("skip", True), ("error", False)])
def test_a_write_that_was_committed_in_part_is_repeated_if_that_is_safe(on_conflict, again):
    answers = [PARTLY, reply({"inserted": 2, "replaced": 8, "skipped": 0})]
    operation = upsert(calls(), 10, on_conflict=on_conflict, timeout_s=60.0)
    if again:
        report, requests, _ = played(operation, answers)
        assert len(requests) == 2 and report.n_replaced == 8
    else:
        error, requests, _ = refused(operation, answers)
        assert len(requests) == 1 and isinstance(error, ramet.WriterBusyError) and error.partly_done


def test_deleting_by_a_filter_is_not_repeated_once_something_was_deleted():
    def delete():
        return calls().delete(None, where={"year": 1999}, tenant=None, timeout_s=60.0)

    assert len(refused(delete(), [PARTLY])[1]) == 1
    assert len(refused(delete(), [Failure(reason="reset", sent=True)])[1]) == 1
    busy = problem(503, "writer_busy", headers={"retry-after": "0"})
    assert played(delete(), [busy, reply({"deleted": 3})])[0] == 3


def test_requests_before_the_one_that_failed_count_as_done():
    stored = reply({"inserted": 4, "replaced": 0, "skipped": 0})
    error, requests, _ = refused(upsert(calls(max_records=4), 10), [stored, problem(507, "storage_full")])
    assert len(requests) == 2 and isinstance(error, ramet.StorageFullError) and error.partly_done
