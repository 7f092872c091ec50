"""``bench server`` on tiny data, with real processes: what the driver counts, and what is written."""

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench import chroma, cpu_clock, load_driver, records, server_bodies, server_readme, server_requests, server_summary
from bench.__main__ import main
from bench.commands import readme
from bench.datasets import cache_dir

OPTIONS = ["--rounds", "1", "--seconds", "0.6", "--warm", "0.1", "--in-flight", "6", "--limit", "4"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A tiny data set under the name of a real one."""
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 16)) * 3
    vectors = (centres[rng.integers(0, 20, 4_000)] + rng.standard_normal((4_000, 16))).astype(np.float32)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "glove50.npy", vectors)
    return tmp_path / "data"


@pytest.fixture
def answering():
    """``answering(reply)`` starts a server on a thread that answers ``reply(number, body)``; None closes; -> port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []

    def begin(reply):
        count = [0]

        async def serve(reader, writer):
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
                    count[0] += 1
                    answer = reply(count[0], body)
                    if answer is None:
                        break
                    # in two pieces, as a network may deliver it
                    writer.write(answer[:20])
                    await writer.drain()
                    await asyncio.sleep(0.001)
                    writer.write(answer[20:])
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result(10)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield begin
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    pending = asyncio.run_coroutine_threadsafe(_ended(), loop)
    pending.result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


async def _ended():
    """Let what still runs on this loop end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def answer(body, status=b"200 OK", more=b""):
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n" % len(body) + more + b"\r\n" + body


def asked(n):
    return [server_requests.request("/x", b'{"n":%d}' % number) for number in range(n)]


def load(port, **more):
    options = {"host": "127.0.0.1", "port": port, "requests": asked(5), "in_flight": 3, "warm_s": 0.1, "seconds": 1.0}
    return load_driver.run(load_driver.Load(**{**options, **more}))


def test_requests_are_sent_in_turns_and_answers_kept(answering):
    running, figures = load(answering(lambda number, body: answer(body)), server=os.getpid())
    assert set(figures["statuses"]) == {"200"}
    assert {number: json.loads(body)["n"] for number, body in running.answers.items()} == {n: n for n in range(5)}
    n = len(running.latencies)
    assert n == sum(figures["per_second"]) == pytest.approx(figures["requests_per_s"])
    assert n <= figures["statuses"]["200"] and min(running.latencies) > 1_000_000
    assert 0 < figures["driver_cpu_s"] < 3 and figures["server_cpu_s"] > 0


def test_all_requests_are_waited_for(answering):
    arrived = []
    running, figures = load(answering(lambda number, body: arrived.append(number) or answer(body)), in_flight=2)
    assert sum(figures["statuses"].values()) == len(arrived)  # every request that arrived was waited for
    assert len(running.answers) == 5


def test_refusals_errors_and_closed_connections_are_counted_apart(answering):
    def reply(number, body):
        if number % 10 == 0:
            return None
        if number % 10 == 1:
            return answer(b"{}", b"503 Service Unavailable", b"Retry-After: 0\r\n")
        if number % 10 == 2:
            return answer(b"broken", b"500 Internal Server Error")
        return answer(body)

    running, figures = load(answering(reply))
    counts = figures["statuses"]
    assert set(counts) == {"200", "503", "500", load_driver.CLOSED}
    assert counts["200"] > counts["503"] > 1 and counts[load_driver.CLOSED] > 1
    assert "broken" in figures["samples"][0]
    assert all(body != b"broken" for body in running.answers.values())


def test_refused_clients_wait_when_they_are_told_to(answering):
    _, figures = load(
        answering(lambda number, body: answer(b"", b"503 Service Unavailable", b"Retry-After: 30\r\n")), wait=True,
        timeout_s=0.2,
    )  # fmt: skip
    assert figures["statuses"] == {"503": 3}  # each of the three, once


def test_what_is_never_answered_is_counted(answering):
    def reply(number, body):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"

    _, figures = load(answering(reply), timeout_s=0.2)
    assert figures["statuses"] == {load_driver.UNANSWERED: 3}


def test_parts_are_read_as_they_were_written(tmp_path):
    parts = [b"", b"abc", b"", b"\x00\xff" * 1000, b""]
    load_driver.write_parts(tmp_path / "parts.npz", parts)
    assert load_driver.read_parts(tmp_path / "parts.npz") == parts
    load_driver.write_parts(tmp_path / "parts.npz", [])
    assert load_driver.read_parts(tmp_path / "parts.npz") == []


def test_rows_are_read_from_answers_of_both_servers():
    one = json.dumps({"hits": [{"id": "3"}, {"id": "1"}]}).encode()
    two = json.dumps({"results": [{"hits": [{"id": "7"}]}, {"hits": []}]}).encode()
    assert server_requests.ramet_rows([one, two], 3).tolist() == [[3, 1, -1], [7, -1, -1], [-1, -1, -1]]
    assert server_requests.chroma_rows([json.dumps({"ids": [["5", "2"]]}).encode()], 2).tolist() == [[5, 2]]


def test_floats_have_the_digits_of_float32():
    values = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    written = json.dumps(server_requests.floats(values))
    assert np.array(json.loads(written), np.float32).tobytes() == values.tobytes()
    assert len(written) < 0.7 * len(json.dumps(values.tolist()))


def test_the_clock_of_a_process_runs_with_its_work():
    before = cpu_clock.seconds(os.getpid())
    assert before == pytest.approx(time.process_time(), abs=0.5)
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass
    assert cpu_clock.seconds(os.getpid()) - before >= 0.05


def run(data, out, *more):
    common = ["--dataset", "glove50", "--data", str(data), "--rows", "2500", "--out", str(out)]
    assert main(["server", *common, *OPTIONS, *more]) == 0
    return {path.name: path for path in out.iterdir()}


def test_load_and_overload_are_measured(data, tmp_path, capsys):
    written = run(data, tmp_path / "out", "--parts", "load,overload")
    assert set(written) == {
        "server-load-glove50-2500-cosine.jsonl", "server-overload-glove50-2500-cosine.jsonl",
        "server-glove50-2500-cosine.png",
    }  # fmt: skip
    embedded, *asked = records.read(written["server-load-glove50-2500-cosine.jsonl"])
    assert embedded["contender"] == "ramet, embedded" and embedded["recall"] > 0.9
    assert [line["form"] for line in asked] == ["json", "binary", "binary, 64 a request"]
    for line in asked:
        assert line["errors"] == 0 and set(line["statuses"]) == {"200"}, line
        assert line["recall"] > 0.9 and 0 < line["p50_us"] <= line["p99_us"]
        assert line["share"] == pytest.approx(line["qps"] / embedded["qps"], rel=1e-4)
        assert 0 < line["server_cores"] and 0 < line["driver_cores"] <= 1.1
        assert "share" in line["together"]
    for line in records.read(written["server-overload-glove50-2500-cosine.jsonl"]):
        assert (line["limit"], line["in_flight"]) == (4, 8)
        assert line["answered"] > 0 and line["refused_503"] > 0 and line["other"] == 0
    assert "of the embedded batch" in capsys.readouterr().out


def test_bodies_are_measured_and_hold_the_same_vectors(tmp_path):
    lines = server_bodies.measure(tmp_path, rounds=1, n=30, dim=12)
    assert len(lines) == len(server_bodies.CALLS) * len(server_bodies.FORMS)
    for line in lines:
        assert 0 < line["client_s"] < line["seconds"] and line["bytes"] > 30 * 12 * 4
    text = server_summary.text("bodies", lines)
    assert "times faster than json" in text and "upsert, replaced" in text


def test_a_chroma_server_is_measured_beside(data, tmp_path, monkeypatch):
    made = Path.home() / ".cache" / "ramet-bench" / "environments"
    if not (made / f"chromadb-{chroma.VERSION}" / "installed").exists():
        pytest.skip("there is no environment with Chroma; `python -m bench server --parts prepare` makes one")
    cache_dir().joinpath("environments").symlink_to(made)
    written = run(data, tmp_path / "out", "--parts", "chroma", "--ingest-rows", "1500")
    lines = records.read(written["server-chroma-glove50-2500-cosine.jsonl"])
    stored = [line for line in lines if line["kind"] == "ingest"]
    assert [line["contender"] for line in stored] == ["ramet", "chroma"]
    assert all(set(line["stored"]) == {1500} for line in stored)
    asked = [line for line in lines if line["kind"] == "queries"]
    assert [line["contender"] for line in asked] == ["ramet", "chroma"] * 2
    assert all(line["errors"] == 0 and line["recall"] > 0.9 for line in asked)
    assert asked[-1]["setting"] == "ef=400" and asked[-1]["load_s"] > 0


def test_unknown_parts_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="nosuch"):
        run(data, tmp_path / "out", "--parts", "load,nosuch")


def test_targets_are_judged():
    line = {"form": "json", "share": 0.6, "p99_over_p50": 2.0, "errors": 0, "seconds": 60}
    assert all(said.startswith("  met") for said in server_summary.targets("load", [line]))
    line |= {"share": 0.4, "p99_over_p50": 6.0, "errors": 1}
    assert all(said.startswith("  MISSED") for said in server_summary.targets("load", [line]))
    ours = {"kind": "queries", "contender": "ramet", "qps": 600.0, "recall": 0.96}
    theirs = {"kind": "queries", "contender": "chroma", "setting": "ef=100", "qps": 100.0, "recall": 0.95}
    assert server_summary.targets("chroma", [ours, theirs])[0].startswith("  met")
    assert server_summary.targets("chroma", [ours, theirs | {"recall": 0.97}])[0].startswith("  MISSED")


def test_small_runs_stay_out_of_the_readme(tmp_path):
    assert readme.server_readme.block(tmp_path) == server_readme.NONE
    records.write(tmp_path / "server-load-x.jsonl", [{"rows": 2_500}])
    assert server_readme.block(tmp_path) == server_readme.NONE
