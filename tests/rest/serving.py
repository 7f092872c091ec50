"""Real servers for tests: uvicorn on a thread of this process, or `ramet serve` in one of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from ramet.api.rest.app import create_app
from ramet.api.rest.context import Server
from ramet.api.rest.settings import Settings


@dataclass
class Running:
    """A server that answers."""

    url: str
    data: Path
    server: Server | None = None
    """What its requests share, when it runs in this process."""
    process: subprocess.Popen[str] | None = None
    log: Path | None = None
    """What the process wrote to stderr."""

    def client(self, key: str | None = None, **options) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **options)

    def stop(self, signal_number: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(timeout)


def listening() -> socket.socket:
    """A socket on a free port of loopback."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


@contextlib.contextmanager
def serving(data: Path, change=None, **settings) -> Iterator[Running]:
    """A server on a thread. ``change(app)`` may add routes to the application before it starts."""
    app = create_app(Settings(data_dir=data, **{"log_level": "error", "warm": False, **settings}))
    if change is not None:
        change(app)
    found = listening()
    config = uvicorn.Config(app, http="httptools", ws="none", log_config=None, access_log=False, lifespan="on")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([found],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not running.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        yield Running(f"http://127.0.0.1:{found.getsockname()[1]}", data, app.state.server)
    finally:
        running.should_exit = True
        thread.join(60)
        found.close()
        assert not thread.is_alive()


@contextlib.contextmanager
def process(data: Path, *options: str, env: dict[str, str] | None = None, ready: bool = True) -> Iterator[Running]:
    """`ramet serve` in a process of its own; its port is taken from what it says."""
    log = data.with_name(f"{data.name}.log")
    command = [sys.executable, "-m", "ramet.api.cli", "serve", str(data), "--port", "0", *options]
    with log.open("w") as out:
        variables = {**os.environ, "RAMET_WARM": "false", **(env or {})}
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out, env=variables, text=True)
    try:
        yield Running(_address(started, log) if ready else "", data, process=started, log=log)
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def _address(started: subprocess.Popen[str], log: Path) -> str:
    """Where a process says that it listens, once it is ready."""
    deadline = time.monotonic() + 240  # kernels may have to be compiled
    while time.monotonic() < deadline:
        said = log.read_text("utf-8")
        assert started.poll() is None, said
        if found := re.search(r"http://127\.0\.0\.1:\d+", said):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{found[0]}/readyz", trust_env=False).status_code == 200:
                    return found[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text("utf-8"))
