"""Rebalancing: waves that split long lists, dissolve short ones, re-centre cells that drifted, and move what follows.

A wave is bounded: so many lists are cut, so many cells re-centred. Lists that wait stand in the catalog, so what a wave
leaves, or a crash cut off, the next writer goes on with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine.change import Change
from ramet.engine.navigation import centroids_of
from ramet.engine.placement import Placement
from ramet.index import defaults
from ramet.index.maintain import family, movers, nearest_of, neighbourhoods, split_centroids
from ramet.storage.format import COPY, ROW_MASK

Floats = npt.NDArray[np.float32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

WAVE_LISTS = 96
"""Lists cut or dissolved in one wave; a tenant with fewer lists waits for no more than one in WAVE_SHARE of them."""
WAVE_SHARE = 16

MOST_WAVES = 6
"""Waves in a row for one tenant: what is still waiting then is left to the next call."""

FAR_OVER = 2
"""A list this many times over the limit does not wait for others."""


@dataclass(slots=True)
class Deadline:
    """When to stop beginning waves."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def passed(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.at


def rebalance(change: Change, tenant: int, deadline: Deadline, *, all_of_it: bool = False) -> bool:
    """Run waves for a tenant while enough lists wait; returns whether any is left waiting.

    Parameters
    ----------
    change : Change
    tenant : int
    deadline : Deadline
    all_of_it : bool
        Do not wait until a wave is worth its while.
    """
    placement = change.placement(tenant)
    for _ in range(MOST_WAVES):
        waiting = np.array([cell for _, cell in change.writer.pending(tenant)], np.uint32)
        if not len(waiting) or deadline.passed:
            return len(waiting) > 0
        known = np.array([placement.has(cell) for cell in waiting.tolist()], bool)
        change.writer.set_pending(tenant, waiting[:0], waiting[~known])
        waiting = waiting[known]
        if not (all_of_it or _worth_it(placement, waiting)):
            return len(waiting) > 0
        _wave(change, placement, waiting)
    return bool(change.writer.pending(tenant))


def urgency(change: Change, tenant: int) -> float:
    """How many times over the limit a tenant's longest list is."""
    placement = change.placement(tenant)
    return float(placement.lengths.max(initial=0)) / placement.longest


