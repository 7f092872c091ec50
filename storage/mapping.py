"""Read-only memory mappings that outlive the growth of their file.

Python's `mmap` refuses to map past the end of a file, so a growing file would need a new mapping at every commit. A
mapping made by `mmap(2)` itself may reserve address space beyond the end: bytes that appear there later are visible
through it. Touching a page beyond the end raises SIGBUS, so nobody may read past what was committed, and the
committed end is compared with the file's size each time the state is refreshed.
"""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage.errors import translated

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value
_MAP_FIXED = 0x10

# Address space is free of charge on 64-bit machines; page tables are made only for pages that are touched.
MIN_RESERVE = 1 << 30
GROWTH = 4


def _map(fd: int, length: int, protection: int, flags: int, address: int | None = None) -> int:
    """Call mmap(2) and return the address, or raise OSError."""
    found = _libc.mmap(address, length, protection, flags, fd, 0)
    if found is None or found == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(found)


class Mapping:
    """One read-only shared mapping of a file, unmapped when the last reference to this object goes.

    Parameters
    ----------
    fd : int
        Open file; may be closed afterwards.
    path : Path
        For error messages.
    n_bytes : int
        Bytes that must be reachable now. More is reserved: `max(1 GiB, 4 * n_bytes)`, or just these bytes when the
        address space is limited.
    """

    __slots__ = ("__weakref__", "address", "length")

    address: int
    length: int

    def __init__(self, fd: int, path: Path, n_bytes: int) -> None:
        self.address = 0
        exact = -(-max(n_bytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        for length in (max(MIN_RESERVE, GROWTH * exact), exact):
            try:
                self.address = _map(fd, length, mmap.PROT_READ, mmap.MAP_SHARED)
            except OSError as error:
                if length == exact:
                    raise translated(error, path) from error
            else:
                self.length = length
                # A fault shall read the page asked for. Read-around fetches a whole window of the device's choice
                # (8 MiB on one machine measured: 15 ms a fault); who wants more than a page says so with WILLNEED.
                _libc.madvise(self.address, length, mmap.MADV_RANDOM)
                break

    def bytes(self, start: int, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Return mapped bytes as a read-only array, which keeps the mapping alive. The caller vouches for the range."""
        return np.asarray(_Mapped(self, self.address + start, n_bytes))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A copy would unmap the same addresses a second time when it is collected.
        raise TypeError("a mapping cannot be copied or pickled")

    def __del__(self) -> None:
        if self.address:
            _libc.munmap(self.address, self.length)


class _Mapped:
    """Bytes of a mapping in the form that NumPy takes over without a copy."""

    __slots__ = ("__array_interface__", "mapping")

    def __init__(self, mapping: Mapping, address: int, n_bytes: int) -> None:
        self.mapping = mapping
        self.__array_interface__: dict[str, Any] = {
            "data": (address, True),
            "shape": (n_bytes,),
            "typestr": "|u1",
            "version": 3,
        }


def make_private(path: Path) -> None:
    """Replace this process's shared mappings of `path` by private ones at the same addresses.

    What this process writes there afterwards stays in its own memory; other processes that share the file never see
    it. Used on LMDB's lock file in a forked child (see `registry`).

    Raises
    ------
    OSError
        The file or /proc is gone.
    """
    # By inode and file name: the device number shown in maps differs from stat's on some file systems.
    wanted = str(os.stat(path).st_ino)
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        mapped = [line.split(maxsplit=5) for line in maps]
    ranges = [line[0] for line in mapped if len(line) == 6 and line[4] == wanted and path.name in line[5]]
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for found in ranges:
            start, end = (int(part, 16) for part in found.split("-"))
            flags = mmap.MAP_PRIVATE | _MAP_FIXED
            _map(fd, end - start, mmap.PROT_READ | mmap.PROT_WRITE, flags, start)
    finally:
        os.close(fd)
