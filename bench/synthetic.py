"""A seeded set of one million vectors of 128 dimensions that is as hard to search as word embeddings are.

Uniform vectors have no neighbours worth finding, and well-separated Gaussian balls are too easy, so neither predicts
anything. Here: clusters of power-law sizes overlap in a latent space of 48 dimensions, a fixed random layer with tanh
bends that space into 128 dimensions, and noise of full dimension is added. At 100,000 rows the local intrinsic
dimension (maximum likelihood, 100 neighbours) is 20 and recall@10 of faiss IVF512 at 1/4/16/64 probes is
.41/.72/.91/.99; GloVe with 100 dimensions has 23 and .43/.71/.89/.98. (Tried and rejected: narrower clusters,
`SPREAD` 0.6: .59/.87/.98/1.0; more noise in fewer latent dimensions: .42/.74/.94/.99 with a flatter tail.)
"""

from functools import cache

import numpy as np

NAME = "synthetic-1m-128"
N_ROWS = 1_000_000
DIM = 128
SEED = 7
BLOCK = 50_000  # rows drawn from one stream; every prefix is made of the same blocks

LATENT = 48
HIDDEN = 96
N_CLUSTERS = 2_000
N_TOPICS = 40  # clusters gather around topics, so neighbouring clusters overlap
POWER = 0.9  # the cluster of rank r has a share proportional to r ** -POWER
SPREAD = 0.9
NOISE = 0.1

NARROW_NAME = "synthetic-96"
NARROW_DIM = 96  # of the larger set that build jobs are measured on, of any number of rows
_NARROW_BLOCK = 100  # number of its first stream

_QUERY_BLOCK = 1_000_000  # number of the stream the queries come from: no block of rows ever has it


@cache
def _model() -> dict[str, np.ndarray]:
    """Return the parameters of the mixture and of the layer."""
    rng = np.random.default_rng([SEED, 0])
    topics = rng.standard_normal((N_TOPICS, LATENT)) * 0.8
    shares = np.arange(1, N_CLUSTERS + 1) ** -POWER
    return {
        "shares": shares / shares.sum(),
        "centres": topics[rng.integers(0, N_TOPICS, N_CLUSTERS)] + rng.standard_normal((N_CLUSTERS, LATENT)) * 0.6,
        # each cluster has a size and is longer in some directions than in others
        "scales": SPREAD
        * rng.uniform(0.5, 1.5, (N_CLUSTERS, 1))
        * np.exp(rng.standard_normal((N_CLUSTERS, LATENT)) * 0.4),
        "inner": rng.standard_normal((LATENT, HIDDEN)) / np.sqrt(LATENT),
        "bias": rng.standard_normal(HIDDEN) * 0.5,
        "outer": rng.standard_normal((HIDDEN, DIM)) / np.sqrt(HIDDEN),
    }


def _block(number: int, n_rows: int) -> np.ndarray:
    """Return one block of rows, (n_rows, DIM) float32."""
    model = _model()
    rng = np.random.default_rng([SEED, 1, number])
    labels = rng.choice(N_CLUSTERS, n_rows, p=model["shares"])
    latent = model["centres"][labels] + model["scales"][labels] * rng.standard_normal((n_rows, LATENT))
    bent = np.tanh(latent @ model["inner"] + model["bias"]) @ model["outer"]
    return (bent + NOISE * rng.standard_normal((n_rows, DIM))).astype(np.float32)


def rows(n_rows: int) -> np.ndarray:
    """Return the first `n_rows` rows of the set, (n_rows, 128) float32."""
    out = np.empty((n_rows, DIM), np.float32)
    for start in range(0, n_rows, BLOCK):
        # The block is drawn whole and then cut, so that it is the same in every prefix.
        stop = min(start + BLOCK, n_rows)
        out[start:stop] = _block(start // BLOCK, BLOCK)[: stop - start]
    return out


def queries(n_queries: int) -> np.ndarray:
    """Return `n_queries` vectors of the same distribution that are in no prefix, (n_queries, 128) float32."""
    return _block(_QUERY_BLOCK, n_queries)


def narrow_block(number: int) -> np.ndarray:
    """Return a block of the larger set: the first 96 columns of another stream, (BLOCK, 96) float32."""
    return _block(_NARROW_BLOCK + number, BLOCK)[:, :NARROW_DIM]


def narrow_queries(n_queries: int) -> np.ndarray:
    """Return vectors of the same distribution that are not in the larger set, (n_queries, 96) float32."""
    return np.ascontiguousarray(queries(n_queries)[:, :NARROW_DIM])
