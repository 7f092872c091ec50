"""A database: a directory of collections."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet.engine import checks
from ramet.engine.collection import Collection
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, CollectionExistsError, UnknownCollectionError
from ramet.engine.settings import Settings
from ramet.engine.sharded.manifest import is_sharded
from ramet.storage.errors import AccessError, ExistsError, MissingError
from ramet.storage.format import CATALOG
from ramet.storage.store import Store

if TYPE_CHECKING:
    from ramet.storage.findings import VerifyReport


def connect(path: str | Path, *, create: bool = True, ray: str | None = None) -> Database:
    """Open a directory of collections.

    Parameters
    ----------
    path : str or Path
        The directory; made when missing.
    create : bool
        False: a missing directory is an error.
    ray : str, optional
        Serve the shards of sharded collections by actors of Ray (``docs/shards.md``): "auto" (the Ray that this process
        is connected to, or the one that runs on this machine) or the address of a cluster.

    Raises
    ------
    ArgumentError
        The path is missing and ``create`` is false, or it is not a directory.
    AccessError
        No permission.
    MissingPackageError
        ``ray`` is given, and Ray is not installed.
    """
    if ray is None:
        return Database(Path(path), create=create)
    from ramet.engine.sharded.actors import RayHost, start

    start(ray)
    return Database(Path(path), create=create, hosting=RayHost)


class Database:
    """Collections in one directory; made by `connect`. Use it as a context manager, or call `close`."""

    def __init__(self, path: Path, *, create: bool = True, hosting: Any = None) -> None:
        path = path.expanduser().absolute()
        try:
            _prepare(path, create)
        except (OSError, ValueError) as error:
            raise error if isinstance(error, ArgumentError) else AccessError(path, error) from error
        self.path = path
        self._hosting = hosting  # where the shards of sharded collections are; None: in this process
        self._open: dict[str, Collection] = {}
        self._lock = threading.Lock()

    def collections(self) -> list[str]:
        """Names of the collections, sorted."""
        try:
            found = [path for path in self.path.iterdir() if checks.COLLECTION_NAME.fullmatch(path.name)]
        except OSError as error:
            raise AccessError(self.path, error) from error
        return sorted(path.name for path in found if _is_collection(path))

    def create_collection(
        self,
        name: str,
        dim: int | None = None,
        metric: str = "cosine",
        dtype: Any = "float32",
        codes: str = "auto",
        *,
        language: str = "en",
        durability: str = "commit",
        embedder: TextEmbedder | None = None,
        exist_ok: bool = False,
    ) -> Collection:
        """Make an empty collection.

        Parameters
        ----------
        name : str
            1 to 128 letters, digits, ``.``, ``_`` or ``-``; the first a letter or digit.
        dim : int
            Dimension, 1 to 16384; that of the embedder when left out.
        metric : str
            "cosine", "l2" or "ip".
        dtype : str or NumPy dtype
            "float32", "float16", "int8" or "uint8".
        codes : str
            What posting lists hold: "sq8" (8-bit codes; full-precision rows apart, for reranking), "none" (the vectors
            themselves), or "auto": "sq8" for floats.
        language : str
            How keyword search takes documents apart: "en", "de", ... (stop words and stems), or "none"
            (``docs/keyword.md``).
        durability : str
            "commit": a call that returned is on disk. "batch": it is visible to all processes and survives the death
            of its process, and is on disk within about a second of further writes, after `Collection.flush` or when the
            collection is closed; a power loss takes it back to the last such moment (``docs/durability.md``).
        embedder : TextEmbedder, optional
            Makes vectors of texts, for example ``ramet.Embedder("all-MiniLM-L6-v2")``. It is not stored: give it to
            `collection` again. Which model it was is stored with the first texts, and another one is refused.
        exist_ok : bool
            Return a collection of that name if it is there and has the same properties.

        Raises
        ------
        ArgumentError, CollectionExistsError, StorageError
        """
        if dim is None and embedder is not None:
            dim = embedder.dim
        settings = Settings.checked(dim, metric, dtype, codes, durability, language)
        if embedder is not None and embedder.dim != settings.dim:
            raise ArgumentError("dim", f"is {settings.dim}, and the embedder makes vectors of {embedder.dim}")
        path = self._path(name)
        try:
            Store.create(path, settings.to_storage()).close()
        except ExistsError as error:
            if not _is_collection(path):
                raise CollectionExistsError(
                    f"{path} exists and is not a collection; choose another name or remove it"
                ) from error
            if not exist_ok:
                raise CollectionExistsError(
                    f"collection {name!r} exists in {self.path}; open it with db.collection({name!r}), "
                    "or pass exist_ok=True"
                ) from error
            existing = self.collection(name, embedder=embedder)
            if existing._settings != settings:  # both classes are one unit
                raise CollectionExistsError(
                    f"collection {name!r} exists with other properties: {existing!r}, codes={existing.codes!r}"
                ) from error
            return existing
        self._forget(name)  # what was open under this name was deleted by somebody else
        return self.collection(name, embedder=embedder)

    def collection(self, name: str, *, embedder: TextEmbedder | None = None) -> Collection:
        """Open a collection; the same object for every call, so closing it closes it for everybody who has it.

        Parameters
        ----------
        name : str
        embedder : TextEmbedder, optional
            Takes texts from now on, for everybody who has the collection.

        Raises
        ------
        UnknownCollectionError
            No collection of that name.
        ModelMismatchError
            The embedder's model is not the one that made the collection's vectors.
        StorageError
            Damaged, foreign or newer files.
        """
        found = self._opened(name)
        if embedder is not None:
            found._opened.use(embedder)  # both classes are one unit
        return found

    def is_open(self, name: str, collection: Collection) -> bool:
        """Tell whether `collection` of this name would return this very object; costs one stat."""
        found = self._open.get(name)
        return found is collection and not found.closed and found._opened.is_current()

    def _opened(self, name: str) -> Collection:
        """The collection that is open under this name, or was closed until now."""
        found = self._open.get(name)
        if found is not None and not found.closed:
            if found._opened.is_current():  # both classes are one unit
                return found
            self._forget(name)  # another process deleted it, and may have made another one
        path = self._path(name)
        try:
            fresh = self._at(path)
        except MissingError as error:
            raise self._unknown(name) from error
        with self._lock:
            found = self._open.get(name)
            if found is None or found.closed:
                found = self._open[name] = fresh
            else:
                fresh.close()  # another thread was faster
        return found

    def _at(self, path: Path) -> Collection:
        """Open what is at a path."""
        if is_sharded(path):
            from ramet.engine.sharded.collection import ShardedCollection  # few databases have one

            return ShardedCollection(path, self._hosting)
        return Collection(Store.open(path))

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __len__(self) -> int:
        """Number of collections."""
        return len(self.collections())

    def __bool__(self) -> bool:
        """Always true: an empty database is a database."""
        return True

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.collections()

    def delete_collection(self, name: str) -> None:
        """Delete a collection and its files.

        It disappears at once (a rename); snapshots that are still open keep reading the deleted files.

        Raises
        ------
        UnknownCollectionError
            No collection of that name.
        """
        path = self._path(name)
        if name not in self.collections():
            raise self._unknown(name)
        self._forget(name)
        trash = path.with_name(f".deleted-{name}-{uuid.uuid4().hex}")
        try:
            path.rename(trash)
            shutil.rmtree(trash)
        except OSError as error:
            raise AccessError(path, error) from error

    def verify(self, name: str) -> VerifyReport:
        """Check a collection from outside, without opening it first: safe for one that is badly damaged.

        Raises
        ------
        UnknownCollectionError
            No collection of that name.
        """
        from ramet.storage.verify import verify_path

        path = self._path(name)
        if not path.is_dir():
            raise self._unknown(name)
        if is_sharded(path):
            from ramet.engine.sharded.verify import verify_shards

            return verify_shards(path)
        try:
            return verify_path(path)
        except MissingError as error:
            raise self._unknown(name) from error

    def close(self) -> None:
        """Close all collections that were opened here."""
        for collection in self._open.values():
            collection.close()
        self._open.clear()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({str(self.path)!r}, collections={self.collections()})"

    def _forget(self, name: str) -> None:
        """Close the collection that is open under this name."""
        with self._lock:
            opened = self._open.pop(name, None)
        if opened is not None:
            opened.close()

    def _path(self, name: object) -> Path:
        return self.path / checks.collection_name(name)

    def _unknown(self, name: str) -> UnknownCollectionError:
        known = ", ".join(map(repr, self.collections())) or "none yet"
        return UnknownCollectionError(f"no collection {name!r} in {self.path}; there are: {known}")


def _is_collection(path: Path) -> bool:
    """Whether there is a collection at a path; what nobody may look into, such as ``lost+found``, is none."""
    try:
        return (path / CATALOG).is_file() or is_sharded(path)
    except OSError:
        return False


def _prepare(path: Path, create: bool) -> None:
    """Make the directory of a database, or refuse the path."""
    if _is_collection(path):
        raise ArgumentError(
            "path", f"{path} is a collection, not a database; connect to {path.parent} and open {path.name!r}"
        )
    if path.exists() and not path.is_dir():
        raise ArgumentError("path", f"{path} is a file; pass a directory of collections")
    if not path.exists():
        if not create:
            raise ArgumentError("path", f"{path} does not exist; pass create=True to make it")
        path.mkdir(parents=True, exist_ok=True)
