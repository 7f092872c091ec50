"""`shards.json`: which shards a collection has, and which cells of the shared tree are whose.

A manifest is replaced as a whole: the new one is written aside, synced and renamed, so there is always exactly one. The
directory of a shard has a name that is never given to another one, so a reader of an old manifest never opens
something else.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.settings import Settings
from ramet.storage.errors import CorruptionError, FormatError, MissingError, translated
from ramet.storage.format import checksum
from ramet.storage.paths import sync_directory

MANIFEST = "shards.json"
CELLS = "cells.npy"
FORMAT = 1

Floats = npt.NDArray[np.float32]


def new_identity() -> str:
    """An identity that no other collection has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard: the directory ``name``, and the cells ``first_cell .. last_cell`` (the last one excluded)."""

    name: str
    first_cell: int
    last_cell: int
    records: int = 0
    """When the manifest was written; `stats` tells how many there are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `shards.json` says."""

    settings: Settings
    n_cells: int
    cells_sum: int
    """Checksum of the centroids in `cells.npy`."""
    shards: tuple[ShardEntry, ...]
    """In the order of their cells."""
    generation: int = 0
    next_number: int = 0
    """Number of the next shard that is made."""
    identity: str = field(default_factory=new_identity)
    """Tells collections that had the same path one after the other apart."""
    curves: dict[str, Any] = field(default_factory=dict)
    """Of tenants whose recall was measured over all shards, as `ramet.engine.curves` stores a curve."""

    def __post_init__(self) -> None:
        edges = [0, *(shard.last_cell for shard in self.shards)]
        names = [shard.name for shard in self.shards]
        whole = [shard.first_cell for shard in self.shards] == edges[:-1] and edges[-1] == self.n_cells
        if not self.shards or not whole or edges != sorted(edges) or len(set(names)) != len(names):
            raise ValueError(f"the shards must share the cells 0 to {self.n_cells} in order, under names of their own")
        for name in names:
            if name != Path(name).name or name.startswith("."):
                raise ValueError(f"{name!r} is no name of a shard")

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """First cell of each shard, and the number of cells behind the last one; (n_shards + 1,)."""
        return np.array([0, *(shard.last_cell for shard in self.shards)], np.int64)

    def shard_of(self, cells: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Positions of the shards that cells belong to."""
        return np.searchsorted(self.edges[1:], cells, side="right")

    def named(self, number: int) -> str:
        """The name of a new shard."""
        return f"shard-{self.next_number + number:04d}"

    def after(self, shards: Sequence[ShardEntry], n_new: int = 0) -> Manifest:
        """The next generation, with other shards, of which ``n_new`` took names from `named`."""
        next_number = self.next_number + n_new
        return replace(self, shards=tuple(shards), generation=self.generation + 1, next_number=next_number)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        settings = self.settings
        return {
            "format": FORMAT,
            "generation": self.generation,
            "identity": self.identity,
            "dim": settings.dim,
            "metric": settings.metric_name,
            "dtype": settings.dtype_name,
            "codes": settings.codes,
            "language": settings.language,
            "durability": settings.durability,
            "cells": {"count": self.n_cells, "checksum": f"{self.cells_sum:016x}"},
            "next": self.next_number,
            "shards": [asdict(shard) for shard in self.shards],
            "curves": self.curves,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Manifest:
        """A manifest from its JSON-able form; KeyError, TypeError or ValueError: it is none."""
        return cls(
            settings=Settings.from_storage(stored),
            n_cells=int(stored["cells"]["count"]),
            cells_sum=int(stored["cells"]["checksum"], 16),
            shards=tuple(ShardEntry(**shard) for shard in stored["shards"]),
            generation=int(stored["generation"]),
            next_number=int(stored["next"]),
            identity=str(stored["identity"]),
            curves=dict(stored["curves"]),
        )


def is_sharded(path: Path) -> bool:
    """Tell whether there is a sharded collection at a path."""
    return (path / MANIFEST).is_file()


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a sharded collection.

    Raises
    ------
    MissingError
        There is no sharded collection.
    CorruptionError, FormatError, AccessError
    """
    file = path / MANIFEST
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"there is no sharded collection at {path}") from error
    except OSError as error:
        raise translated(error, file) from error
    try:
        whole = json.loads(content)
        version, stored, known = whole["format"], dict(whole), whole["checksum"]
        del stored["checksum"]
        if version == FORMAT and known != _sum(stored):
            raise ValueError("content that does not match its checksum")
        found = Manifest.from_json(stored) if version == FORMAT else None
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(file, "the whole file", "a manifest of shards", error) from error
    if found is None:
        raise FormatError(file, f"a manifest of format {FORMAT}", f"format {version!r}")
    return found


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the one that is there, in one durable step.

    Everything that it names must be on the disk before: the shards' directories, and `cells.npy` (`write_cells`).

    Parameters
    ----------
    path : Path
        Directory of the sharded collection.
    manifest : Manifest

    Raises
    ------
    AccessError, StorageFullError
    """
    stored = manifest.to_json()
    content = json.dumps({**stored, "checksum": _sum(stored)}, indent=1, ensure_ascii=False).encode()
    write_whole(path / MANIFEST, content)


def write_cells(path: Path, centroids: Floats) -> int:
    """Write the centroids of the shared tree's posting cells, float32 (n, dim), in file order; returns their checksum.

    Raises
    ------
    AccessError, StorageFullError
    """
    cells = np.ascontiguousarray(centroids, np.float32)
    file = path / CELLS
    try:
        with open(file.with_name(f"{CELLS}.new"), "wb") as written:
            np.save(written, cells)
            written.flush()
            os.fsync(written.fileno())
        os.replace(written.name, file)
        sync_directory(path)
    except OSError as error:
        raise translated(error, file) from error
    return cells_sum(cells)


def read_cells(path: Path, manifest: Manifest) -> Floats:
    """Read the centroids of the shared tree's posting cells, float32 (n, dim).

    Raises
    ------
    CorruptionError, AccessError
    """
    file = path / CELLS
    try:
        cells = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise CorruptionError(file, "the whole file", "centroids", "no file") from error
    except (ValueError, EOFError) as error:
        raise CorruptionError(file, "the whole file", "centroids", error) from error
    except OSError as error:
        raise translated(error, file) from error
    shape = manifest.n_cells, manifest.settings.dim
    if cells.dtype != np.float32 or cells.shape != shape or cells_sum(cells) != manifest.cells_sum:
        raise CorruptionError(file, "the centroids", f"float32 {shape} of the manifest's checksum", "others")
    return np.ascontiguousarray(cells)


def cells_sum(cells: Floats) -> int:
    """Checksum of centroids."""
    return checksum(np.ascontiguousarray(cells, np.float32).tobytes())


def write_whole(file: Path, content: bytes) -> None:
    """Put a file in the place of another, in one durable step.

    Raises
    ------
    AccessError, StorageFullError
    """
    aside = file.with_name(f"{file.name}.new")
    try:
        with open(aside, "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        os.replace(aside, file)
        sync_directory(file.parent)
    except OSError as error:
        raise translated(error, file) from error


def _sum(stored: dict[str, Any]) -> str:
    return f"{checksum(json.dumps(stored, sort_keys=True, ensure_ascii=False).encode()):016x}"
