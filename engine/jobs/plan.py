"""What a build job does, decided before it begins: settings, and how memory is shared out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Self

from ramet.engine.errors import ArgumentError
from ramet.engine.jobs.errors import JobError
from ramet.engine.settings import Settings
from ramet.index import defaults
from ramet.index.assign import ClosureConfig
from ramet.index.clustering import ClusterConfig, group_count
from ramet.index.nearby import NEIGHBOURS

CELLS_A_GROUP = defaults.LIST_SIZE
"""Posting cells of a group of a large job: as many as in a build of a million rows, whose steps so cost the same."""

CELL_BYTES_A_DIM = 36
"""Memory of a cell while the tree is made, in bytes a dimension: sums in float64, and centroids in several arrays."""

TREE_COPIES = 4
"""Times that the centroids of the cells are held while the tree over them is made, with the neighbours of each."""

SAMPLE_COPIES = 2.25
"""Times that the sample is held while the groups are made: as it is, and the part of it that is looked at."""

LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES = 1 << 20, 96 << 20
"""Vectors that a unit of work holds."""

MOST_READ_BYTES = 80 << 20
"""Vectors of a block of the input: the larger, the longer are the slices of a group that later stages read."""

COPIES_OF_BLOCK = 5
"""Times that a unit holds its vectors: as read, in float32, sorted, and what comes out."""

LEAST_ROWS = 32
"""Rows that are handled together even where they are very large."""

TEXTS_TOGETHER = 256
"""Documents of a block."""

MOST_ROWS = (1 << 31) - 1
"""Rows of a collection in one piece, and of a shard: the highest bit of a row's number says that it is a copy."""

MOST_READ = (1 << 32) - 1
"""Records that a job reads, as it numbers them by 32 bits."""

WATCH_S = 0.05
"""How often the memory is looked at, in seconds."""

