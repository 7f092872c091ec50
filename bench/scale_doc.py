"""Markdown for docs/scale.md: build jobs as measured, and the plan for a billion vectors made of that."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import job_summary, machine, records, scale_plan
from bench.scale_plan import CELL_SHARE, CORES, MACHINES, SHARD_MEMORY, TARGET_ROWS
from bench.summary import number

START = "<!-- bench:scale:start -->"
END = "<!-- bench:scale:end -->"
NONE = "No results yet: `python -m bench jobs` makes some."
FILES = ("postings.bin", "vectors.bin", "rows.bin", "catalog.mdb")
MEMORIES = (2e9, 4e9, 8e9, 16e9)

Line = Mapping[str, Any]
Lines = Sequence[Line]


def block(folder: Path) -> str:
    """Return Markdown for the results of ``jobs`` in `folder`."""
    sizes = [line for path in sorted(folder.glob("jobs-size-*.jsonl")) for line in records.read(path)]
    jobs = [line for line in job_summary.of(sizes, "job") if "files" in line]
    if not jobs:
        return NONE
    kills, ray = (_read(folder / f"jobs-{name}.jsonl") for name in ("kill", "ray"))
    parts = [
        _measured(jobs, sizes),
        _disk(jobs),
        _memory(jobs),
        _time(jobs, ray),
        _summary(jobs, ray),
        _sound(kills, ray),
    ]
    return "\n".join(
        [*(line for part in parts if part for line in [*part, ""]), machine.origin([jobs[0], *kills[:1], *ray[:1]])]
    )


def _read(path: Path) -> list[dict[str, Any]]:
    return records.read(path) if path.exists() else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return head + ["| " + " | ".join(row) + " |" for row in rows]


def _measured(jobs: Lines, sizes: Lines) -> list[str]:
    head = jobs[-1]
    cap = f"{head['cap'] / 1e9:g} GB, page cache counted" if head.get("cap") else "not capped"
    out = [
        "### Measured",
        "",
        f"{head['dataset']} (float32, {head['dim']} dimensions, {head['metric']}), "
        f"`--memory {head['memory'] / 1e9:g}GB`, {head['threads']} workers, process group: {cap}.",
        "",
    ]
    rows = [
        [
            f"{job['rows']:,}", f"{job['seconds']:,.1f}", f"{job['us_per_record']:.1f}", f"{job['records_per_s']:,.0f}",
            f"{job['peak_bytes'] / 1e6:,.0f}", _mb(job.get("cap_most")), f"{job['temporary_share']:.2f}",
            f"{job['n_lists']:,}", f"{job['recall']:.4f}", str(job["nprobe"]), number(job["nprobe_095"], 0),
            f"{job['p50_us']:.0f}", {True: "yes", False: "NO", None: "-"}[job["ok"]],
        ]
        for job in jobs
    ]  # fmt: skip
    columns = (
        "records", "s", "us/record", "records/s", "own memory, MB", "group, MB", "temporary, x input", "lists",
        "recall@10", "nprobe", "nprobe for 0.95", "query p50, us", "verified",
    )  # fmt: skip
    out += _table(columns, rows)
    for one in job_summary.of(sizes, "memory"):
        out += ["", f"`Collection.build` in memory, {one['rows']:,} records: {one['us_per_record']:.1f} us/record."]
    for one in job_summary.of(sizes, "compared"):
        out += [
            "",
            f"The largest job takes {one['ratio']:.2f} times as long a record as that of {one['memory_rows']:,}.",
        ]
    return out


def _mb(n_bytes: float | None) -> str:
    return "-" if n_bytes is None else f"{n_bytes / 1e6:,.0f}"


def _disk(jobs: Lines) -> list[str]:
    rows = []
    for name in (*FILES, "collection", "temporary"):
        values = [float(_bytes(job, name)) for job in jobs]
        line = scale_plan.slope(jobs, values)
        cells = [f"{value / job['rows']:.0f}" for value, job in zip(values, jobs, strict=True)]
        rows.append(
            [f"`{name}`" if name in FILES else name, *cells, f"{line[1]:.1f}", f"{line[1] * TARGET_ROWS / 1e9:,.0f}"]
        )
    columns = ["bytes a record", *(f"{job['rows']:,}" for job in jobs), "slope", "1 billion, GB"]
    return ["### Disk", "", *_table(columns, rows)]


def _bytes(job: Line, name: str) -> int:
    if name in FILES:
        return int(job["files"].get(name, 0))
    return int(job["collection_bytes" if name == "collection" else "temporary_bytes"])


def _memory(jobs: Lines) -> list[str]:
    least = scale_plan.cells_line(jobs)
    reader = scale_plan.slope(jobs, [1e6 * job["open_over_runtime_mb"] for job in jobs])
    whole = scale_plan.at(least, TARGET_ROWS)
    rows = [
        ["least memory of a job, MB", *(f"{job['planned']['least_memory'] / 1e6:,.0f}" for job in jobs),
         f"{least[1]:.1f}", f"{whole / 1e9:,.1f}"],
        ["open collection over the runtime, MB", *(f"{job['open_over_runtime_mb']:,.1f}" for job in jobs),
         f"{reader[1]:.2f}", f"{reader[1] * TARGET_ROWS / 1e9:,.1f}"],
    ]  # fmt: skip
    columns = ["memory", *(f"{job['rows']:,}" for job in jobs), "bytes a record", "1 billion, GB"]
    shards = [
        [
            f"{memory / 1e9:g} GB", f"{scale_plan.shard_rows(jobs, memory):,}", str(scale_plan.n_shards(jobs, memory)),
            f"{reader[1] * scale_plan.shard_rows(jobs, memory) / 1e6:,.0f} MB",
        ]
        for memory in MEMORIES
    ]  # fmt: skip
    return [
        "### Memory and shards",
        "",
        *_table(columns, rows),
        "",
        f"Records of a shard = {CELL_SHARE:g} x memory of its job / {least[1]:.1f} bytes:",
        "",
        *_table(["memory of a shard's job", "records", "shards of 1 billion", "reader of one shard"], shards),
    ]


def _stages(jobs: Lines, ray: Lines) -> list[scale_plan.Stage]:
    split = next((1e6 * one["split_s"] / one["rows"] for one in ray if one.get("workers") == jobs[-1]["threads"]), None)
    return scale_plan.stages(jobs, split)


def _time(jobs: Lines, ray: Lines) -> list[str]:
    rows = []
    for stage in _stages(jobs, ray):
        cells = [f"{us:.2f}" for us in stage.us] if len(stage.us) == len(jobs) else ["-"] * (len(jobs) - 1)
        cells += [] if len(stage.us) == len(jobs) else [f"{stage.us[-1]:.2f}"]
        where = "leader" if stage.name in scale_plan.LEADING else "tasks"
        planned = [f"{stage.planned_rows:,}", f"{stage.planned_us:.2f}", f"{stage.planned_s / 3600:.2f}"]
        rows.append([stage.name, *cells, f"{stage.exponent:.2f}", *planned, where])
    if not any(row[0] == "split" for row in rows):
        rows.append(["split", *["-"] * len(jobs), "-", "-", "not measured", "-", "tasks"])
    columns = [
        "us/record",
        *(f"{job['rows']:,}" for job in jobs),
        "growth",
        "records then",
        "us then",
        "hours",
        "on Ray",
    ]
    return ["### Time by stage", "", *_table(columns, rows)]


def _efficiency(ray: Lines) -> float | None:
    found = next((one["both_ratio"] / 2 for one in ray if "both_ratio" in one), None)
    return None if found is None else min(1.0, float(found))


def _summary(jobs: Lines, ray: Lines) -> list[str]:
    """The plan in one table."""
    efficiency, cores = _efficiency(ray), jobs[-1]["threads"]
    shards, least = scale_plan.n_shards(jobs, SHARD_MEMORY), scale_plan.cells_line(jobs)
    spent = scale_plan.times(_stages(jobs, ray), cores, efficiency or 1.0, shards)
    disk = scale_plan.slope(jobs, [float(job["collection_bytes"]) for job in jobs])[1] * TARGET_ROWS
    temporary = max(job["temporary_share"] for job in jobs) * jobs[-1]["dim"] * 4 * TARGET_ROWS
    of_tasks = f"efficiency {efficiency:.2f} as measured" if efficiency else "efficiency not measured, taken as 1"
    rows = [
        ["shards", f"{shards}, of {TARGET_ROWS // shards:,} records, built with {SHARD_MEMORY / 1e9:g} GB each"],
        ["memory of the leading process", f"{scale_plan.at(least, TARGET_ROWS) / 1e9:,.0f} GB"],
        ["collection", f"{disk / 1e12:.2f} TB"],
        ["temporary disk", f"{temporary / 1e12:.2f} TB at most, besides the input"],
        [f"time on {cores} cores", f"{spent.two_cores / 3600:,.1f} hours"],
        [f"time on {MACHINES} machines of {CORES} cores",
         f"{spent.cluster / 3600:,.1f} hours: {spent.leading / 3600:,.1f} in the leading process, "
         f"{spent.blocks / 3600:,.1f} blocks of rows, {spent.shards / 3600:,.1f} shards, each on a core ({of_tasks})"],
    ]  # fmt: skip
    return [f"### The plan: {TARGET_ROWS:,} x {jobs[-1]['dim']} float32", "", *_table(["", ""], rows)]


def _sound(kills: Lines, ray: Lines) -> list[str]:
    """What was measured of interruptions and shards."""
    parts = [("kill", kills), ("ray", ray)]
    told = [line.strip() for part, lines in parts if lines for line in job_summary.text(part, lines).splitlines()]
    return ["### Killed, resumed, sharded", "", *(f"- {line}" for line in told)] if told else []
