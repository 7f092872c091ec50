"""What the requests of a process share: open collections, models, keys, threads, counters, the log."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from ramet import (
    ArgumentError,
    ClosedError,
    Collection,
    CorruptionError,
    FormatError,
    ModelMismatchError,
    Rag,
    RametError,
    Reads,
    StorageError,
    TextEmbedder,
    connect,
    warmup,
)
from ramet.api.rest.coalesce import Coalescer
from ramet.api.rest.commits import Commits
from ramet.api.rest.embedders import Embedders
from ramet.api.rest.logs import RequestLines, logger_of
from ramet.api.rest.metrics import Metrics
from ramet.api.rest.pool import Pool
from ramet.api.rest.problems import Refusal
from ramet.api.rest.quarantine import Quarantine
from ramet.api.rest.rags import Rags
from ramet.api.rest.settings import Settings
from ramet.api.rest.tracing import Tracing
from ramet.engine.allowance import at_most
from ramet.engine.keys import Keys

T = TypeVar("T")

COUNT_EVERY_S = 1.0
"""Seconds between looks at what searches have read."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a collection is."""

    records: int
    bytes: dict[str, int]


class Server:
    """One process of a server.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    database : Database
        The collections; `opened` opens one for a request.
    keys : Keys
        Who may ask for what.
    pool : Pool
        Threads for everything that must not run on the event loop; `run` uses it.
    aside : Pool
        Threads for what may take minutes, so that nobody waits behind it; `slowly` uses it.
    texts : Pool
        Threads that embed texts to be stored, so that neither writes nor what keeps collections in order waits.
    searches : Coalescer
        Single queries, answered together.
    commits : Commits
        Writes, in order and with commits in common.
    metrics : Metrics
    log : structlog logger
    request_lines : RequestLines
        The log's lines about requests.
    ready : bool
        Whether requests are to come: false before `start` is done and once `stop` has begun.

    Raises
    ------
    ArgumentError, AccessError
        The data directory cannot be one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = logger_of(settings)
        self.request_lines = RequestLines(settings, self.log)
        self.metrics = Metrics()
        self.database = connect(settings.data_dir)
        self.keys = Keys(settings.data_dir)
        self.tracing = Tracing(settings)
        self.embedders = Embedders(settings, self.timed, self.metrics.tokens)
        self.rags: Rags | None = None
        self.quarantine = Quarantine()
        self.pool = Pool(settings.threads, 4 * settings.max_in_flight, "ramet-work", self.metrics.waited)
        self.aside = Pool(max(2, settings.threads // 2), settings.max_in_flight, "ramet-aside", self.metrics.waited)
        self.texts = Pool(max(2, settings.threads // 2), settings.max_in_flight, "ramet-texts", self.metrics.waited)
        self.searches = Coalescer(self.pool, self.metrics.together, settings.max_answer_bytes)
        self.commits = Commits(4 * settings.max_in_flight, self.metrics.joined)
        self._equipped: dict[str, Collection] = {}
        self._equipping = threading.Lock()
        self._known_reads: dict[str, tuple[Collection, Reads]] = {}
        self._counting: asyncio.Task[None] | None = None
        self.ready = False

    # ------------------------------------------------------------------------------------------ from start to stop

    def load(self) -> None:
        """Load the models and look at every collection; slow, and done before the first request.

        Raises
        ------
        ArgumentError, MissingPackageError
            A model that the settings name cannot be loaded.
        """
        if self.settings.warm:
            _compiled()
        self.embedders.load()
        self.rags = Rags(self.settings.llm, self.settings.cost_model)
        for name in self.database.collections():
            try:
                self.opened(name)
            except Refusal:
                continue  # noted by `opened`; the others serve
            except RametError as error:  # deleted meanwhile, or nothing that a later request may not find in order
                self.log.warning("collection_not_opened", collection=name, error=error)

    async def start(self) -> None:
        """Make ready for requests."""
        await asyncio.to_thread(self.load)
        # What is there now stays: 170,000 objects that the collector need not walk through again and again. With 64
        # requests in flight that took p99 from 105 ms to 26 ms (300,000 vectors, 2 cores).
        gc.collect()
        gc.freeze()
        self._counting = asyncio.create_task(self._count())
        self.ready = True
        self.log.info("ready", collections=len(self.database), pid=os.getpid())

    async def stop(self) -> None:
        """Finish what was begun, and give the files back."""
        self.ready = False
        await self.commits.drain()
        if self._counting is not None:
            self._counting.cancel()
        self.pool.close()
        self.aside.close()
        self.texts.close()
        if self.rags is not None:
            self.rags.close()
        await asyncio.to_thread(self.database.close)
        await asyncio.to_thread(self.tracing.close)
        self.metrics.close()
        self.request_lines.flush()
        self.log.info("stopped", pid=os.getpid())

    # ------------------------------------------------------------------------------------------------- collections

    def at_hand(self, name: str) -> Collection | None:
        """A collection that is open with its embedder, and still the one of that name; None: `opened` has to be asked.

        Looks at no file but for one stat, so it may be asked on the event loop.
        """
        found = self._equipped.get(name)
        return found if found is not None and self.database.is_open(name, found) else None

    def opened(self, name: str) -> Collection:
        """A collection with its embedder; nearly free when it is open already.

        Raises
        ------
        UnknownCollectionError, ArgumentError
            There is none of that name, or there cannot be.
        Refusal
            It is damaged, or its files cannot be read.
        """
        path = self.database.path / name
        self.quarantine.check(path)
        try:
            found = self.database.collection(name)
        except ClosedError:
            raise  # by somebody else at this moment
        except StorageError as error:
            raise self.put_away(name, error) from error
        if self.quarantine.release(name):
            self.log.info("collection_recovered", collection=name)
        if self._equipped.get(name) is not found:
            with self._equipping:
                self._equip(found)
                self._equipped[name] = found  # from now on requests take it without asking here
        return found

    def put_away(self, name: str, error: StorageError) -> Refusal:
        """Put a collection in quarantine, and close it; returns what its requests are told from now on."""
        self.log.error("collection_quarantined", collection=name, error=error)
        found = self._equipped.pop(name, None)
        if found is not None:
            with suppress(RametError):  # it may not get to the disk what it has left to write
                found.close()
        return self.quarantine.put(self.database.path / name, _reason(error))

    def found_damaged(self, error: CorruptionError | FormatError) -> None:
        """Put away the collection whose files a request found damaged, after it had been opened."""
        place = Path(error.file)
        for name, found in list(self._equipped.items()):
            if found.path in place.parents:
                self.put_away(name, error)

    def rag(self, name: str) -> Rag:
        """Questions to a collection.

        Raises
        ------
        UnknownCollectionError, ArgumentError, Refusal
            As `opened`.
        """
        assert self.rags is not None, "the server has not started"
        return self.rags.of(self.opened(name))

    def embedder_of(self, name: str) -> TextEmbedder | None:
        """The embedder of texts for a collection, which may not exist yet; None: it takes vectors only."""
        return self.embedders.named(name) or self.embedders.default

    def _equip(self, found: Collection) -> None:
        """Give a collection its embedder: the default one only where its vectors can be of it."""
        name = found.name
        named = self.embedders.named(name)
        embedder = named or self.embedders.default
        if embedder is None or (named is None and embedder.dim != found.dim):
            return
        try:
            self.database.collection(name, embedder=embedder)
        except (ArgumentError, ModelMismatchError) as error:  # it serves vectors; texts are refused
            if named is not None:
                self.log.warning("embedder_does_not_fit", collection=name, embedder=embedder.identity, error=error)

    def sizes(self) -> Iterator[tuple[str, Size | None]]:
        """Every collection and its size; None for one that is damaged."""
        for name in self.database.collections():
            try:
                found = self.opened(name)
                files = {file.name: file.stat().st_size for file in found.path.iterdir() if file.is_file()}
                yield name, Size(found.count(), files)
            except Refusal:
                yield name, None
            except (CorruptionError, FormatError) as error:
                self.put_away(name, error)
                yield name, None
            except (OSError, RametError):
                continue  # deleted meanwhile

    async def _count(self) -> None:
        """Add to the figures, now and then, what searches have read: counting every one would cost them time."""
        while True:
            await asyncio.sleep(COUNT_EVERY_S)
            self.count_reads()

    def count_reads(self) -> None:
        """Add to the figures what searches have read since the last time."""
        for name, found in list(self._equipped.items()):
            if found.closed:  # deleted, or put away; it would be kept for good
                self._forget(name, found)
                continue
            now = found.reads()
            known = self._known_reads.get(name)
            self._known_reads[name] = (found, now)
            before = known[1] if known is not None and known[0] is found else Reads(lists=0, rows=0, vectors=0, bytes=0)
            if now.rows > before.rows:
                self.metrics.read(name, now.lists - before.lists, now.rows - before.rows, now.bytes - before.bytes)

    def _forget(self, name: str, closed: Collection) -> None:
        """Keep a collection no longer, unless there is another one of its name."""
        with self._equipping:
            if self._equipped.get(name) is closed:
                del self._equipped[name]
                self._known_reads.pop(name, None)

    # ------------------------------------------------------------------------------------------------------ threads

    async def run(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call something on a thread, off the event loop.

        Raises
        ------
        OverloadedError
            Too much waits for a thread.
        """
        return await self.pool.run(lambda: work(*arguments, **options))

    async def search(self, work: Callable[..., T], *arguments: Any) -> T:
        """`run`, for what searches: its time is counted as that, and what it reads is bounded."""

        def timed() -> T:
            with self.timed("search"), at_most(self.settings.max_answer_bytes):
                return work(*arguments)

        return await self.pool.run(timed)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time inside as a stage of the request, and trace it."""
        with self.tracing.stage(stage), self.metrics.timed(stage):
            yield

    async def slowly(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call something that may take minutes on a thread where no search waits behind it.

        Raises
        ------
        OverloadedError
            Too much waits for a thread.
        """
        return await self.aside.run(lambda: work(*arguments, **options))


@lru_cache(maxsize=1)
def _compiled() -> None:
    """Compile and load the kernels, once for a process: the first request would wait for half a minute."""
    warmup()


def server_of(request: Request) -> Server:
    """The server of a request, for ``Annotated[Server, Depends(server_of)]``."""
    found: Server = request.app.state.server
    return found


def _reason(error: StorageError) -> str:
    """What is wrong with a collection's files, without where they are."""
    if isinstance(error, CorruptionError):
        return "damaged files"
    return "files of another format" if isinstance(error, FormatError) else "files that cannot be opened"
