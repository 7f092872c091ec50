"""Build jobs of growing size under a memory cap, beside the build in memory."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ramet
from bench import child, curves, job_data, memory
from bench import truth as exact
from bench.cgroup import MemoryGroup
from bench.job_child import NAME
from bench.job_process import Process, Sampler
from bench.peers.base import disk_bytes
from bench.summary import at_recall

IN_MEMORY_ROWS = 1_000_000
"""Up to here the build in memory is measured too, and every record of the collection is verified."""
FEW_ROWS, FEW_ROUNDS = 1_000_000, 3
"""Below, rounds are short, and several are made."""
TARGET = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How jobs are run."""

    work: Path
    """Folder on the disk that is measured."""
    data: Path | None
    """Where input files may be."""
    memory: int
    """Bytes that jobs may take."""
    cap: int
    """Bytes at which the kernel kills."""
    workers: int
    rounds: int | None
    """None: `FEW_ROUNDS` below `FEW_ROWS`, else one."""
    k: int

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of a job."""
        return {"metric": job_data.METRIC, "memory": self.memory, "workers": self.workers, **more}

    def rounds_of(self, rows: int) -> int:
        """Return how often a size is measured."""
        return self.rounds or (FEW_ROUNDS if rows < FEW_ROWS else 1)


def measure(rows: int, given: Conditions) -> list[dict[str, Any]]:
    """Return a line for the job over so many rows, and one for the build in memory where there is one."""
    path = job_data.file_of(rows, given.data)
    found: dict[str, list[dict[str, Any]]] = {"job": [], "memory": []}
    plan = ramet.plan_job(path, given.work / NAME, **given.options())
    for number in range(given.rounds_of(rows)):
        for kind in found:
            if kind == "memory" and rows > IN_MEMORY_ROWS:
                continue
            folder = _new(given.work / f"{kind}-{rows}")
            one = _job(path, folder, given) if kind == "job" else _in_memory(path, folder, given)
            found[kind].append(one)
            print(f"  {rows:,}, round {number + 1}, {kind}: {_short(one)}", flush=True)
    lines = []
    for kind, runs in found.items():
        if runs:
            folder = given.work / f"{kind}-{rows}"
            lines.append({"kind": kind, "rows": rows} | _middle(runs, rows) | _looked_into(path, folder, runs, given))
            shutil.rmtree(folder)
    input_bytes = path.stat().st_size
    temporary = max(run["temporary_bytes"] for run in found["job"])
    lines[0] |= {
        "input_bytes": input_bytes, "temporary_share": temporary / input_bytes,
        "planned": {
            "seconds": plan.seconds, "temporary_bytes": plan.temporary_bytes, "least_memory": plan.least_memory,
            "collection_bytes": plan.collection_bytes,
        },
    }  # fmt: skip
    return lines


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _short(one: dict[str, Any]) -> str:
    if one["killed"]:
        return f"killed after {one['seconds']:.1f} s"
    return f"{one['seconds']:.1f} s, {one['peak_bytes'] / 1e6:,.0f} MB of its own"


def _job(path: Path, folder: Path, given: Conditions) -> dict[str, Any]:
    """One job in a process and a memory group of its own."""
    job = {"input": str(path), "folder": str(folder), "options": given.options(), "warm": True}
    began = time.perf_counter()
    with MemoryGroup(given.cap) as group, Sampler(folder, group.look) as sampler:
        joined = None if group.path is None else str(group.path)
        with Process("build-job", {**job, "group": joined}) as process:
            try:
                found = process.result()
            except RuntimeError:
                if not process.kill():
                    raise
                found = {"seconds": time.perf_counter() - began, "report": {}}
        facts = group.facts()
    report = found["report"]
    return {
        "seconds": found["seconds"], "report": report, "killed": not report, "peak_bytes": report.get("peak_bytes", 0),
        "temporary_bytes": sampler.most_temporary, **facts,
    }  # fmt: skip


def _in_memory(path: Path, folder: Path, given: Conditions) -> dict[str, Any]:
    job = {"input": str(path), "folder": str(folder), "options": given.options()}
    return child.run("build-in-memory", job) | {"killed": False}


def _middle(runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """Return medians of times, and the worst of everything else."""
    seconds = median(run["seconds"] for run in runs)
    stages = [one["stage"] for one in runs[-1]["report"].get("stages", [])]
    spent = {
        name: median(one["seconds"] for run in runs for one in run["report"].get("stages", []) if one["stage"] == name)
        for name in stages
    }
    worst: dict[str, Any] = {
        name: max(run[name] for run in runs)
        for name in ("peak_bytes", "temporary_bytes", "cap_most", "cap_own", "cap_reached", "cap_kills")
        if name in runs[-1]
    }
    told: dict[str, Any] = {name: runs[-1][name] for name in ("cap", "cap_why", "cap_counts") if name in runs[-1]}
    return {
        "seconds": seconds, "all_seconds": [run["seconds"] for run in runs], "n_rounds": len(runs),
        "records_per_s": rows / seconds, "us_per_record": 1e6 * seconds / rows,
        "killed": any(run["killed"] for run in runs), "stages": spent, **worst, **told,
    }  # fmt: skip


def _looked_into(path: Path, folder: Path, runs: list[dict[str, Any]], given: Conditions) -> dict[str, Any]:
    """Open the last collection that was made: sizes, recall, latency, memory, verification."""
    report = runs[-1]["report"]
    if not (folder / NAME).exists():
        return {}
    dataset = job_data.dataset(path)
    content = curves.Content(
        dataset=dataset, metric=job_data.METRIC, truth=exact.of_dataset(dataset, job_data.METRIC), k=given.k
    )
    with ramet.connect(folder) as database:
        docs = database.collection(NAME)
        points = curves.measure(docs, content, given.workers)
        facts = {
            "n_lists": report["n_lists"], "n_replicas": report["n_replicas"], "nprobe": report["nprobe"],
            "recall": curves.default_recall(docs, content, given.workers),
            "curve": [[point.nprobe, point.rows, point.recall] for point in points],
            "nprobe_095": at_recall([(point.recall, float(point.nprobe)) for point in points], TARGET),
            "p50_us": p50_us(docs, dataset.queries, given.k),
            "ok": docs.verify().ok if len(dataset.base) <= IN_MEMORY_ROWS else None,
        }  # fmt: skip
    if "temporary_bytes" in runs[-1]:  # of a job; the other one is the same to whoever opens it
        queries = given.work / "queries.npy"
        np.save(queries, dataset.queries)
        setting = {"name": "recall", "value": TARGET, "swept": False}
        facts |= memory.of_open_index("ramet-auto", folder, job_data.METRIC, queries, setting)
    files = {file.name: file.stat().st_blocks * 512 for file in (folder / NAME).iterdir() if file.is_file()}
    return facts | {"files": files, "collection_bytes": disk_bytes(folder / NAME)}


def p50_us(docs: Any, queries: np.ndarray, k: int) -> float:
    """Return the median time of a query alone at the default recall, after all of them were asked once."""
    docs.query(queries, k)
    times = []
    for query in queries:
        began = time.perf_counter()
        docs.query(query, k)
        times.append(time.perf_counter() - began)
    return 1e6 * median(times)


def compared(lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the largest job's time a record beside that of the largest build in memory; None without the two."""
    jobs = [line for line in lines if line["kind"] == "job" and not line["killed"]]
    others = [line for line in lines if line["kind"] == "memory"]
    if not jobs or not others:
        return None
    job, other = (max(several, key=lambda line: line["rows"]) for several in (jobs, others))
    return {
        "kind": "compared", "rows": job["rows"], "memory_rows": other["rows"],
        "ratio": job["us_per_record"] / other["us_per_record"],
    }  # fmt: skip


def warm_up(given: Conditions) -> None:
    """Compile everything before anything is measured."""
    child.run("warm-up-jobs", {"options": given.options()})
