"""The end of a job: its result goes to its place, and its directory away, whatever is interrupted."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ramet.engine.jobs.place import Place
from ramet.storage.paths import sync_directory

OVER = "over"
"""File that says that nothing is left to do but to remove the directory, once the result has left it."""

RESULT = "out"
"""Directory of the result until it is complete."""


def publish(place: Place, out: Path) -> None:
    """Put the result of a job where it belongs, and remove the job."""
    place.put_json(OVER, True)
    os.rename(place.path / RESULT, out)
    sync_directory(out.parent)
    sweep(place.path)


def is_over(path: Path) -> bool:
    """Whether a job ended, and only its directory is left over."""
    return (path / OVER).exists() and not (path / RESULT).exists()


def sweep(path: Path) -> None:
    """Remove a job's directory; what says that it is over goes last."""
    with suppress(FileNotFoundError):  # another process is at it
        for name in os.listdir(path):
            if name != OVER:
                _remove(path / name)
    shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
