"""Where collections can be: in this process, or on a server, reached with and without an event loop."""

import asyncio
import contextlib
import inspect
import threading
from pathlib import Path

import numpy as np

import ramet
from ramet.engine.database import Database
from ramet.engine.settings import Settings
from ramet.engine.sharded.build import make_sharded
from tests.engine.word_hash import WordHash
from tests.rest.serving import serving

KINDS = ("embedded", "sharded", "client", "async")
LOCAL = ("embedded", "sharded")
DIM = WordHash.dim


class Loop:
    """An event loop on a thread, for whoever does not await."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __call__(self, awaitable):
        async def waited():
            return await awaitable

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(120)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Waited:
    """An asynchronous object whose methods are waited for, so that one test serves all."""

    def __init__(self, loop, inner):
        self._loop, self._inner = loop, inner

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if not inspect.ismethod(value):
            return value

        def call(*args, **options):
            found = value(*args, **options)
            found = self._loop(found) if inspect.isawaitable(found) else found
            is_ours = type(found).__name__.startswith("AsyncRemote")
            return Waited(self._loop, found) if is_ours else found

        return call

    def __len__(self):
        if hasattr(self._inner, "__aiter__"):
            raise TypeError("a stream has no length")  # as list() wants to know
        return self.count() if hasattr(self._inner, "count") else len(self.collections())

    def __bool__(self):
        return bool(self._inner)

    def __iter__(self):
        if hasattr(self._inner, "__aiter__"):
            return self._pieces()
        return iter(self.collections())

    def _pieces(self):
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._loop(self._inner.__anext__())

    def __repr__(self):
        return repr(self._inner)


class ShardedDatabase(Database):
    """A database that makes sharded collections."""

    def create_collection(
        self,
        name,
        dim=None,
        metric="cosine",
        dtype="float32",
        codes="auto",
        *,
        language="en",
        durability="commit",
        embedder=None,
        exist_ok=False,
    ):
        dim = embedder.dim if dim is None and embedder is not None else dim
        settings = Settings.checked(dim, metric, dtype, codes, durability, language)
        path = self._path(name)
        if path.exists():
            fixed = {"language": language, "durability": durability}
            return super().create_collection(
                name, dim, metric, dtype, codes, **fixed, embedder=embedder, exist_ok=exist_ok
            )
        low = 0 if settings.dtype_name == "uint8" else -100
        sample = np.random.default_rng(0).integers(low, 100, (200, settings.dim))
        make_sharded(path, settings, sample + (sample == 0), 3)
        return self.collection(name, embedder=embedder)


class Place:
    """Somewhere to have collections.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    db
        With the methods of `ramet.Database`.
    """

    def __init__(self, kind, db, loop=None, embedder=None):
        self.kind, self.db = kind, db
        self._loop, self._embedder = loop, embedder

    def with_texts(self, name, **options):
        """A new collection that takes texts."""
        if self.kind in LOCAL:
            return self.db.create_collection(name, embedder=self._embedder, **options)
        return self.db.create_collection(name, DIM, **options)

    def rag(self, collection):
        """What answers questions to a collection."""
        if self.kind == "async":
            return Waited(self._loop, ramet.Rag(collection._inner))
        return ramet.Rag(collection)


@contextlib.contextmanager
def place_of(kind, folder, url):
    """A place of a kind: in a folder, or on the server of a URL."""
    if kind == "embedded":
        with ramet.connect(Path(folder)) as db:
            yield Place(kind, db, embedder=WordHash())
    elif kind == "sharded":
        with ShardedDatabase(Path(folder)) as db:
            yield Place(kind, db, embedder=WordHash())
    elif kind == "client":
        with ramet.connect(url, retries=0) as db:
            yield Place(kind, db)
    else:
        loop = Loop()
        try:
            db = Waited(loop, loop(ramet.connect_async(url, retries=0)))
            yield Place(kind, db, loop)
            db.close()
        finally:
            loop.close()


@contextlib.contextmanager
def served(folder):
    """A server whose collections take texts, as those of `Place.with_texts` do; yields what runs."""
    with serving(Path(folder), max_k=1000) as running:
        running.server.embedders = WordHashes()
        yield running


class WordHashes:
    """Embedders of a server, none of which is a model on disk."""

    def __init__(self):
        self.default = WordHash()

    def load(self):
        pass

    def named(self, collection):
        return None
