"""Stages *cells* and *refine*: posting cells of every group, then Lloyd steps over all rows, read group by group.

The steps are those of `ramet.index.clustering`; only where the rows are differs. A row stays in the file of its first
group: it is compared with the cells of that group and of those around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.grouped import Grouped
from ramet.engine.jobs.grouping import load_groups
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import I64, Work, in_working_space, units_of
from ramet.index import defaults
from ramet.index.clustering import LabelArray, assign, kmeans
from ramet.index.kernels.cluster import add_points
from ramet.index.nearby import cells_around
from ramet.index.source import FloatArray

MOST_POINTS = 65_536
"""Rows of a group or of a cell that its parts are made from; of more, a part is taken here and there."""

RUN_ROWS, RUN_BYTES = 32_768, 12 << 20
"""Rows of groups that are compared together, and their bytes in float32: at most."""

PIECE_BYTES = 32 << 20
"""Vectors in float32 that are read at a time, at most."""

WAITING_BYTES = 64 << 20
"""Results of a Lloyd step that are held at a time, about."""

LABELS = "refine/labels"


def run_rows(dim: int) -> int:
    """Rows of groups that are compared together. It depends on the dimension alone, as results do on it."""
    return max(1, min(RUN_ROWS, RUN_BYTES // (4 * dim)))


def tile_rows(dim: int) -> int:
    """Rows of one product with centroids, on whose shape the last bits of it depend."""
    return min(defaults.BLOCK_ROWS, run_rows(dim))


def piece_rows(dim: int) -> int:
    """Rows that are read at a time: whole tiles."""
    tile = tile_rows(dim)
    return max(tile, min(MOST_POINTS, PIECE_BYTES // (4 * dim)) // tile * tile)


def thinned(piece: FloatArray, first: int, size: int) -> FloatArray:
    """What k-means sees of a piece of a group, at most about `MOST_POINTS` of the group, however it is cut.

    Parameters
    ----------
    piece : array (n, dim)
    first : int
        Place of its first row in the group.
    size : int
        Rows of the group.
    """
    step = max(1, -(-size // MOST_POINTS))
    return piece if step == 1 else piece[(first + np.arange(len(piece))) % MOST_POINTS % step == 0]


def _some(points: FloatArray) -> FloatArray:
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a Lloyd step found in one group: sums and counts of the cells around it, and the cell of each row."""

    group: int
    sums: npt.NDArray[np.float64]
    counts: I64
    labels: list[npt.NDArray[np.int32]]


