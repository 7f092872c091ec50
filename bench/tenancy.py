"""Tenants of a benchmark: how many records each owns, which ones, and who asks what. All of it from seeds.

Sizes follow Zipf's law: the tenant of rank r owns ``head * r ** -exponent`` records, and at least ten. The largest is
given 100,000 records (or 30 % of a smaller set) and the exponent follows from the number of records; where ten records
for the last tenant would be too few to use up the set, the largest grows instead. So the sizes 10 to 100,000 all occur
wherever the set is large enough for them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SEED = 20_240_603
SMALLEST = 10
HEAD = 100_000
HEAD_SHARE = 0.3
MEMBERSHIPS = ("random", "clustered")
CLASS_SIZES = (10, 100, 1_000, 10_000, 100_000)
SHARE = 0.001
"""One more class: tenants with this share of all records, at which filters of shared indexes are judged."""
STICK = 50
"""Queries that one tenant asks in a row in the sticky order."""
_LEAF = 8  # rows that `neighbourhood_order` no longer sorts
_SPREAD = 1.5  # a class takes tenants up to this ratio away from its size,
_REACH = 2.0  # or, when there are none, the nearest one up to this ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """Which tenant owns which row; every row has one owner."""

    owner: np.ndarray
    """(n_rows,) int32, tenant numbers; 0 is the largest tenant."""
    sizes: np.ndarray
    """(n_tenants,) int64, falling."""
    exponent: float
    membership: str
    order: np.ndarray
    """(n_rows,) int64: rows by owner, rising within one owner."""
    starts: np.ndarray
    """(n_tenants + 1,) int64: where each tenant begins in `order`."""

    def rows(self, tenant: int) -> np.ndarray:
        """Rows of one tenant, rising, (n,) int64."""
        return self.order[self.starts[tenant] : self.starts[tenant + 1]]

    def names(self) -> list[str]:
        """Names of all tenants, by number."""
        return [name_of(tenant) for tenant in range(len(self.sizes))]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeClass:
    """Tenants of about one size."""

    label: str
    """``100`` or, for the class at `SHARE` of the records, ``0.1%``."""
    size: int
    tenants: np.ndarray
    """(n,) int64, those nearest to the size first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Queries in the order in which they are asked."""

    tenants: np.ndarray
    """(n,) int64."""
    queries: np.ndarray
    """(n,) int64, row numbers in the array of queries."""

    def first(self, n: int | None) -> "Asked":
        """Return the first `n` queries (all when None)."""
        return Asked(tenants=self.tenants[:n], queries=self.queries[:n])


def name_of(tenant: int) -> str:
    """Name of a tenant."""
    return f"tenant-{tenant:05d}"


def zipf_sizes(n_rows: int, n_tenants: int) -> tuple[np.ndarray, float]:
    """Return sizes that add up to `n_rows`, falling, at least `SMALLEST` each, and the exponent of the law.

    Raises
    ------
    ValueError
        When the records do not suffice.
    """
    head = float(min(HEAD, int(HEAD_SHARE * n_rows)))
    if n_tenants < 2 or head + SMALLEST * (n_tenants - 1) > n_rows:
        raise ValueError(f"--tenants {n_tenants} of at least {SMALLEST} records each do not fit into {n_rows} rows")
    ranks = np.arange(1, n_tenants + 1, dtype=np.float64)

    def fitted(largest: float) -> float:  # the exponent with which the law ends at SMALLEST
        return float(np.log(largest / SMALLEST) / np.log(n_tenants))

    def law(largest: float, exponent: float) -> np.ndarray:
        return np.maximum(largest * ranks**-exponent, SMALLEST)

    if law(head, fitted(head)).sum() >= n_rows:
        exponent = _bisect(lambda value: float(n_rows - law(head, value).sum()), fitted(head), 64.0)
    else:
        head = _bisect(lambda value: float(law(value, fitted(value)).sum() - n_rows), head, float(n_rows))
        exponent = fitted(head)
    exact = law(head, exponent) + 1e-6  # ten less a rounding error is ten
    sizes = exact.astype(np.int64)
    # The fractions cut off add up to whole records, which the largest fractions get.
    sizes[np.argsort(sizes - exact, kind="stable")[: n_rows - sizes.sum()]] += 1
    return sizes, exponent


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a rising function."""
    for _ in range(100):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return high


