"""Which rows of a tenant a filter allows: found once for each state of the tenant, and kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from sys import getsizeof
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.engine import metadata as meta
from ramet.engine.allowed import Allowed
from ramet.engine.contents import BARE
from ramet.engine.filtering import matching
from ramet.engine.forking import tell_after_fork
from ramet.engine.searcher import Searcher
from ramet.engine.where import Filter
from ramet.storage.snapshot import Snapshot
from ramet.storage.tenants import Member
from ramet.storage.writer import Writer

Rows = npt.NDArray[np.int64]

CACHE_BYTES = 32 << 20
"""Memory that the rows of filters may take together."""

Key = tuple[int, int, Filter | None, bool]


def rows_matching(reader: Snapshot | Writer, tenant: int, chosen: Filter | None) -> BitMap:
    """Rows of a tenant that a filter allows; all that it sees for None."""
    if chosen is None:
        return reader.visible(tenant)
    return matching(reader, tenant, chosen, lambda rows: [meta.decode(one or b"{}") for one in reader.metadata(rows)])


def n_bytes_of(chosen: Any) -> int:
    """Memory that a filter takes, or a part or value of one, about."""
    if isinstance(chosen, tuple):
        return getsizeof(chosen) + sum(map(n_bytes_of, chosen))
    return getsizeof(chosen) + sum(n_bytes_of(getattr(chosen, name)) for name in getattr(chosen, "__slots__", ()))


class Filters:
    """Filters that were evaluated, those used last. Threads may share it."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, tuple[Allowed, int]] = OrderedDict()  # and the bytes of both
        self._lock = threading.Lock()
        self._n_bytes = 0
        self._core: Any = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Begin empty in a forked child."""
        self._lock = threading.Lock()
        self._known, self._n_bytes = OrderedDict(), 0

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._known.clear()
            self._n_bytes = 0

    def of(
        self, snapshot: Snapshot, tenant: Member | Searcher, chosen: Filter | None, *, listed: bool = False
    ) -> Allowed:
        """Rows of a tenant that a filter allows in a snapshot; None: all that the tenant sees.

        ``listed``: only those that have a vector.
        """
        number = tenant.number
        key = (number, tenant.changed, chosen, listed)
        with self._lock:
            if self._core is not snapshot.core:  # compacted: rows have other numbers
                self._core = snapshot.core
                self._known, self._n_bytes = OrderedDict(), 0
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known[0]
        rows = rows_matching(snapshot, number, chosen)
        if listed:
            rows -= snapshot.rows_with_field(number, BARE)
        found = Allowed(rows, snapshot.n_rows)
        with self._lock:
            if self._core is snapshot.core:
                self._keep(key, found)
        return found

    def _keep(self, key: Key, found: Allowed) -> None:
        """Keep rows, and let go of those used longest ago when there is no room."""
        n_bytes = found.n_bytes + n_bytes_of(key[2])
        self._n_bytes += n_bytes - self._known.pop(key, (found, 0))[1]
        self._known[key] = found, n_bytes
        while self._n_bytes > CACHE_BYTES and len(self._known) > 1:
            self._n_bytes -= self._known.popitem(last=False)[1][1]
