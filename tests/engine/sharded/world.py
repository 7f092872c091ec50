"""Sharded collections for tests, and an ordinary one with the same records."""

import numpy as np

import ramet
from ramet.engine.settings import Settings
from ramet.engine.sharded.build import make_sharded

DIM = 8


def clustered(n, dim=DIM, seed=0, n_clusters=20):
    """Vectors in clusters, as embeddings are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, dim)) * 2
    return (centres[rng.integers(0, n_clusters, n)] + rng.normal(size=(n, dim))).astype(np.float32)


def sharded(folder, name="s", *, dim=DIM, metric="l2", n_shards=4, sample=None, **options):
    """An empty sharded collection; returns its database and itself."""
    settings = Settings.checked(dim, metric, options.pop("dtype", "float32"), options.pop("codes", "auto"))
    sample = clustered(1000, dim) if sample is None else sample
    make_sharded(folder / name, settings, sample, n_shards, **options)
    db = ramet.connect(folder)
    return db, db.collection(name)


def everything(docs):
    """All that a collection has: for each tenant its records, by id, with everything."""
    return {
        tenant: {one.id: (one.vector.tobytes(), one.document, one.metadata) for one in docs.get(tenant=tenant)}
        for tenant in docs.tenants()
    }


def counts(docs):
    return [shard["records"] for shard in docs.shards()]
