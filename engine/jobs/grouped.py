"""Rows by group, as the group stage left them: slices of its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.work import I64, KEY, Part, Work, joined, units_of


class Stretch(NamedTuple):
    """The records ``a <= i < b`` of the groups ``first <= g < last``, each file's in turn."""

    first: int
    last: int
    a: int
    b: int


class Grouped:
    """Reads groups.

    Parameters
    ----------
    work : Work
        Its group stage is done.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        part = work.part or Part("group", 0, -1, len(work.blocks))
        self._place, self._folder = work.source, part.folder
        every = np.stack(
            [work.source.get_array(f"{part.folder}/{unit:06d}.counts", np.int64) for unit in range(part.n_files)]
        )
        groups = slice(part.first_group, part.last_group if part.last_group >= 0 else every.shape[1])
        self._counts = every[:, groups]
        self._starts = (np.cumsum(every, axis=1) - every)[:, groups]
        self.sizes: I64 = self._counts.sum(axis=0)
        """Records of each group."""

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.sizes)

    def keys(self, stretch: Stretch) -> npt.NDArray[np.void]:
        """Keys (`KEY`) of the records of a stretch, in the order of their vectors."""
        files = (f"{self._folder}/{unit:06d}.keys" for unit in range(len(self._counts)))
        parts = [
            self._place.get_array(file, KEY, a, n)
            for file, (a, n) in zip(files, self._slices(stretch), strict=True)
            if n
        ]
        return joined(parts, np.empty(0, KEY))

    def vectors(self, stretch: Stretch) -> npt.NDArray[Any]:
        """Vectors of the records of a stretch, (n, dim) in the collection's dtype."""
        settings, taken = self._work.plan.settings, enumerate(self._slices(stretch))
        files = ((f"{self._folder}/{unit:06d}.vecs", a, n) for unit, (a, n) in taken if n)
        parts = [self._work.vectors(file, a, n, self._place) for file, a, n in files]
        return joined(parts, np.empty((0, settings.dim), settings.dtype))

    def groups(self, stretch: Stretch) -> npt.NDArray[np.int64]:
        """Group of each record of a stretch."""
        if stretch.last - stretch.first == 1:
            return np.full(stretch.b - stretch.a, stretch.first)
        counts = self._counts[:, stretch.first : stretch.last]
        numbers = np.tile(np.arange(stretch.first, stretch.last), len(counts))
        return np.repeat(numbers, counts.reshape(-1))

    def pieces(self, group: int, most: int) -> Iterator[npt.NDArray[Any]]:
        """Vectors of a group in pieces of at most ``most`` rows."""
        for stretch in self.cut(group, most):
            yield self.vectors(stretch)

    def each(self, first: int, last: int, most: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Pieces of some groups that are read together, by group; a group of over ``most`` rows piece by piece."""
        size = int(self.sizes[first:last].sum())
        if size > most:
            for group in range(first, last):
                for piece in self.pieces(group, most):
                    yield group, piece
            return
        vectors = self.vectors(Stretch(first, last, 0, size))
        counts = self._counts[:, first:last]
        bases = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])[:-1]
        starts = bases[:, None] + np.cumsum(counts, axis=1) - counts
        for group in range(last - first):
            if self.sizes[first + group]:
                slices = zip(starts[:, group].tolist(), counts[:, group].tolist(), strict=True)
                yield first + group, np.concatenate([vectors[a : a + n] for a, n in slices if n])

    def cut(self, group: int, most: int) -> list[Stretch]:
        """A group in stretches of at most ``most`` rows; none for an empty one."""
        size = int(self.sizes[group])
        return [Stretch(group, group + 1, a, min(a + most, size)) for a in range(0, size, most)]

    def stretches(self, most: int) -> list[Stretch]:
        """All records in stretches of at most ``most`` rows: several small groups, or a part of a large one."""
        out = list[Stretch]()
        for first, last in units_of(self.sizes, most):
            size = int(self.sizes[first:last].sum())
            out += self.cut(first, most) if size > most else [Stretch(first, last, 0, size)] if size else []
        return out

    def _slices(self, stretch: Stretch) -> Iterator[tuple[int, int]]:
        """(first row, rows) of a stretch in each file; a part of a group goes through the files in their order."""
        counts = self._counts[:, stretch.first : stretch.last].sum(axis=1)
        ends = np.cumsum(counts)
        for unit, (n, end) in enumerate(zip(counts.tolist(), ends.tolist(), strict=True)):
            a, b = max(stretch.a - (end - n), 0), min(stretch.b - (end - n), n)
            yield (int(self._starts[unit, stretch.first]) + a, b - a) if a < b else (0, 0)
