"""A collection: what users hold. Every method checks its arguments, then hands the work on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet.engine import checks, reads
from ramet.engine.builder import BuildOptions, Progress, build
from ramet.engine.calibrate import measure
from ramet.engine.collection_writes import CollectionWrites
from ramet.engine.curve import DEFAULT_RECALL, RecallCurve
from ramet.engine.curves import OWN, to_meta
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import BuildReport, CurvePoint, Hits, Record
from ramet.engine.live import Live
from ramet.engine.residency import Residency
from ramet.engine.search import Effort, search
from ramet.engine.searcher import Searcher
from ramet.engine.searchers import Searchers, StaleSnapshotError
from ramet.engine.settings import Settings
from ramet.engine.stats import collect
from ramet.engine.threads import n_cores
from ramet.index import defaults
from ramet.index.assign import ClosureConfig
from ramet.index.clustering import ClusterConfig
from ramet.storage.format import POSTINGS
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store

if TYPE_CHECKING:
    from ramet.storage.findings import VerifyReport


class Collection(CollectionWrites):
    """Vectors of one dimension, metric and dtype in one directory. Get one from `Database`; threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = Settings.from_storage(store.settings)
        self._residency = Residency(may_ask=os.access(store.path / POSTINGS, os.W_OK))
        self._searchers = Searchers(self._settings)
        self._live = Live(store, self._settings)
        self.closed = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "a Collection cannot be copied or pickled; pass its path and open it there: "
            "ramet.connect(path.parent).collection(path.name)"
        )

    name = property(lambda self: self._store.path.name, doc="Name of the collection.")
    path = property(lambda self: self._store.path, doc="Directory of the collection.")
    dim = property(lambda self: self._settings.dim, doc="Dimension of the vectors.")
    metric = property(lambda self: self._settings.metric_name, doc='"cosine", "l2" or "ip".')
    dtype = property(lambda self: self._settings.dtype_name, doc='"float32", "float16", "int8" or "uint8".')
    durability = property(lambda self: self._settings.durability, doc='"commit" or "batch".')
    codes = property(lambda self: self._settings.codes, doc='What posting lists hold: "none" or "sq8".')

    # ------------------------------------------------------------------------------------------------ writing

    def build(
        self,
        vectors: Any,
        ids: Sequence[str] | None = None,
        *,
        tenant: str = checks.DEFAULT_TENANT,
        clusters: int | str | None = None,
        list_size: int | None = None,
        replicas: int | None = None,
        navigation: str = "groups",
        seed: int = 0,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> BuildReport:
        """Fill the empty collection with vectors, and measure its recall.

        Parameters
        ----------
        vectors : array-like (n, dim)
            Any numeric dtype whose values the collection's dtype holds. The build needs memory for about one more copy
            of the vectors, also when they come from a mapped file.
        ids : sequence of str, optional
            One for each vector; "0", "1", ... when left out.
        tenant : str
            Owner of the records. Others can be added by `upsert`.
        clusters : int or "auto", optional
            Number of top-level groups (not of posting lists: their number follows from ``list_size``); about
            2 sqrt(n / list_size) when left out. "auto" lets PPP find natural clusters first (``docs/ppp.md``).
        list_size : int, optional
            Vectors a cell should hold before copies (default 64); a finished list has at most 4 times as many rows.
        replicas : int, optional
            Most lists that hold a vector (default 2; 1 switches closure off).
        navigation : str
            How queries find cells: "groups" (two levels of 8-bit centroids) or "hnsw" (a faiss graph, until writes
            change the tenant's cells: then it becomes "groups").
        seed : int
            Same seed, same vectors: same lists, whatever the number of threads.
        n_threads : int, optional
            Default: the cores this process may use.
        progress : callable, optional
            ``progress(stage, fraction)`` on the calling thread, for the stages "cluster", "assign", "write" and
            "measure". An exception that it raises ends the build; up to "write" the collection then stays empty.

        Returns
        -------
        BuildReport
            Below 2,000 records its curve is empty: recall is not measured, and queries read all lists.

        Raises
        ------
        ArgumentError
            A wrong argument; nothing was written.
        NotEmptyError
            The collection has records already.
        StorageError
            Busy, full, read-only or damaged files. The collection is as it was, or, when only the measurement failed,
            complete but without a curve: then queries read every list until `calibrate` measures one.
        """
        block = checks.stored_form(vectors, self._settings)
        names = checks.record_ids(ids, len(block))
        options = BuildOptions(
            tenant=checks.name(tenant, "tenant"),
            cluster=ClusterConfig(
                list_size=checks.given(list_size, defaults.LIST_SIZE, "list_size", 100_000),
                fan_out=clusters
                if clusters is None or (isinstance(clusters, str) and clusters == "auto")
                else checks.positive(clusters, "clusters", 1_000_000),
                seed=checks.whole(seed, "seed"),
            ),
            closure=ClosureConfig(replicas=checks.given(replicas, defaults.REPLICAS, "replicas", 16)),
            navigation=one_of(navigation, "navigation", ("groups", "hnsw")),
            n_threads=checks.given(n_threads, n_cores(), "n_threads", 1024),
        )
        return build(self._store, self._settings, block, names, options, progress)

    def calibrate(
        self, queries: Any, *, tenant: str = checks.DEFAULT_TENANT, n_threads: int | None = None
    ) -> list[CurvePoint]:
        """Measure the recall curve again with your own queries, for when they differ from the records.

        The tenant keeps this curve until the next call; as it grows, the lists read grow by the square root.

        Parameters
        ----------
        queries : array-like (n, dim)
            Some hundred typical queries that are not records.

        Returns
        -------
        list of CurvePoint
            What ``recall=`` goes by from now on.
        """
        block, _ = checks.query_form(queries, self._settings, "queries")
        threads = checks.given(n_threads, n_cores(), "n_threads", 1024)
        if len(block) < 2:
            raise ArgumentError("queries", f"{len(block)} is too few to measure recall; pass some hundred")
        snapshot, searchers = self._begin((checks.name(tenant, "tenant"),))
        with snapshot:
            if not searchers:
                raise ArgumentError("tenant", f"{tenant!r} has no records to measure on")
            searcher = searchers[0]
            points = measure(searcher, block, own_rows=None, n_threads=threads)
        curve = RecallCurve(points, searcher.n_lists)
        with self._store.write() as writer:
            writer.set_meta(OWN.format(tenant=searcher.tenant), to_meta(curve, given=True))
            writer.touch(searcher.tenant)
        return curve.table()

    # ------------------------------------------------------------------------------------------------ reading

    def query(
        self,
        vectors: Any,
        k: int = 10,
        *,
        tenant: str | Sequence[str] = checks.DEFAULT_TENANT,
        recall: float | None = None,
        nprobe: int | None = None,
        exact: bool = False,
        prune: float | None = None,
        n_threads: int | None = None,
        with_vectors: bool = False,
        check: bool = False,
    ) -> Hits:
        """The records nearest to one query or to each query of a batch.

        Parameters
        ----------
        vectors : array-like (dim,) or (n, dim)
        k : int
            Results wanted; fewer come back when the tenant has fewer records.
        tenant : str or sequence of str
            Whose records; a tenant without records gives no hits. Several tenants are searched on one snapshot, each
            with ``nprobe`` lists or to the recall target, and a record that more than one of them sees comes back
            once. Lists of other tenants are not read.
        recall : float, optional
            Share of the true k nearest to find on average (default 0.95): sets the number of posting lists read, by
            the curve measured on this collection for k = 10 and 100. Another k uses the next larger of the two; beyond
            100 the number of lists is extrapolated. A target beyond the curve reads every list; 1.0 is exact search.
        nprobe : int, optional
            Posting lists to read, instead of ``recall``.
        exact : bool
            Read every list and compare full-precision vectors.
        prune : float, optional
            Skip lists whose centroid is farther than this ratio (of true distances, > 1) times the nearest one's.
        n_threads : int, optional
            Threads for a batch (default: all cores). One query runs on the calling thread.
        with_vectors : bool
            Return the stored vectors as well.
        check : bool
            Verify the checksum of every list read first (slow).

        Returns
        -------
        Hits

        Raises
        ------
        ArgumentError
            A wrong argument.
        CorruptionError
            Damaged files, where that was noticed.
        """
        queries, single = checks.query_form(vectors, self._settings)
        if type(k) is not int or not 0 < k <= checks.MAX_K:
            k = checks.positive(k, "k", checks.MAX_K)
        if (recall is not None) + (nprobe is not None) + bool(exact) > 1:
            raise ArgumentError("recall", "is given together with nprobe or exact; pass one of the three")
        effort = Effort(
            recall=DEFAULT_RECALL if recall is None else checks.share(recall, "recall"),
            nprobe=None if nprobe is None else checks.positive(nprobe, "nprobe", 1 << 31),
            exact=bool(exact) or recall == 1.0,
            ratio=0.0 if prune is None else checks.prune_ratio(prune, self._settings),
            n_threads=1 if single and n_threads is None else checks.given(n_threads, n_cores(), "n_threads", 1024),
        )
        names = (tenant,) if type(tenant) is str and tenant in self._searchers else checks.tenants(tenant)
        snapshot, searchers = self._begin(names)
        with snapshot:
            if not searchers or len(queries) == 0:
                return reads.no_hits(len(queries), single, self._settings, with_vectors)
            if check:
                for searcher in searchers:
                    reads.check_lists(snapshot, searcher, queries, effort.probes(searcher, k))
            rows, distances = search(searchers, queries, k, effort, self._residency)
            sources = [searcher.tenant for searcher in searchers] if with_vectors else None
            return reads.hits(snapshot, self._settings, rows, distances, single, sources)

    def scanned(
        self,
        vectors: Any,
        *,
        tenant: str = checks.DEFAULT_TENANT,
        recall: float | None = None,
        nprobe: int | None = None,
    ) -> float:
        """Rows that a query compares its vector with, on average over the queries, copies in several lists included.

        What a recall costs, whatever the machine; arguments as in `query`.
        """
        queries, _ = checks.query_form(vectors, self._settings)
        effort = Effort(
            recall=DEFAULT_RECALL if recall is None else checks.share(recall, "recall"),
            nprobe=None if nprobe is None else checks.positive(nprobe, "nprobe", 1 << 31),
        )
        snapshot, searchers = self._begin(checks.tenants(tenant))
        with snapshot:
            return sum(s.rows_scanned(queries, effort.probes(s, 10), self._residency) for s in searchers)

    def _begin(self, names: tuple[str, ...]) -> tuple[Snapshot, list[Searcher]]:
        """A snapshot, which the caller closes, and the searchers of the tenants that have records in it."""
        while True:
            snapshot = self._store.read()
            try:
                found = [self._searchers.of(snapshot, name) for name in names]
            except StaleSnapshotError:  # another thread has seen a newer commit since: so do we
                snapshot.close()
                continue
            except BaseException:
                snapshot.close()
                raise
            return snapshot, [searcher for searcher in found if searcher is not None and searcher.n_lists]

    def get(
        self, ids: Sequence[str], *, tenant: str = checks.DEFAULT_TENANT, with_vectors: bool = True
    ) -> list[Record]:
        """Records by id, in the order asked for; ids that do not exist are left out.

        Vectors come back bit for bit as they were put in.
        """
        names = checks.names(ids, "ids", twice=True)
        with self._store.read() as snapshot:
            number = snapshot.tenant_number(checks.name(tenant, "tenant"))
            return (
                [] if number is None else reads.records(snapshot, self._settings, number, tenant, names, with_vectors)
            )

    def count(self, tenant: str | None = None) -> int:
        """Records of a tenant, or of all together."""
        with self._store.read() as snapshot:
            if tenant is None:
                return snapshot.n_live
            number = snapshot.tenant_number(checks.name(tenant, "tenant"))
            return 0 if number is None else snapshot.count(number)

    def __len__(self) -> int:
        """Records of all tenants."""
        return self.count()

    def __bool__(self) -> bool:
        """Always true: an empty collection is a collection."""
        return True

    def stats(self, tenant: str | None = None) -> dict[str, Any]:
        """Sizes, list lengths, recall curves: everything JSON-able.

        ``rows`` are row numbers in use, those of deleted records included; when they are many times ``records``, it is
        time to `compact`. ``waiting``: lists that will be split or merged by the next writes. ``tenants`` describes
        the 20 largest, or only ``tenant``.

        Raises
        ------
        UnknownTenantError
            No tenant of that name.
        """
        name = None if tenant is None else checks.name(tenant, "tenant")
        with self._store.read() as snapshot:
            return collect(snapshot, self._settings, self._store.path, name)

    # --------------------------------------------------------------------------------------------- maintenance

    def verify(self) -> VerifyReport:
        """Check every checksum and every cross-reference; finds damage, changes nothing."""
        from ramet.storage.verify import verify  # not needed to answer a query

        return verify(self._store)

    def backup(self, path: str | Path) -> None:
        """Copy the collection as it is at this moment to a new directory, while readers and a writer go on.

        The copy is a collection: ``ramet.connect(path.parent).collection(path.name)`` opens it.

        Parameters
        ----------
        path : str or Path
            Directory that does not exist yet or is empty; its last part must be a collection name.

        Raises
        ------
        ArgumentError
            The last part is no collection name, or the path lies inside a collection.
        StorageError
            Something is there already, or cannot be written.
        """
        target = checks.collection_path(Path(path))
        from ramet.storage.backup import backup

        backup(self._store, target)

    def close(self) -> None:
        """Give the files back; the collection cannot be used afterwards."""
        self.closed = True
        self._searchers.clear()
        self._store.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        s = self._settings
        return f"Collection({self.name!r}, dim={s.dim}, metric={s.metric_name!r}, dtype={s.dtype_name!r})"
