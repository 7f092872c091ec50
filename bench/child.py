"""Work that needs a process of its own: builds (peak memory), memory of an open index, cold queries, start-up.

``run`` starts ``python -m bench.child JOB`` and returns what the job's function returned. Only the standard library
is imported at the top of this file: what a child has imported is part of what is measured.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    command = [sys.executable, "-m", "bench.child", json.dumps({"kind": kind, **job})]
    return _result_of(command, extra_environment)


def run_script(script: str, *arguments: str) -> dict[str, Any]:
    """Run `script` with ``python -c`` in a fresh process; it must call ``report(dict)`` once, which is returned."""
    prelude = f"import json\ndef report(facts):\n    print({_MARK!r} + json.dumps(facts))\n"
    return _result_of([sys.executable, "-c", prelude + script, *arguments], None)


def _result_of(command: list[str], extra_environment: Mapping[str, str] | None) -> dict[str, Any]:
    environment = clean_environment(extra_environment)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not lines:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise RuntimeError(f"child process ended with status {done.returncode}: {' '.join(command)[:300]}\n{tail}")
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    return result


def main(argument: str) -> None:
    """Run the job in `argument` (JSON) and print its result."""
    job = json.loads(argument)
    module, function = JOBS[job["kind"]].split(":")
    result = getattr(importlib.import_module(module), function)(job)
    print(_MARK + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
