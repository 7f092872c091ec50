"""Documents, metadata and token codes of records, stored once for each row, whoever sees it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.allowance import spend
from ramet.storage.format import CATALOG
from ramet.storage.reader import I64, CatalogReader, storage_errors
from ramet.storage.records import byte_items
from ramet.storage.transaction import WriteTransaction

I8 = npt.NDArray[np.int8]


class ContentReader(CatalogReader):
    """Reads of documents, metadata and token codes, for snapshots and writers."""

    __slots__ = ()

    @storage_errors
    def contents(self, table: bytes, rows: npt.NDArray[Any], *, counted: bool = False) -> list[bytes | None]:
        """Return the entries of rows in a table of contents without their checksums, None where there is none.

        ``counted``: they are for a caller, whose `allowance` they are taken from.
        """
        get, path = self._reading().get, self._place()[0]
        found: list[bytes | None] = []
        for key in byte_items(rows, ">u4"):
            value = get(table + key)
            if value is not None:
                if counted:
                    spend(len(value))
                value = catalog.unsummed(table + key, value, path)
            found.append(value)
        return found

    @storage_errors
    def documents(self, rows: npt.NDArray[Any]) -> list[str | None]:
        """Return the document of each row, None where it has none.

        Raises
        ------
        CorruptionError
            An entry does not match its checksum.
        """
        found: list[str | None] = []
        for row, content in zip(rows.tolist(), self.contents(catalog.DOCUMENTS, rows, counted=True), strict=True):
            try:
                found.append(None if content is None else content.decode())
            except UnicodeDecodeError as error:
                raise self._damaged(f"document of row {row}", "text in UTF-8", error) from error
        return found

    @storage_errors
    def metadata(self, rows: npt.NDArray[Any], *, counted: bool = False) -> list[bytes | None]:
        """Return the metadata of each row as they were put, None where it has none; ``counted`` as for `contents`.

        Raises
        ------
        CorruptionError
            An entry does not match its checksum.
        """
        return self.contents(catalog.METADATA, rows, counted=counted)

    @storage_errors
    def tokens(self, rows: npt.NDArray[Any]) -> list[I8 | None]:
        """Return the token codes of each row, int8 of shape (t, 64), None where it has none.

        Raises
        ------
        CorruptionError
            An entry does not match its checksum.
        """
        found = self.contents(catalog.TOKENS, rows)
        return [
            None if codes is None else np.frombuffer(codes, np.int8).reshape(-1, catalog.TOKEN_BYTES) for codes in found
        ]

    @storage_errors
    def ids_after(self, tenant: int, after: str | None, n: int) -> tuple[list[str], I64]:
        """Return up to ``n`` ids of a tenant in the order of their bytes, and the row of each.

        Parameters
        ----------
        tenant : int
        after : str or None
            Begin behind this id, which need not exist; None: at the first one.
        n : int
        """
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        cursor = self._reading().cursor()
        first = prefix if after is None else prefix + after.encode("utf-8", "surrogatepass") + b"\0"
        names: list[str] = []
        rows: list[bytes] = []
        if cursor.set_range(first):
            for key, value in cursor.iternext():
                if len(names) == n or key[:5] != prefix:
                    break
                names.append(key[5:].decode())
                rows.append(value)
        return names, np.frombuffer(b"".join(rows), "<u4").astype(np.int64)


class ContentWriter(ContentReader, WriteTransaction):
    """Documents, metadata and token codes."""

    def put_documents(self, rows: npt.NDArray[Any], texts: Sequence[str | None]) -> None:
        """Store documents of rows that have none yet; ``rows`` rise, None where a row has none."""
        self._put_contents(catalog.DOCUMENTS, rows, [None if text is None else text.encode() for text in texts])

    def put_metadata(self, rows: npt.NDArray[Any], contents: Sequence[bytes | None]) -> None:
        """Store metadata of rows that have none yet; ``rows`` rise, None where a row has none."""
        self._put_contents(catalog.METADATA, rows, contents)

    def put_tokens(self, rows: npt.NDArray[Any], codes: Sequence[I8 | None]) -> None:
        """Store token codes of rows that have none yet.

        Parameters
        ----------
        rows : array of int, shape (n,)
            Rising.
        codes : sequence of n arrays of int8, shape (t, 64)
            None where a row has none.

        Raises
        ------
        ValueError
            An array of another shape or dtype.
        """
        for one in codes:
            if one is not None and (one.dtype != np.int8 or one.ndim != 2 or one.shape[1] != catalog.TOKEN_BYTES):
                raise ValueError(
                    f"token codes are int8 of shape (t, {catalog.TOKEN_BYTES}), got {one.dtype} {one.shape}"
                )
        self._put_contents(catalog.TOKENS, rows, [None if one is None else one.tobytes() for one in codes])

    def _put_contents(self, table: bytes, rows: npt.NDArray[Any], contents: Sequence[bytes | None]) -> None:
        keys = [table + key for key in byte_items(rows, ">u4")]
        there = [(key, content) for key, content in zip(keys, contents, strict=True) if content is not None]
        if there:
            with self._step(CATALOG) as txn:
                values = [catalog.summed(key, content) for key, content in there]
                catalog.put_sorted(txn, [key for key, _ in there], values)

    def drop_content(self, rows: npt.NDArray[Any]) -> None:
        """Forget documents, metadata and token codes of rows."""
        with self._step(CATALOG) as txn:
            for table in (catalog.DOCUMENTS, catalog.METADATA, catalog.TOKENS):
                if not catalog.range_is_empty(txn, table):
                    for key in byte_items(np.sort(rows), ">u4"):
                        txn.delete(table + key)
