"""How many bytes a row of the inputs has beside its vector: blocks of rows with long texts have few of them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

import numpy as np

from ramet.engine.jobs.inputs.blocks import InputFile

BESIDE = frozenset({"ids", "texts", "metadata", "tenants"})
"""What rows may have beside vectors."""

COMPRESSED, RATIO = ("parquet",), 4
"""Formats whose bytes in memory are more than in the file, and how many times."""

LOOKED_AT = 64
"""First rows of a file that are looked at."""


def bytes_beside_vectors(files: Sequence[InputFile]) -> int:
    """Of a row on average, in that input where they are most."""
    return max((max(_by_size(file), _by_look(file)) for file in files if file.has & BESIDE), default=0)


def _by_size(file: InputFile) -> int:
    """From the size of a file that says how many rows it has."""
    if not file.n_rows:
        return 0
    vector = 0 if file.dim is None else file.dim * np.dtype(file.dtype).itemsize
    return max(0, file.n_bytes // file.n_rows - vector) * (RATIO if file.format in COMPRESSED else 1)


def _by_look(file: InputFile) -> int:
    """From its first rows; a folder's documents are not compressed, and some take long to read."""
    if file.format == "folder":
        return 0
    try:
        with closing(cast(Any, file.blocks(LOOKED_AT))) as blocks:
            block = next(blocks, None)
    except OSError:  # whoever reads the rest tells of it
        return 0
    if block is None or not len(block):
        return 0
    columns = [column for column in (block.ids, block.texts, block.metadata) if column is not None]
    return len(pickle.dumps(columns, protocol=5)) // len(block)
