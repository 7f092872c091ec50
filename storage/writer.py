"""What a writer can do to a collection."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from ramet.storage import catalog, records
from ramet.storage.format import CATALOG, checksum
from ramet.storage.reader import U8, U32
from ramet.storage.write_fields import FieldWriter
from ramet.storage.write_lists import ListWriter
from ramet.storage.write_rows import RowWriter
from ramet.storage.write_terms import TermWriter


class Writer(ListWriter, RowWriter, FieldWriter, TermWriter):
    """A write transaction. Made by `Store.write`; a context manager that commits or rolls back.

    Reads see the writer's own changes. A writer belongs to the thread that made it. Refused arguments (ValueError,
    `DuplicateIdError`) change nothing; after any other error the writer can only be rolled back.
    """

    @property
    def n_cells(self) -> int:
        """Cell numbers in use so far: the next free one."""
        return self._header.n_cells

    def put_cells(self, cells: U32, parents: U32, levels: U32, payload: U8) -> None:
        """Write cells of the tree, replacing those of the same number.

        Parameters
        ----------
        cells, parents, levels : arrays of uint32, shape (n,)
            Number, parent (0xFFFFFFFF for none) and depth.
        payload : array of uint8, shape (n, cell_bytes)

        Raises
        ------
        ValueError
            A shape does not fit, or a cell is named twice.
        """
        numbers = np.ascontiguousarray(cells, dtype=np.uint32)
        n, size = len(numbers), self._core.cell_bytes
        if payload.shape != (n, size) or payload.dtype != np.uint8 or len(parents) != n or len(levels) != n:
            raise ValueError(f"{n} cells need {n} parents and levels and uint8 payload of shape {(n, size)}")
        order = np.argsort(numbers)
        if n and (np.diff(numbers[order]) == 0).any():
            raise ValueError("a cell is named twice: give every cell once")
        table = np.empty((n, 8 + size), dtype=np.uint8)
        table[:, :4] = np.ascontiguousarray(parents, dtype=np.uint32).view(np.uint8).reshape(n, 4)
        table[:, 4:8] = np.ascontiguousarray(levels, dtype=np.uint32).view(np.uint8).reshape(n, 4)
        table[:, 8:] = payload
        with self._step(CATALOG) as txn:
            keys = [catalog.CELLS + key for key in records.byte_items(numbers[order], ">u4")]
            contents = records.byte_rows(table[order])
            sums = [catalog.SUM_VALUE.pack(checksum(key, content)) for key, content in zip(keys, contents, strict=True)]
            catalog.put_sorted(txn, keys, [a + b for a, b in zip(sums, contents, strict=True)])
            if n:
                n_cells = max(self._header.n_cells, int(numbers.max()) + 1)
                self._header = replace(self._header, n_cells=n_cells)

    def put_children(self, cell: int, children: U32) -> None:
        """Say which cells are the children of a cell, in place of what was said before; none deletes the entry."""
        key = catalog.CHILDREN + catalog.U32_KEY.pack(cell)
        with self._step(CATALOG) as txn:
            if len(children):
                catalog.put_summed(txn, key, np.ascontiguousarray(children, dtype="<u4").tobytes())
            else:
                txn.delete(key)

    def delete_cells(self, cells: U32) -> None:
        """Delete cells that hold no list, with their entries of children."""
        with self._step(CATALOG) as txn:
            for cell in records.byte_items(np.sort(cells), ">u4"):
                txn.delete(catalog.CELLS + cell)
                txn.delete(catalog.CHILDREN + cell)

    def set_pending(self, tenant: int, waiting: U32, done: U32) -> None:
        """Put lists of a tenant on the list of those that wait to be split or merged, and take others off it."""
        prefix = catalog.PENDING + catalog.U32_KEY.pack(tenant)
        with self._step(CATALOG) as txn:
            for cell in records.byte_items(np.sort(done), ">u4"):
                txn.delete(prefix + cell)
            for cell in records.byte_items(np.sort(waiting), ">u4"):
                txn.put(prefix + cell, b"\1")

    def put_blob(self, name: str, content: bytes | None) -> None:
        """Store bytes under a name, replacing what was there; None deletes."""
        key = catalog.name_key(catalog.BLOBS, name)
        with self._step(CATALOG) as txn:
            if content is None:
                txn.delete(key)
            else:
                catalog.put_summed(txn, key, content)

    def set_meta(self, key: str, entry: Any) -> None:
        """Store a JSON-able entry under the engine's own name (without "engine/" in front); None deletes.

        Raises
        ------
        ValueError, TypeError
            The entry cannot be written as JSON, or the name has a wrong length.
        """
        name = catalog.name_key(catalog.META, catalog.ENGINE_PREFIX + key)
        content = json.dumps(entry, ensure_ascii=False).encode()
        with self._step(CATALOG) as txn:
            if entry is None:
                txn.delete(name)
            else:
                catalog.put_summed(txn, name, content)
