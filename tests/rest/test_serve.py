"""`ramet serve` as a process: where it listens, how it stops, several processes, what is said when it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import httpx
import pytest

import ramet
from ramet.api.rest.serve import refuse_open
from ramet.api.rest.settings import Settings, load
from ramet.engine.keys import ALL, Keys
from tests.rest.serving import process, serving

ROOT = Path(__file__).resolve().parents[2]


def events(running):
    return [json.loads(line) for line in running.log.read_text("utf-8").splitlines() if line.startswith("{")]


def test_it_serves_says_that_there_is_no_key_and_ends_with_0(tmp_path):
    with process(tmp_path / "data") as running:
        with running.client() as client:
            assert client.get("/livez").json() == {"status": "ok"}
        assert running.stop() == 0
        said = {event["event"]: event for event in events(running)}
        assert said["listening"]["url"] == running.url
        assert "no API key" in said["no_key"]["says"]
        assert {"ready", "request", "stopped"} <= set(said)
        assert said["request"]["route"] in {"/livez", "/readyz"}


def test_interrupting_it_is_a_way_to_stop(tmp_path):
    with process(tmp_path / "data") as running:
        assert running.stop(signal.SIGINT) == 0


def test_several_processes_serve_one_directory_count_together_and_stop(tmp_path):
    with process(tmp_path / "data", "--workers", "2") as running:
        for _ in range(40):  # each on a connection of its own: both processes get some
            assert httpx.get(f"{running.url}/livez", trust_env=False).status_code == 200
        text = httpx.get(f"{running.url}/metrics", trust_env=False).text
        assert 'ramet_requests_total{method="GET",route="/livez",status="200"} 40.0' in text
        assert running.stop() == 0
        pids = {event["pid"] for event in events(running) if event["event"] == "ready"}
        assert len(pids) == 2
        assert sum(event["event"] == "stopped" for event in events(running)) == 2


def test_a_stopping_server_finishes_what_was_begun_and_takes_nothing_new(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def slow(app):
        def work():
            begun.set()
            assert go_on.wait(30)
            return "done"

        app.add_api_route("/v1/slow", work, methods=["GET"])

    answers = []
    with serving(tmp_path / "data", slow) as running:

        def ask():
            with running.client() as client:
                answers.append(client.get("/v1/slow").json())

        asking = threading.Thread(target=ask)
        asking.start()
        assert begun.wait(30)
        stopping = threading.Timer(0.3, go_on.set)
        stopping.start()
        ready = running.server
    asking.join(30)
    assert answers == ["done"]
    assert not ready.ready
    with pytest.raises(httpx.TransportError):
        running.client().get("/livez")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_in_the_middle_of_writes_loses_no_acknowledged_record(tmp_path, workers):
    """What was answered with 200 is there, nothing is half-written, nobody got another error than "try again"."""
    data = tmp_path / "data"
    acknowledged, statuses, broken = [], [], []
    with process(data, "--workers", workers) as running:
        with running.client() as client:
            assert client.post("/v1/collections", json={"name": "docs", "dim": 4}).status_code == 201

        def write(number):
            with running.client() as client:
                for i in range(100_000):
                    name = f"{number}-{i}"
                    body = {"ids": [name], "vectors": [[1.0, number, i, 0.5]]}
                    try:
                        answer = client.post("/v1/collections/docs/records", json=body)
                    except httpx.TransportError as error:
                        broken.append(type(error))
                        return
                    statuses.append(answer.status_code)
                    if answer.status_code == 200:
                        acknowledged.append(name)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) < 50:
            assert time.monotonic() < deadline, (statuses, broken)
            time.sleep(0.01)
        assert running.stop() == 0
        for writer in writers:
            writer.join(60)
    assert set(statuses) <= {200, 503}
    assert len(broken) == len(writers)  # by then nobody listened
    with ramet.connect(data) as database:
        docs = database["docs"]
        assert {record.id for record in docs.get(include=[])} >= set(acknowledged)
        assert docs.verify().ok


def failed(*arguments, **env):
    """Run a command that cannot start; returns the one line that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "ramet.api.cli", "serve", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **env}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_what_cannot_start_says_why_in_one_line(tmp_path):
    data = tmp_path / "data"
    assert "no API key is configured" in failed(data, "--host", "0.0.0.0")
    assert "--workers" in failed(data, "--workers", "0")
    assert "RAMET_DATA_DIR" in failed()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen on" in failed(data, "--port", taken.getsockname()[1])
    assert "there is no folder" in failed(data, "--port", "0", "--embedder", tmp_path / "no-model")
    (tmp_path / "file").write_text("")
    assert "is a file" in failed(tmp_path / "file")


def test_several_processes_that_cannot_start_do_not_try_for_ever(tmp_path):
    with process(tmp_path / "data", "--workers", "2", "--embedder", "static:/no/model", ready=False) as running:
        assert running.process.wait(120) == 2
        assert "the log says why" in running.log.read_text("utf-8").splitlines()[-1]


def test_without_the_packages_it_names_the_extra(tmp_path):
    code = (
        "import sys\nsys.modules['uvicorn'] = None\n"
        "from ramet.api.cli.app import main\nsys.exit(main(['serve', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'ramet: uvicorn is not installed; install it with: pip install "ramet[server]"\n'


def test_without_a_key_only_loopback_is_listened_on(tmp_path):
    def settings(host, **more):
        return Settings(data_dir=tmp_path, host=host, **more)

    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        refuse_open(settings(host), guarded=False)
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.invalid"):
        with pytest.raises(ramet.ArgumentError, match="no API key"):
            refuse_open(settings(host), guarded=False)
        refuse_open(settings(host), guarded=True)
        refuse_open(settings(host, allow_unauthenticated=True), guarded=False)


def test_with_a_key_it_listens_everywhere_and_asks_for_it(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    Keys(data).create(ALL, "read")
    with process(data) as running:
        with running.client() as client:
            assert client.get("/v1/collections").status_code == 401
        assert running.stop() == 0
        said = {event["event"]: event for event in events(running)}
        assert said["listening"]["keys"] is True
        assert "no_key" not in said


def test_the_files_for_deployment_name_what_there_is(tmp_path):
    folder = ROOT / "docs" / "deploy"
    found = tomllib.loads((folder / "ramet.toml").read_text("utf-8"))
    assert load({"data_dir": tmp_path, "config": folder / "ramet.toml"}).workers == found["workers"]
    unit = (folder / "ramet.service").read_text("utf-8")
    assert "ExecStart=/opt/ramet/bin/ramet serve /var/lib/ramet --config /etc/ramet.toml" in unit
    image = (folder / "Dockerfile").read_text("utf-8")
    names = {word.split("=")[0] for word in image.split() if word.startswith("RAMET_")}
    assert names <= {f"RAMET_{name.upper()}" for name in Settings.model_fields}
