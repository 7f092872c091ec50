"""Metadata of a benchmark and filters over it, from 50 % of the records down to one in ten thousand. All from seeds.

*Random* filters go by fields that have nothing to do with the vectors: ``bucket``, an int below 10,000, and ``group``,
one of a hundred strings, each value of which as many records have. *Near* filters allow the records around one of
twenty pivots, and the queries come from anywhere: most of them find what they may return far away, in lists that they
would not read without a filter. ``pivot`` names the pivot that a record is nearest to, ``pivot_rank`` says how many of
its records are nearer.

Every condition is written so that Ramet and Chroma both understand it, and the rows that it allows are found by NumPy
from the arrays, so that they test what a filter returns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.building import unit
from bench.tenancy import SizeClass, Tenancy

SEED = 20_240_605
N_BUCKETS = 10_000
N_GROUPS = 100
N_PIVOTS = 20
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
PER_CLASS = 8
"""Different filters of a class, among which its queries take turns."""
ALL = "all"
_BLOCK = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What the records' metadata say, (n_rows,) int64 each."""

    bucket: np.ndarray
    group: np.ndarray
    pivot: np.ndarray
    pivot_rank: np.ndarray

    def dicts(self) -> list[dict[str, Any]]:
        """Metadata of every record."""
        columns = (self.bucket.tolist(), self.group.tolist(), self.pivot.tolist(), self.pivot_rank.tolist())
        return [
            {"bucket": bucket, "group": group_name(group), "pivot": pivot_name(pivot), "pivot_rank": rank}
            for bucket, group, pivot, rank in zip(*columns, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write the arrays to an ``.npz`` file."""
        np.savez(path, bucket=self.bucket, group=self.group, pivot=self.pivot, pivot_rank=self.pivot_rank)

    @classmethod
    def read(cls, path: Path) -> "Fields":
        """Read what `save` wrote."""
        with np.load(path) as saved:
            return cls(**{name: saved[name] for name in ("bucket", "group", "pivot", "pivot_rank")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One filter."""

    label: str
    """Of its class: ``10%``, or ``10% near``."""
    where: dict[str, Any] | None
    """None: no filter."""
    rows: np.ndarray
    """Rows that it allows, rising, (n,) int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """All filters of a run, by number."""

    chosen: list[Chosen]
    tenancy: Tenancy
    """The same numbers with the rows of each, in the form in which tenants are measured; rows are in several."""
    classes: list[SizeClass]

    def wheres(self) -> list[dict[str, Any] | None]:
        """Conditions, by number."""
        return [one.where for one in self.chosen]


def group_name(group: int) -> str:
    """Value of the field ``group``."""
    return f"group-{group:02d}"


def pivot_name(pivot: int) -> str:
    """Value of the field ``pivot``."""
    return f"pivot-{pivot:02d}"


def describe(base: np.ndarray, metric: str) -> Fields:
    """Give every row of `base`, (n, dim) float32, its metadata."""
    n = len(base)
    rng = np.random.default_rng([SEED, n])
    bucket = rng.permutation(n) * N_BUCKETS // n
    group = rng.permutation(n) % N_GROUPS
    pivot, pivot_rank = _around_pivots(unit(base) if metric == "cosine" else base, rng)
    return Fields(bucket=bucket, group=group, pivot=pivot, pivot_rank=pivot_rank)


def _around_pivots(vectors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest of `N_PIVOTS` random rows for every row, and the row's place among those of that pivot."""
    pivots = vectors[rng.choice(len(vectors), N_PIVOTS, replace=False)]
    of_pivots = np.square(pivots).sum(axis=1)
    nearest, far = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK]
        distances = of_pivots - 2 * (part @ pivots.T) + np.square(part).sum(axis=1)[:, None]
        nearest[start : start + _BLOCK] = distances.argmin(axis=1)
        far[start : start + _BLOCK] = distances.min(axis=1)
    rank = np.empty(len(vectors), np.int64)
    for pivot in range(N_PIVOTS):
        own = np.flatnonzero(nearest == pivot)
        rank[own[np.argsort(far[own], kind="stable")]] = np.arange(len(own))
    return nearest, rank


def make(fields: Fields, per_class: int = PER_CLASS) -> Filters:
    """Return the filters of all classes, `per_class` of each, and as number 0 that which allows every row."""
    n = len(fields.bucket)
    chosen = [Chosen(label=ALL, where=None, rows=np.arange(n))]
    rng = np.random.default_rng([SEED, n, 1])
    for share in SHARES:
        chosen += _random(fields, share, per_class, rng)
    for share in SHARES:
        chosen += _near(fields, share, per_class)
    sizes = np.array([len(one.rows) for one in chosen])
    tenancy = Tenancy(
        owner=np.zeros(n, np.int32),
        sizes=sizes,
        exponent=0.0,
        membership="filters",
        order=np.concatenate([one.rows for one in chosen]),
        starts=np.concatenate([[0], np.cumsum(sizes)]),
    )
    classes = []
    for label in dict.fromkeys(one.label for one in chosen):
        numbers = np.array([number for number, one in enumerate(chosen) if one.label == label])
        classes.append(SizeClass(label=label, size=round(float(sizes[numbers].mean())), tenants=numbers))
    return Filters(chosen=chosen, tenancy=tenancy, classes=classes)


def _random(fields: Fields, share: float, per_class: int, rng: np.random.Generator) -> Iterator[Chosen]:
    """Filters by fields that have nothing to do with the vectors."""
    width = round(share * N_BUCKETS)
    where: dict[str, Any]
    wheres: list[tuple[dict[str, Any], np.ndarray]] = []
    if share == 0.5:  # a range of numbers
        for low in rng.integers(0, N_BUCKETS - width + 1, per_class).tolist():
            where = {"$and": [{"bucket": {"$gte": low}}, {"bucket": {"$lt": low + width}}]}
            wheres.append((where, (fields.bucket >= low) & (fields.bucket < low + width)))
    elif share == 0.1:  # ten strings out of a hundred
        for _ in range(per_class):
            groups = np.sort(rng.choice(N_GROUPS, N_GROUPS // 10, replace=False))
            where = {"group": {"$in": [group_name(group) for group in groups.tolist()]}}
            wheres.append((where, np.isin(fields.group, groups)))
    elif share == 0.01:  # one string
        for group in rng.choice(N_GROUPS, per_class, replace=False).tolist():
            wheres.append(({"group": group_name(group)}, fields.group == group))
    else:  # some numbers, or one
        for _ in range(per_class):
            buckets = rng.choice(np.unique(fields.bucket), width, replace=False)
            condition: Any = {"$in": buckets.tolist()} if width > 1 else {"$eq": int(buckets[0])}
            wheres.append(({"bucket": condition}, np.isin(fields.bucket, buckets)))
    for where, allowed in wheres:
        yield Chosen(label=_label(share), where=where, rows=np.flatnonzero(allowed))


def _near(fields: Fields, share: float, per_class: int) -> Iterator[Chosen]:
    """Filters that allow the rows around pivots."""
    n = len(fields.bucket)
    held = np.bincount(fields.pivot, minlength=N_PIVOTS)
    wanted = max(1, round(share * n))
    where: dict[str, Any]
    for pivot in np.argsort(-held, kind="stable")[:per_class].tolist():
        if held[pivot] >= wanted:
            where = {"$and": [{"pivot": pivot_name(pivot)}, {"pivot_rank": {"$lt": wanted}}]}
            allowed = (fields.pivot == pivot) & (fields.pivot_rank < wanted)
        else:  # whole surroundings of several pivots, from this one on, as near to the share as they come
            order = np.roll(np.arange(N_PIVOTS), -pivot)
            together = np.cumsum(held[order])
            pivots = np.sort(order[: int(np.abs(together - wanted).argmin()) + 1])
            where = {"pivot": {"$in": [pivot_name(one) for one in pivots.tolist()]}}
            allowed = np.isin(fields.pivot, pivots)
        yield Chosen(label=f"{_label(share)} near", where=where, rows=np.flatnonzero(allowed))


def _label(share: float) -> str:
    return f"{share * 100:g}%"
