"""One data file of a collection, opened by the writer."""

import os
from collections.abc import Sequence
from pathlib import Path

from ramet.storage.errors import CorruptionError
from ramet.storage.format import HEADER_USED, check_header

# Linux writes at most 2 GiB minus a page per call; smaller pieces let a signal in between.
_PIECE_BYTES = 1 << 28


def write_at(fd: int, offset: int, content: memoryview) -> None:
    """Write all of a C-contiguous buffer at a byte offset of an open file."""
    rest = content.cast("B")
    while len(rest):
        done = os.pwrite(fd, rest[:_PIECE_BYTES], offset)
        rest, offset = rest[done:], offset + done


def read_at(fd: int, offset: int, view: memoryview) -> None:
    """Fill a buffer of bytes from a byte offset of an open file.

    Raises
    ------
    EOFError
        The file is too short.
    """
    done = 0
    while done < len(view):
        more = os.preadv(fd, [view[done : done + _PIECE_BYTES]], offset + done)
        if more == 0:
            raise EOFError(f"the file ends {len(view) - done} bytes too early")
        done += more


class DataFile:
    """Positioned writes into a data file, made durable by `sync`. Errors of the system come through as `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._dirty = False

    def check_owner(self, collection: bytes) -> None:
        """Refuse to write into a file of another collection, or none: raise `FormatError` or `CorruptionError`."""
        check_header(self.path, self.path.name, os.pread(self._fd, HEADER_USED, 0), collection)

    def check_size(self, end: int) -> None:
        """Refuse to write behind a hole: raise `CorruptionError` when the file is shorter than `end` bytes."""
        size = os.fstat(self._fd).st_size
        if size < end:
            raise CorruptionError(self.path, "end of file", f"{end} committed bytes", f"{size} bytes")

    def write(self, offset: int, content: memoryview) -> None:
        """Write all of a C-contiguous buffer at a byte offset."""
        self._dirty = True
        write_at(self._fd, offset, content)

    def write_many(self, pieces: Sequence[tuple[int, bytearray | memoryview]]) -> None:
        """Write short pieces, each at its byte offset."""
        self._dirty = True
        fd, pwrite = self._fd, os.pwrite
        for offset, content in pieces:
            done = pwrite(fd, content, offset)
            if done < len(content):  # the disk filled up, or a signal came: the rest, or the error
                self.write(offset + done, memoryview(content)[done:])

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return up to `n_bytes` bytes from an offset."""
        return os.pread(self._fd, n_bytes, offset)

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        if self._dirty:
            os.fdatasync(self._fd)
            self._dirty = False

    def cut(self, end: int) -> None:
        """Drop bytes past the committed end that a failed transaction wrote, so that a full disk has room again."""
        if self._dirty and os.fstat(self._fd).st_size > end:
            os.ftruncate(self._fd, end)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
