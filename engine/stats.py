"""Figures about a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine.curve import DEFAULT_RECALL, RecallCurve
from ramet.engine.curves import curve_of, nprobe_for, own_curve_of, shared_curves
from ramet.engine.errors import UnknownTenantError
from ramet.engine.opened import MODEL
from ramet.engine.settings import Settings
from ramet.storage.format import FORMAT_VERSION
from ramet.storage.snapshot import Snapshot
from ramet.storage.tenants import Member

SHOWN = 20
"""Tenants described one by one, the largest first."""


def collect(snapshot: Snapshot, settings: Settings, path: Path, tenant: str | None) -> dict[str, Any]:
    """Sizes, list lengths and recall curves of a collection, JSON-able; ``tenant``: describe only this one.

    A tenant's curve is one that was measured on its own records. Those that tenants share are beside the tenants, since
    they tell of the one that they were measured on.

    Raises
    ------
    UnknownTenantError
        No tenant of that name.
    """
    members = snapshot.members()
    chosen = sorted(members, key=lambda member: (-member.n_records, member.number))[:SHOWN]
    if tenant is not None:
        chosen = [member for member in members if member.name == tenant]
        if not chosen:
            raise UnknownTenantError(tenant, "tenant")
    tenants = {member.name: _tenant(snapshot, member) for member in chosen}
    return {
        "name": path.name,
        "format_version": FORMAT_VERSION,
        "dim": settings.dim,
        "metric": settings.metric_name,
        "dtype": settings.dtype_name,
        "codes": settings.codes,
        "durability": settings.durability,
        "language": settings.language,
        "model": snapshot.meta(MODEL),
        "records": snapshot.n_live,
        "rows": snapshot.n_rows,
        "lists": sum(len(snapshot.lists(member.number)) for member in members),
        "waiting": len(snapshot.pending()),
        "bytes": {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()},
        "n_tenants": len(members),
        "tenants": tenants,
        "shared_curves": [
            {"lists": list(between), "curve": _points(curve)} for between, curve in shared_curves(snapshot).items()
        ],
    }


def _tenant(snapshot: Snapshot, member: Member) -> dict[str, Any]:
    """Figures of one tenant."""
    number, n_records = member.number, member.n_records
    directory = snapshot.lists(number)
    lengths = directory.counts.astype(np.int64)
    curve, own = curve_of(snapshot, number, len(directory)), own_curve_of(snapshot, number, len(directory))
    spread = np.percentile(lengths, [0, 50, 90, 99, 100]) if len(lengths) else np.zeros(5)
    return {
        "records": n_records,
        "documents": snapshot.texts(number).documents,
        "lists": len(directory),
        "copies": round(float(lengths.sum()) / n_records, 4) if n_records else 0.0,
        "list_length": dict(
            zip(("min", "p50", "p90", "p99", "max"), (round(float(v), 1) for v in spread), strict=True)
        ),
        "nprobe_at_default_recall": nprobe_for(curve, len(directory), DEFAULT_RECALL, 10) if len(directory) else 0,
        "curve": [] if own is None else _points(own),
    }


def _points(curve: RecallCurve) -> list[dict[str, Any]]:
    return [{"k": p.k, "nprobe": p.nprobe, "recall": round(p.recall, 4)} for p in curve.table()]
