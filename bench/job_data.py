"""Files for build jobs: 96 columns of the synthetic mixture, any number of rows, every size a prefix of the next."""

import os
from pathlib import Path

import numpy as np

from bench import synthetic
from bench.datasets import Dataset, cache_dir

N_QUERIES = 1_000
METRIC = "l2"
CLOSE = 1e-4
"""Two machines add in different orders; another set differs by far more."""


def name_of(rows: int) -> str:
    """Return the name of the file with so many rows, such as ``s10m96.npy``."""
    short = f"{rows}"
    for unit, letter in ((1_000_000, "m"), (1_000, "k")):
        if rows % unit == 0:
            short = f"{rows // unit}{letter}"
            break
    return f"s{short}{synthetic.NARROW_DIM}.npy"


def file_of(rows: int, data: Path | None) -> Path:
    """Return the file with the first `rows` rows: from `data`, or the cache, where it is made when it is missing.

    Raises
    ------
    ValueError
        When the file in `data` holds something else.
    """
    name = name_of(rows)
    if data is not None and (data / name).exists():
        _check(data / name, rows)
        return data / name
    path = cache_dir() / name
    if not path.exists():
        _make(path, rows)
    return path


def dataset(path: Path) -> Dataset:
    """Return the rows of a file, mapped, with queries that are not among them."""
    base = np.load(path, mmap_mode="r")
    queries = synthetic.narrow_queries(N_QUERIES)
    return Dataset(name=synthetic.NARROW_NAME, base=base, queries=queries, metric=METRIC, full=True)


def _make(path: Path, rows: int) -> None:
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    out = np.lib.format.open_memmap(temporary, "w+", np.float32, (rows, synthetic.NARROW_DIM))
    for number, start in enumerate(range(0, rows, synthetic.BLOCK)):
        stop = min(start + synthetic.BLOCK, rows)
        out[start:stop] = synthetic.narrow_block(number)[: stop - start]
    out.flush()
    temporary.replace(path)


def _check(path: Path, rows: int) -> None:
    found = np.load(path, mmap_mode="r")
    if found.shape != (rows, synthetic.NARROW_DIM) or found.dtype != np.float32:
        raise ValueError(f"{path} is {found.dtype} {found.shape}, and not float32 {(rows, synthetic.NARROW_DIM)}")
    for number in sorted({0, (rows - 1) // synthetic.BLOCK}):
        start = number * synthetic.BLOCK
        part = found[start : start + synthetic.BLOCK]
        if not np.allclose(part, synthetic.narrow_block(number)[: len(part)], atol=CLOSE):
            raise ValueError(f"{path}: rows from {start:,} on are not those of the recipe; remove the file")
