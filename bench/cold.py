"""Cold search: the index's files are dropped from the page cache before every single query.

Runs in child processes, one at a time (a second process with the files mapped would keep them cached). Ramet has two
variants, with its prefetch and without (``RAMET_PREFETCH=0`` is read when a collection is opened); variants take turns
over the rounds. Contenders that hold the index in anonymous memory have no cold mode and are left out; faiss-ivf and
usearch take part through their mapped files.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import child, measure
from bench import truth as exact
from bench.datasets import Dataset
from bench.pagecache import PAGE, PageCache, index_files
from bench.peers import make
from bench.peers.base import Contender, Setting

N_QUERIES = 100
MAX_RESIDUAL = 0.01
"""Largest mean share of cached pages with which a query still counts as cold."""
READ_EVERY = 5  # queries between looks at what a query has read: a look costs milliseconds
RECALLS = (0.90, 0.998)
"""Settings within are measured: the cold mode is slow, and the recall targets lie here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdTiming:
    """One setting of one variant of a contender."""

    contender: str
    prefetch: bool | None
    """None where the contender has no such switch."""
    setting: Setting
    recall: float
    p50_us: float
    p99_us: float
    residual: float
    """Mean share of the files' pages still cached when a query began."""
    worst_residual: float
    read_kib: dict[str, float]
    """File name -> what a query brought into the page cache, read-ahead included; mean."""


def variants(name: str) -> list[bool | None]:
    """Return the values of prefetch a contender is measured with."""
    return [True, False] if name.startswith("ramet-") else [None]


def settings_within(
    name: str, folder: Path, queries: Path, dataset: Dataset, metric: str, truth: exact.Truth, *, k: int
) -> list[tuple[Setting, float]]:
    """Return the settings whose recall is worth measuring cold, with that recall (it does not depend on the cache).

    Searched in a child process: this one must not have the files mapped when the cold processes run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.npy"
        job = {"contender": name, "folder": str(folder), "metric": metric, "queries": str(queries), "k": k}
        described = child.run("answers", {**job, "out": str(out)})["settings"]
        found = np.load(out)  # (n_settings, n_queries, k)
    settings = [Setting(**one) for one in described]
    recalls = [exact.recall(rows, dataset.base, dataset.queries, metric, truth, k) for rows in found]
    enough = next((number for number, recall in enumerate(recalls) if recall >= RECALLS[1]), len(recalls))
    return [
        (setting, recall)
        for number, (setting, recall) in enumerate(zip(settings, recalls, strict=True))
        if not setting.swept or (recall >= RECALLS[0] and number <= enough)
    ]


def answers_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: the rows found by every setting, saved as one array."""
    queries = np.load(job["queries"])
    contender = make(job["contender"])
    contender.open(Path(job["folder"]), job["metric"], queries.shape[1], mapped=contender.mappable)
    settings = contender.settings()
    np.save(job["out"], np.stack([measure.answers(contender, queries, job["k"], setting) for setting in settings]))
    contender.close()
    return {"settings": [_described(setting) for setting in settings]}


def _described(setting: Setting) -> dict[str, Any]:
    return {"name": setting.name, "value": setting.value, "swept": setting.swept}


def run(
    name: str, folder: Path, metric: str, queries: Path, settings: list[tuple[Setting, float]], *, k: int, rounds: int
) -> list[ColdTiming]:
    """Measure one contender cold.

    Parameters
    ----------
    name, folder, metric
        Contender, its saved index and its metric.
    queries : Path
        ``.npy`` file with its form of the queries; the first `N_QUERIES` are used.
    settings : list[tuple[Setting, float]]
        What to measure, from `settings_within`.
    k : int
        Neighbours per query.
    rounds : int
        Child processes per variant; figures are medians over them.

    Returns
    -------
    list[ColdTiming]

    Raises
    ------
    RuntimeError
        When the files could not be dropped.
    """
    job = {
        "contender": name,
        "folder": str(folder),
        "metric": metric,
        "queries": str(queries),
        "k": k,
        "settings": [_described(setting) for setting, _ in settings],
    }
    runs: dict[bool | None, list[list[dict[str, Any]]]] = {variant: [] for variant in variants(name)}
    for _ in range(rounds):
        for variant, results in runs.items():
            environment = {} if variant is None else {"RAMET_PREFETCH": "1" if variant else "0"}
            results.append(child.run("cold", job, environment)["settings"])
    return [
        _median(name, variant, setting, recall, [result[number] for result in results])
        for variant, results in runs.items()
        for number, (setting, recall) in enumerate(settings)
    ]


