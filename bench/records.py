"""Results as JSON lines: one setting of one contender per line, each line complete in itself."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import commit as current_commit
from bench.machine import describe

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all lines of one run share."""

    command: str
    """Subcommand that measured: ``ann``, ``scale``."""
    machine: dict[str, Any] = field(default_factory=describe)
    commit: str = field(default_factory=current_commit)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    dataset: str
    rows: int
    """Vectors indexed."""
    full: bool
    """False for a data set cut short by ``--rows``."""
    dim: int
    metric: str
    mode: str
    """``hot`` or ``cold``."""
    threads: int
    """Of builds and batches; single queries use one."""
    k: int
    rounds: int
    n_queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measured setting. MB are 10**6 bytes; None is "not measured in this mode"."""

    contender: str
    setting: str
    swept: bool
    """False for settings beside the sweep, such as ``recall=0.95``; they are not interpolated."""
    recall: float
    p50_us: float
    """Single query on one thread, the contender's Python call included."""
    p99_us: float
    qps: float | None
    """Whole batch on all threads."""
    build_s: float
    peak_mb: float
    """Peak resident memory of the build's process, the float32 vectors included."""
    open_mb: float | None
    """Anonymous memory after opening and 1,000 queries, less that after importing only."""
    disk_mb: float
    recall_batch: float | None = None
    save_s: float | None = None
    peak_added_mb: float | None = None
    """Peak of the build, less what was resident before it (libraries and vectors)."""
    import_mb: float | None = None
    runtime_mb: float | None = None
    open_over_runtime_mb: float | None = None
    build_reused: bool = False
    """The index, its build time and its peak come from an earlier run of the same library version."""
    prefetch: bool | None = None
    residual: float | None = None
    """Cold mode: mean share of the files' pages still cached when a query began."""
    worst_residual: float | None = None
    read_kib: dict[str, float] | None = None
    """Cold mode: file name -> KiB that a query brought into the page cache, read-ahead included."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the contender reports of its build."""


def write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, in place of whatever run the file held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(rounded(line), ensure_ascii=False) + "\n" for line in lines)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf8")
    temporary.replace(path)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file written by `write`."""
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line]


def joined(run: Run, line: Line) -> dict[str, Any]:
    """Return one line as it is written: the run's fields, then its own."""
    return asdict(run) | asdict(line)


def rounded(value: Any) -> Any:
    """Round floats to six significant digits, inside lists and mappings too: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
