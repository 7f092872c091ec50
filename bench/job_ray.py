"""Sharded build jobs on Ray: one worker beside two, a worker that is killed, and four shards beside one collection."""

import os
import shutil
import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import ramet
from bench import job_data
from bench import truth as exact
from bench.job_child import NAME
from bench.job_kill import differing
from bench.job_process import Process
from bench.job_size import Conditions, p50_us
from bench.peers.ramet import id_rows

SHARDS = 4
CPUS = 2
RECALL = 0.95
STAGES = ("split", "shards")
"""The rows are assigned to shards, then to lists in them."""
TASK = b"ray::run_unit"
"""Command line of a process while it runs a unit."""
MIDDLE = 0.4
"""Part of a stage's time after which its worker is killed."""


def missing() -> str | None:
    """Return what to install when Ray is not there."""
    return None if find_spec("ray") else 'ray is not installed: pip install "ramet[ray]"'


def measure(rows: int, given: Conditions) -> list[dict[str, Any]]:
    """Return lines of kinds ``workers`` (one for each number), ``lost`` and ``recall``."""
    path = job_data.file_of(rows, given.data)
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for number in range(given.rounds_of(rows) if given.rounds else 1):
        for workers, several in runs.items():
            several.append(_sharded(path, given.work / f"workers-{workers}", workers, given))
            print(f"  round {number + 1}, {workers} workers: {several[-1]['seconds']:.1f} s", flush=True)
    lines = [_workers(rows, workers, several) for workers, several in runs.items()]
    for name in (*STAGES, "both"):
        lines[1][f"{name}_ratio"] = lines[0][f"{name}_s"] / lines[1][f"{name}_s"]
    same = differing(given.work / "workers-1" / NAME, given.work / "workers-2" / NAME)
    lines[1] |= {"equal": not same, "differ": same}
    lines.append(_lost(path, given, lines[1]))
    return [*lines, _recall(path, given)]


def _job(path: Path, folder: Path, workers: int, given: Conditions) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    options = given.options() | {"shards": SHARDS, "ray": "auto", "workers": workers}
    return {"input": str(path), "folder": str(folder), "options": options, "cpus": CPUS}


def _sharded(path: Path, folder: Path, workers: int, given: Conditions) -> dict[str, Any]:
    with Process("build-job", _job(path, folder, workers, given)) as process:
        return process.result()


def _workers(rows: int, workers: int, several: list[dict[str, Any]]) -> dict[str, Any]:
    spent = {
        one["stage"]: median(
            x["seconds"] for run in several for x in run["report"]["stages"] if x["stage"] == one["stage"]
        )
        for one in several[0]["report"]["stages"]
    }
    return {
        "kind": "workers", "rows": rows, "workers": workers, "cpus": CPUS, "shards": several[0]["report"]["n_shards"],
        "seconds": median(run["seconds"] for run in several), "n_rounds": len(several), "stages": spent,
        **{f"{name}_s": spent[name] for name in STAGES}, "both_s": sum(spent[name] for name in STAGES),
    }  # fmt: skip


def _lost(path: Path, given: Conditions, calm: dict[str, Any]) -> dict[str, Any]:
    """Run the job once more, and kill a worker in the middle of each of the two stages."""
    folder, kills = given.work / "lost", list[dict[str, Any]]()
    with Process("build-job", _job(path, folder, 2, given)) as process:
        for stage in STAGES:
            begun = process.until(lambda event, stage=stage: event["stage"] == stage)  # type: ignore[misc]
            if begun is None:
                break
            time.sleep(MIDDLE * calm[f"{stage}_s"])
            victim = _kill_worker(process)
            process.look()
            kills.append({"stage": stage, "in": process.events[-1]["stage"], "killed": victim is not None})
        found = process.result()
    same = differing(given.work / "workers-2" / NAME, folder / NAME)
    shutil.rmtree(folder)
    print(f"  workers killed: {kills}; {'the same bytes' if not same else f'differ: {same}'}", flush=True)
    return {
        "kind": "lost", "rows": calm["rows"], "kills": kills, "seconds": found["seconds"],
        "lost_s": found["seconds"] - calm["seconds"], "equal": not same, "differ": same,
    }  # fmt: skip


def _kill_worker(process: Process, patience_s: float = 5.0) -> int | None:
    """Kill a process below `process` that runs a unit; None when there is none for a while."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until and process.running():
        for pid in below(process.pid):
            if command_line(pid).startswith(TASK):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return pid
        time.sleep(0.005)
    return None


def below(root: int) -> list[int]:
    """Return the processes that descend from `root`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for one in found:  # grows while it is gone through
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def command_line(pid: int) -> bytes:
    """Return the command line of a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _recall(path: Path, given: Conditions) -> dict[str, Any]:
    """Compare the shards with one collection of the same rows, on queries that are in neither."""
    single = given.work / "single"
    shutil.rmtree(single, ignore_errors=True)
    single.mkdir()
    with Process("build-job", {"input": str(path), "folder": str(single), "options": given.options()}) as process:
        process.result()
    dataset = job_data.dataset(path)
    truth = exact.of_dataset(dataset, job_data.METRIC)
    recalls, latencies = {}, {}
    for name, folder in (("shards", given.work / "workers-2"), ("single", single)):
        with ramet.connect(folder) as database:
            docs = database.collection(NAME)
            found = docs.query(dataset.queries, given.k, recall=RECALL)
            rows = id_rows(found.ids)
            recalls[name] = exact.recall(rows, dataset.base, dataset.queries, job_data.METRIC, truth, given.k)
            latencies[name] = p50_us(docs, dataset.queries, given.k)
    return {
        "kind": "recall", "rows": len(dataset.base), "shards": SHARDS, "target": RECALL,
        "recall_shards": recalls["shards"], "recall_single": recalls["single"],
        "points": 100 * (recalls["single"] - recalls["shards"]),
        "p50_shards_us": latencies["shards"], "p50_single_us": latencies["single"],
    }  # fmt: skip
