"""Figures about a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine.curve import DEFAULT_RECALL
from ramet.engine.curves import curve_of, nprobe_for
from ramet.engine.settings import Settings
from ramet.storage.format import FORMAT_VERSION
from ramet.storage.snapshot import Snapshot


def collect(snapshot: Snapshot, settings: Settings, path: Path) -> dict[str, Any]:
    """Sizes, list lengths and recall curves of a collection, JSON-able."""
    tenants = {
        name: _tenant(snapshot, snapshot.tenant_number(name), n_records)
        for name, n_records in snapshot.tenants().items()
    }
    return {
        "name": path.name,
        "format_version": FORMAT_VERSION,
        "dim": settings.dim,
        "metric": settings.metric_name,
        "dtype": settings.dtype_name,
        "codes": settings.codes,
        "durability": settings.durability,
        "records": snapshot.n_live,
        "lists": sum(tenant["lists"] for tenant in tenants.values()),
        "bytes": {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()},
        "tenants": tenants,
    }


def _tenant(snapshot: Snapshot, number: int | None, n_records: int) -> dict[str, Any]:
    """Figures of one tenant."""
    assert number is not None, "the name came from the same snapshot"
    directory = snapshot.lists(number)
    lengths = directory.counts.astype(np.int64)
    curve = curve_of(snapshot, number, len(directory))
    spread = np.percentile(lengths, [0, 50, 90, 99, 100]) if len(lengths) else np.zeros(5)
    return {
        "records": n_records,
        "lists": len(directory),
        "copies": round(float(lengths.sum()) / n_records, 4) if n_records else 0.0,
        "list_length": dict(
            zip(("min", "p50", "p90", "p99", "max"), (round(float(v), 1) for v in spread), strict=True)
        ),
        "nprobe_at_default_recall": nprobe_for(curve, len(directory), DEFAULT_RECALL, 10) if len(directory) else 0,
        "curve": [{"k": p.k, "nprobe": p.nprobe, "recall": round(p.recall, 4)} for p in curve.table()],
    }
