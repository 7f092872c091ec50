"""Navigation: which cells are near a query. Flat or two-level, over 8-bit centroids in memory.

``ramet.index.navigate_hnsw`` is a third navigator behind the same interface.
"""

from __future__ import annotations

import struct
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.clustering import assign, kmeans
from ramet.index.errors import BrokenNavigatorError
from ramet.index.kernels import plan as plans
from ramet.index.kernels.codes import SQ8_FACTORS, sq8_encode
from ramet.index.kernels.navigate import nearest_many
from ramet.index.kernels.simd import PAD
from ramet.index.source import FloatArray

_HEADER = struct.Struct("<4sIQQQ")  # magic, dim, cells, groups, members
_MAGIC = b"NAV1"
HNSW_MAGIC = b"HNS1"
"""First bytes of the other navigator's serialized form."""


class Navigator(Protocol):
    """Finds the cells nearest to a query."""

    dim: int
    n_cells: int
    starts: npt.NDArray[np.int64]
    """First member of each group of cells, for the search kernel; one element when the kernel does not navigate."""

    def fill(self, plan: npt.NDArray[np.void]) -> None:
        """Write the navigation fields of a search plan; this object must outlive the plan."""
        ...

    def scratch(self) -> int:
        """Floats of scratch that navigation inside the kernel needs."""
        ...

    def nearest(self, queries: FloatArray, nprobe: int, metric: int) -> npt.NDArray[np.uint64]:
        """Keys (distance estimate, position of the cell), uint64 (n, min(nprobe, n_cells)), ascending."""
        ...


def encode(vectors: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """SQ8 codes (flat, with spare bytes for a 64-byte load behind the last) and factors (3, n)."""
    n, dim = vectors.shape
    store = np.zeros(n * dim + PAD, np.uint8)
    factors = np.empty((SQ8_FACTORS, n), np.float32)
    sq8_encode(vectors, store[: n * dim].reshape(n, dim), factors)
    return store, factors


class GroupNavigator:
    """Cells in groups (two levels), or all in one (flat) when they are few.

    Parameters
    ----------
    dim : int
    groups : tuple of arrays
        Codes (flat uint8) and factors (3, n_groups) of the groups' centres.
    starts : int64 array (n_groups + 1,)
        Members of group g are ``starts[g]:starts[g + 1]``.
    members : tuple of arrays
        Positions of cells (uint32), codes (flat uint8), factors (3, n_members).
    """

    def __init__(
        self,
        dim: int,
        n_cells: int,
        groups: tuple[npt.NDArray[np.uint8], FloatArray],
        starts: npt.NDArray[np.int64],
        members: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8], FloatArray],
    ) -> None:
        self.dim, self.n_cells = dim, n_cells
        self.group_codes, self.group_factors = groups
        self.starts = starts
        self.cells, self.codes, self.factors = members
        self.n_groups = int(self.group_factors.shape[1])
        self.largest = int(np.diff(starts).max()) if self.n_groups else len(self.cells)

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        arrays = (self.group_codes, self.group_factors, self.starts, self.cells, self.codes, self.factors)
        return sum(a.nbytes for a in arrays)

    def fill(self, plan: npt.NDArray[np.void]) -> None:
        """Write the navigation fields of a search plan; this object must outlive the plan."""
        record = plan[0]
        record["dim"], record["n_cells"], record["n_groups"] = self.dim, self.n_cells, self.n_groups
        record["n_members"] = len(self.cells)
        record["group_codes"] = self.group_codes.ctypes.data
        record["group_factors"] = self.group_factors.ctypes.data
        record["member_starts"] = self.starts.ctypes.data
        record["member_cells"] = self.cells.ctypes.data
        record["member_codes"] = self.codes.ctypes.data
        record["member_factors"] = self.factors.ctypes.data

    def scratch(self) -> int:
        """Floats of scratch that navigation needs."""
        return max(self.largest, self.n_groups, 1)

    def nearest(self, queries: FloatArray, nprobe: int, metric: int, effort: float = 1.0) -> npt.NDArray[np.uint64]:
        """Keys (distance estimate, position of the cell), uint64 (n, min(nprobe, n_cells)), ascending."""
        plan = np.zeros(1, plans.PLAN)
        plan["metric"] = metric
        self.fill(plan)
        keys = np.empty((len(queries), min(nprobe, self.n_cells)), np.uint64)
        nearest_many(plan, self.starts, queries, effort, self.scratch(), keys)
        return keys

    def to_bytes(self) -> bytes:
        """Serialized form; ``from_bytes`` is the inverse."""
        header = _HEADER.pack(_MAGIC, self.dim, self.n_cells, self.n_groups, len(self.cells))
        parts = (self.group_codes, self.group_factors, self.starts, self.cells, self.codes, self.factors)
        return header + b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> GroupNavigator:
        """Rebuild a navigator; the bytes are copied once.

        Raises
        ------
        BrokenNavigatorError
            The bytes are not a navigator, or their length is wrong.
        """
        if len(data) < _HEADER.size:
            raise BrokenNavigatorError(f"a navigator has at least {_HEADER.size} bytes, found {len(data)}")
        magic, dim, n_cells, n_groups, n_members = _HEADER.unpack_from(data)
        shapes: list[tuple[np.dtype, int]] = [
            (np.dtype(np.uint8), n_groups * dim + PAD),
            (np.dtype(np.float32), SQ8_FACTORS * n_groups),
            (np.dtype(np.int64), n_groups + 1),
            (np.dtype(np.uint32), n_members),
            (np.dtype(np.uint8), n_members * dim + PAD),
            (np.dtype(np.float32), SQ8_FACTORS * n_members),
        ]
        expected = _HEADER.size + sum(dtype.itemsize * count for dtype, count in shapes)
        if magic != _MAGIC or len(data) != expected:
            raise BrokenNavigatorError(
                f"navigator: expected {_MAGIC!r} and {expected} bytes, found {magic!r} and {len(data)}"
            )
        arrays, at = [], _HEADER.size
        for dtype, count in shapes:
            arrays.append(np.frombuffer(data, dtype, count, at).copy())
            at += dtype.itemsize * count
        codes, factors, starts, cells, member_codes, member_factors = arrays
        groups = (codes, factors.reshape(SQ8_FACTORS, n_groups))
        return cls(dim, n_cells, groups, starts, (cells, member_codes, member_factors.reshape(SQ8_FACTORS, n_members)))


