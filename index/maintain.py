"""Decisions of maintenance: how a list is cut, which lists are looked at after cells came or moved, what moves.

The rules are those of LIRE (SPFresh, section 3.3): after a split, rows of the split list and of the lists near it go to
the cell that is nearest to them now. To them comes the re-centring of cells whose members have drifted, the online twin
of the Lloyd steps of a build; without it, a collection that grew from nothing has 1 to 3 points of recall less at the
same number of rows scanned (``docs/index.md``). Everything is decided on full-precision vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ramet.index import defaults
from ramet.index.clustering import assign, kmeans, run
from ramet.index.kernels.bisect import bisect
from ramet.index.kernels.maintain import better_homes
from ramet.index.source import FloatArray, RowArray

PIECES = 8
"""Pieces that a wave is cut into for the threads."""


def split_centroids(points: FloatArray, seed: Sequence[int], least: int) -> FloatArray | None:
    """Centroids that cut the home rows of an overfull list: two, or more when it is far over the limit.

    Parameters
    ----------
    points : float32 array (n, dim)
    seed : sequence of int
    least : int
        Rows that a part should have; smaller ones are left out, or they would be dissolved again.

    Returns
    -------
    float32 array (k, dim), or None
        None when the rows cannot be cut into parts of that size, for example because they are identical.
    """
    n, limit = len(points), defaults.SPLIT_ROWS
    if n < 2 or (points == points[0]).all():
        return None
    k = 2 if n < defaults.SPLIT_MANY * limit else round(n / (defaults.PART_SHARE * limit))
    centres = np.unique(kmeans(points, k, np.random.default_rng(list(seed)), steps=defaults.CELL_STEPS), axis=0)
    labels, _ = assign(points, centres)
    enough = np.bincount(labels, minlength=len(centres)) >= least
    return centres[enough] if enough.sum() > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Cells below a cell that is cut: a binary tree, so that tenants with fewer rows find cuts of fewer parts."""

    parents: npt.NDArray[np.uint32]
    """(2 k - 2,): parent of each new cell; 0 is the cell itself, i the (i - 1)-th new one."""
    levels: npt.NDArray[np.uint32]
    """(2 k - 2,): depth below the cell, from 1."""
    centroids: FloatArray
    """(2 k - 2, dim)"""
    n_inner: int
    """The first so many new cells have children; the k others are posting cells."""


def family(centroids: FloatArray) -> Family:
    """The tree below a cell that is cut into ``k >= 2`` parts with these centroids."""
    k = len(centroids)
    parents, levels = np.zeros(2 * k - 1, np.uint32), np.zeros(2 * k - 1, np.uint32)
    inner = np.empty((k - 1, centroids.shape[1]), np.float32)
    bisect(centroids, parents, levels, inner)
    return Family(
        parents=parents[1:], levels=levels[1:], centroids=np.concatenate([inner[1:], centroids]), n_inner=k - 2
    )


def nearest_of(points: FloatArray, centroids: FloatArray) -> npt.NDArray[np.int32]:
    """Which centroid is nearest to each point, int32 (n,)."""
    return assign(points, centroids)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhoods:
    """Lists to look at, and for each the cells that its rows are compared with; CSR, positions of cells."""

    lists: RowArray
    """(n,), rising."""
    starts: RowArray
    """(n + 1,)"""
    candidates: RowArray
    """(total,)"""


def neighbourhoods(changed: RowArray, near: npt.NDArray[np.int64]) -> Neighbourhoods:
    """Which lists are looked at after cells came or moved, and what their rows are compared with.

    Rows of a list near a changed cell are compared with that cell; rows of a changed cell with all cells near it.

    Parameters
    ----------
    changed : int64 array (m,)
        Positions of cells that are new or have a new centroid.
    near : int64 array (m, k)
        Positions of the cells nearest to each; itself may be among them, -1 where there are fewer.
    """
    k = near.shape[1]
    cells, around = np.repeat(changed, k), near.ravel()
    sound = (around >= 0) & (around != cells)
    cells, around = cells[sound], around[sound]
    pairs = np.unique(np.stack([np.concatenate([around, cells]), np.concatenate([cells, around])]), axis=1)
    lists = np.union1d(pairs[0], changed)
    starts = np.searchsorted(pairs[0], np.concatenate([lists, [np.iinfo(np.int64).max]]))
    return Neighbourhoods(lists=lists, starts=starts.astype(np.int64), candidates=np.ascontiguousarray(pairs[1]))


def movers(
    points: FloatArray, lengths: RowArray, hood: Neighbourhoods, centroids: FloatArray, pool: Executor | None
) -> npt.NDArray[np.bool_]:
    """Which rows are nearer to a candidate than to the cell of their own list.

    Parameters
    ----------
    points : float32 array (n, dim)
        Home rows of the lists of ``hood``, list after list.
    lengths : int64 array (len(hood.lists),)
        Rows of each list.
    hood : Neighbourhoods
    centroids : float32 array (n_cells, dim)
    pool : Executor, optional
        Threads; the result does not depend on how many.
    """
    begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    best = np.empty(len(points), np.int64)
    bounds = np.linspace(0, len(lengths), PIECES + 1).astype(int).tolist()
    run(
        pool,
        lambda piece: better_homes(
            points, begins, hood.lists, hood.starts, hood.candidates, centroids, piece[0], piece[1], best
        ),
        list(pairwise(bounds)),
    )
    moved: npt.NDArray[np.bool_] = best != np.repeat(hood.lists, lengths)
    return moved
