"""Files of vectors and nothing else: NumPy's npy, and the formats of the benchmarks (vecs and bin)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ramet.engine.arguments import positive, whole
from ramet.engine.jobs.inputs.blocks import DTYPES, MOST_ROWS, Block, Rejected, Vectors, failed
from ramet.engine.settings import MAX_DIM

Bytes = npt.NDArray[np.uint8]

VECS: dict[str, np.dtype[Any]] = {"fvecs": np.dtype("<f4"), "bvecs": np.dtype("u1")}
BINS: dict[str, np.dtype[Any]] = {"fbin": np.dtype("<f4"), "u8bin": np.dtype("u1"), "i8bin": np.dtype("i1")}
_COUNT = np.dtype("<i4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the vectors are in a file."""

    offset: int
    """Bytes before the first row."""
    n: int
    """Rows that the header promises; without a header, the whole ones that there are."""
    dim: int
    stored: str
    """Dtype in the file, with its byte order."""
    prefix: int = 0
    """Bytes before the vector in each row."""
    by_column: bool = False
    """Column after column (Fortran's order)."""

    @property
    def item(self) -> int:
        """Bytes of a value."""
        return np.dtype(self.stored).itemsize

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return self.prefix + self.dim * self.item

    def whole_rows(self, n_bytes: int) -> int:
        """Rows of which a file of that size has everything."""
        if not self.by_column:
            return min(self.n, max(0, n_bytes - self.offset) // self.stride)
        values = max(0, n_bytes - self.offset) // self.item
        return min(self.n, max(0, values - self.n * (self.dim - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """An `InputFile` of vectors."""

    path: Path
    format: str
    n_bytes: int
    layout: Layout

    @property
    def has(self) -> frozenset[str]:
        """Vectors."""
        return frozenset({"vectors"})

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.layout.dim

    @property
    def dtype(self) -> str:
        """As blocks have them."""
        return DTYPES[np.dtype(self.layout.stored).name]

    @property
    def n_rows(self) -> int:
        """Whole rows, and one for an incomplete rest."""
        return self._n_whole + (self._rest is not None)

    @property
    def _n_whole(self) -> int:
        return self.layout.whole_rows(self.n_bytes)

    @property
    def _rest(self) -> Rejected | None:
        """What the file has less, or more, than whole rows."""
        layout, n = self.layout, self._n_whole
        if n < layout.n:
            what = f"the header promises {layout.n} rows of {layout.dim} values, {n} are whole; copy the file again"
            return Rejected(self.path, n, "truncated", what)
        over = self.n_bytes - layout.offset - n * layout.stride
        if over <= 0:
            return None
        if layout.prefix:  # nothing promises a number of rows
            return Rejected(self.path, n, "truncated", f"{n} rows are whole, and of another {over} bytes are there")
        return Rejected(self.path, n, "trailing_bytes", f"{over} bytes follow the {n} rows that the header promises")

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Read from the file at once what a block holds."""
        most, number = positive(max_rows, "max_rows", MOST_ROWS), whole(first_block, "first_block")
        with open(self.path, "rb", buffering=0) as file:
            for first in range(number * most, self.n_rows, most):
                yield self._block(file, first, min(most, self._n_whole - first), min(first + most, self.n_rows))

    def _block(self, file: BinaryIO, first: int, n: int, end: int) -> Block:
        vectors, bad = self._rows(file, first, n) if n > 0 else (self._none(), [])
        keep = np.ones(len(vectors), bool)
        keep[[one.row - first for one in bad]] = False
        if self._rest is not None and first <= self._rest.row < end:
            bad.append(self._rest)
        rows = first + np.flatnonzero(keep)
        return Block(
            file=self.path, first=first, rows=rows, vectors=vectors if keep.all() else vectors[keep], rejected=bad
        )

    def _none(self) -> Vectors:
        return np.empty((0, self.dim), self.dtype)

    def _rows(self, file: BinaryIO, first: int, n: int) -> tuple[Vectors, list[Rejected]]:
        """``n`` rows of the file, and those whose prefix is another dimension."""
        layout = self.layout
        if layout.by_column:
            found = np.empty((n, layout.dim), self.dtype)
            for column in range(layout.dim):
                at = layout.offset + (column * layout.n + first) * layout.item
                with np.errstate(over="ignore"):
                    found[:, column] = self._read(file, at, n * layout.item).view(layout.stored)
            return found, []
        raw = self._read(file, layout.offset + first * layout.stride, n * layout.stride).reshape(n, layout.stride)
        bad = []
        if layout.prefix:
            dims = np.ascontiguousarray(raw[:, : layout.prefix]).view(_COUNT)[:, 0]
            for i in np.flatnonzero(dims != layout.dim).tolist():
                what = f"has {dims[i]} values, the first row {layout.dim}; all vectors need the same number"
                bad.append(Rejected(self.path, first + i, "ragged", what))
            raw = np.ascontiguousarray(raw[:, layout.prefix :])
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused as that
            return np.ascontiguousarray(raw.view(layout.stored), self.dtype), bad

    def _read(self, file: BinaryIO, at: int, n_bytes: int) -> Bytes:
        """Bytes of the file."""
        found = np.empty(n_bytes, np.uint8)
        view, done = memoryview(found.data), 0
        while done < n_bytes:
            got = os.preadv(file.fileno(), [view[done:]], at + done)
            if got <= 0:
                raise failed(self.path, "became shorter while it was read; begin again when nobody writes it")
            done += got
        return found


def open_array(path: Path, kind: str) -> ArrayFile:
    """A file of vectors.

    Raises
    ------
    ArgumentError
        Its header is damaged, or says what cannot be read.
    """
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        if kind == "npy":
            layout = _npy(path, file)
        elif kind in VECS:
            layout = _vecs(path, file, VECS[kind], n_bytes)
        else:
            layout = _bin(path, file, BINS[kind])
    if not 1 <= layout.dim <= MAX_DIM:
        raise failed(path, f"has vectors of {layout.dim} values; 1 to {MAX_DIM} are possible. Is it {kind}?")
    return ArrayFile(path=path, format=kind, n_bytes=n_bytes, layout=layout)


def _npy(path: Path, file: BinaryIO) -> Layout:
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
        }[version]  # fmt: skip
        shape, by_column, dtype = read(file)
        sizes = [int(size) for size in shape]
    except Exception as error:  # the header is a Python literal: whatever its parser finds wrong
        raise failed(path, f"has no header of npy that can be read ({error}); write it with numpy.save") from error
    if len(sizes) != 2 or sizes[0] < 0:
        raise failed(path, f"has shape {tuple(sizes)}; vectors have two dimensions, (n, dim)")
    if dtype.name not in DTYPES or dtype.kind not in "fiu":
        raise failed(path, f"has dtype {dtype}; vectors are {', '.join(DTYPES)}: convert with array.astype")
    return Layout(offset=file.tell(), n=sizes[0], dim=sizes[1], stored=dtype.str, by_column=bool(by_column))


def _vecs(path: Path, file: BinaryIO, dtype: np.dtype[Any], n_bytes: int) -> Layout:
    head = file.read(4)
    if len(head) < 4:
        raise failed(path, f"has {n_bytes} bytes; each row begins with 4 for its dimension")
    dim = int(np.frombuffer(head, _COUNT)[0])
    stride = 4 + max(dim, 1) * dtype.itemsize
    return Layout(offset=0, n=n_bytes // stride, dim=dim, stored=dtype.str, prefix=4)


def _bin(path: Path, file: BinaryIO, dtype: np.dtype[Any]) -> Layout:
    head = file.read(8)
    if len(head) < 8:
        raise failed(path, f"has {len(head)} bytes; the first 8 are the number of vectors and their dimension")
    n, dim = np.frombuffer(head, "<u4").tolist()
    return Layout(offset=8, n=n, dim=dim, stored=dtype.str)