class CellStage(Stage):
    """Units are stretches of groups: their rows are cut into cells of about ``list_size`` rows."""

    name = "cells"

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Load what all units share."""
        _ = self.units

    @cached_property
    def grouped(self) -> Grouped:
        """The rows by group."""
        return Grouped(self._work)

    @cached_property
    def units(self) -> list[tuple[int, int]]:
        """First and last group of each unit."""
        return units_of(self.grouped.sizes, piece_rows(self._work.plan.settings.dim))

    def n_units(self) -> int:
        """Stretches of groups."""
        return len(self.units)

    def is_done(self, unit: int) -> bool:
        """Whether the cells of a stretch are there."""
        return self._work.place.has(f"cells/{unit:06d}.groups")

    def weight(self, unit: int) -> int:
        """Records of a stretch."""
        return int(self.grouped.sizes[slice(*self.units[unit])].sum())

    def run(self, unit: int) -> None:
        """Make the cells of some groups."""
        work, config = self._work, self._work.plan.cluster
        parts, groups = [np.empty((0, work.plan.settings.dim), np.float32)], [np.empty(0, np.int32)]
        for group, points in self._points(*self.units[unit]):
            size = int(self.grouped.sizes[group])
            k = max(1, min(round(size / config.list_size), len(points)))
            rng = np.random.default_rng([config.seed, 1, group])
            parts.append(kmeans(points, k, rng, steps=defaults.CELL_STEPS))
            groups.append(np.full(len(parts[-1]), group, np.int32))
        work.place.put_array(f"cells/{unit:06d}.vecs", np.concatenate(parts))
        work.place.put_array(f"cells/{unit:06d}.groups", np.concatenate(groups))

    def _points(self, first: int, last: int) -> Iterator[tuple[int, FloatArray]]:
        """Rows of each group, in working space; of a very large one every so manieth."""
        settings, held, at, behind = self._work.plan.settings, list[FloatArray](), -1, 0
        for group, piece in self.grouped.each(first, last, piece_rows(settings.dim)):
            if group != at and held:
                yield at, np.concatenate(held)
                held = []
            behind = behind if group == at else 0
            at, some = group, thinned(piece, behind, int(self.grouped.sizes[group]))
            held.append(in_working_space(some, settings.metric.unit))
            behind += len(piece)
        if held:
            yield at, np.concatenate(held)

    def finish(self) -> None:
        """Put the cells of all groups together."""
        place, units = self._work.place, range(self.n_units())
        vecs = [place.get_array(f"cells/{unit:06d}.vecs", np.float32) for unit in units]
        groups = [place.get_array(f"cells/{unit:06d}.groups", np.int32) for unit in units]
        place.put_array("refine/0.vecs", np.concatenate(vecs))
        place.put_array("refine/0.groups", np.concatenate(groups))

    def clean(self) -> None:
        """Drop the cells of the single groups."""
        self._work.place.drop("cells")


class RefineStage(Stage):
    """Units are Lloyd steps: each begins with the cells that the one before left."""

    name = "refine"
    in_order = True

    def __init__(self, work: Work, pool: Executor | None) -> None:
        self._work = work
        self._pool = pool

    @cached_property
    def grouped(self) -> Grouped:
        """The rows by group."""
        return Grouped(self._work)

    def n_units(self) -> int:
        """Steps, settling included."""
        return self._work.plan.cluster.lloyd_steps + defaults.SETTLE_STEPS

    def is_done(self, unit: int) -> bool:
        """Whether a step is done."""
        return any(self._work.place.has(f"refine/{step}.groups") for step in range(unit + 1, self.n_units() + 1))

    def weight(self, unit: int) -> int:
        """Records compared in a step."""
        return self._work.n_rows

    def run(self, unit: int) -> None:
        """Make one step; one that finds nothing to settle leaves the cells as they are."""
        work, config = self._work, self._work.plan.cluster
        centroids, groups = load_cells(work, unit)
        settling = unit >= config.lloyd_steps
        sums, counts = self._step(centroids, groups)
        if settling and not (counts > config.limit).any():
            self._store(unit, centroids, groups)
            return
        floor = 1 if settling else max(1, config.list_size // defaults.STARVE_DIVISOR)
        keep = counts >= floor
        if not keep.any():
            keep[np.argmax(counts)] = True
        large = np.flatnonzero(counts > config.limit)
        keep[large] = False
        parts, part_groups = [(sums[keep] / counts[keep, None]).astype(np.float32)], [groups[keep]]
        del sums
        for cell, centres in self._cut(large, counts):
            parts.append(centres)
            part_groups.append(np.full(len(centres), groups[cell], np.int32))
        self._store(unit, np.concatenate(parts), np.concatenate(part_groups))

    def _store(self, unit: int, centroids: FloatArray, groups: LabelArray) -> None:
        place = self._work.place
        place.put_array(f"refine/{unit + 1}.vecs", centroids)
        place.put_array(f"refine/{unit + 1}.groups", groups)
        place.drop(f"refine/{unit}.vecs")
        place.drop(f"refine/{unit}.groups")

    def _step(self, centroids: FloatArray, groups: LabelArray) -> tuple[npt.NDArray[np.float64], I64]:
        """Sums and counts of the rows of each cell; the cell of every row goes to a file."""
        near = cells_around(load_groups(self._work).centres, centroids, groups)
        sums, counts = np.zeros(centroids.shape), np.zeros(len(centroids), np.int64)
        unit, dim = self._work.plan.settings.metric.unit, centroids.shape[1]
        tile = tile_rows(dim)

        def compare(run: tuple[int, int]) -> list[_Found]:
            found = dict[int, _Found]()
            for group, piece in self.grouped.each(*run, piece_rows(dim)):
                cells = near[group]
                if group not in found:
                    found[group] = _Found(group, np.zeros((len(cells), dim)), np.zeros(len(cells), np.int64), [])
                mine, one = centroids[cells], found[group]
                for first in range(0, len(piece), tile):
                    points = in_working_space(piece[first : first + tile], unit)
                    labels, _ = assign(points, mine)
                    add_points(points, labels, one.sums, one.counts)
                    one.labels.append(cells[labels].astype(np.int32))
            return list(found.values())

        with open(self._work.place.of(LABELS), "wb") as file:
            for one in self._over_runs(compare, np.array([8 * dim * len(cells) for cells in near])):
                sums[near[one.group]] += one.sums
                counts[near[one.group]] += one.counts
                for labels in one.labels:
                    file.write(labels.tobytes())
        return sums, counts

    def _over_runs(self, compare: Callable[[tuple[int, int]], list[_Found]], sizes: I64) -> Iterator[_Found]:
        """Results of all groups in their order, of which only a few are held at a time; ``sizes``: bytes of each."""
        runs = units_of(self.grouped.sizes, run_rows(self._work.plan.settings.dim))
        largest = max(int(sizes[first:last].sum()) for first, last in runs)
        together = max(1, min(2 * self._work.plan.workers, WAITING_BYTES // max(1, largest)))
        for first in range(0, len(runs), together):
            part = runs[first : first + together]
            for found in map(compare, part) if self._pool is None else self._pool.map(compare, part):
                yield from found

    def _cut(self, large: I64, counts: I64) -> list[tuple[int, FloatArray]]:
        """Parts of the cells that hold too many rows."""
        config, out = self._work.plan.cluster, list[tuple[int, FloatArray]]()
        shares = np.minimum(counts[large], MOST_POINTS)
        for first, last in units_of(shares, max(self._work.block_rows, piece_rows(self._work.plan.settings.dim))):
            rows = self._members(large[first:last])
            for cell in large[first:last].tolist():
                points = _some(rows[cell])
                rng = np.random.default_rng([config.seed, 2, cell, int(counts[cell])])
                k = max(2, round(int(counts[cell]) / config.list_size))
                out.append((cell, np.unique(kmeans(points, k, rng, steps=defaults.CELL_STEPS), axis=0)))
        return out

    def _members(self, cells: I64) -> dict[int, FloatArray]:
        """Vectors of the rows of some cells, in working space; of a cell with very many, the first of each group."""
        held: dict[int, list[FloatArray]] = {int(cell): [] for cell in cells}
        n_held = dict.fromkeys(held, 0)
        at, unit = 0, self._work.plan.settings.metric.unit
        for group, size in enumerate(self.grouped.sizes.tolist()):
            labels = self._work.place.get_array(LABELS, np.int32, at, size)
            at += size
            if not np.isin(labels, cells).any():
                continue
            first = 0
            for piece in self.grouped.pieces(group, piece_rows(self._work.plan.settings.dim)):
                mine = labels[first : first + len(piece)]
                first += len(piece)
                for cell in np.intersect1d(mine, cells).tolist():
                    if n_held[cell] < MOST_POINTS:
                        held[cell].append(in_working_space(piece[mine == cell], unit))
                        n_held[cell] += len(held[cell][-1])
        return {cell: np.concatenate(parts) for cell, parts in held.items()}

    def clean(self) -> None:
        """The labels are not needed any more."""
        self._work.place.drop(LABELS)


def load_cells(work: Work, step: int) -> tuple[FloatArray, LabelArray]:
    """Centroids after a step, (n_cells, dim), and the group of each."""
    centroids = work.place.get_array(f"refine/{step}.vecs", np.float32).reshape(-1, work.plan.settings.dim)
    return centroids, work.place.get_array(f"refine/{step}.groups", np.int32)