def _median(
    name: str, variant: bool | None, setting: Setting, recall: float, rounds: list[dict[str, Any]]
) -> ColdTiming:
    return ColdTiming(
        contender=name,
        prefetch=variant,
        setting=setting,
        recall=recall,
        p50_us=float(np.median([one["p50_us"] for one in rounds])),
        p99_us=float(np.median([one["p99_us"] for one in rounds])),
        residual=float(np.mean([one["residual"] for one in rounds])),
        worst_residual=max(one["worst_residual"] for one in rounds),
        read_kib={file: float(np.mean([one["read_kib"][file] for one in rounds])) for file in rounds[0]["read_kib"]},
    )


def read_ahead_kib(folder: Path) -> int | None:
    """Return how far the device under `folder` reads ahead, in KiB: what one page fault costs depends on it."""
    device = folder.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    for queue in (block / "queue", block.resolve().parent / "queue"):  # a partition has the queue of its disk
        if (queue / "read_ahead_kb").exists():
            return int((queue / "read_ahead_kb").read_text())
    return None


@dataclass(frozen=True, slots=True)
class _Samples:
    """What one setting's queries took."""

    setting: Setting
    times_ns: list[int]
    residuals: list[float]
    read: list[list[int]]
    """Pages of each file that a query left in the cache."""


def cold_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: open the index once, then for each query and setting drop, check, and time."""
    contender = make(job["contender"])
    queries = np.load(job["queries"])[:N_QUERIES]
    folder = Path(job["folder"])
    contender.open(folder, job["metric"], queries.shape[1], mapped=True)
    samples = [_Samples(Setting(**setting), [], [], []) for setting in job["settings"]]
    for one in samples:  # code and navigation warm: only the files are to be cold
        measure.answers(contender, queries[:20], job["k"], one.setting)
    with PageCache(index_files(folder)) as cache:
        # Settings take turns within a query: the device's speed drifts by tens of per cent in seconds.
        for number, query in enumerate(list(queries)):
            for one in samples:
                _time_one(contender, cache, query, one, job["k"], look=number % READ_EVERY == 0)
        names = cache.names
    contender.close()
    return {"settings": [_summary(one, names) for one in samples]}


def _time_one(
    contender: Contender, cache: PageCache, query: np.ndarray, samples: _Samples, k: int, *, look: bool
) -> None:
    """Drop the files and time one query; when `look`, also count what it read."""
    contender.apply(samples.setting, 1)
    samples.residuals.append(cache.drop())
    started = time.perf_counter_ns()
    contender.search_one(query, k, samples.setting)
    samples.times_ns.append(time.perf_counter_ns() - started)
    if look:
        samples.read.append(cache.cached_pages())


def _summary(samples: _Samples, names: list[str]) -> dict[str, Any]:
    residual = float(np.mean(samples.residuals))
    if residual > MAX_RESIDUAL:
        raise RuntimeError(
            f"{residual:.1%} of the pages stayed cached: another process has the files open, or they are on tmpfs; "
            "put the cache on a disk with RAMET_BENCH_CACHE"
        )
    return {
        "p50_us": float(np.percentile(samples.times_ns, 50)) / 1e3,
        "p99_us": float(np.percentile(samples.times_ns, 99)) / 1e3,
        "residual": residual,
        "worst_residual": max(samples.residuals),
        "read_kib": dict(zip(names, (np.mean(samples.read, axis=0) * PAGE / 1024).tolist(), strict=True)),
    }
