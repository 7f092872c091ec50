"""What a reader sees: one committed state, pinned until it is closed."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.content import ContentReader
from ramet.storage.core import Core, State
from ramet.storage.errors import ClosedError, CorruptionError, ForkError, MissingError, StorageError
from ramet.storage.fields import FieldReader
from ramet.storage.format import PAGE_BYTES, POSTINGS, ROWS, VECTORS, ListLayout, checksum
from ramet.storage.mapping import Mapping
from ramet.storage.reader import LIST_DTYPE, U8, U32, storage_errors
from ramet.storage.reader import check_directory as check_lists
from ramet.storage.records import LONG_ID
from ramet.storage.registry import close_unused
from ramet.storage.terms import TermReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ListContent:
    """Committed content of one posting list; copies, owned by the caller."""

    rows: U32
    """Row numbers, shape (n,)."""
    factors: U32
    """4-byte words as stored, shape (n_factors, n); view as float32 or int32."""
    codes: U8
    """Shape (n, code_bytes)."""


def end_reading(core: Core, token: object, txn: Any) -> None:
    """End what a read began: abort its transaction, if there is one, and let go of the core."""
    try:
        if txn is not None:
            txn.abort()
    finally:
        core.reading.discard(token)
        if not core.handles:
            close_unused(core)


class Snapshot(ContentReader, FieldReader, TermReader):
    """A committed state of a collection. Made by `Store.read`; a context manager.

    It pins its state by an LMDB read transaction: nothing that it can reach is reused before `close`, in this or any
    other process. Several threads may read one snapshot at once, but not while it is being closed.

    Attributes
    ----------
    txn_id : int
        Equal for equal states of the collection.
    """

    __slots__ = ("__weakref__", "_core", "_state", "_token", "_txn", "txn_id")

    def __init__(self, core: Core, token: object, txn: Any, state: State) -> None:
        self._core = core
        self._token = token  # stands in core.reading
        self._txn = txn
        self._state = state
        self.txn_id = state.txn_id

    def close(self) -> None:
        """Give the state free. Addresses taken from this snapshot must not be used any more. May be called twice."""
        txn = self._txn
        if txn is not None:
            self._txn = None
            end_reading(self._core, self._token, txn)

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._txn is not None:
            self.close()

    def _reading(self) -> Any:
        if self._txn is None:
            raise ClosedError("this snapshot")
        if self._core.forked:
            raise ForkError("this snapshot belongs to the parent process; take a new one with Store.read() here")
        return self._txn

    def _place(self) -> tuple[Path, ListLayout, int, int]:
        core = self._core
        return core.path, core.layout, self._state.header.end_page, core.cell_bytes

    @property
    def core(self) -> Core:
        """The open collection; for the other modules of this room."""
        return self._core

    @property
    def transaction(self) -> Any:
        """The open LMDB transaction; for the other modules of this room."""
        return self._reading()

    @property
    def is_superseded(self) -> bool:
        """Whether this state says that another directory takes the place of this one; see `Store.read`."""
        return self._state.superseded

    @property
    def header(self) -> catalog.Header:
        """The counters of this state; for the other modules of this room."""
        return self._state.header

    def copy_catalog(self, target: Path) -> None:
        """Write the catalog of exactly this state, without its free pages, to a new file."""
        self._core.env.copy(str(target), compact=True, txn=self._reading())

    @property
    def n_rows(self) -> int:
        """Row numbers given out so far."""
        return self._state.header.n_rows

    @property
    def n_live(self) -> int:
        """Records that exist."""
        return self._state.header.n_live

    @property
    def has_documents(self) -> bool:
        """Whether any record has a document."""
        return self._state.has_documents

    @property
    def has_metadata(self) -> bool:
        """Whether any record has metadata."""
        return self._state.has_metadata

    @property
    def has_tokens(self) -> bool:
        """Whether any record has token codes."""
        return self._state.has_tokens

    @property
    def end_page(self) -> int:
        """Pages of postings.bin in use, the header page included."""
        return self._state.header.end_page

    @property
    def mappings(self) -> object:
        """What keeps the mapped files mapped: whoever keeps addresses beyond this snapshot keeps this, too."""
        return tuple(self._state.mappings.values())

    @property
    def postings_address(self) -> int:
        """Address of byte 0 of postings.bin; valid up to page `end_page` while the snapshot is open."""
        self._reading()
        return self._state.mappings[POSTINGS].address

    @property
    def rows_address(self) -> int:
        """Address of byte 0 of rows.bin; valid while the snapshot is open."""
        self._reading()
        return self._state.mappings[ROWS].address

    @property
    def id_bytes(self) -> int:
        """Bytes of one slot of rows.bin; 0 before the first row."""
        return self._state.header.id_width

    @property
    def vectors_address(self) -> int:
        """Address of byte 0 of vectors.bin, 0 when the collection has none; valid while the snapshot is open."""
        self._reading()
        mapping = self._state.mappings.get(VECTORS)
        return 0 if mapping is None else mapping.address

    def ids_of(self, rows: npt.ArrayLike) -> list[str]:
        """Return the ids of rows, in order.

        Parameters
        ----------
        rows : array of int, shape (n,)
            Row numbers below `n_rows`.

        Raises
        ------
        IndexError
            A row number is not below `n_rows`.
        CorruptionError
            A slot is damaged.
        """
        # Via uint32, so that -1 is refused and does not mean the last row.
        wanted = np.asarray(rows).astype(np.uint32, copy=False)
        if self._txn is None:
            raise ClosedError("this snapshot")
        slots: list[bytes] = self._state.slots[wanted].tolist()
        if not self._state.has_long_ids:
            try:
                return [slot[1 : slot[0] + 1].decode() for slot in slots]
            except UnicodeDecodeError:
                pass  # damaged; say which row
        return [self._checked_id(row, slot) for row, slot in zip(wanted.tolist(), slots, strict=True)]

    @storage_errors
    def _checked_id(self, row: int, slot: bytes) -> str:
        """Return the id in a slot, looking at every way in which it may be long or damaged."""
        content: bytes | None = slot[1 : slot[0] + 1]
        if slot[0] == LONG_ID:
            content = self._reading().get(catalog.LONG_IDS + catalog.U32_KEY.pack(row))
        elif slot[0] >= len(slot) or any(slot[slot[0] + 1 :]):
            content = None
        try:
            if content:
                return content.decode()
        except UnicodeDecodeError:
            pass
        raise CorruptionError(self._core.path / ROWS, f"row {row}", "an id", slot)

    def vectors(self, rows: npt.ArrayLike) -> U8:
        """Return full-precision rows from vectors.bin as a copy, uint8 of shape (n, vector_bytes).

        Raises
        ------
        IndexError
            A row number is not below `n_rows`.
        StorageError
            The collection keeps no vectors.bin.
        """
        self._reading()
        wanted = np.asarray(rows).astype(np.uint32, copy=False).ravel()
        if self._state.vectors is None:
            raise StorageError(f"{self._core.path} has no {VECTORS}; read the vectors from the posting lists")
        return self._state.vectors[wanted].view(np.uint8).reshape(len(wanted), self._core.vector_bytes)

    @storage_errors
    def read_list(self, tenant: int, cell: int, *, check: bool = False) -> ListContent:
        """Return the committed content of one posting list.

        Parameters
        ----------
        tenant, cell : int
            Key of the list.
        check : bool
            Compare the content with its checksum.

        Raises
        ------
        MissingError
            There is no such list.
        CorruptionError
            The list lies outside the file, or its checksum differs.
        """
        value = self._reading().get(catalog.LISTS + catalog.PAIR_KEY.pack(tenant, cell))
        name = f"list (tenant {tenant}, cell {cell})"
        if value is None:
            raise MissingError(f"{self._core.path} has no {name}")
        layout, end_page = self._core.layout, self.end_page
        entry = np.frombuffer(value, dtype=LIST_DTYPE) if len(value) == LIST_DTYPE.itemsize else None
        if entry is None or check_lists(entry, layout, end_page).any():
            raise self._damaged(name, f"an extent below page {end_page} that holds its rows", entry)
        page, n_pages, count, stored = catalog.LIST_VALUE.unpack(value)
        content = list_content(self._state.mappings[POSTINGS], layout, page, n_pages, count)
        if check:
            found = checksum(content.rows, *content.factors, content.codes)
            if found != stored:
                where = f"{name} at pages {page} to {page + n_pages - 1}"
                expected = f"checksum {stored:016x}"
                raise CorruptionError(self._core.path / POSTINGS, where, expected, f"{found:016x}")
        return content


def list_content(mapping: Mapping, layout: ListLayout, page: int, n_pages: int, count: int) -> ListContent:
    """Copy the committed part of a list out of the mapped posting file."""
    capacity = layout.capacity_for(n_pages)
    extent = mapping.bytes(page * PAGE_BYTES, n_pages * PAGE_BYTES)
    words = extent[: 4 * capacity * (1 + layout.n_factors)].view(np.uint32).reshape(1 + layout.n_factors, capacity)
    start = layout.codes_offset(capacity)
    codes = extent[start : start + count * layout.code_bytes].reshape(count, layout.code_bytes)
    return ListContent(rows=words[0, :count].copy(), factors=words[1:, :count].copy(), codes=codes.copy())
