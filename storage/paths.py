"""Paths as users give them: what is at a place, and whether anything can be."""

import errno
import os
import secrets
from pathlib import Path

from ramet.storage.errors import StorageError, translated

# Directories under construction begin with this; whoever lists collections leaves out names with a leading dot.
TEMPORARY_PREFIX = ".ramet-new-"


def check_path(path: Path) -> None:
    """Refuse a path that no file can have, which Python itself calls a ValueError.

    Raises
    ------
    StorageError
        It contains a NUL character, or characters that file names cannot express.
    """
    try:
        sound = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        sound = False
    if not sound:
        raise StorageError(f"{str(path)!r} contains a character that no path may have; choose another path")


def is_taken(path: Path) -> bool:
    """Tell whether something other than an empty directory is at a path.

    Raises
    ------
    AccessError, StorageError
        The operating system does not say.
    """
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return os.path.lexists(path)
    except OSError as error:
        raise translated(error, path) from error


def check_parent(path: Path) -> None:
    """Make the parents of a path as needed, and see that the last one opens: syncing it will need that.

    Raises
    ------
    OSError
        It does not: better known now than when something is at the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from error
    os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def temporary_beside(path: Path) -> Path:
    """Return a new name in the directory of a path; it is short, so that every legal name of `path` will do."""
    return path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        raise StorageError(f"{path} cannot be synced: {error}") from error
    finally:
        os.close(fd)
