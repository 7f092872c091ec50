"""A job as its stages see it: the directory, the plan, and what earlier stages found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import Plan
from ramet.index.kernels.codes import normalized

NO_COPY = 0xFFFFFFFF

KEY = np.dtype([("row", "<u4"), ("tenant", "<u4")])
"""A record in the group stage: number of its row as it was read, and of its tenant."""

I64 = npt.NDArray[np.int64]


def assigned_dtype(replicas: int) -> np.dtype[Any]:
    """A record after the assignment: its row as it was read, its list, and further lists (`NO_COPY`: none)."""
    return np.dtype([("row", "<u4"), ("list", "<u4"), ("copies", "<u4", (replicas - 1,))])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """A block of records as the read stage left it."""

    name: str
    n: int
    """Records with a vector."""
    first_row: int
    """Number of its first record."""


class Part(NamedTuple):
    """Groups of rows in files of another job."""

    folder: str
    first_group: int
    last_group: int
    n_files: int


class Work:
    """One job.

    Parameters
    ----------
    place : Place
    plan : Plan
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place = place
        self.plan = plan
        self.source = place
        """Where what was read is: of a shard, in the directory of the whole job."""

    @classmethod
    def opened(cls, path: Path) -> Work:
        """The job in a directory."""
        place = Place(path)
        work = cls(place, Plan.from_json(place.get_json("job.json")["plan"]))
        if work.part is not None:
            work.source = Place(path.parent)
        return work

    @cached_property
    def job(self) -> dict[str, Any]:
        """How the job was begun."""
        found: dict[str, Any] = self.place.get_json("job.json")
        return found

    @property
    def collection(self) -> bytes:
        """Name of the collection in its files, 16 bytes: made of what goes in, so that the same job gives the same."""
        return bytes.fromhex(self.job["collection"])

    @property
    def out(self) -> Path:
        """Directory of the collection under construction."""
        return self.place.path / "out"

    @cached_property
    def read(self) -> dict[str, Any]:
        """What the read stage found."""
        found: dict[str, Any] = self.source.get_json("read.json")
        return found

    @cached_property
    def blocks(self) -> list[BlockFacts]:
        """Blocks of records, in the order of the input."""
        out, first = [], 0
        for one in self.read["blocks"]:
            out.append(BlockFacts(name=one["name"], n=one["n"], first_row=first))
            first += one["n"]
        return out

    @property
    def n_read(self) -> int:
        """Records read that have a vector."""
        return int(self.read["n"])

    @cached_property
    def dropped(self) -> I64:
        """Numbers of records read whose id an earlier one has, rising."""
        name = "read/dropped"
        return self.source.get_array(name, np.int64) if self.source.has(name) else np.empty(0, np.int64)

    @cached_property
    def dropped_bare(self) -> set[tuple[str, int]]:
        """Block and place in it of records without a vector whose id another one has."""
        name = "read/dropped_bare"
        return {(block, at) for block, at in self.source.get_json(name)} if self.source.has(name) else set()

    @cached_property
    def part(self) -> Part | None:
        """Of a shard: which files of rows it reads, and what of them."""
        stored = self.job.get("part")
        return (
            None
            if stored is None
            else Part(stored["folder"], stored["groups"][0], stored["groups"][1], stored["files"])
        )

    @cached_property
    def n_rows(self) -> int:
        """Rows of the collection."""
        if self.part is None:
            return self.n_read - len(self.dropped)
        if self.place.has("rows.json"):
            return int(self.place.get_json("rows.json"))
        files = (f"{self.part.folder}/{unit:06d}.counts" for unit in range(self.part.n_files))
        groups = slice(self.part.first_group, self.part.last_group)
        n_rows = sum(int(self.source.get_array(file, np.int64)[groups].sum()) for file in files)
        self.place.put_json("rows.json", n_rows)
        return n_rows

    @property
    def tenants(self) -> list[str]:
        """Names of the tenants, by number."""
        found: list[str] = self.read["tenants"]
        return found

    @cached_property
    def block_rows(self) -> int:
        """Rows that a unit of work holds."""
        return self.plan.block_rows(self.n_rows)

    def kept_rows(self, stage: str) -> int:
        """The same for a stage whose units must stay as they are when the job goes on with other memory or workers."""
        name = f"kept/{stage}"
        if not self.place.has(name):
            self.place.put_json(name, self.block_rows)
        return int(self.place.get_json(name))

    def vectors_of_block(self, block: BlockFacts) -> npt.NDArray[Any]:
        """Vectors of a block, (n, dim) in the collection's dtype."""
        return self.vectors(f"read/{block.name}.vecs", 0, block.n, self.source)

    def by_block(self, rows: I64) -> Iterator[tuple[int, I64, I64]]:
        """Records by the block that they are in: its number, their positions in ``rows``, and in the block."""
        order = np.argsort(rows, kind="stable")
        firsts = [block.first_row for block in self.blocks]
        bounds = np.searchsorted(rows[order], [*firsts, self.n_read])
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            places = order[bounds[number] : bounds[number + 1]]
            yield number, places, rows[places] - firsts[number]

    def vectors_read(self, rows: I64) -> npt.NDArray[Any]:
        """Vectors of some records, by their numbers as read, while the read stage's files are there."""
        out = np.empty((len(rows), self.plan.settings.dim), self.plan.settings.dtype)
        for number, places, local in self.by_block(rows):
            out[places] = self.vectors_of_block(self.blocks[number])[local]
        return out

    def vectors(self, name: str, first: int = 0, n: int = -1, place: Place | None = None) -> npt.NDArray[Any]:
        """Rows of a file of vectors, (n, dim) in the collection's dtype."""
        dim, kind = self.plan.settings.dim, self.plan.settings.dtype
        flat = (place or self.place).get_array(name, kind, first * dim, -1 if n < 0 else n * dim)
        return flat.reshape(-1, dim)


def in_working_space(vectors: npt.NDArray[Any], unit: bool) -> npt.NDArray[np.float32]:
    """Vectors as clustering sees them: float32, of length 1 under cosine; a new array."""
    points = np.array(vectors, dtype=np.float32, order="C")
    if unit:
        normalized(points, points)
    return points


def units_of(sizes: I64, most: int) -> list[tuple[int, int]]:
    """Stretches of things whose sizes together do not pass ``most``; a larger one has a stretch of its own."""
    out: list[tuple[int, int]] = []
    first, total = 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > first and total + size > most:
            out.append((first, i))
            first, total = i, 0
        total += size
    if len(sizes):
        out.append((first, len(sizes)))
    return out


def parts_of(labels: npt.NDArray[Any]) -> list[npt.NDArray[np.int64]]:
    """Positions of equal labels, those of one label together."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def joined(parts: Sequence[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Arrays one behind the other."""
    return np.concatenate(parts) if parts else empty
