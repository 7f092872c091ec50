"""From a query to the cells nearest to it, over 8-bit centroids held in memory.

Two levels: the centroids of a subtree are grouped; a query scans the centres of all groups, then the members of the
nearest groups. With about sqrt(n) groups this costs O(sqrt(n)) contiguous byte products. A subtree of few cells has
no groups and is scanned flat.
"""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.plan import L2
from ramet.index.kernels.query import N_SCALARS, prepare
from ramet.index.kernels.scan import sq8_estimates, threshold
from ramet.index.kernels.simd import array_u32
from ramet.index.kernels.topk import EMPTY, insert, number_of, pack, sort_heap

MIN_GROUPS = 24  # groups looked into at least, and
MEMBERS_PER_PROBE = 30  # members looked at for each cell asked for: 96 to 99 % of the cells that a full scan finds


@njit(cache=True, nogil=True)
def scan_members(plan, metric, first, count, signed, scalars, out, heap, size):
    """Offer the centroids ``first .. first + count`` of the member columns to the heap of cells.

    A cell whose list is empty is passed over: cells that a tenant gave up stay members until there is a new navigator.
    """
    column = 4 * plan.n_slots
    sq8_estimates(
        np.int64(plan.member_codes),
        np.int64(plan.member_factors),
        column,
        first,
        count,
        plan.dim,
        signed,
        scalars,
        metric,
        out,
    )
    cells = array_u32(np.uintp(plan.member_cells), plan.n_slots)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    limit = threshold(heap, size)
    for i in range(count):
        if out[i] <= limit:
            cell = cells[first + i]
            if plan.list_count != 0 and counts[cell] == 0:
                continue
            size = insert(heap, size, pack(out[i], cell))
            limit = threshold(heap, size)
    return size


@njit(cache=True, nogil=True)
def nearest_groups(plan, metric, signed, scalars, out, groups):
    """Nearest groups, ascending, as keys in ``groups`` (uint64); returns how many."""
    column = 4 * plan.n_groups
    sq8_estimates(
        np.int64(plan.group_codes),
        np.int64(plan.group_factors),
        column,
        0,
        plan.n_groups,
        plan.dim,
        signed,
        scalars,
        metric,
        out,
    )
    size = 0
    limit = threshold(groups, size)
    for i in range(plan.n_groups):
        if out[i] <= limit:
            size = insert(groups, size, pack(out[i], i))
            limit = threshold(groups, size)
    sort_heap(groups, size)
    return size


@njit(cache=True, nogil=True)
def group_budget(plan, nprobe, effort):
    """Groups to look into for ``nprobe`` cells; ``effort`` multiplies it. 0 for a flat navigator."""
    if plan.n_groups == 0:
        return 0
    wanted = effort * (MEMBERS_PER_PROBE * nprobe * plan.n_groups) / plan.n_members
    return min(plan.n_groups, max(np.int64(effort * MIN_GROUPS), np.int64(np.ceil(wanted))))


@njit(cache=True, nogil=True)
def nearest_cells(plan, metric, starts, n_groups, signed, scalars, out, cells):
    """The cells nearest to a query.

    Parameters
    ----------
    plan : record of ``PLAN``
    metric : int
        How cells are ranked: the plan's own, or ``L2`` to find the cell that a vector was put into.
    starts : int64 array (n_groups + 1,)
        First slot of each group's members; unused without groups.
    n_groups : int
        Groups to look into (``group_budget``).
    signed : uintp
        Address of the query's signed bytes; ``scalars`` as in ``query.prepare``.
    out : float32 array, scratch
        At least as long as the largest group, the number of groups and, without groups, of cells.
    cells : uint64 array (nprobe,), written
        Keys (distance estimate, position of the cell), ascending.

    Returns
    -------
    int
        Cells found.
    """
    size = 0
    if plan.n_groups == 0:
        size = scan_members(plan, metric, 0, plan.n_members, signed, scalars, out, cells, size)
    else:
        groups = np.empty(n_groups, np.uint64)
        sizes = array_u32(np.uintp(plan.member_sizes), plan.n_groups)
        n = nearest_groups(plan, metric, signed, scalars, out, groups)
        for g in range(n):
            group = number_of(groups[g])
            size = scan_members(plan, metric, starts[group], sizes[group], signed, scalars, out, cells, size)
    sort_heap(cells, size)
    return size


@njit(cache=True, nogil=True)
def home_group(plan, centroid, out):
    """The group whose centre is nearest to a centroid (float32 (dim,)), by the codes of the centres."""
    padded = (plan.dim + 63) // 64 * 64
    floats = np.empty(plan.dim, np.float32)
    signed = np.empty(padded, np.int8)
    scalars = np.empty(N_SCALARS, np.float32)
    prepare(centroid, L2, floats, signed, scalars)
    nearest = np.empty(1, np.uint64)
    nearest_groups(plan, L2, np.uintp(signed.ctypes.data), scalars, out, nearest)
    return number_of(nearest[0])


@njit(cache=True, nogil=True)
def nearest_many(plans, starts, queries, effort, longest, keys):
    """Nearest cells of many queries; ``keys``: uint64 (n, nprobe), written, ascending in each row."""
    plan = plans[0]
    padded = (plan.dim + 63) // 64 * 64
    floats = np.empty(plan.dim, np.float32)
    signed = np.empty(padded, np.int8)
    scalars = np.empty(N_SCALARS, np.float32)
    out = np.empty(longest, np.float32)
    n_groups = group_budget(plan, keys.shape[1], effort)
    for i in range(queries.shape[0]):
        prepare(queries[i], plan.metric, floats, signed, scalars)
        n = nearest_cells(plan, plan.metric, starts, n_groups, np.uintp(signed.ctypes.data), scalars, out, keys[i])
        for j in range(n, keys.shape[1]):
            keys[i, j] = EMPTY
