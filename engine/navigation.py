"""A tenant's navigator, from what the catalog keeps of it: a stored one brought up to date, or made from the cells."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ramet.engine.settings import Settings
from ramet.index.errors import BrokenNavigatorError
from ramet.index.navigate import HNSW_MAGIC, GroupNavigator, Navigator, flat_navigator
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG
from ramet.storage.reader import CatalogReader, ListDirectory

NAVIGATOR = "navigator/{tenant}"
"""Name of the blob with a tenant's navigator."""

MOVED = "moved/{tenant}"
"""Name of the blob with the cells (uint32) whose centroids have been replaced since the navigator was stored."""

ROOM = 0.25
"""Free slots of a group of cells, as a share of its members: new cells go there."""

_HEAD = struct.Struct("<4sI")  # magic, cells
_MAGIC = b"TNV1"

U32 = npt.NDArray[np.uint32]

_one_cell: dict[int, GroupNavigator] = {}


def pack_navigator(numbers: U32, navigator: Navigator) -> bytes:
    """Bytes of a navigator with the number of the cell at each position."""
    return _HEAD.pack(_MAGIC, len(numbers)) + numbers.astype("<u4").tobytes() + navigator.to_bytes()


def unpack_navigator(data: bytes) -> tuple[U32, Navigator]:
    """Numbers of the cells by position, and the navigator, of whichever kind.

    Raises
    ------
    BrokenNavigatorError
        The bytes are not such a pair.
    """
    magic, n = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (b"", 0)
    start = _HEAD.size + 4 * n
    if magic != _MAGIC or len(data) < start:
        raise BrokenNavigatorError(f"expected {_MAGIC!r} and {n} cell numbers, found {data[:4]!r}")
    numbers = np.frombuffer(data, "<u4", n, _HEAD.size).astype(np.uint32)
    navigator: Navigator
    if data[start : start + len(HNSW_MAGIC)] == HNSW_MAGIC:
        from ramet.index.navigate_hnsw import HnswNavigator  # faiss takes 80 ms to import

        navigator = HnswNavigator.from_bytes(data[start:])
    else:
        navigator = GroupNavigator.from_bytes(data[start:])
    if navigator.n_cells != n:
        raise BrokenNavigatorError(f"{n} cell numbers for {navigator.n_cells} cells")
    return numbers, navigator


def stale_cells(reader: CatalogReader, tenant: int, cells: U32) -> set[int]:
    """Cells that came, went or moved since a tenant's navigator was stored."""
    data = reader.blob(NAVIGATOR.format(tenant=tenant)) or b""
    n = _HEAD.unpack_from(data)[1] if len(data) >= _HEAD.size else 0
    stored = np.frombuffer(data, "<u4", min(n, (len(data) - _HEAD.size) // 4), _HEAD.size) if n else cells[:0]
    moved = np.frombuffer(reader.blob(MOVED.format(tenant=tenant)) or b"", "<u4")
    return {*np.setxor1d(stored, cells).tolist(), *moved.tolist()}


def centroids_of(reader: CatalogReader, settings: Settings, cells: U32) -> npt.NDArray[np.float32]:
    """Centroids of cells, float32 (n, dim)."""
    return reader.cells(cells).payload.view(np.float32).reshape(len(cells), settings.dim)


def load_navigator(
    reader: CatalogReader, path: Path, settings: Settings, tenant: int, directory: ListDirectory
) -> tuple[U32, Navigator]:
    """Numbers of a tenant's posting cells by position, and its navigator over them.

    The stored navigator may be older than the directory: cells that came since are put into their groups, cells that
    went are taken out. A tenant without a stored one has few cells; they are scanned flat.

    Raises
    ------
    CorruptionError
        The stored navigator is damaged, or a cell is missing.
    """
    name = NAVIGATOR.format(tenant=tenant)
    if len(directory) == 1:  # nothing to choose from: one navigator serves all such tenants
        if settings.dim not in _one_cell:
            _one_cell[settings.dim] = flat_navigator(np.zeros((1, settings.dim), np.float32))
        return directory.cells, _one_cell[settings.dim]
    data = reader.blob(name)
    if data is None:
        return directory.cells, flat_navigator(centroids_of(reader, settings, directory.cells))
    try:
        numbers, navigator = unpack_navigator(data)
        if navigator.dim != settings.dim:
            raise BrokenNavigatorError(f"expected {settings.dim} dimensions, found {navigator.dim}")
    except BrokenNavigatorError as error:
        raise CorruptionError(path / CATALOG, f"blob {name!r}", "a navigator", error) from error
    moved = np.frombuffer(reader.blob(MOVED.format(tenant=tenant)) or b"", "<u4")
    keep = np.isin(numbers, np.setdiff1d(directory.cells, moved))
    new = np.setdiff1d(directory.cells, numbers[keep])
    if keep.all() and not len(new):
        return numbers, navigator
    if not isinstance(navigator, GroupNavigator):
        raise CorruptionError(path / CATALOG, f"blob {name!r}", "the cells of the directory", "others")
    grown = with_cells(navigator.with_room(keep, ROOM), centroids_of(reader, settings, new))
    return np.concatenate([numbers[keep], new]).astype(np.uint32), grown


def with_cells(navigator: GroupNavigator, centroids: npt.NDArray[np.float32]) -> GroupNavigator:
    """The navigator with further cells, in new arrays when the old ones have no room for them."""
    if not len(centroids):
        return navigator
    room, grown = ROOM, navigator.grown(centroids)
    while grown is None:
        grown = navigator.with_room(np.ones(navigator.n_cells, bool), room).grown(centroids)
        room *= 4
    return grown
