"""What every reader of files gives: blocks of records, and what could not be read, counted with file and row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError

FORMATS = ("npy", "fvecs", "bvecs", "fbin", "u8bin", "i8bin", "parquet", "arrow", "jsonl", "folder")

DTYPES = {"float32": "float32", "float16": "float16", "float64": "float32", "int8": "int8", "uint8": "uint8"}
"""Dtypes that vectors may have in a file, and as what they are read."""

MOST_ROWS = 1 << 24
"""Rows of a block at most."""

Vectors = npt.NDArray[Any]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """How files are read.

    Attributes
    ----------
    format : str, optional
        One of `FORMATS`; None: by the ending of each file's name.
    id_column, vector_column, text_column : str, optional
        Columns of tables and fields of JSON lines. None: by the usual names (``id``, ``_id``; ``vector``,
        ``embedding``, ``emb``; ``text``, ``document``, ``content``), where there are such.
    tenant_column : str, optional
        The column with the tenant that owns each record; never guessed.
    metadata_columns : tuple of str, optional
        None: every other column that metadata can hold.
    """

    format: str | None = None
    id_column: str | None = None
    vector_column: str | None = None
    text_column: str | None = None
    tenant_column: str | None = None
    metadata_columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not taken, and why."""

    file: Path
    row: int
    """In the file, from 0; of JSON lines the line minus 1."""
    reason: str
    """A code, such as "not_finite"; docs/inputs.md lists them."""
    detail: str
    n_rows: int = 1
    """Rows from ``row`` on that it stands for: more than one where a whole stretch of a table cannot be read."""


def failed(path: Path, problem: str) -> ArgumentError:
    """The error of a file that cannot be read at all."""
    return ArgumentError("inputs", f"{path} {problem}")


@dataclass(slots=True, kw_only=True)
class Block:
    """Records of a stretch of a file; every list has one entry for each good record, in the order of the file."""

    file: Path
    first: int
    """Row of the file where the stretch begins."""
    rows: I64
    """Rows of the good records in the file, shape (n,); of chunks, the row of their document."""
    vectors: Vectors | None = None
    """Shape (n, dim), C order."""
    bare: npt.NDArray[np.bool_] | None = None
    """Chunks without a vector, as the embedder knows none of their words (their rows of `vectors` are zeros)."""
    ids: list[str] | None = None
    texts: list[str | None] | None = None
    """None where a record that has a vector has no text."""
    metadata: list[dict[str, Any] | None] | None = None
    tenants: list[str] | None = None
    tokens: list[I8 | None] | None = None
    """Codes of tokens, int8 of shape (t, 64) each."""
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


class InputFile(Protocol):
    """A file, or a folder of documents, that is read in blocks."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def format(self) -> str:
        """One of `FORMATS`."""
        ...

    @property
    def n_rows(self) -> int | None:
        """Rows in the file, bad ones as well; None: not known before it is read."""
        ...

    @property
    def dim(self) -> int | None:
        """Of its vectors; None: it has none."""
        ...

    @property
    def dtype(self) -> str | None:
        """Of its vectors as blocks have them: float32, float16, int8 or uint8 (float64 is read as float32)."""
        ...

    @property
    def n_bytes(self) -> int:
        """On the disk."""
        ...

    @property
    def has(self) -> frozenset[str]:
        """Which of "ids", "vectors", "texts", "metadata", "tenants" its records have."""
        ...

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Block ``i`` covers the rows ``[i * max_rows, (i + 1) * max_rows)``, counted with bad ones."""
        ...