def flat_navigator(centroids: FloatArray) -> GroupNavigator:
    """One flat scan of all centroids."""
    n, dim = centroids.shape
    codes, factors = encode(centroids)
    none = (np.zeros(PAD, np.uint8), np.empty((SQ8_FACTORS, 0), np.float32))
    return GroupNavigator(dim, n, none, np.zeros(1, np.int64), (np.arange(n, dtype=np.uint32), codes, factors))


def group_navigator(centroids: FloatArray, centres: FloatArray, groups: npt.NDArray[np.int32]) -> GroupNavigator:
    """Two levels: ``centroids`` (n_cells, dim) in ``groups`` (n_cells,) around ``centres`` (n_groups, dim).

    Each centroid stands in its nearest group only. Copies in a second group, as vectors have them, buy no more than
    looking into more groups does, and would make every insertion into the heap look for duplicates.
    """
    n, dim = centroids.shape
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(len(centres) + 1)).astype(np.int64)
    codes, factors = encode(np.ascontiguousarray(centroids[order]))
    return GroupNavigator(dim, n, encode(centres), starts, (order.astype(np.uint32), codes, factors))


def group_centres(centroids: FloatArray, seed: int) -> FloatArray:
    """Centres of about sqrt(n) groups of centroids."""
    k = max(2, round(defaults.GROUPS_FACTOR * len(centroids) ** 0.5))
    rng = np.random.default_rng([seed, 3])
    return kmeans(centroids, k, rng, steps=defaults.ROOT_STEPS)


def home_groups(centroids: FloatArray, centres: FloatArray) -> npt.NDArray[np.int32]:
    """Nearest group of each centroid: its parent in the tree."""
    return assign(centroids, centres)[0]
