"""Where the demos keep their collections, so that they replace nothing but their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError

if TYPE_CHECKING:
    from ramet import Database

FOLDER = "ramet-demo"  # the demos' database, in the directory that --dir names
MARKER = "made-by-ramet-demo.txt"
MARKER_TEXT = "`ramet demo` made this directory, and replaces its collections when it runs again.\n"


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """Yield the given directory, or one that is removed at the end."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="ramet-demo-") as name:
        yield Path(name)


def refuse_foreign(folder: Path) -> None:
    """Refuse a place for the demos' database that something else takes already.

    Raises
    ------
    InputError
        There is something that no demo made.
    """
    if (folder / MARKER).is_file() or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    raise InputError(f"--dir: {folder} exists and was not made by ramet demo; choose another --dir")


@contextmanager
def own_database(folder: Path, name: str) -> Iterator[Database]:
    """Open the demos' database, without the collection of that name that an earlier demo left in it."""
    with shown_as(path="--dir"), ramet.connect(folder, create=True) as database:
        (folder / MARKER).write_text(MARKER_TEXT, "utf-8")
        if name in database.collections():
            database.delete_collection(name)
        yield database
