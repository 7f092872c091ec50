"""Stage *measure*: recall curves of the finished collection."""

from __future__ import annotations

from ramet.engine.calibrate import measure_against
from ramet.engine.curve import RecallCurve
from ramet.engine.curves import ALL_LISTS, OWN, to_meta
from ramet.engine.jobs.placing import Places
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.truth import Truth
from ramet.engine.jobs.work import Work
from ramet.engine.remeasure import Remeasure
from ramet.engine.searcher import Searcher
from ramet.index.source import FloatArray
from ramet.storage.store import Store


class MeasureStage(Stage):
    """One unit, which commits once."""

    name = "measure"
    in_order = True

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Remember the state before."""
        if not self._work.place.has("measure/before"):
            with Store.open(self._work.out) as store, store.read() as snapshot:
                self._work.place.put_json("measure/before", snapshot.txn_id)

    def n_units(self) -> int:
        """The measurement."""
        return 1

    def is_done(self, unit: int) -> bool:
        """Whether the curves are known to be stored."""
        return self._work.place.has("measure/curve")

    def weight(self, unit: int) -> int:
        """Queries cost, and not records."""
        return 0

    def run(self, unit: int) -> None:
        """Measure and store."""
        work = self._work
        with Store.open(work.out) as store:
            with store.read() as snapshot:
                stored = snapshot.txn_id > work.place.get_json("measure/before")
            if len(work.tenants) == 1:
                self._alone(store, stored)
            elif not stored:
                self._several(store)
        if not work.place.has("measure/curve"):
            work.place.put_json("measure/curve", [])

    def _alone(self, store: Store, stored: bool) -> None:
        """The curve of the one tenant, against what the rows stage found."""
        work, truth = self._work, Truth(self._work)
        points: list[tuple[int, int, float, float]] = []
        with store.read() as snapshot:
            member = snapshot.member(0)
            assert member is not None, "the catalog has the tenant"
            searcher = Searcher(snapshot, work.plan.settings, member)
            if len(truth.queries):
                own, distances = truth.found(len(Places(work).buckets))
                mine = own >= 0  # of a shard: those of its own rows
                queries: FloatArray = truth.queries[mine].astype("float32")
                points = measure_against(
                    searcher, queries, distances[mine], own_rows=own[mine], n_threads=work.plan.workers
                )
        curve = RecallCurve(points, searcher.n_lists)
        if not stored:
            with store.write() as writer:
                writer.set_meta(OWN.format(tenant=0), to_meta(curve))
                writer.touch(0)
        work.place.put_json("measure/curve", [list(point) for point in points])

    def _several(self, store: Store) -> None:
        """Curves of large tenants, and of classes of small ones, as writers measure them."""
        with store.read() as snapshot:
            n_lists = {tenant: len(snapshot.lists(tenant)) for tenant in range(len(self._work.tenants))}
        Remeasure(store, self._work.plan.settings).after({t: n for t, n in n_lists.items() if n > ALL_LISTS}, 0)
