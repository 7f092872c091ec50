"""The directory of a build job: files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage.datafile import read_at
from ramet.storage.format import WRITER_LOCK

Array = npt.NDArray[Any]

ASIDE = ".part"
"""Ending of a file that is being written."""


class Place:
    """Files of a job by name; every one is written aside, made durable and renamed.

    No two writers have one name aside: a task of a cluster that was given up may still be at work.

    Parameters
    ----------
    path : Path
        The directory; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def wipe(self) -> None:
        """Remove everything but the lock of whoever works here."""
        for entry in list(self.path.iterdir()):
            if entry.name != WRITER_LOCK:
                self.drop(entry.name)

    def sweep_asides(self) -> None:
        """Remove what writers that were killed have left aside."""
        for path in self.path.rglob(f"*{ASIDE}"):
            path.unlink(missing_ok=True)

    def of(self, name: str) -> Path:
        """Path of a file; folders in the name are made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def has(self, name: str) -> bool:
        """Whether a file is there, and so is whole."""
        return (self.path / name).exists()

    def put_bytes(self, name: str, *parts: Any) -> None:
        """Write a file of the bytes of some buffers, one behind the other."""
        path = self.of(name)
        aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{ASIDE}")
        try:
            with open(aside, "xb", buffering=0) as file:
                for part in parts:
                    rest = memoryview(part).cast("B") if len(part) else memoryview(b"")
                    while len(rest):
                        rest = rest[file.write(rest[: 1 << 28]) :]
                os.fdatasync(file.fileno())
            os.rename(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)  # whoever is killed leaves it, and the next one who works here removes it
            raise

    def put_array(self, name: str, array: Array) -> None:
        """Write an array without any header; whoever reads it knows its dtype."""
        flat = np.ascontiguousarray(array)
        self.put_bytes(name, flat.view(np.uint8).reshape(-1) if flat.size else b"")

    def get_array(self, name: str, dtype: Any, first: int = 0, n: int = -1) -> Array:
        """Elements of a file that `put_array` wrote, from the ``first`` on; all of them when ``n`` is -1."""
        kind = np.dtype(dtype)
        with open(self.path / name, "rb", buffering=0) as file:
            if n < 0:
                n = os.fstat(file.fileno()).st_size // kind.itemsize - first
            out = np.empty(n * kind.itemsize, np.uint8)
            read_at(file.fileno(), first * kind.itemsize, out.data)
        return out.view(kind)

    def mapped_array(self, name: str, dtype: Any) -> Array:
        """All of a file that `put_array` wrote, mapped: its pages are the page cache's, which gives them back."""
        return np.asarray(np.memmap(self.path / name, dtype, mode="c"))

    def put_json(self, name: str, entry: Any) -> None:
        """Write what JSON can say."""
        self.put_bytes(name, json.dumps(entry, ensure_ascii=False, sort_keys=True).encode())

    def get_json(self, name: str) -> Any:
        """Read what `put_json` wrote."""
        return json.loads((self.path / name).read_bytes())

    def drop(self, name: str) -> None:
        """Remove a file or a folder that is not needed any more; none is fine."""
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def is_own(path: Path) -> bool:
    """Whether a path is a directory of this user, and no link to one: only such a one is written to and emptied."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def make_own(path: Path) -> None:
    """Make a directory that nobody but its owner can look into; one that is there becomes such a one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
