"""Curves of recall against rows scanned, measured on open collections, and what they say of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench import checks, equal_rows
from bench import truth as exact
from bench.datasets import Dataset
from bench.peers.ramet import id_rows

NPROBE = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1_024]
NPROBE += [1_536, 2_048, 3_072, 4_096]
ENOUGH = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a collection holds, and the true answers."""

    dataset: Dataset
    """Its base is the content."""
    metric: str
    truth: exact.Truth
    first: int = 0
    """The id of the content's first row; the others follow in order."""
    k: int = 10

    def recall(self, ids: Any) -> float:
        """Return the mean recall of the answers to all queries."""
        found = id_rows(ids)
        found = np.where(found >= self.first, found - self.first, -1)
        base = self.dataset.base
        found = np.where(found < len(base), found, -1)
        return exact.recall(found, base, self.dataset.queries, self.metric, self.truth, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One number of probes."""

    nprobe: int
    rows: float
    """Mean rows scanned per query, copies of a record counted as often as they are read."""
    recall: float


def measure(docs: Any, content: Content, threads: int) -> list[Point]:
    """Return the curve of a collection, up to where more probes change nothing."""
    points: list[Point] = []
    queries = content.dataset.queries
    for nprobe in NPROBE:
        rows = float(docs.scanned(queries, nprobe=nprobe))
        if points and rows <= points[-1].rows:
            break
        found = docs.query(queries, content.k, nprobe=nprobe, n_threads=threads)
        points.append(Point(nprobe=nprobe, rows=rows, recall=content.recall(found.ids)))
        if points[-1].recall >= ENOUGH:
            break
    return points


def default_recall(docs: Any, content: Content, threads: int) -> float:
    """Return the recall of queries that ask for none."""
    return content.recall(docs.query(content.dataset.queries, content.k, n_threads=threads).ids)


def unfindable(docs: Any, content: Content, threads: int) -> int:
    """Count records that their own vector does not find at the default recall, of all records."""
    return checks.lost_rows(docs, content.dataset.base, content.metric, content.k, threads, first=content.first)[0]


def gaps(fresh: Sequence[Point], other: Sequence[Point]) -> list[equal_rows.Gap]:
    """Compare a curve with that of a fresh build."""
    return equal_rows.gaps([(p.recall, p.rows) for p in fresh], [(p.recall, p.rows) for p in other])


def lines(states: Mapping[str, Sequence[Point]], fresh: str = "fresh") -> list[dict[str, Any]]:
    """Return one line per point, and one per target and state other than `fresh`."""
    out: list[dict[str, Any]] = []
    for state, points in states.items():
        out += [{"kind": "curve", "state": state, **asdict(point)} for point in points]
    for state, points in states.items():
        if state != fresh:
            out += [{"kind": "gap", "state": state, **asdict(gap)} for gap in gaps(states[fresh], points)]
    return out


def gap_text(of_run: Sequence[Mapping[str, Any]], limit: float) -> list[str]:
    """Say for people what the lines of kind ``gap`` say."""
    out = []
    for line in of_run:
        if line.get("kind") != "gap":
            continue
        if line["points"] is None:
            out.append(f"  {line['state']}: recall {line['target']:g} of a fresh build is out of reach of one curve")
            continue
        out.append(
            f"  {line['state']}: at the {line['rows']:,.0f} rows a fresh build scans for recall {line['target']:g}, "
            f"{line['points']:+.2f} points worse (target <= {limit:g})"
        )
    return out
