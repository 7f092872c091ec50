"""Stage *catalog*: everything that refers to the data files, written at once in the order of its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.filling import DROPPED
from ramet.engine.jobs.ids import KEPT, Ids
from ramet.engine.jobs.lists import CellTree
from ramet.engine.jobs.placing import Places
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import NO_COPY, Work, assigned_dtype, joined
from ramet.engine.navigation import NAVIGATOR, pack_navigator
from ramet.engine.placement import STORED_FROM
from ramet.index.navigate import navigator_over
from ramet.storage import bulk, records
from ramet.storage.homes import HomeTable
from ramet.storage.reader import LIST_DTYPE

HOMES_AT_A_TIME = 65_536


class CatalogStage(Stage):
    """One unit."""

    name = "catalog"

    def __init__(self, work: Work) -> None:
        self._work = work

    def n_units(self) -> int:
        """The catalog."""
        return 1

    def is_done(self, unit: int) -> bool:
        """Whether it is written."""
        return self._work.place.has("catalog.done")

    def weight(self, unit: int) -> int:
        """Rows of the collection."""
        return self._work.n_rows

    def run(self, unit: int) -> None:
        """Write the catalog."""
        bulk.write_catalog(self._work.out, self._tables())
        self._work.place.put_json("catalog.done", True)

    def _tables(self) -> bulk.BulkTables:
        work, places = self._work, Places(self._work)
        planted, ids = places.planted, Ids(work)
        entries = np.concatenate(
            [work.place.get_array(f"lists/{unit:06d}.entries", LIST_DTYPE) for unit in range(len(places.buckets))]
        )
        there = places.lengths > 0
        tree = CellTree(planted.parents, planted.levels)
        firsts = np.cumsum(places.records) - places.records
        pending = np.flatnonzero(places.homes > work.plan.cluster.bound)
        pairs = zip(planted.owners[pending].tolist(), planted.cells[pending].tolist(), strict=True)
        return bulk.BulkTables(
            settings=work.plan.settings.to_storage(),
            meta={},
            collection=work.collection,
            created_with=work.job["created_with"],
            n_rows=work.n_rows,
            id_width=records.slot_width(ids.longest),
            end_page=int(places.pages[-1]),
            tenants=[
                bulk.BulkTenant(name=name, first_row=first, n_records=n)
                for name, first, n in zip(work.tenants, firsts.tolist(), places.records.tolist(), strict=True)
            ],
            cells=(planted.parents, planted.levels, planted.centroids.view(np.uint8).reshape(len(planted.parents), -1)),
            children=((cell, np.array(tree.children(cell), np.uint32)) for cell in range(planted.first_leaf)),
            ids=ids.sorted(places.records),
            long_ids=ids.long_ids(work.n_rows),
            lists=(planted.owners[there], planted.cells[there], entries[there]),
            homes=self._homes(places),
            blobs=dict(self._navigators(places)),
            pending=list(pairs),
            visible=not work.read["has_contents"],
        )

    def _homes(self, places: Places) -> Iterator[HomeTable]:
        """Lists of every row."""
        work, planted = self._work, places.planted
        kind, owners = assigned_dtype(work.plan.closure.replicas), planted.owners
        dropped = joined(
            [work.place.get_array(f"lists/{unit:06d}.dropped", DROPPED) for unit in range(len(places.buckets))],
            np.empty(0, DROPPED),
        )
        gone = np.sort(dropped["row"].astype(np.uint64) << np.uint64(32) | dropped["list"])
        for unit, bucket in enumerate(places.buckets):
            keys = work.place.get_array(f"rows/{unit:06d}.keys", kind)
            for a in range(0, len(keys), HOMES_AT_A_TIME):
                yield _homes_of(keys[a : a + HOMES_AT_A_TIME], bucket.first_row + a, gone, owners, planted.cells)

    def _navigators(self, places: Places) -> Iterator[tuple[str, bytes]]:
        """Stored navigators of the tenants that have many lists."""
        planted = places.planted
        alone = len(self._work.tenants) == 1
        for tenant, cut in enumerate(planted.cuts):
            if len(cut.cells) < STORED_FROM and not alone:
                continue
            there = places.lengths[cut.first_list : cut.first_list + len(cut.cells)] > 0
            _, navigator = planted.points(tenant)
            if not there.all():
                navigator = navigator_over(np.ascontiguousarray(planted.centroids[cut.cells[there]]))
            yield NAVIGATOR.format(tenant=tenant), pack_navigator(cut.cells[there], navigator)

    def clean(self) -> None:
        """Only what is needed to measure stays."""
        self._work.place.drop(KEPT)


def _homes_of(
    keys: npt.NDArray[np.void],
    first_row: int,
    gone: npt.NDArray[np.uint64],
    owners: npt.NDArray[np.uint32],
    cells: npt.NDArray[np.uint32],
) -> HomeTable:
    """Lists of some rows, without the copies that found no room."""
    rows = first_row + np.arange(len(keys), dtype=np.uint64)
    lists = np.concatenate([keys["list"][:, None], keys["copies"]], axis=1)
    taken = lists != NO_COPY
    if len(gone):
        pairs: npt.NDArray[Any] = rows[:, None] << np.uint64(32) | lists.astype(np.uint64)
        taken[:, 1:] &= ~np.isin(pairs[:, 1:], gone)
    flat = lists[taken]
    return HomeTable(
        owners=owners[keys["list"]],
        starts=np.concatenate([[0], np.cumsum(taken.sum(axis=1))]).astype(np.int64),
        tenants=owners[flat],
        cells=cells[flat],
    )
