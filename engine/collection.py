"""A collection: what users hold. Every method checks its arguments, then hands the work on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet.engine import checks, records
from ramet.engine.asking import begin
from ramet.engine.builder import BuildOptions, Progress, build
from ramet.engine.calibrate import measure
from ramet.engine.collection_reads import CollectionReads
from ramet.engine.collection_search import CollectionSearch
from ramet.engine.collection_texts import CollectionTexts
from ramet.engine.collection_writes import CollectionWrites
from ramet.engine.contents import Content
from ramet.engine.curve import RecallCurve
from ramet.engine.curves import OWN, to_meta
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import BuildReport, CurvePoint, Floats
from ramet.engine.opened import Opened
from ramet.engine.threads import n_cores
from ramet.index import defaults
from ramet.index.assign import ClosureConfig
from ramet.index.clustering import ClusterConfig
from ramet.storage.store import Store

if TYPE_CHECKING:
    from ramet.storage.findings import VerifyReport


class Collection(CollectionWrites, CollectionTexts, CollectionSearch, CollectionReads):
    """Vectors of one dimension, metric and dtype in one directory. Get one from `Database`; threads may share it."""

    def __init__(self, store: Store) -> None:
        self._opened = opened = Opened.of(store)
        self._store, self._settings, self._live = store, opened.settings, opened.live
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
    language = property(lambda self: self._settings.language, doc="How documents are taken apart into words.")
    codes = property(lambda self: self._settings.codes, doc='What posting lists hold: "none" or "sq8".')

    # ------------------------------------------------------------------------------------------------ writing

    def build(
        self,
        vectors: Any,
        ids: Sequence[str] | None = None,
        *,
        documents: Sequence[str | None] | None = None,
        metadata: Sequence[dict[str, Any] | None] | None = None,
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
        documents, metadata : sequences, optional
            As in `upsert`.
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
        content = records.content(documents, metadata, len(block))
        return self._build(block, names, content, options, progress)

    def _build(
        self,
        block: checks.Vectors,
        names: list[str],
        content: Content,
        options: BuildOptions,
        progress: Progress | None,
    ) -> BuildReport:
        return build(self._store, self._settings, block, names, content, self._live.analyzer, options, progress)

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
        return self._calibrate(block, checks.name(tenant, "tenant"), threads)

    def _calibrate(self, block: Floats, tenant: str, threads: int) -> list[CurvePoint]:
        snapshot, searchers = begin(self._opened, (tenant,))
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
        self._backup(checks.collection_path(Path(path)))

    def _backup(self, target: Path) -> None:
        from ramet.storage.backup import backup

        backup(self._store, target)

    def close(self) -> None:
        """Give the files back; the collection cannot be used afterwards."""
        self.closed = True
        self._opened.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        s = self._settings
        return f"Collection({self.name!r}, dim={s.dim}, metric={s.metric_name!r}, dtype={s.dtype_name!r})"
