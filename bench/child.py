"""Work that needs a process of its own: builds (peak memory), memory of an open index, cold queries, start-up.

``run`` starts ``python -m bench.child JOB`` and returns what the job's function returned; `Beside` starts it and goes
on, and the two talk in lines of JSON. Only the standard library is imported at the top of this file: what a child has
imported is part of what is measured.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent

# OPENBLAS_CORETYPE forces one BLAS kernel on every machine, so figures would not be the machine's own.
# PYTHONDONTWRITEBYTECODE would make every child compile the package again; a user's second start does not.
# PYTHONSAFEPATH hides the repository root, from which `-m bench.child` is run.
UNSET = ("OPENBLAS_CORETYPE", "PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH")

_MARK = "@@result "  # results share stdout with whatever the libraries print

# kind of job -> "module:function" taking the job and returning something JSON can hold
JOBS = {
    "build": "bench.building:build_job",
    "memory": "bench.memory:memory_job",
    "answers": "bench.cold:answers_job",
    "cold": "bench.cold:cold_job",
    "load-tenants": "bench.live:load_job",
    "build-filters": "bench.peers.filter_ramet:build_job",
    "tenant-memory": "bench.tenant_space:memory_job",
    "revoked": "bench.sharing:reader_job",
    "churn-reader": "bench.churn_reader:reader_job",
    "server-driver": "bench.load_driver:driver_job",
    "server-embedded": "bench.server_embedded:embedded_job",
    "server-ingest": "bench.server_ingest:ingest_job",
    "build-job": "bench.job_child:job_job",
    "build-in-memory": "bench.job_child:memory_build_job",
    "warm-up-jobs": "bench.job_child:warm_up_job",
}


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without `UNSET`, plus `extra`."""
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    return environment | dict(extra or {})


def run(kind: str, job: Mapping[str, Any], extra_environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run one job in a fresh child process.

    Parameters
    ----------
    kind : str
        Key of `JOBS`.
    job : Mapping[str, Any]
        Arguments of the job, JSON-able.
    extra_environment : Mapping[str, str], optional
        Environment variables to set in the child.

    Returns
    -------
    dict[str, Any]
        What the job returned.

    Raises
    ------
    RuntimeError
        When the child failed; the message ends with the last lines of its error output.
    """
    return _result_of(command_of(kind, job), extra_environment)


def command_of(kind: str, job: Mapping[str, Any]) -> list[str]:
    """Return the command line that runs a job."""
    return [sys.executable, "-m", "bench.child", json.dumps({"kind": kind, **job})]


def run_script(script: str, *arguments: str) -> dict[str, Any]:
    """Run `script` with ``python -c`` in a fresh process; it must call ``report(dict)`` once, which is returned."""
    prelude = f"import json\ndef report(facts):\n    print({_MARK!r} + json.dumps(facts))\n"
    return _result_of([sys.executable, "-c", prelude + script, *arguments], None)


def _result_of(command: list[str], extra_environment: Mapping[str, str] | None) -> dict[str, Any]:
    environment = clean_environment(extra_environment)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return result_in(done.stdout, done.stderr, done.returncode, " ".join(command)[:300])


def result_in(out: str, errors: str, status: int, called: str = "a job") -> dict[str, Any]:
    """Return what a job reported, from what its process wrote.

    Raises
    ------
    RuntimeError
        When it failed.
    """
    lines = [line for line in out.splitlines() if line.startswith(_MARK)]
    if status != 0 or not lines:
        tail = "\n".join(errors.strip().splitlines()[-15:])
        raise RuntimeError(f"child process ended with status {status}: {called}\n{tail}")
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    return result


class Beside:
    """A job in a process that goes on beside this one. A context manager: the job ends when its input does."""

    def __init__(
        self, kind: str = "", job: Mapping[str, Any] | None = None, *, command: list[str] | None = None
    ) -> None:
        """Start a job by its kind, or `command`, which talks in the same way."""
        self._errors = tempfile.TemporaryFile("w+")  # a pipe that nobody empties would stop the child
        self._process = subprocess.Popen(
            command or command_of(kind, job or {}),
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the job, by force when it does not end by itself."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def send(self, message: Any) -> None:
        """Send one JSON-able message, which the job reads as a line of its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for the job's next `reply`, or its result.

        Raises
        ------
        RuntimeError
            When the job has ended.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_MARK):
                return json.loads(line.removeprefix(_MARK))
        self._process.wait()
        self._errors.seek(0)
        tail = "\n".join(self._errors.read().strip().splitlines()[-15:])
        raise RuntimeError(f"child process ended with status {self._process.returncode}\n{tail}")

    def ask(self, message: Any) -> Any:
        """Send a message and wait for the reply."""
        self.send(message)
        return self.receive()


def reply(message: Any) -> None:
    """In a job: send one JSON-able message to the process that started it."""
    print(_MARK + json.dumps(message), flush=True)


def main(argument: str) -> None:
    """Run the job in `argument` (JSON) and print its result."""
    job = json.loads(argument)
    module, function = JOBS[job["kind"]].split(":")
    reply(getattr(importlib.import_module(module), function)(job))


if __name__ == "__main__":
    main(sys.argv[1])