OTHER_BYTES = 64 << 20
"""Memory for everything that is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Choices of a job. The collection depends on all but ``memory`` and ``workers``."""

    settings: Settings
    cluster: ClusterConfig
    closure: ClosureConfig
    tenant: str
    """Owner of records without one of their own."""
    memory: int
    """Bytes that the process may take."""
    workers: int

    def to_json(self) -> dict[str, Any]:
        """The plan as `from_json` reads it."""
        settings, cluster = self.settings, self.cluster
        return {
            "settings": settings.to_storage(),
            "list_size": cluster.list_size,
            "fan_out": cluster.fan_out,
            "lloyd_steps": cluster.lloyd_steps,
            "seed": cluster.seed,
            "replicas": self.closure.replicas,
            "tenant": self.tenant,
            "memory": self.memory,
            "workers": self.workers,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Plan:
        """The plan that `to_json` wrote."""
        return cls(
            settings=Settings.from_storage(stored["settings"]),
            cluster=ClusterConfig(
                list_size=stored["list_size"],
                fan_out=stored["fan_out"],
                lloyd_steps=stored["lloyd_steps"],
                seed=stored["seed"],
            ),
            closure=ClosureConfig(replicas=stored["replicas"]),
            tenant=stored["tenant"],
            memory=stored["memory"],
            workers=stored["workers"],
        )

    def with_workers(self, workers: int) -> Plan:
        """The same with another number of workers."""
        return replace(self, workers=workers)

    def with_share(self, among: int) -> Plan:
        """The plan of one of several jobs that run side by side in one process and share its memory."""
        return replace(self, memory=taken_bytes() + (self.memory - taken_bytes()) // among)

    def together(self, n_rows: int, n_shards: int) -> int:
        """Shards that are built side by side, the largest of ``n_rows``: one a worker, or as many as memory is for.

        Raises
        ------
        ArgumentError
            The memory is too small for one.
        """
        alone = self.with_workers(1)
        alone.block_rows(n_rows)
        among = range(min(self.workers, n_shards), 1, -1)
        return next((n for n in among if alone.with_share(n).block_bytes(n_rows) >= LEAST_BLOCK_BYTES), 1)

    def n_cells(self, n_rows: int) -> int:
        """Posting cells to expect."""
        return max(1, round(1.1 * n_rows / self.cluster.list_size))

    def n_groups(self, n_rows: int) -> int:
        """Groups into which the rows are sorted first."""
        if isinstance(self.cluster.fan_out, int):
            return max(1, min(self.cluster.fan_out, n_rows))
        by_size = round(n_rows / (CELLS_A_GROUP * self.cluster.list_size))
        return min(max(group_count(n_rows, self.cluster), by_size), n_rows)

    def fixed_bytes(self, n_rows: int) -> int:
        """Memory that grows with the number of records, besides what the process takes anyway: sample, then cells."""
        sample = int(SAMPLE_COPIES * self.sample_rows(n_rows)) * 4 * self.settings.dim
        n_cells = self.n_cells(n_rows)
        steps = n_cells * CELL_BYTES_A_DIM * self.settings.dim
        around = 8 * n_cells * defaults.NEAR_GROUPS
        near = 4 * n_cells * min(NEIGHBOURS, n_cells)
        tree = TREE_COPIES * 4 * n_cells * self.settings.dim + near
        return max(sample, steps + around, tree + around) + OTHER_BYTES

    def least_units_bytes(self) -> int:
        """Memory without which no unit can work."""
        return self.workers * COPIES_OF_BLOCK * LEAST_BLOCK_BYTES

    def block_bytes(self, n_rows: int) -> int:
        """Vectors that a unit of work may hold, in bytes; too few, or less than none, where memory is too small."""
        left = self.memory - taken_bytes() - self.fixed_bytes(n_rows)
        return min(left // (self.workers * COPIES_OF_BLOCK), MOST_BLOCK_BYTES)

    def block_rows(self, n_rows: int) -> int:
        """Rows that a unit of work holds.

        Raises
        ------
        ArgumentError
            The memory is too small for the cells.
        """
        wide = 4 * self.settings.dim + 64
        block = self.block_bytes(n_rows)
        if block < LEAST_BLOCK_BYTES:
            least = taken_bytes() + self.fixed_bytes(n_rows) + self.least_units_bytes()
            raise ArgumentError(
                "memory",
                f"{self.memory / 1e6:,.0f} MB is too little for {n_rows:,} records of {self.settings.dim} dimensions; "
                f"give at least {least / 1e6:,.0f} MB, or fewer workers",
            )
        return int(max(LEAST_ROWS, block // wide))

    def read_rows(self, texts: bool, beside: int) -> int:
        """Rows of an input that are read together; the blocks of a job stay the same when it is resumed.

        Of texts that are to be embedded few, as they take long and become several chunks each.

        Parameters
        ----------
        texts : bool
            They are to be embedded.
        beside : int
            Bytes of a row beside its vector, on average.
        """
        wide = 4 * self.settings.dim + 64 + beside
        left = (self.memory - taken_bytes() - OTHER_BYTES) // (COPIES_OF_BLOCK * self.workers)
        rows = int(max(LEAST_ROWS, min(left, MOST_READ_BYTES) // wide))
        return min(rows, TEXTS_TOGETHER) if texts else rows

    def sample_rows(self, n_rows: int) -> int:
        """Rows of the sample that the groups are made from."""
        return min(n_rows, max(defaults.SAMPLE_MIN, self.n_groups(n_rows) * defaults.SAMPLE_PER_GROUP))


def taken_bytes() -> int:
    """Memory that a process with all libraries loaded takes before it has any data."""
    return 260 << 20


def refuse_too_many(n: int, shards: int | None) -> None:
    """Refuse more records than row numbers have room for.

    Parameters
    ----------
    n : int
        Records read, those without a vector included.
    shards : int, optional
        Shards to make; None: a collection in one piece.

    Raises
    ------
    JobError
    """
    if shards is None:
        if n > MOST_ROWS:
            raise JobError(
                f"{n:,} records are more than a collection in one piece holds ({MOST_ROWS:,}); make one of shards, at "
                f"least {-(-n // MOST_ROWS) + 1} of them (shards, --shards), in a new job"
            )
    elif n > MOST_READ:
        raise JobError(f"{n:,} records are more than one job reads ({MOST_READ:,}); build a collection of each part")
    elif n > shards * MOST_ROWS:
        raise too_large_shard(-(-n // shards))


def too_large_shard(n: int) -> JobError:
    """The error of a shard with more records than one holds."""
    return JobError(f"a shard would have {n:,} records, and holds {MOST_ROWS:,}; begin a new job with more shards")


class Peak:
    """The most memory that this process has had of its own while it was watched.

    Pages of mapped files are not counted: they are the page cache's, which gives them back when memory is short.
    """

    def __init__(self) -> None:
        self.n_bytes = own_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ramet-job-peak", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_S):
            self.n_bytes = max(self.n_bytes, own_bytes())

    def take(self) -> int:
        """The peak since this was asked last."""
        found, self.n_bytes = max(self.n_bytes, own_bytes()), own_bytes()
        return found


def own_bytes() -> int:
    """Memory of this process that is no file's."""
    with open("/proc/self/status", "rb") as file:
        line = next((line for line in file if line.startswith(b"RssAnon:")), b"RssAnon: 0 kB")
    return int(line.split()[1]) * 1024
