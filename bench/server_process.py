"""Servers to be measured: ``ramet serve`` and ``chroma run``, each a process of its own with its defaults."""

import http.client
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import chroma
from bench.child import ROOT, clean_environment

HOST = "127.0.0.1"
START_S = 180.0
STOP_S = 60.0
RAMET_READY = "/readyz"
CHROMA_READY = "/api/v2/heartbeat"


class Serving:
    """A running server. A context manager: the server ends with it.

    Parameters
    ----------
    command : Sequence[str]
        What starts it; ``{port}`` in it is replaced.
    ready : str
        Path that answers 200 when the server is ready.
    log : Path
        File for what it prints.
    environment : Mapping[str, str], optional
        Variables of its own.
    """

    def __init__(
        self, command: Sequence[str], ready: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = _free_port()
        self._log = log
        with log.open("w") as out:
            self._process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in command],
                cwd=ROOT,
                env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait(ready)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Address."""
        return f"http://{HOST}:{self.port}"

    def _wait(self, ready: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.asked("GET", ready)[0] == http.client.OK:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        tail = "\n".join(self._log.read_text("utf8", "replace").strip().splitlines()[-15:])
        raise RuntimeError(f"the server did not start: {' '.join(map(str, self._process.args))}\n{tail}")  # type: ignore[arg-type]

    def asked(self, method: str, path: str, body: bytes = b"", content: str = "application/json") -> tuple[int, bytes]:
        """Ask once, on a connection of its own; return the status and the body of the answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        try:
            connection.request(method, path, body, {"Content-Type": content})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask the server to end, and end it when it does not."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def ramet_server(folder: Path, log: Path, **settings: Any) -> Serving:
    """Start ``ramet serve`` on a database directory; `settings` by the names of the server's own."""
    environment = {f"RAMET_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "ramet.api.cli", "serve", str(folder), "--host", HOST, "--port", "{port}"]
    return Serving(command, RAMET_READY, log, environment)


def chroma_server(folder: Path, log: Path) -> Serving:
    """Start ``chroma run`` on a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    program = chroma.python().with_name("chroma")
    command = [str(program), "run", "--path", str(folder), "--host", HOST, "--port", "{port}"]
    return Serving(command, CHROMA_READY, log, {"ANONYMIZED_TELEMETRY": "False"})


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def emptied(folder: Path) -> Path:
    """Return a folder without anything in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
