"""Which lists hold a row: values of the HOMES table."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.format import NO_LIST

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """The lists that hold a row."""

    owner: int
    """Tenant number of the record's owner."""
    lists: list[tuple[int, int]]
    """(tenant, cell) of every list with a copy of the row."""


def decode_homes(value: bytes) -> Homes:
    """Decode a value of the HOMES table; struct.error or a wrong length means damage."""
    owner, n = catalog.HOME_HEAD.unpack_from(value)
    words = struct.unpack_from(f"<{2 * n}I", value, catalog.HOME_HEAD.size)
    if len(value) != catalog.HOME_HEAD.size + 8 * n:
        raise struct.error(f"{n} homes in {len(value)} bytes")
    return Homes(owner=owner, lists=list(zip(words[::2], words[1::2], strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeTable:
    """Owners of rows and the lists that hold them, CSR: row i is in the lists ``starts[i] .. starts[i + 1]``.

    The lists of one tenant follow each other, that of the row's nearest cell first. For a row without a vector the one
    cell of every tenant that sees it is `format.NO_LIST`.
    """

    owners: U32
    """(n,)"""
    starts: I64
    """(n + 1,)"""
    tenants: U32
    """(total,)"""
    cells: U32
    """(total,)"""

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def of_row(self) -> I64:
        """Position of the row of each list, (total,)."""
        return np.repeat(np.arange(len(self.owners)), np.diff(self.starts))

    @property
    def bare(self) -> npt.NDArray[np.bool_]:
        """Which rows have no vector, and so are in no list, (n,)."""
        bare = np.zeros(len(self.owners), np.bool_)
        some = np.flatnonzero(np.diff(self.starts))
        bare[some] = self.cells[self.starts[some]] == NO_LIST
        return bare

    def chosen(self, which: npt.NDArray[np.bool_]) -> "HomeTable":
        """Return the entries of some of the rows, chosen by a mask of shape (n,)."""
        kept = which[self.of_row]
        counts = np.diff(self.starts)[which]
        return HomeTable(
            owners=self.owners[which],
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            tenants=self.tenants[kept],
            cells=self.cells[kept],
        )

    def with_lists(self, tenant: int, starts: I64, cells: U32) -> "HomeTable":
        """Return the table with other lists of one tenant in place of those that are there; none takes them out.

        Parameters
        ----------
        tenant : int
        starts : array of int64, shape (n + 1,)
        cells : array of uint32
        """
        kept = self.tenants != tenant
        of_row = np.concatenate([self.of_row[kept], np.repeat(np.arange(len(self)), np.diff(starts))])
        order = np.argsort(of_row, kind="stable")
        return HomeTable(
            owners=self.owners,
            starts=np.concatenate([[0], np.cumsum(np.bincount(of_row, minlength=len(self)))]).astype(np.int64),
            tenants=np.concatenate([self.tenants[kept], np.full(len(cells), tenant, np.uint32)])[order],
            cells=np.concatenate([self.cells[kept], cells]).astype(np.uint32)[order],
        )

    @classmethod
    def decoded(cls, values: Sequence[bytes]) -> "HomeTable":
        """Decode values of the HOMES table; struct.error or ValueError means damage."""
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        head, words = catalog.HOME_HEAD.size, np.frombuffer(b"".join(values), dtype="<u2")
        if (lengths < head).any() or ((lengths - head) % 8).any():
            raise struct.error("an entry is missing or cut short")
        begins = (np.cumsum(lengths) - lengths) // 2
        counts = (lengths - head) // 8
        if (words[begins + 2] != counts).any():
            raise struct.error("an entry has another length than it says")
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        place = np.repeat(begins + 3 - 4 * starts[:-1], counts) + 4 * np.arange(int(starts[-1]))
        wide = words.astype(np.uint32)
        return cls(
            owners=wide[begins] | wide[begins + 1] << np.uint32(16),
            starts=starts,
            tenants=wide[place] | wide[place + 1] << np.uint32(16),
            cells=wide[place + 2] | wide[place + 3] << np.uint32(16),
        )

    def encoded(self) -> list[bytes]:
        """Return the values of the HOMES table."""
        counts = np.diff(self.starts)
        ends = np.cumsum(3 + 4 * counts)  # in 16-bit words: owner (2), n (1), then 4 a list
        begins = ends - (3 + 4 * counts)
        words = np.zeros(int(ends[-1]) if len(ends) else 0, dtype="<u2")
        words[begins], words[begins + 1], words[begins + 2] = self.owners & 0xFFFF, self.owners >> 16, counts
        place = np.repeat(begins + 3 - 4 * self.starts[:-1], counts) + 4 * np.arange(int(self.starts[-1]))
        for i, half in enumerate((self.tenants & 0xFFFF, self.tenants >> 16, self.cells & 0xFFFF, self.cells >> 16)):
            words[place + i] = half
        content = words.tobytes()
        return [content[a:b] for a, b in zip((2 * begins).tolist(), (2 * ends).tolist(), strict=True)]
