"""What a job did: counts, shapes, recall, time and memory, as JSON and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine.curve import DEFAULT_RECALL, RecallCurve
from ramet.engine.jobs.page import page_of
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.placing import Places
from ramet.engine.jobs.planting import Planted
from ramet.engine.jobs.splitting import name_of
from ramet.engine.jobs.work import I64, Work

LENGTH_STEPS = (1, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096)
"""Lengths at which the bars of the histogram begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a build job did."""

    collection: str
    """Where it is."""
    n_records: int
    """Records of the collection, those without a vector included."""
    n_input: int
    """Rows of the inputs."""
    n_rejected: int
    """Rows and chunks that were not taken."""
    reasons: dict[str, int]
    """Reason -> how many were rejected for it."""
    rejected: list[dict[str, Any]]
    """The first of them: file, row, reason, detail."""
    inputs: list[dict[str, Any]]
    """Path, format, bytes and rows of every file."""
    settings: dict[str, Any]
    """Dimension, metric, dtype and codes of the collection, and how it was clustered."""
    n_tenants: int
    n_shards: int
    """1: the collection is in one piece."""
    shards_asked: int | None
    """More than there are where there were not as many cells with records; None: a collection in one piece."""
    n_lists: int
    n_cells: int
    """Cells of the tree, inner ones included."""
    depth: int
    """Levels of the tree."""
    lengths: list[tuple[int, int]]
    """Histogram of list lengths: (least length, lists)."""
    n_replicas: float
    """Lists that hold a record, on average."""
    curve: list[tuple[int, int, float]]
    """Recall on held-out records: (k, lists read, recall)."""
    nprobe: int
    """Lists that a query reads by default; 0 when no curve was measured."""
    stages: list[dict[str, Any]]
    """Name, seconds, records and peak memory in bytes of each stage."""
    seconds: float
    """Of all stages; of one that was interrupted, since it went on."""
    peak_bytes: int
    n_bytes: int
    """Of the collection's files."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can say it."""
        return asdict(self)


def report_of(work: Work) -> JobReport:
    """The report of a job whose stages are done."""
    read, job, settings = work.read, work.job, work.plan.settings
    parts = _parts(work)
    lengths = np.concatenate([Places(part).lengths for part in parts])
    planted, stages = Planted(work), _stages(work.place)
    reasons = dict(read["reasons"])
    n_twins = len(work.dropped) + len(work.dropped_bare)
    if n_twins:
        reasons["duplicate_id"] = n_twins
    points = parts[0].place.get_json("measure/curve") if len(parts) == 1 else []
    curve = RecallCurve([(int(k), int(p), float(r), float(e)) for k, p, r, e in points], len(lengths))
    return JobReport(
        collection=str(work.place.path.with_name(work.place.path.name.removeprefix(".build-"))),
        n_records=work.n_rows + read["n_bare"] - len(work.dropped_bare),
        n_input=read["n_input"],
        n_rejected=sum(reasons.values()),
        reasons=dict(sorted(reasons.items())),
        rejected=(read["rejected"] + work.place.get_json("read/twins.json"))[:1000],
        inputs=job["inputs"],
        settings={
            "dim": settings.dim, "metric": settings.metric_name, "dtype": settings.dtype_name, "codes": settings.codes,
            "list_size": work.plan.cluster.list_size, "replicas": work.plan.closure.replicas,
            "seed": work.plan.cluster.seed, "memory": work.plan.memory, "workers": work.plan.workers,
        },
        n_tenants=len(work.tenants),
        n_shards=len(parts),
        shards_asked=job["shards"],
        n_lists=int((lengths > 0).sum()),
        n_cells=len(planted.parents),
        depth=int(planted.levels.max(initial=0)) + 1,
        lengths=_histogram(lengths[lengths > 0]),
        n_replicas=float(lengths.sum() / max(1, work.n_rows)),
        curve=[(int(k), int(p), float(r)) for k, p, r, _ in points],
        nprobe=curve.nprobe_for(DEFAULT_RECALL, 10) if points else 0,
        stages=stages,
        seconds=sum(one["seconds"] for one in stages),
        peak_bytes=max((one["peak_bytes"] for one in stages), default=0),
        n_bytes=sum(file.stat().st_size for file in work.out.rglob("*") if file.is_file()),
    )  # fmt: skip


def _parts(work: Work) -> list[Work]:
    """The job itself, or those of its shards."""
    if not work.place.has("shards.json"):
        return [work]
    return [Work.opened(work.place.path / name_of(i)) for i in range(len(work.place.get_json("shards.json")))]


def _stages(place: Place) -> list[dict[str, Any]]:
    """Facts of the stages, in the order in which they ended."""
    files = sorted((place.path / "done").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    return [{"stage": file.name, **json.loads(file.read_bytes())} for file in files]


def _histogram(lengths: I64) -> list[tuple[int, int]]:
    bins = np.append(LENGTH_STEPS, np.iinfo(np.int64).max)
    counts = np.histogram(lengths, bins)[0].tolist()
    last = max((i for i, n in enumerate(counts) if n), default=0)
    return list(zip(LENGTH_STEPS[: last + 1], counts[: last + 1], strict=True))


def files_of(out: Path) -> tuple[Path, Path]:
    """Where the report of a collection is: JSON, and a page."""
    return out.with_name(f"{out.name}.build.json"), out.with_name(f"{out.name}.build.html")


def read_report(out: Path) -> JobReport:
    """The report that `write_report` wrote."""
    found = json.loads(files_of(out)[0].read_text("utf8"))
    pairs = {name: [tuple(one) for one in found[name]] for name in ("lengths", "curve")}
    return JobReport(**{**found, **pairs})


def write_report(report: JobReport, out: Path) -> None:
    """Write both forms beside the collection."""
    as_json, as_page = files_of(out)
    as_json.write_text(json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n", "utf8")
    as_page.write_text(page_of(report.to_dict()), "utf8")
