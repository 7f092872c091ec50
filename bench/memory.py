"""Memory that an open index needs: anonymous pages of fresh processes, one doing more than the other.

Pages of a mapped file can be dropped at any time and are not counted; anonymous memory cannot. For Ramet three
processes are compared, each of which does what the one before it does:

(a) only ``import ramet``;
(b) also loads the search runtime (compiled kernels and the libraries they need), with no collection of the user open;
(c) also opens the collection and runs 1,000 queries.

``open_mb`` is c - a: what a program pays for searching at all. ``open_over_runtime_mb`` is c - b: what this collection
adds, so also what a second collection would cost. For the other contenders a has only imported the library.
"""

import tempfile
from pathlib import Path
from typing import Any

from bench import child

N_QUERIES = 1_000

_ONLY_IMPORT = """
import ramet
text = open("/proc/self/smaps_rollup").read()
line = next(line for line in text.splitlines() if line.startswith("Anonymous:"))
report({"anonymous_mb": int(line.split()[1]) * 1024 / 1e6})
"""


def anonymous_mb() -> float:
    """Return this process's anonymous memory in MB (10**6 bytes)."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/smaps_rollup has no line 'Anonymous:'")


def status_mb(field: str) -> float:
    """Return a field of ``/proc/self/status`` given in kB (``VmRSS``, ``VmHWM``) in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no line {field!r}")


def reset_peak() -> None:
    """Set this process's peak resident size (VmHWM) back to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def of_open_index(name: str, folder: Path, metric: str, queries: Path, setting: dict[str, Any]) -> dict[str, Any]:
    """Measure the memory of one contender's open index.

    Parameters
    ----------
    name : str
        Contender.
    folder : Path
        Its saved index.
    metric : str
        Metric it was built with.
    queries : Path
        ``.npy`` file of queries, (n, dim) float32.
    setting : dict[str, Any]
        ``name`` and ``value`` of the search setting.

    Returns
    -------
    dict[str, Any]
        Floats: ``open_mb``, ``import_mb`` and, for Ramet, ``runtime_mb`` and ``open_over_runtime_mb``; all in MB.
    """
    job = {
        "contender": name,
        "folder": str(folder),
        "metric": metric,
        "queries": str(queries),
        "setting": setting,
        "stage": "open",
    }
    open_mb = child.run("memory", job)["anonymous_mb"]
    if not name.startswith("ramet-"):
        only_import = child.run("memory", {**job, "stage": "import"})["anonymous_mb"]
        return {"open_mb": open_mb - only_import, "import_mb": only_import}
    only_import, runtime = import_mb(), runtime_mb(job)
    return {
        "open_mb": open_mb - only_import,
        "import_mb": only_import,
        "runtime_mb": runtime - only_import,
        "open_over_runtime_mb": open_mb - runtime,
    }


def import_mb() -> float:
    """Return the anonymous memory of a process that has imported Ramet and nothing else."""
    return float(child.run_script(_ONLY_IMPORT)["anonymous_mb"])


def runtime_mb(job: dict[str, Any]) -> float:
    """Return the anonymous memory of a process that has loaded the search runtime.

    ``job``: ``contender`` (a Ramet one), ``metric``, ``queries`` (``.npy`` file).
    """
    with tempfile.TemporaryDirectory() as small:
        # Made in another process: a build loads more than a search does.
        child.run("memory", {**job, "stage": "make-small", "folder": small})
        return float(child.run("memory", {**job, "stage": "runtime", "folder": small})["anonymous_mb"])


def memory_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: do what ``job["stage"]`` says, then report the anonymous memory."""
    import numpy as np

    from bench.peers import make

    contender = make(job["contender"])
    queries = np.load(job["queries"])
    if job["stage"] == "make-small":
        _make_small(job)
    elif job["stage"] == "runtime":
        _load_runtime(job)
    elif job["stage"] == "open":
        _open_and_search(contender, job, queries)
    return {"anonymous_mb": anonymous_mb()}


def _open_and_search(contender: Any, job: dict[str, Any], queries: Any) -> None:
    from bench.peers.base import Setting

    setting = Setting(**job["setting"])
    contender.open(Path(job["folder"]), job["metric"], queries.shape[1])
    contender.apply(setting, 1)
    for number in range(N_QUERIES):
        contender.search_one(queries[number % len(queries)], 10, setting)


def _make_small(job: dict[str, Any]) -> None:
    """Write a collection of 100 rows into the job's folder."""
    import numpy as np

    import ramet

    vectors = np.random.default_rng(0).standard_normal((100, 32)).astype(np.float32)
    codes = job["contender"].removeprefix("ramet-")
    with ramet.connect(job["folder"], create=True) as database:
        database.create_collection("small", dim=32, metric=job["metric"], codes=codes).build(vectors, list_size=8)


def _load_runtime(job: dict[str, Any]) -> None:
    """Load what searching any collection needs, and no more, by a query on the small collection."""
    import numpy as np

    import ramet

    with ramet.connect(job["folder"]) as database:
        database.collection("small").query(np.ones(32, np.float32), k=10, nprobe=1)
