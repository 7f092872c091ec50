"""Compile and load everything that queries need, before the first one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ramet.engine.database import connect

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
            collection.build(data, list_size=16)
            collection.query(data[0], 3, nprobe=2)
            collection.query(data[:20], 3, exact=True)
