"""A sharded collection: the surface of `Collection`, over shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ramet.engine import adding as one_adding
from ramet.engine import checks
from ramet.engine.asking import Question
from ramet.engine.builder import BuildOptions, Progress
from ramet.engine.collection import Collection
from ramet.engine.contents import Content
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError
from ramet.engine.filters import Filters
from ramet.engine.hits import AddReport, BuildReport, CurvePoint, Floats, Hits, Reads, Records
from ramet.engine.opened import Opened
from ramet.engine.reads import Include
from ramet.engine.residency import Residency
from ramet.engine.search import Effort
from ramet.engine.searchers import Searchers
from ramet.engine.settings import Settings
from ramet.engine.sharded import adding, asking, filling, listing, operations, stats, verify
from ramet.engine.sharded.hosts import LocalHost
from ramet.engine.sharded.live import ShardedLive
from ramet.engine.sharded.opened import Hosting, ShardedStore, Shards
from ramet.engine.where import Filter
from ramet.storage.errors import ClosedError
from ramet.storage.findings import VerifyReport
from ramet.storage.store import Store


class ShardedOpened(Opened):
    """What belongs to an open sharded collection. It has no store of its own: its shards have."""

    __slots__ = ("sharded",)

    def __init__(self, sharded: ShardedStore, settings: Settings) -> None:
        super().__init__(
            store=cast(Store, None),
            settings=settings,
            residency=Residency(may_ask=False),
            searchers=Searchers(settings),
            filters=Filters(),
            live=ShardedLive(sharded, settings, lambda: None if self.embedder is None else self.embedder.identity),
        )
        self.sharded = sharded

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self.sharded.path.name

    def is_current(self) -> bool:
        """Tell whether the collection at the path is still the one that is open here."""
        return self.sharded.is_current()

    def model(self) -> object:
        """Identity of the model whose vectors the collection holds."""
        return next((one for one in self.sharded.now().ask("model") if one is not None), None)

    def close(self) -> None:
        """Let the shards go."""
        self.sharded.close()


class ShardedCollection(Collection):
    """A collection in several directories, asked and written like any other; see ``docs/shards.md``.

    Get one from `Database`; threads may share it.
    """

    def __init__(self, path: Path, hosting: Hosting | None = None) -> None:
        self._sharded = sharded = ShardedStore(path, hosting or LocalHost)
        self._settings = sharded.now().manifest.settings
        self._opened = opened = ShardedOpened(sharded, self._settings)
        self._live = opened.live
        self.closed = False

    name = property(lambda self: self._sharded.path.name, doc="Name of the collection.")
    path = property(lambda self: self._sharded.path, doc="Directory of the collection.")

    @property
    def _shards(self) -> Shards:
        return self._sharded.now()

    def _rag(self, *arguments: Any, **options: Any) -> Any:
        raise ArgumentError("collection", f"{self.name!r} is sharded; Rag answers from an ordinary collection")

    # ------------------------------------------------------------------------------------------------ operations

    def shards(self) -> list[dict[str, Any]]:
        """What each shard is: its name, its cells, and how many records it has now."""
        return stats.described(self._shards)

    def rebalance(self, n_shards: int | None = None, *, timeout_s: float = operations.TIMEOUT_S) -> operations.Report:
        """Share the cells out anew, so that shards have like numbers of records; see `operations.rebalance`."""
        if n_shards is not None:
            n_shards = checks.positive(n_shards, "n_shards", operations.MOST_SHARDS)
        return operations.rebalance(self.path, n_shards, checks.seconds(timeout_s, "timeout_s"))

    # ------------------------------------------------------------------------------------------------ queries

    def _near(
        self,
        names: tuple[str, ...],
        queries: Floats,
        single: bool,
        k: int,
        effort: Effort,
        include: Include,
        check: bool,
    ) -> Hits:
        found = asking.near(self._shards, names, queries, k, effort, include, check)
        return found.hits(self._settings, single, include, ranked=False)

    def _answer(self, question: Question, mode: str, names: tuple[str, ...]) -> Hits:
        return asking.explained(self._shards, question, mode, names)

    def _scanned(self, queries: Floats, effort: Effort, names: tuple[str, ...]) -> float:
        return asking.scanned(self._shards, queries, effort, names)

    # ------------------------------------------------------------------------------------------------ reads

    def _by_id(self, tenant: str, ids: list[str], include: Include) -> Records:
        return listing.by_id(self._shards, tenant, ids, include)

    def _page(
        self, tenant: str, chosen: Filter | None, limit: int | None, after: str | None, include: Include
    ) -> Records:
        return listing.page(self._shards, tenant, chosen, limit, after, include)

    def _count_matching(self, tenant: str, chosen: Filter | None) -> int:
        return sum(self._shards.ask("count_matching", tenant, chosen))

    def _count(self, name: str | None) -> int:
        return sum(self._shards.ask("count", name))

    def _stats(self, name: str | None) -> dict[str, Any]:
        return stats.collect(self._sharded, name)

    def reads(self) -> Reads:
        """What the searches of this process have read; of shards in other processes, what all have."""
        return stats.reads(self._shards)

    def tenants(self) -> dict[str, int]:
        """Tenants by name, with the number of records that each sees: its own and those granted to it."""
        found: dict[str, int] = {}
        for part in self._shards.ask("tenants"):
            for name, n in part.items():
                found[name] = found.get(name, 0) + n
        return dict(sorted(found.items()))

    # ------------------------------------------------------------------------------------------------ writes

    def _build(
        self,
        block: checks.Vectors,
        names: list[str],
        content: Content,
        options: BuildOptions,
        progress: Progress | None,
    ) -> BuildReport:
        return filling.build(self._sharded, block, names, content, options, progress)

    def _calibrate(self, block: Floats, tenant: str, threads: int) -> list[CurvePoint]:
        return filling.calibrate(self._sharded, block, tenant, threads)

    def _add(
        self,
        documents: one_adding.Documents,
        chunks: tuple[int | None, int],
        on_conflict: str,
        token_codes: Any,
        timeout_s: float,
    ) -> AddReport:
        embedder: TextEmbedder = self._opened.needed()
        self._opened.check(embedder)
        return adding.add(self._sharded, embedder, documents, chunks, (on_conflict, token_codes), timeout_s)

    def flush(self) -> None:
        """Put everything that is committed on disk. Only collections with ``durability="batch"`` need it."""
        self._shards.ask("flush")

    def verify(self) -> VerifyReport:
        """Check every shard, and that records are in the shards where they belong, each in one."""
        if self.closed:
            raise ClosedError(f"collection {self.name!r} ({self.path})")
        return verify.verify_shards(self.path)

    def _backup(self, target: Path) -> None:
        operations.backup(self._sharded, target)

    def __repr__(self) -> str:
        s, n = self._settings, 0 if self.closed else len(self._shards.manifest.shards)
        return f"Collection({self.name!r}, dim={s.dim}, metric={s.metric_name!r}, dtype={s.dtype_name!r}, shards={n})"
