"""Compaction: cells that nobody uses go, then storage writes everything that lives anew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ramet.engine.hits import CompactReport
from ramet.storage.compact import compact as rewrite
from ramet.storage.reader import CatalogReader
from ramet.storage.store import Store
from ramet.storage.writer import Writer

ROOT = 0

U32 = npt.NDArray[np.uint32]


def compact(store: Store, timeout_s: float) -> CompactReport:
    """Give space back and erase what was deleted; see `Collection.compact`."""
    with store.write(timeout_s) as writer:
        prune(writer)
    with store.read() as snapshot:
        order = tree_order(snapshot)
    found = rewrite(store, cell_order=order, timeout_s=timeout_s)
    return CompactReport(n_bytes_before=found.n_bytes_before, n_bytes_after=found.n_bytes_after)


def children_of(reader: CatalogReader) -> dict[int, list[int]]:
    """Children of every cell that has some."""
    return {cell: children.tolist() for cell, children in reader.all_children()}


def prune(writer: Writer) -> None:
    """Delete cells in which no tenant has a list, from the leaves up, as far as whole families are unused.

    A cell keeps all of its children or none: a tenant that reaches it later splits its list over all of them.
    """
    children, cells = children_of(writer), writer.cells().cells
    used = set(cells[writer.uses(cells) > 0].tolist())
    gone: list[int] = []
    for cell in sorted(children, reverse=True):  # children have greater numbers than their parents, or were built so
        family = children[cell]
        if not any(child in used or child in children for child in family):
            gone += family
            writer.put_children(cell, np.empty(0, np.uint32))
            del children[cell]
    reachable = {ROOT, *(child for family in children.values() for child in family)}
    strays = [cell for cell in cells.tolist() if cell not in reachable and cell not in used and cell not in children]
    writer.delete_cells(np.array(sorted({*gone, *strays}), np.uint32))


def tree_order(reader: CatalogReader) -> U32:
    """Cells in the order of a walk over the tree: what is near in it lies together in the file."""
    children = children_of(reader)
    order: list[int] = []
    stack = [ROOT]
    while stack:
        cell = stack.pop()
        order.append(cell)
        stack.extend(reversed(children.get(cell, [])))
    return np.array(order, np.uint32)
