"""Child processes of ``bench jobs``: a build job, and the build in memory that it is compared with.

Only the standard library is imported at the top: a process joins its memory group before it loads anything.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import cgroup

NAME = "bench"
"""Of the collections."""


def job_job(job: dict[str, Any]) -> dict[str, Any]:
    """Build `job["input"]` into `job["folder"]` with `ramet.build_job`.

    ``options`` go to it as they are. ``group``: a memory group to join first. ``warm``: kernels are loaded before the
    clock starts. ``events``: a file that gets a line for each event. ``cpus``: of a Ray cluster that is started first.
    """
    cgroup.join(job.get("group"))
    import ramet

    options: dict[str, Any] = job["options"]
    if job.get("warm"):
        warm_job(options)
    if job.get("cpus"):
        import ray

        ray.init(num_cpus=job["cpus"], log_to_driver=False, include_dashboard=False)
    began = time.perf_counter()
    with Events(job.get("events")) as events:
        report = ramet.build_job(job["input"], Path(job["folder"]) / NAME, progress=events.told, **options)
    return {"seconds": time.perf_counter() - began, "report": report.to_dict()}


def memory_build_job(job: dict[str, Any]) -> dict[str, Any]:
    """Build the same with `Collection.build`, the vectors in memory before the clock starts."""
    import numpy as np

    import ramet
    from bench import memory

    options = job["options"]
    vectors = np.load(job["input"])
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
        database.create_collection("warm", dim=vectors.shape[1], metric=options["metric"]).build(_few(vectors.shape[1]))
    memory.reset_peak()
    with ramet.connect(job["folder"], create=True) as database:
        began = time.perf_counter()
        docs = database.create_collection(NAME, dim=vectors.shape[1], metric=options["metric"])
        report = docs.build(vectors, n_threads=options["workers"])
        seconds = time.perf_counter() - began
    stages = [{"stage": name, "seconds": spent} for name, spent in report.stages.items()]
    found = {"stages": stages, "n_lists": report.n_lists, "n_replicas": report.n_replicas, "nprobe": report.nprobe}
    return {"seconds": seconds, "report": found, "peak_bytes": int(memory.status_mb("VmHWM") * 1e6)}


def warm_job(options: dict[str, Any]) -> None:
    """Load what a job needs, and compile it when that was not done on this machine, by a small job."""
    import numpy as np

    import ramet

    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "few.npy", _few(32))
        small = {"metric": options["metric"], "workers": options["workers"], "memory": options["memory"]}
        ramet.build_job(Path(folder) / "few.npy", Path(folder) / NAME, **small)


def warm_up_job(job: dict[str, Any]) -> dict[str, Any]:
    """Compile everything, so that it is in the cache of later processes."""
    import ramet

    ramet.warmup()
    warm_job(job["options"])
    return {}


def _few(dim: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal((2_000, dim)).astype(np.float32)


class Events:
    """Writes a line for each event into a file, with the time of a clock that all processes share.

    Parameters
    ----------
    path : str or None
        None: nothing is written.
    """

    def __init__(self, path: str | None) -> None:
        self._fd = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def told(self, event: Any) -> None:
        """Write an event of a build job."""
        if self._fd is not None:
            entry = {"at": time.monotonic(), "stage": event.stage, "done": event.done, "finished": event.finished}
            os.write(self._fd, json.dumps(entry).encode() + b"\n")
