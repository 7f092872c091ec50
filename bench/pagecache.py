"""Drop files from the page cache while this very process has them mapped, and check that they are gone.

``posix_fadvise(POSIX_FADV_DONTNEED)`` alone passes over pages that a page table still refers to, so the live index
that is being measured would keep its own files in memory. Hence three steps: ``fsync`` (a dirty page cannot be
dropped), ``madvise(MADV_DONTNEED)`` on every mapping of the files in this process (takes the pages out of its page
tables; the mapping stays valid and reads from the file again), then ``posix_fadvise``. ``mincore`` on a mapping of our
own, which has touched nothing, then says what is still cached.

What this cannot reach: pages mapped by another process, a cache below the file system (a virtual machine's host, the
drive's own), and file systems that live in memory (tmpfs), on which `residual` stays at 1.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

PAGE = mmap.PAGESIZE
_MADV_DONTNEED = 4
_ATTEMPTS = 3  # a page on its way between the kernel's lists is passed over by one call and found by the next

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


def index_files(folder: Path) -> list[Path]:
    """Return the data files under `folder`: all but locks (mapped shared and dirty by nature), reports and empties."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("lock", ".json")) and path.stat().st_size > 0
    ]


class PageCache:
    """The page cache of a fixed set of files. A context manager: holds a descriptor and a mapping of each."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._paths = {os.path.realpath(path) for path in files}
        if not self._paths:
            raise ValueError("no files to drop from the page cache")
        self._files: list[tuple[int, mmap.mmap, int, np.ndarray]] = []  # descriptor, mapping, address, mincore's vector
        for path in sorted(self._paths):
            descriptor = os.open(path, os.O_RDONLY)
            size = os.fstat(descriptor).st_size
            mapping = mmap.mmap(descriptor, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
            address = np.frombuffer(mapping, np.uint8).ctypes.data
            self._files.append((descriptor, mapping, address, np.empty(-(-size // PAGE), np.uint8)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """File names, without their folders."""
        return [os.path.basename(path) for path in sorted(self._paths)]

    def close(self) -> None:
        """Give back descriptors and mappings."""
        for descriptor, mapping, _, _ in self._files:
            os.close(descriptor)
            mapping.close()
        self._files = []

    def drop(self, tolerance: float = 0.001) -> float:
        """Drop the files' pages; return the share of them still cached (see `residual`)."""
        share = 1.0
        for _ in range(_ATTEMPTS):
            self._unmap_pages()
            for descriptor, mapping, _, _ in self._files:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, len(mapping), os.POSIX_FADV_DONTNEED)
            share = self.residual()
            if share <= tolerance:
                break
        return share

    def residual(self) -> float:
        """Return the share of the files' pages that are in the page cache, 0..1."""
        return sum(self.cached_pages()) / sum(len(vector) for _, _, _, vector in self._files)

    def cached_pages(self) -> list[int]:
        """Return how many pages of each file are in the page cache, in the order of `names`."""
        counts = []
        for _, mapping, address, vector in self._files:
            if _libc.mincore(address, len(mapping), vector.ctypes.data) != 0:
                raise OSError(ctypes.get_errno(), "mincore failed")
            counts.append(int(np.count_nonzero(vector & 1)))
        return counts

    def _unmap_pages(self) -> None:
        """Take the files' pages out of this process's page tables."""
        for line in Path("/proc/self/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) < 6 or fields[5] not in self._paths:
                continue
            if "w" in fields[1] and "p" in fields[1]:
                continue  # a private writable mapping may hold changes that exist nowhere else
            start, stop = (int(part, 16) for part in fields[0].split("-"))
            if _libc.madvise(start, stop - start, _MADV_DONTNEED) != 0:
                raise OSError(ctypes.get_errno(), f"madvise failed on {fields[5]}")
