"""A job as its stages see it: the directory, the plan, and what earlier stages found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import Plan
from ramet.index.kernels.codes import normalized

NO_COPY = 0xFFFFFFFF

KEY = np.dtype([("row", "<u4"), ("tenant", "<u4")])
"""A record in the group stage: number of its row as it was read, and of its tenant."""

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """A block of records as the read stage left it."""

    name: str
    n: int
    """Records with a vector."""
    first_row: int
    """Number of its first record."""


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

    @classmethod
    def opened(cls, path: Path) -> Work:
        """The job in a directory."""
        place = Place(path)
        return cls(place, Plan.from_json(place.get_json("job.json")["plan"]))

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
        found: dict[str, Any] = self.place.get_json("read.json")
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
        return self.place.get_array(name, np.int64) if self.place.has(name) else np.empty(0, np.int64)

    @property
    def n_rows(self) -> int:
        """Rows of the collection."""
        return self.n_read - len(self.dropped)

    @property
    def tenants(self) -> list[str]:
        """Names of the tenants, by number."""
        found: list[str] = self.read["tenants"]
        return found

    @cached_property
    def block_rows(self) -> int:
        """Rows that a unit of work holds."""
        return self.plan.block_rows(self.n_read)

    def vectors_of_block(self, block: BlockFacts) -> npt.NDArray[Any]:
        """Vectors of a block, (n, dim) in the collection's dtype."""
        return self.vectors(f"read/{block.name}.vecs")

    def vectors(self, name: str, first: int = 0, n: int = -1) -> npt.NDArray[Any]:
        """Rows of a file of vectors, (n, dim) in the collection's dtype."""
        dim, kind = self.plan.settings.dim, self.plan.settings.dtype
        flat = self.place.get_array(name, kind, first * dim, -1 if n < 0 else n * dim)
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


def joined(parts: Sequence[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Arrays one behind the other."""
    return np.concatenate(parts) if parts else empty