def _worth_it(placement: Placement, waiting: U32) -> bool:
    """Whether enough lists wait for a wave, or one is far over the limit."""
    if len(waiting) >= max(1, min(WAVE_LISTS, placement.n_cells // WAVE_SHARE)):
        return True
    return bool((placement.lengths[placement.positions(waiting)] > FAR_OVER * placement.longest).any())


def _wave(change: Change, placement: Placement, waiting: U32) -> None:
    """One wave over some of the lists that wait, the longest first."""
    placement.tidy()
    lengths = placement.lengths[placement.positions(waiting)]
    chosen = waiting[np.argsort(-lengths, kind="stable")][: WAVE_LISTS + WAVE_LISTS // 4]
    lengths = placement.lengths[placement.positions(chosen)]
    short = chosen[lengths < placement.shortest]
    long = chosen[placement.is_long(chosen, lengths)]
    affected: list[U32] = []
    for cell in long.tolist():
        affected += _split(change, placement, cell)
    affected += _dissolve(change, placement, short)
    done = chosen[~np.isin(chosen, long)]
    change.writer.set_pending(placement.tenant, waiting[:0], done)
    new = placement.take_new()
    changed, rows = _recentre(change, placement, new)
    rows += affected
    if len(changed):
        rows.append(_movers(change, placement, changed, placement.near(changed, defaults.NEAR_LISTS + 1)))
    moving = np.unique(np.concatenate(rows)) if rows else np.empty(0, np.uint32)
    change.reassign(placement, moving.astype(np.int64))


def _rows(change: Change, placement: Placement, cell: int) -> tuple[U32, U32]:
    """Home rows of a list, and the copies in it."""
    rows = change.writer.list_rows(placement.tenant, np.array([cell], np.uint32))[0]
    home = rows < COPY
    return rows[home], rows[~home] & np.uint32(ROW_MASK)


def _split(change: Change, placement: Placement, cell: int) -> list[U32]:
    """Put cells below an overfull cell in its place; returns the rows of its list, which have to go elsewhere.

    The cells are those that other tenants needed before, or they are made of its rows and are then there for all.
    """
    home, copies = _rows(change, placement, cell)
    points = change.points(home)
    below = _cut(change, placement, cell, points)
    change.writer.set_pending(placement.tenant, np.empty(0, np.uint32), np.array([cell], np.uint32))
    if below is None:
        made = split_centroids(points, (cell, len(home)), placement.shortest // 2)
        if made is None:
            placement.settle(cell)
            return []
        below = _make_family(change, cell, made)
    placement.remove(np.array([cell], np.uint32))
    placement.add(*below)
    return [home, copies]


def _cut(change: Change, placement: Placement, cell: int, points: Floats) -> tuple[U32, Floats] | None:
    """Cells below a cell that hold the rows in lists of a good length; None when it has no children.

    From the children downwards, as long as a part is too long and has children itself. Parts that would be too short
    are left out; their rows go to the nearest of the others.
    """
    cells = change.writer.children(cell)
    if not len(cells):
        return None
    while True:
        centroids = centroids_of(change.writer, change.settings, cells)
        counts = np.bincount(nearest_of(points, centroids), minlength=len(cells))
        deeper = {int(i): change.writer.children(int(cells[i])) for i in np.flatnonzero(counts > placement.longest)}
        deeper = {i: children for i, children in deeper.items() if len(children)}
        if not deeper:
            break
        kept = [cells[i : i + 1] for i in range(len(cells)) if i not in deeper]
        cells = np.concatenate([*kept, *deeper.values()])
    enough = counts >= min(placement.shortest // 2, int(counts.max()))
    return cells[enough], centroids[enough]


def _make_family(change: Change, cell: int, centroids: Floats) -> tuple[U32, Floats]:
    """New cells below a cell, in binary splits; returns the posting cells among them."""
    writer, made = change.writer, family(centroids)
    numbers = np.concatenate([[cell], writer.n_cells + np.arange(len(made.parents))]).astype(np.uint32)
    level = int(writer.cells(numbers[:1]).levels[0])
    payload = np.ascontiguousarray(made.centroids).view(np.uint8).reshape(len(made.parents), -1)
    writer.put_cells(numbers[1:], numbers[made.parents], made.levels + np.uint32(level), payload)
    for inner in range(made.n_inner + 1):
        writer.put_children(int(numbers[inner]), numbers[1:][made.parents == inner])
    return numbers[1 + made.n_inner :], centroids


def _dissolve(change: Change, placement: Placement, short: U32) -> list[U32]:
    """Give up short lists; returns their rows, which have to go elsewhere. One list always stays.

    Where the parent of a short list has no other list of the tenant below it than its own few children, all of them
    short enough together, the rows go up to the parent, and the subtree becomes shallower.
    """
    affected: list[U32] = []
    for cell in short.tolist():
        if placement.n_cells < 2 or not placement.has(cell):
            continue
        merged = _family(change, placement, cell)
        for gone in merged[1] if merged else [cell]:
            affected += _rows(change, placement, gone)
        placement.remove(np.array(merged[1] if merged else [cell], np.uint32))
        if merged:
            parent = np.array([merged[0]], np.uint32)
            placement.add(parent, centroids_of(change.writer, change.settings, parent))
    return affected


def _family(change: Change, placement: Placement, cell: int) -> tuple[int, list[int]] | None:
    """The parent of a short list and its lists there, when they can be merged into one; None when they cannot."""
    parent = int(change.writer.cells(np.array([cell], np.uint32)).parents[0])
    if parent == 0xFFFFFFFF or placement.has(parent):
        return None
    children = change.writer.children(parent).tolist()
    mine = [child for child in children if placement.has(child)]
    if cell not in mine or (len(mine) < len(children) and len(mine) < placement.n_cells):
        return None  # below a sibling there may be lists, too
    total = int(placement.lengths[placement.positions(np.array(mine, np.uint32))].sum())
    return (parent, mine) if len(mine) > 1 and 2 * total <= placement.longest else None


def _recentre(change: Change, placement: Placement, new: U32) -> tuple[I64, list[U32]]:
    """Move the cells that drifted most to the means of their home rows.

    Only cells that no other tenant uses and that have no children: they are nobody else's centroids.

    Returns
    -------
    changed : int64 array
        Positions of the cells that moved or are new.
    rows : list of arrays
        Copies in the lists of moved cells: their second list is chosen again.
    """
    wanted = min(round(placement.changed_rows * defaults.RECENTRED), 2 * WAVE_LISTS)
    placement.changed_rows = 0.0
    cells = placement.most_drifted(wanted, new)
    uses = change.writer.uses(cells)
    alone = [cell for cell, n in zip(cells.tolist(), uses.tolist(), strict=True) if n == 1]
    chosen = [cell for cell in alone if not len(change.writer.children(cell))]
    copies: list[U32] = []
    means: list[npt.NDArray[np.float32]] = []
    moved: list[int] = []
    for cell in chosen:
        home, others = _rows(change, placement, cell)
        if len(home):
            means.append(change.points(home).mean(axis=0, dtype=np.float64).astype(np.float32))
            copies.append(others)
            moved.append(cell)
    if moved:
        _move(change, placement, np.array(moved, np.uint32), np.stack(means))
    changed = np.union1d(np.array(moved, np.uint32), new).astype(np.uint32)
    changed = changed[np.array([placement.has(cell) for cell in changed.tolist()], bool)]
    return placement.positions(changed), copies


def _move(change: Change, placement: Placement, cells: U32, means: npt.NDArray[np.float32]) -> None:
    """Store new centroids of cells."""
    writer = change.writer
    table = writer.cells(cells)
    payload = np.ascontiguousarray(means).view(np.uint8).reshape(len(cells), -1)
    writer.put_cells(cells, table.parents, table.levels, payload)
    writer.touch(placement.tenant, cells.tolist())
    placement.move(placement.positions(cells), means)


def _movers(change: Change, placement: Placement, changed: I64, near: I64) -> U32:
    """Rows in and around changed cells that are nearer to another cell than to that of their list."""
    hood = neighbourhoods(changed, near)
    held = change.writer.list_rows(placement.tenant, placement.numbers[hood.lists])
    rows = np.concatenate(held)
    home = rows < COPY
    of_list = np.repeat(np.arange(len(held)), [len(part) for part in held])
    lengths = np.bincount(of_list[home], minlength=len(held))
    moved = movers(change.points(rows[home]), lengths, hood, placement.centroids, change.pool)
    return rows[home][moved]
