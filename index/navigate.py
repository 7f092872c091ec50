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
from ramet.index.kernels.navigate import home_group, nearest_many
from ramet.index.kernels.simd import PAD
from ramet.index.source import FloatArray

_HEADER = struct.Struct("<4sIQQQ")  # magic, dim, cells, groups, members
_MAGIC = b"NAV1"
LEAST_ROOM = 2
"""Free slots that `GroupNavigator.with_room` leaves behind each group at least."""
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

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        ...

    def to_bytes(self) -> bytes:
        """Serialized form."""
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

    Members stand in *slots*. Behind those of each group there may be free slots, where `grown` puts further cells: the
    arrays are shared by every navigator grown from one, and each of them looks only at the slots that it knows.

    Parameters
    ----------
    dim : int
    n_cells : int
        Positions of cells are below it.
    groups : tuple of arrays
        Codes (flat uint8) and factors (3, n_groups) of the groups' centres.
    starts : int64 array (n_groups + 1,)
        First slot of each group; the last element is the number of slots. Of a flat navigator: (1,), not used.
    sizes : uint32 array (n_groups,)
        Members of each group. Of a flat navigator: (1,), the number of members.
    members : tuple of arrays
        For each slot: position of the cell (uint32), codes (flat uint8), factors (3, n_slots).
    """

    __slots__ = (
        "cells", "codes", "dim", "factors", "group_codes", "group_factors", "largest", "n_cells", "n_groups",
        "n_members", "sizes", "starts",
    )  # fmt: skip

    def __init__(
        self,
        dim: int,
        n_cells: int,
        groups: tuple[npt.NDArray[np.uint8], FloatArray],
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.uint32],
        members: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8], FloatArray],
    ) -> None:
        self.dim, self.n_cells = dim, n_cells
        self.group_codes, self.group_factors = groups
        self.starts, self.sizes = starts, sizes
        self.cells, self.codes, self.factors = members
        self.n_groups = int(self.group_factors.shape[1])
        self.n_members = int(sizes.sum())
        self.largest = int(sizes.max()) if len(sizes) else 0

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        arrays = (self.group_codes, self.group_factors, self.starts, self.sizes, self.cells, self.codes, self.factors)
        return sum(a.nbytes for a in arrays)

    def fill(self, plan: npt.NDArray[np.void]) -> None:
        """Write the navigation fields of a search plan; this object must outlive the plan."""
        record = plan[0]
        record["dim"], record["n_cells"], record["n_groups"] = self.dim, self.n_cells, self.n_groups
        record["n_members"], record["n_slots"] = self.n_members, len(self.cells)
        record["group_codes"] = self.group_codes.ctypes.data
        record["group_factors"] = self.group_factors.ctypes.data
        record["member_sizes"] = self.sizes.ctypes.data
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

    def grown(self, centroids: FloatArray) -> GroupNavigator | None:
        """A navigator with further cells, at the positions from ``n_cells`` on; None when their groups have no room.

        Only the last navigator of a chain may be grown, by one thread at a time: the free slots are shared.

        Parameters
        ----------
        centroids : float32 array (n, dim)
        """
        sizes, positions = self.sizes.copy(), np.arange(self.n_cells, self.n_cells + len(centroids), dtype=np.uint32)
        homes = self._homes(centroids)
        slots = np.empty(len(centroids), np.int64)
        for i, group in enumerate(homes):
            first, end = (self.starts[group], self.starts[group + 1]) if self.n_groups else (0, len(self.cells))
            slots[i] = first + sizes[group]
            sizes[group] += 1
            if slots[i] >= end:
                return None
        codes, factors = encode(centroids)
        self.cells[slots] = positions
        self.codes[: len(self.cells) * self.dim].reshape(-1, self.dim)[slots] = codes[: codes.size - PAD].reshape(
            -1, self.dim
        )
        self.factors[:, slots] = factors
        groups, members = (self.group_codes, self.group_factors), (self.cells, self.codes, self.factors)
        return GroupNavigator(self.dim, self.n_cells + len(centroids), groups, self.starts, sizes, members)

    def _homes(self, centroids: FloatArray) -> list[int]:
        """Group of each centroid."""
        if not self.n_groups:
            return [0] * len(centroids)
        plan = np.zeros(1, plans.PLAN)
        self.fill(plan)
        out = np.empty(self.scratch(), np.float32)
        return [int(home_group(plan[0], centroid, out)) for centroid in centroids]

    def with_room(self, keep: npt.NDArray[np.bool_], room: float) -> GroupNavigator:
        """The same members in new arrays, with free slots behind each group, and without the cells that are not kept.

        Parameters
        ----------
        keep : bool array (n_cells,)
            Cells that stay; positions are renumbered in their order.
        room : float
            Free slots as a share of the members of each group, rounded up.
        """
        place = (np.cumsum(keep) - 1).astype(np.uint32)
        pieces = [self.cells[first : first + size] for first, size in self._pieces()]
        kept = [first + np.flatnonzero(keep[piece]) for (first, _), piece in zip(self._pieces(), pieces, strict=True)]
        sizes = np.array([len(slots) for slots in kept], np.uint32)
        # An empty group counts as one of one member: else no share, however large, would give it room for many cells.
        lengths = sizes + np.ceil(np.maximum(sizes, 1) * room).astype(np.int64) + (LEAST_ROOM if room else 0)
        firsts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        n_slots = int(firsts[-1])
        cells, factors = np.zeros(n_slots, np.uint32), np.zeros((SQ8_FACTORS, n_slots), np.float32)
        codes = np.zeros(n_slots * self.dim + PAD, np.uint8)
        old, new = np.concatenate(kept), np.concatenate([a + np.arange(n) for a, n in zip(firsts, sizes, strict=False)])
        cells[new] = place[self.cells[old]]
        factors[:, new] = self.factors[:, old]
        codes[: n_slots * self.dim].reshape(n_slots, self.dim)[new] = self.codes[: len(self.cells) * self.dim].reshape(
            -1, self.dim
        )[old]
        starts = firsts if self.n_groups else np.zeros(1, np.int64)
        groups = (self.group_codes, self.group_factors)
        return GroupNavigator(self.dim, int(keep.sum()), groups, starts, sizes, (cells, codes, factors))

    def _pieces(self) -> list[tuple[int, int]]:
        """(first slot, members) of each group."""
        firsts = self.starts[:-1].tolist() if self.n_groups else [0]
        return list(zip(firsts, self.sizes.tolist(), strict=True))

    def to_bytes(self) -> bytes:
        """Serialized form, without free slots; ``from_bytes`` is the inverse."""
        whole = self.with_room(np.ones(self.n_cells, bool), 0.0)
        header = _HEADER.pack(_MAGIC, self.dim, self.n_cells, self.n_groups, len(whole.cells))
        parts = (whole.group_codes, whole.group_factors, whole.starts, whole.cells, whole.codes, whole.factors)
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
        sizes = np.diff(starts) if n_groups else np.array([n_members])
        if (sizes < 0).any() or sizes.sum() != n_members or (n_members and int(cells.max()) >= n_cells):
            raise BrokenNavigatorError(f"navigator: groups and positions do not fit {n_cells} cells")
        groups = (codes, factors.reshape(SQ8_FACTORS, n_groups))
        members = (cells, member_codes, member_factors.reshape(SQ8_FACTORS, n_members))
        return cls(dim, n_cells, groups, starts, sizes.astype(np.uint32), members)


def flat_navigator(centroids: FloatArray) -> GroupNavigator:
    """One flat scan of all centroids."""
    n, dim = centroids.shape
    codes, factors = encode(centroids)
    none = (np.zeros(PAD, np.uint8), np.empty((SQ8_FACTORS, 0), np.float32))
    members = (np.arange(n, dtype=np.uint32), codes, factors)
    return GroupNavigator(dim, n, none, np.zeros(1, np.int64), np.array([n], np.uint32), members)


def group_navigator(centroids: FloatArray, centres: FloatArray, groups: npt.NDArray[np.int32]) -> GroupNavigator:
    """Two levels: ``centroids`` (n_cells, dim) in ``groups`` (n_cells,) around ``centres`` (n_groups, dim).

    Each centroid stands in its nearest group only. Copies in a second group, as vectors have them, buy no more than
    looking into more groups does, and would make every insertion into the heap look for duplicates.
    """
    n, dim = centroids.shape
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(len(centres) + 1)).astype(np.int64)
    codes, factors = encode(np.ascontiguousarray(centroids[order]))
    members = (order.astype(np.uint32), codes, factors)
    return GroupNavigator(dim, n, encode(centres), starts, np.diff(starts).astype(np.uint32), members)


def navigator_over(centroids: FloatArray, seed: int = 0) -> GroupNavigator:
    """The navigator over centroids: flat when they are few, else with groups of their own making."""
    if len(centroids) <= defaults.FLAT_CELLS:
        return flat_navigator(centroids)
    centres = group_centres(centroids, seed)
    return group_navigator(centroids, centres, home_groups(centroids, centres))


def group_centres(centroids: FloatArray, seed: int) -> FloatArray:
    """Centres of about sqrt(n) groups of centroids."""
    k = max(2, round(defaults.GROUPS_FACTOR * len(centroids) ** 0.5))
    rng = np.random.default_rng([seed, 3])
    return kmeans(centroids, k, rng, steps=defaults.ROOT_STEPS)


def home_groups(centroids: FloatArray, centres: FloatArray) -> npt.NDArray[np.int32]:
    """Nearest group of each centroid: its parent in the tree."""
    return assign(centroids, centres)[0]
