"""Memory with an unreadable page behind it: a read past the end ends the process with SIGSEGV."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
_PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)


class GuardedPages:
    """`n_pages` readable and writable pages, then one that no access survives.

    The mapping lives as long as this object, so tests keep it in a local name while a kernel reads from it.
    """

    def __init__(self, n_pages):
        self.n_bytes = n_pages * PAGE
        self._map = mmap.mmap(-1, self.n_bytes + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.memory = np.frombuffer(self._map, np.uint8, self.n_bytes)
        self.address = self.memory.ctypes.data
        guard = ctypes.c_void_p(self.address + self.n_bytes)
        if _libc.mprotect(guard, ctypes.c_size_t(PAGE), _PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, array, spare=0):
        """Copy an array so that it ends `spare` bytes before the unreadable page; returns its address."""
        raw = np.ascontiguousarray(array).view(np.uint8).ravel()
        start = self.n_bytes - spare - len(raw)
        assert start >= 0, "the array is longer than the pages"
        self.memory[start : start + len(raw)] = raw
        return self.address + start


def guarded(array, spare=0):
    """Pages with the array at their end, and its address."""
    pages = GuardedPages((np.asarray(array).nbytes + spare + PAGE) // PAGE)
    return pages, pages.put(array, spare)
