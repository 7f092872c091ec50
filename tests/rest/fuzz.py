"""Attack a real server with schemathesis: all phases, over the whole schema, without keys and with several.

usage: python -m tests.rest.fuzz [--examples N] [--seed N] [--as open,admin,tenant] [--out DIR]

Starts a server process for every run, fills it, attacks it and stops it; ends with 1 if anything was found. Reports are
in the directory of --out: one text and one JSON file each, and the log of the server.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from ramet.engine.keys import ALL, Keys
from tests.engine.models import static_model
from tests.rest.serving import Running, process

HERE = Path(__file__).resolve().parent  # schemathesis imports fuzz_hooks from the folder two above
DIM = 3
PHASES = "examples,coverage,fuzzing,stateful"


@dataclass(frozen=True)
class Attacker:
    """Who sends the requests."""

    tenants: object
    rights: tuple[str, ...]

    def key(self, data: Path) -> str | None:
        return None if self.tenants is None else Keys(data).create(self.tenants, self.rights)


ATTACKERS = {
    "open": Attacker(None, ()),  # a server without keys
    "admin": Attacker(ALL, ("read", "write", "admin")),
    "tenant": Attacker({"acme"}, ("read", "write")),
}


@dataclass(frozen=True)
class Outcome:
    """What schemathesis found."""

    code: int
    operations: int
    cases: int
    failures: int
    text: str


@contextlib.contextmanager
def target(folder: Path, **env: str) -> Iterator[Running]:
    """A server process that has what the examples of the schema speak of."""
    data = folder / "data"
    data.mkdir()
    model = static_model(folder / "model", dim=DIM)
    settings = {"RAMET_EMBEDDER": f"static:{model}", "RAMET_WARM": "true", **env}
    with process(data, env=settings) as running:
        fill(running)
        yield running


def fill(running: Running, key: str | None = None) -> None:
    """The collection of the examples, with records of two tenants; what is gone of it is put back."""
    with running.client(key) as client:
        collection = {"name": "books", "dim": DIM, "exist_ok": True}
        client.post("/v1/collections", json=collection).raise_for_status()
        records = "/v1/collections/books/records"
        body = {
            "ids": ["b1", "b2", "b3"],
            "vectors": [[0.1, 0.9, 0.2], [0.8, 0.1, 0.3], None],
            "documents": ["A book about rivers.", "A book about mountains.", "No vector."],
            "metadata": [{"year": 1999}, {"year": 2021, "tags": ["snow"]}, None],
        }
        for tenant in ("default", "acme"):
            client.post(records, json={**body, "tenant": tenant}).raise_for_status()


@contextlib.contextmanager
def kept(running: Running, guarded: bool) -> Iterator[None]:
    """While the block runs, put back what attacks delete, so that later ones find something."""
    key = Keys(running.data).create(ALL, ("read", "write", "admin")) if guarded else None
    done = threading.Event()

    def keep() -> None:
        while not done.wait(1):
            with contextlib.suppress(httpx.HTTPError):
                fill(running, key)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def attack(running: Running, key: str | None, *, examples: int, seed: int, out: Path, phases: str = PHASES,
           options: tuple[str, ...] = ()) -> Outcome:  # fmt: skip
    """Run schemathesis against a server."""
    out.mkdir(parents=True, exist_ok=True)
    report = out.resolve() / "report.json"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
        "run", f"{running.url}/openapi.json", "--checks", "all", "--phases", phases, "--max-examples", str(examples),
        "--seed", str(seed), "--continue-on-failure", "--request-timeout", "60", "--report", "json",
        "--report-json-path", str(report), "--generation-database", "none", "--warnings", "off",
    ]  # fmt: skip
    # On a server without keys everybody may do everything, as docs/keys.md says.
    command += ["--exclude-checks", "ignored_auth"] if key is None else ["--header", f"Authorization: Bearer {key}"]
    with kept(running, key is not None):
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            cwd=HERE.parents[1],
            env={**os.environ, "NO_COLOR": "1"},
        )
    text = done.stdout + done.stderr
    (out / "report.txt").write_text(text, "utf-8")
    return outcome(done.returncode, json.loads(report.read_text("utf-8")) if report.exists() else {}, text)


def outcome(code: int, report: dict, text: str) -> Outcome:
    """The figures of a report."""
    operations, cases = report.get("operations", {}), report.get("test_cases", {})
    n_errors = sum(one["count"] for one in report.get("errors", []))
    n_failures = cases.get("unique_failures", 0) + n_errors
    return Outcome(code, operations.get("tested", 0), cases.get("generated", 0), n_failures, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100, help="random requests of each operation and phase")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--as", dest="attackers", default=",".join(ATTACKERS), help="open, admin, tenant")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--phases", default=PHASES)
    parser.add_argument("--chains", type=int, default=60, help="seconds of chains of requests by links, at the end")
    asked, options = parser.parse_known_args()
    runs = [("all", asked.phases, ())]
    if asked.chains:
        runs.append(("chains", "stateful", ("--max-time", str(asked.chains))))
    failed = 0
    for name in asked.attackers.split(","):
        with tempfile.TemporaryDirectory() as folder, target(Path(folder)) as running:
            key = ATTACKERS[name].key(running.data)
            for run, phases, more in runs:
                begin, out = time.perf_counter(), asked.out / name / run
                found = attack(
                    running, key, examples=asked.examples, seed=asked.seed, out=out, phases=phases,
                    options=(*more, *options),
                )  # fmt: skip
                print(
                    f"{name}, {run}: {found.operations} operations, {found.cases} requests, {found.failures} failures, "
                    f"{time.perf_counter() - begin:.0f} s, seed {asked.seed}", flush=True,
                )  # fmt: skip
                if found.code:
                    failed = 1
                    print(found.text)
            (asked.out / name / "server.log").write_text(running.log.read_text("utf-8"), "utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
