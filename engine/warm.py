"""Compile and load everything that queries and writes need, before the first one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ramet.engine.database import connect
from ramet.index.navigate import group_navigator

KINDS = (("float32", "sq8"), ("float32", "none"), ("float16", "sq8"), ("int8", "none"))


def warmup() -> None:
    """Compile the kernels and load them, by building and querying throw-away collections.

    Worth calling when a container image is made or a worker process starts: compiled kernels are cached on disk
    beside the package (or where ``NUMBA_CACHE_DIR`` says), and later processes load them in a fraction of a second.
    """
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="ramet-warmup-") as folder, connect(Path(folder)) as db:
        for dtype, codes in KINDS:
            data = (rng.random((200, 8)) * 100 + 1).astype(dtype)
            collection = db.create_collection(f"{dtype}-{codes}", 8, "l2", dtype, codes)
            fields = [{"half": i % 2 == 0, "few": i < 3} for i in range(200)]
            collection.build(data, list_size=16, documents=["some words"] * 200, metadata=fields)
            collection.query(data[0], 3, nprobe=2)
            collection.query(data[0], 3, nprobe=2, where={"half": True})
            collection.query(data[0], 3, where={"few": True})
            collection.query(text="words", k=3, mode="keyword")
            collection.query(data[:20], 3, exact=True)
        live = db.create_collection("live", 8, "cosine")
        for first in range(0, 1200, 300):  # enough to be split and measured
            live.upsert([str(i) for i in range(first, first + 300)], rng.random((300, 8)) + 1e-3)
        live.delete([str(i) for i in range(0, 1200, 2)])
        live.maintain()
        live.query(rng.random(8), 3)
    cells = rng.random((40, 8)).astype(np.float32)
    grouped = group_navigator(cells, cells[:4].copy(), np.arange(40, dtype=np.int32) % 4)
    grouped.with_room(np.ones(40, bool), 1.0).grown(cells[:1])
