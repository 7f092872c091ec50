"""Which recall curve a tenant goes by: its own, or one measured on tenants with about as many lists."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.curve import MEASURED_K, RecallCurve
from ramet.index.kernels.filtered import RUNGS
from ramet.storage.reader import CatalogReader

OWN = "curve/{tenant}"
"""Name of the meta entry with a tenant's own recall curve."""

CLASS = "curve/class/{number}"
"""Name of the meta entry with the curve of a class of tenants."""

ALL_LISTS = 4
"""Tenants with up to so many lists read all of them."""

OWN_FROM = 128
"""Lists from which a tenant has a curve of its own; smaller ones share those of their class."""

GROWTH, GROWTH_OF_SMALL = 0.5, 0.75
"""Powers by which the lists needed for a recall are taken to grow with a tenant's lists."""

SHARED_MARGIN = 0.5
"""Share of what is allowed to be missed that a shared curve must leave: tenants of a class differ by about a point."""

SMALL, SMALL_MARGIN = 512, 0.3
"""Below so many lists, the same for a tenant's own curve: it comes from few of its records, while it was smaller, and
queries are no records. On GloVe tenants of 130 lists got 0.93 to 0.98 without."""

POWER, POWER_BEYOND = 0.3, 0.45
"""Powers of the rank by which the lists needed grow: between ranks 10 and 100 where no curve says it, and at least
beyond 100. On GloVe (339,479 x 100, recall 0.95) the power was 0.28 up to rank 100, 0.42 up to 1,000, 0.46 up to 10,000
and 0.47 up to 30,000."""

Points = tuple[tuple[int, int, float, float], ...]


def class_of(n_lists: int) -> int:
    """Number of the class of tenants with about as many lists: classes double, beginning with 5 to 8 lists."""
    return (n_lists - 1).bit_length()


@lru_cache(maxsize=256)
def _shared(points: Points, n_lists: int) -> RecallCurve:
    """One object for all tenants that go by the same curve."""
    return RecallCurve(list(points), n_lists)


def parsed(stored: Any) -> RecallCurve | None:
    """The curve in a meta entry; None for none."""
    if not stored or not stored["points"]:
        return None
    return _shared(tuple((int(k), int(p), float(r), float(e)) for k, p, r, e in stored["points"]), stored["n_lists"])


def to_meta(curve: RecallCurve, *, given: bool = False) -> dict[str, Any]:
    """The meta entry of a curve; ``given``: measured with the user's queries, so it is not to be replaced unasked."""
    return {"n_lists": curve.n_lists, "points": curve.to_meta(), "given": given}


def is_given(stored: Any) -> bool:
    """Whether a meta entry is of a curve that was measured with the user's queries."""
    return bool(stored) and bool(stored.get("given"))


def curve_of(reader: CatalogReader, tenant: int, n_lists: int) -> RecallCurve:
    """The curve that a tenant with so many lists goes by; one without points when none was measured."""
    own = own_curve_of(reader, tenant, n_lists)
    if own is not None:
        return own
    if ALL_LISTS < n_lists < OWN_FROM:
        known = parsed(reader.meta(CLASS.format(number=class_of(n_lists))))
        if known is not None:
            return known
    return _shared((), n_lists)


def own_curve_of(reader: CatalogReader, tenant: int, n_lists: int) -> RecallCurve | None:
    """The curve that a tenant goes by if it was measured on the tenant itself."""
    return parsed(reader.meta(OWN.format(tenant=tenant))) if n_lists > ALL_LISTS else None


def shared_curves(reader: CatalogReader) -> dict[tuple[int, int], RecallCurve]:
    """Curves of classes of tenants by the fewest and most lists of such a tenant; each was measured on one of them."""
    found: dict[tuple[int, int], RecallCurve] = {}
    for number in range(class_of(ALL_LISTS + 1), class_of(OWN_FROM - 1) + 1):
        known = parsed(reader.meta(CLASS.format(number=number)))
        if known is not None:
            found[(1 << (number - 1)) + 1, min(1 << number, OWN_FROM - 1)] = known
    return found


def nprobe_for(curve: RecallCurve, n_lists: int, recall: float, k: int) -> int:
    """Lists to read for a recall target, of a tenant with ``n_lists``.

    A curve that was measured with fewer lists is stretched by a power of their ratio: between 100,000 and a million
    vectors of one data set the lists needed grow more slowly than by the square root (``bench/results/scale-*``); from
    17 to 75 lists of GloVe vectors they grew as the power 0.6 to 0.72.
    """
    if not curve.points or recall >= 1.0:
        return n_lists
    if curve.n_lists < SMALL:
        recall += (SHARED_MARGIN if curve.n_lists < OWN_FROM else SMALL_MARGIN) * (1.0 - recall)
    probes = curve.nprobe_for(recall, k)
    if probes >= curve.n_lists:
        return n_lists
    power = GROWTH if curve.n_lists >= OWN_FROM else GROWTH_OF_SMALL
    stretch = float(max(1.0, n_lists / curve.n_lists) ** power)
    return max(1, min(n_lists, math.ceil(probes * stretch - 1e-9)))


def probes_of_rank(curve: RecallCurve, n_lists: int, recall: float, rank: float) -> int:
    """Lists to read for a recall target of the neighbours up to a rank, which need not be a measured k.

    Between ranks 10 and 100 the probes are taken to grow as a power of the rank, that of the two measured points, and
    beyond as that power, at least ``POWER_BEYOND``.
    """
    low_rank, high_rank = MEASURED_K
    low = nprobe_for(curve, n_lists, recall, low_rank)
    if rank <= low_rank or low >= n_lists:
        return low
    power = POWER
    if any(point[0] == high_rank for point in curve.points):
        high = nprobe_for(curve, n_lists, recall, high_rank)
        power = max(0.0, math.log(high / low) / math.log(high_rank / low_rank))
    probes = low * (min(rank, high_rank) / low_rank) ** power
    probes *= max(1.0, rank / high_rank) ** max(power, POWER_BEYOND)
    return int(min(n_lists, math.ceil(probes - 1e-9)))


@lru_cache(maxsize=256)
def ladder_of(curve: RecallCurve, n_lists: int, n_records: int, recall: float, k: int) -> npt.NDArray[np.float64]:
    """Lists to read for the ranks ``k``, ``k * 2 ** (1 / RUNGS)`` and so on, up to the number of records."""
    n_rungs = math.ceil(RUNGS * math.log2(max(2, n_records) / min(k, n_records))) + 1
    probes = [probes_of_rank(curve, n_lists, recall, k * 2.0 ** (i / RUNGS)) for i in range(n_rungs)]
    return np.array(probes, np.float64)