def assign(vectors: np.ndarray, n_tenants: int, membership: str) -> Tenancy:
    """Give every row of `vectors`, (n, dim) float32, an owner.

    ``random``: tenants own rows from all over the space, the hardest case for a shared structure. ``clustered``: each
    tenant owns a neighbourhood, a run of `neighbourhood_order`; the runs lie in random order.
    """
    if membership not in MEMBERSHIPS:
        raise ValueError(f"--membership {membership!r} is unknown; known are {', '.join(MEMBERSHIPS)}")
    sizes, exponent = zipf_sizes(len(vectors), n_tenants)
    rng = np.random.default_rng([SEED, n_tenants])
    owner = np.empty(len(vectors), np.int32)
    if membership == "random":
        owner[rng.permutation(len(vectors))] = np.repeat(np.arange(n_tenants, dtype=np.int32), sizes)
    else:
        places = rng.permutation(n_tenants)
        owner[neighbourhood_order(vectors)] = np.repeat(places.astype(np.int32), sizes[places])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    order = np.argsort(owner, kind="stable")
    return Tenancy(owner=owner, sizes=sizes, exponent=exponent, membership=membership, order=order, starts=starts)


def neighbourhood_order(vectors: np.ndarray) -> np.ndarray:
    """Return all rows in an order in which near ones stand together: leaves of a random projection tree.

    Each part is cut in half along the line through two of its rows.
    """
    rng = np.random.default_rng([SEED, 1])
    order = np.arange(len(vectors))
    parts = [(0, len(vectors))]
    while parts:
        start, stop = parts.pop()
        if stop - start <= _LEAF:
            continue
        rows = order[start:stop]
        one, other = rng.choice(rows, 2, replace=False)
        along = vectors[rows] @ (vectors[one] - vectors[other])
        middle = len(rows) // 2
        order[start:stop] = rows[np.argpartition(along, middle)]
        parts += [(start, start + middle), (start + middle, stop)]
    return order


def size_classes(tenancy: Tenancy, most: int) -> list[SizeClass]:
    """Return the classes that occur, each with at most `most` tenants."""
    wanted = [(str(size), size) for size in CLASS_SIZES]
    wanted.append((f"{SHARE:.1%}", max(1, round(SHARE * len(tenancy.owner)))))
    found = []
    for label, size in wanted:
        distance = np.abs(np.log(tenancy.sizes / size))
        nearest = np.argsort(distance, kind="stable")[:most]
        near = nearest[distance[nearest] <= np.log(_SPREAD)]
        if not len(near) and distance[nearest[0]] <= np.log(_REACH):
            near = nearest[:1]
        if len(near):
            found.append(SizeClass(label=label, size=size, tenants=near))
    return found


def asked(of: SizeClass, n: int, n_queries: int, *, sticky: bool, seed: int) -> Asked:
    """Return `n` queries by the tenants of a class, each of them in turn in random order.

    Parameters
    ----------
    of : SizeClass
        Whose tenants ask.
    n : int
        Queries.
    n_queries : int
        Query vectors to draw from; all are used before one is used again.
    sticky : bool
        Each tenant asks `STICK` queries in a row instead of one.
    seed : int
        Different seeds: different orders (tuning and test).
    """
    rng = np.random.default_rng([SEED, 2, seed, of.size])
    run = STICK if sticky else 1
    turns = -(-n // run)
    tenants = np.concatenate([rng.permutation(of.tenants) for _ in range(-(-turns // len(of.tenants)))])[:turns]
    queries = np.concatenate([rng.permutation(n_queries) for _ in range(-(-n // n_queries))])[:n]
    return Asked(tenants=np.repeat(tenants, run)[:n], queries=queries)


def near_home(plan: Asked, tenancy: Tenancy, vectors: np.ndarray, queries: np.ndarray, seed: int) -> Asked:
    """Return the plan with each query replaced by the one most like a random record of its tenant (by cosine).

    For clustered tenants: what a tenant asks is about what it has.
    """
    rng = np.random.default_rng([SEED, 3, seed])
    places = tenancy.starts[plan.tenants] + rng.integers(0, tenancy.sizes[plan.tenants])
    records = vectors[tenancy.order[places]]  # (n, dim)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return Asked(tenants=plan.tenants, queries=np.argmax(records @ unit.T, axis=1))
