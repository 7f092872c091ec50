"""The writer's lock: one writer at a time on a collection, over all threads and processes.

flock(2) belongs to the open file, so it works between threads of one process too, and the kernel gives it free when
its holder dies. The file holds the process number of the last holder, for the message of whoever waits in vain.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from ramet.storage.errors import AccessError, ReadOnlyError, StorageError, WriterBusyError, translated
from ramet.storage.format import WRITER_LOCK

# First and longest pause between two attempts, in seconds.
FIRST_PAUSE_S = 0.0005
LONGEST_PAUSE_S = 0.02


class WriterLock:
    """The lock, held from construction to `release`.

    Parameters
    ----------
    path : Path
        Collection directory.
    timeout_s : float
        How long to try; 0 tries once.

    Raises
    ------
    WriterBusyError
        Somebody else held it all that time.
    ReadOnlyError, AccessError
        The lock file may not be written.
    StorageError
        The file system does not lock files.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._fd = -1
        try:
            fd = os.open(path / WRITER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            wrong = translated(error, path / WRITER_LOCK)
            raise (ReadOnlyError(path) if isinstance(wrong, AccessError) else wrong) from error
        try:
            _acquire(fd, path, timeout_s)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        with suppress(OSError):  # a full disk: the number is a courtesy, the lock is held without it
            # Nothing is cut off, since a truncation to nothing makes ext4 write to the disk (0.4 ms a commit). What is
            # left of a longer number stands behind the end of the line.
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the lock free. May be called twice."""
        if self._fd >= 0:
            with suppress(OSError):  # closing it unlocks, too, unless a child forked meanwhile has the file open
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            self.abandon()

    def abandon(self) -> None:
        """Close the file without unlocking: in a forked child, where the lock is the parent's."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _acquire(fd: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError as error:
            raise StorageError(
                f"{path / WRITER_LOCK} cannot be locked: {error}; put the collection on a local file system"
            ) from error
        else:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise WriterBusyError(path, _holder(fd), timeout_s) from None
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _holder(fd: int) -> int | None:
    """Return the process number written in the lock file, None when there is none."""
    digits = os.pread(fd, 32, 0).split(b"\n")[0]
    return int(digits) if digits.isdigit() else None
