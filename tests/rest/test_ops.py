"""Health, readiness, figures, the log, traces: what an operator sees, and what must not be seen there."""

import gc
import io
import json
import re
import shutil
import threading
import weakref

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import ramet
from ramet.api.rest.context import Server
from ramet.api.rest.logs import logger_of
from ramet.api.rest.settings import Settings
from ramet.engine.keys import ALL, Keys


def figures(text):
    """Samples as {(name, labels...): value}."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def collection(data, name="docs", n=20):
    """A collection with some records."""
    with ramet.connect(data) as database:
        docs = database.create_collection(name, dim=4)
        vectors = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
        docs.upsert([str(i) for i in range(n)], vectors)


def test_health(client):
    for path in ("/livez", "/healthz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "collections": 0, "quarantined": []})


def test_a_server_that_starts_or_stops_is_not_ready_but_lives(server, client):
    server.server.ready = False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "not_ready", "1")
    assert client.get("/livez").status_code == 200


def test_a_server_whose_data_went_away_is_not_ready(server, client):
    shutil.rmtree(server.data)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert str(server.data) not in answer.text


def test_figures_count_by_route_and_know_sizes(start, tmp_path):
    collection(tmp_path / "data", n=20)
    with start().client() as client:
        client.get("/livez")
        client.get("/nowhere/secret")
        text = client.get("/metrics").text
    found = figures(text)
    assert found[("ramet_requests_total", "/livez", "200", "GET")] == 1
    assert found[("ramet_requests_total", "(none)", "404", "GET")] == 1
    assert found[("ramet_refusals_total", "not_found")] == 1
    assert found[("ramet_collection_records", "docs")] == 20
    assert found[("ramet_collection_bytes", "catalog.mdb", "docs")] > 0
    assert found[("ramet_collections", "ok")] == 1
    assert found[("ramet_requests_in_flight",)] == 1  # this one
    assert "secret" not in text


def test_figures_are_for_a_key_that_reads_everything(start, tmp_path):
    (tmp_path / "data").mkdir()
    keys = Keys(tmp_path / "data")
    reader, tenant, writer = keys.create(ALL, "read"), keys.create("acme", "read"), keys.create(ALL, "write")
    running = start()
    with running.client() as client:
        assert client.get("/metrics").status_code == 401
    for key, status in ((reader, 200), (tenant, 403), (writer, 403), (reader + "0", 401)):
        with running.client(key) as client:
            assert client.get("/metrics").status_code == status


def test_the_log_has_one_object_a_line_and_no_messages_of_errors():
    out = io.StringIO()
    log = logger_of(Settings(data_dir="."), out)
    try:
        raise ramet.UnknownIdError("acme", ["secret"])
    except ramet.UnknownIdError as error:
        log.error("failed", error=error, n=np.float32(1).item())
    log.debug("unseen")
    (line,) = out.getvalue().splitlines()
    found = json.loads(line)
    assert (found["event"], found["level"], found["error"], found["n"]) == ("failed", "error", "UnknownIdError", 1.0)
    assert re.search(r"test_ops\.py:\d+ test_the_log", found["raised_at"][-1])
    assert "secret" not in line and "acme" not in line


def test_debug_adds_messages_and_console_is_for_people():
    out = io.StringIO()
    logger_of(Settings(data_dir=".", log_level="debug", log_format="console"), out).error(
        "failed", error=ValueError("x")
    )
    assert "failed" in out.getvalue() and "message=x" in out.getvalue().replace(" ", "")


def broken_catalog(data, name):
    """Make a collection that cannot be opened."""
    collection(data, name)
    file = data / name / "catalog.mdb"
    whole = file.read_bytes()
    file.write_bytes(b"\0" * len(whole))
    return file, whole


def test_a_damaged_collection_is_reported_and_the_others_serve(start, tmp_path):
    data = tmp_path / "data"
    collection(data, "sound")
    file, whole = broken_catalog(data, "damaged")

    def opening(app):
        app.add_api_route("/v1/open/{name}", lambda name: app.state.server.opened(name).count(), methods=["GET"])

    running = start(change=opening)
    with running.client() as client:
        assert client.get("/readyz").json() == {"status": "ok", "collections": 2, "quarantined": ["damaged"]}
        assert client.get("/v1/open/sound").json() == 20
        answer = client.get("/v1/open/damaged")
        assert (answer.status_code, answer.json()["code"]) == (503, "collection_quarantined")
        assert answer.headers["retry-after"] == "30"
        assert str(data) not in answer.text
        assert figures(client.get("/metrics").text)[("ramet_collections", "quarantined")] == 1

        file.write_bytes(whole)  # restored: served again at once
        assert client.get("/v1/open/damaged").json() == 20
        assert client.get("/readyz").json()["quarantined"] == []
        assert client.get("/v1/open/none").json()["code"] == "unknown_collection"


def test_damage_found_by_a_request_is_reported_and_the_others_serve(start, tmp_path):
    data = tmp_path / "data"
    for name in ("sound", "damaged"):
        collection(data, name)
    query = {"vector": [1, 0, 0, 0]}
    with start().client() as client:
        assert client.post("/v1/collections/damaged/query", json=query).status_code == 200
        rows = data / "damaged" / "rows.bin"
        with rows.open("r+b") as file:
            file.seek(4096)  # behind the header
            file.write(b"\xff" * (rows.stat().st_size - 4096))
        answer = client.post("/v1/collections/damaged/query", json=query)
        assert (answer.status_code, answer.json()["code"]) == (500, "corrupt")
        answer = client.post("/v1/collections/damaged/query", json=query)
        assert (answer.status_code, answer.json()["code"]) == (503, "collection_quarantined")
        assert client.get("/readyz").json()["quarantined"] == ["damaged"]
        assert client.post("/v1/collections/sound/query", json=query).status_code == 200


def test_what_cannot_be_opened_or_looked_into_stops_nothing_else(start, tmp_path):
    data = tmp_path / "data"
    for name in ("sound", "locked"):
        collection(data, name)
    rows = data / "locked" / "rows.bin"
    rows.unlink()
    rows.symlink_to(rows)  # the system refuses to open it, to root as well
    for name in ("lost+found", "unseen"):
        (data / name).symlink_to("x" * 300)  # and to look into these
    with start().client() as client:
        assert client.get("/readyz").json() == {"status": "ok", "collections": 2, "quarantined": ["locked"]}
        found = {one["name"]: one["status"] for one in client.get("/v1/collections").json()["collections"]}
        assert found == {"sound": "ok", "locked": "quarantined"}
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["sound"]
        answer = client.post("/v1/collections/locked/query", json={"vector": [1, 0, 0, 0]})
        assert (answer.status_code, answer.json()["code"]) == (503, "collection_quarantined")
        assert str(data) not in answer.text


def test_nobody_gets_a_collection_without_the_embedder_that_it_is_to_have(tmp_path):
    collection(tmp_path)
    asked, go = threading.Event(), threading.Event()

    class Slow:
        default = None

        def named(self, name):
            asked.set()
            assert go.wait(60)

    server = Server(Settings(data_dir=tmp_path, log_level="error"))
    server.embedders = Slow()
    opening = threading.Thread(target=server.opened, args=("docs",))
    opening.start()
    assert asked.wait(60)
    assert server.at_hand("docs") is None
    go.set()
    opening.join()
    assert server.at_hand("docs") is not None
    server.database.close()


def test_deleted_collections_are_not_kept(server, client):
    for i in range(3):
        assert client.post("/v1/collections", json={"name": f"c{i}", "dim": 4}).status_code == 201
        assert client.post(f"/v1/collections/c{i}/query", json={"vector": [1, 0, 0, 0]}).status_code == 200
    kept = server.server.opened("c2")
    for name in ("c0", "c1"):
        assert client.delete(f"/v1/collections/{name}").status_code == 204
    gone = weakref.ref(server.server._equipped["c0"])
    server.server.count_reads()
    server.server.count_reads()
    gc.collect()
    assert gone() is None and server.server.at_hand("c2") is kept


def test_a_collection_that_another_process_deleted_is_gone_and_a_new_one_is_new(start, tmp_path):
    data = tmp_path / "data"
    collection(data, n=20)

    def opening(app):
        app.add_api_route("/v1/open/{name}", lambda name: app.state.server.opened(name).count(), methods=["GET"])

    with start(change=opening).client() as client:
        assert client.get("/v1/open/docs").json() == 20
        shutil.rmtree(data / "docs")
        assert client.get("/v1/open/docs").status_code == 404
        collection(data, n=3)
        assert client.get("/v1/open/docs").json() == 3


def test_spans_name_routes_and_statuses_and_no_values(start):
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from ramet.api.rest.tracing import Tracing

    spans = export.InMemorySpanExporter()

    def recorded(app):
        server = app.state.server
        server.tracing = Tracing(server.settings, spans)

    running = start(change=recorded, otel=True)
    with running.client() as client:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        client.get("/livez?tenant=acme", headers={"traceparent": parent})
        client.get("/v1/secret")
        client.get("/readyz")
    running.server.tracing.close()  # sends what waits
    names = {span.name: span for span in spans.get_finished_spans()}
    assert {"GET /livez", "GET (none)"} <= set(names)
    span = names["GET /livez"]
    assert f"{span.context.trace_id:032x}" in parent and f"{span.parent.span_id:016x}" in parent
    assert span.attributes["http.response.status_code"] == 200
    assert "acme" not in str([one.to_json() for one in names.values()])
    assert "secret" not in str([one.to_json() for one in names.values()])


def test_figures_of_stages_and_of_what_searches_read(start, tmp_path):
    data = tmp_path / "data"
    collection(data, n=200)
    running = start()
    with running.client() as client:
        vector = [0.1, 0.2, 0.3, 0.4]
        for _ in range(3):
            assert client.post("/v1/collections/docs/query", json={"vector": vector}).status_code == 200
        answer = client.post("/v1/collections/docs/query", json={"vector": vector, "explain": True})
        read = answer.json()["explanation"]["tenants"][0]
        body = {"ids": ["new"], "vectors": [vector]}
        assert client.post("/v1/collections/docs/records", json=body).status_code == 200
        found = figures(client.get("/metrics").text)
    assert found[("ramet_queries_total", "docs")] == 4
    assert found[("ramet_lists_read_total", "docs")] == 4 * read["lists"]
    assert found[("ramet_rows_read_total", "docs")] == 4 * read["rows_looked_at"]
    assert found[("ramet_bytes_read_total", "docs")] == 4 * (4 * read["rows_looked_at"] + 16 * read["vectors_compared"])
    for stage in ("queue", "search", "commit"):
        assert found[("ramet_stage_seconds_count", stage)] >= 1
    assert found[("ramet_stage_seconds_count", "search")] == 4
    assert found[("ramet_records_written_total", "docs", "upserted")] == 1


def test_a_server_embeds_with_the_models_of_its_settings_and_counts_that(start, tmp_path):
    pytest.importorskip("model2vec")
    from tests.engine.models import static_model

    model = f"static:{static_model(tmp_path / 'model')}"
    running = start(embedders={"docs": model, "narrow": model})
    assert isinstance(running.server.embedder_of("docs"), ramet.TextEmbedder)
    assert running.server.embedder_of("other") is None
    with running.client() as client:
        for name, dim in (("docs", 16), ("narrow", 3)):
            assert client.post("/v1/collections", json={"name": name, "dim": dim}).status_code in {201, 400}
        texts = {"texts": ["the quick brown fox jumps over the lazy dog"], "ids": ["fox"]}
        assert client.post("/v1/collections/docs/texts", json=texts).status_code == 200
        answer = client.post("/v1/collections/docs/query", json={"text": "quick brown fox", "mode": "dense"})
        assert answer.json()["hits"]
        found = figures(client.get("/metrics").text)
    assert found[("ramet_stage_seconds_count", "embed")] >= 2
    assert found[("ramet_tokens_total", "embedded")] > 0
