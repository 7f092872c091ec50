"""`DIR/NAME`: how a command line names a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ramet
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError

if TYPE_CHECKING:
    from ramet import Collection, Database, TextEmbedder

CollectionPath = Annotated[
    Path,
    typer.Argument(metavar="DIR/NAME", help="The collection: database directory, then name.", show_default=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A collection named on the command line; nothing needs to exist there."""

    database: Path
    """Directory of the database; `.` when only a name was given."""

    name: str
    """Name of the collection in it."""


def place_of(path: Path) -> Place:
    """Split `DIR/NAME`.

    Raises
    ------
    InputError
        The path has no last part that could be a name (`.`, `..`, `/`).

    Examples
    --------
    >>> place_of(Path("data/glove"))
    Place(database=PosixPath('data'), name='glove')
    """
    if path.name in {"", ".."}:
        raise InputError(f"{str(path)!r} does not end in a collection's name: write DIR/NAME, such as data/glove")
    return Place(database=path.parent, name=path.name)


def refuse_mistaken(path: Path, option: str) -> None:
    """Refuse a path that is not `DIR/NAME` but a database itself, or that lies in a collection.

    Raises
    ------
    InputError
        Under the name of the option or argument that held the path.
    """
    whole = path.absolute()
    names, beside = collections_in(whole), collections_in(whole.parent)
    if names and whole.name not in beside:
        example = path / ("NAME" if option == "--out" else names[0])
        raise InputError(f"{option}: {path} is a database directory and not a collection; write DIR/NAME: {example}")
    if whole.parent.name in collections_in(whole.parent.parent):
        raise InputError(f"{option}: {path.parent} is a collection and not a database; choose another DIR")


def collections_in(folder: Path) -> list[str]:
    """Names of the collections in a directory; none where it is a collection itself, or not there."""
    if not folder.is_dir():
        return []
    try:
        with ramet.connect(folder, create=False) as database:
            return database.collections()
    except ramet.ArgumentError:
        return []


@contextmanager
def database_of(path: Path) -> Iterator[Database]:
    """Open the database that a collection path names, for the time of one command; never creates a directory.

    Raises
    ------
    RametError
        There is no such database, or it cannot be read.
    """
    place = place_of(path)
    if not place.database.is_dir():
        raise InputError(f"{path}: there is no database directory {place.database}")
    refuse_mistaken(path, "DIR/NAME")
    with shown_as(name="DIR/NAME", path="DIR/NAME"), ramet.connect(place.database, create=False) as database:
        yield database


@contextmanager
def opened(path: Path, load: Callable[[], TextEmbedder | None] = lambda: None) -> Iterator[Collection]:
    """Open an existing collection for the time of one command.

    Parameters
    ----------
    path : Path
    load : callable
        Makes the embedder that the command needs; called when the collection is there, as it may take seconds.

    Raises
    ------
    RametError
        There is no such database or collection, or it cannot be read; or its vectors are of another model.
    """
    with database_of(path) as database:
        name = place_of(path).name
        found = database.collection(name)
        embedder = load()
        yield found if embedder is None else database.collection(name, embedder=embedder)
