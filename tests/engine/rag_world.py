"""Pools of random candidates: ties, duplicates, zero costs, costs beyond any budget, no aspects, no candidates."""

import numpy as np
from hypothesis import strategies as st

from ramet.engine.rag.choice import Limit
from ramet.engine.rag.pool import Candidate, Pool

MOST = 12
NAMES = ["Ada", "Ada Bell", "Bellamy", "Bell", "Rush (band)", "Ål 2"]


def made(seed, n, n_aspects, *, coarse=False, hops=False, most_cost=160):
    """A pool of n candidates; `coarse` rounds everything, so that there are ties."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, 6))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    if n > 2 and coarse:
        vectors[-1] = vectors[0]  # the same text twice
    relevance = random.uniform(-0.2, 0.9, n)
    coverage = random.uniform(-0.2, 1.0, (n_aspects, n))
    if coarse:
        relevance, coverage = np.round(relevance * 4) / 4, np.round(coverage * 2) / 2
    relevance = -np.sort(-relevance)
    return Pool(
        question="who?",
        candidates=[
            Candidate(
                id=f"c{i}",
                text=" ".join(f"on {NAMES[at]}," for at in random.integers(0, len(NAMES), random.integers(0, 4))),
                score=float(relevance[place]),
                document=f"c{i // 2}",
                position=int(i),
                metadata={"title": NAMES[i % len(NAMES)]} if i % 3 else None,
            )
            for place, i in enumerate(random.permutation(n))
        ],
        relevance=relevance.astype(np.float32),
        similarity=(vectors @ vectors.T).astype(np.float32),
        coverage=coverage.astype(np.float32),
        weights=random.choice([0.0, 0.5, 1.0, 2.0], n_aspects).astype(np.float32),
        costs=random.integers(0, most_cost + 1, n),
        hops=random.uniform(0, 1, n).astype(np.float32) if hops else None,
        aspects=[f"word{a}" for a in range(n_aspects)],
    )


def permuted(pool, order):
    """The same candidates in another order."""
    order = np.asarray(order, np.int64)
    return Pool(
        question=pool.question,
        candidates=[pool.candidates[i] for i in order],
        relevance=pool.relevance[order],
        similarity=pool.similarity[np.ix_(order, order)],
        coverage=pool.coverage[:, order],
        weights=pool.weights,
        costs=pool.costs[order],
        aspects=pool.aspects,
        hops=None if pool.hops is None else pool.hops[order],
    )


def limit_of(pool, tokens):
    return Limit(tokens=tokens, costs=pool.costs)


POOLS = st.builds(
    made,
    st.integers(0, 1 << 30),
    st.integers(0, MOST),
    st.integers(0, 6),
    coarse=st.booleans(),
    hops=st.booleans(),
    most_cost=st.sampled_from([1, 160, 3000]),
)
BUDGETS = st.sampled_from([0, 1, 50, 128, 300, 512, 2048])
TERMS = st.fixed_dictionaries(
    {
        "relevance": st.sampled_from([0.0, 0.15, 1.0]),
        "links": st.sampled_from([0.0, 0.2, 1.0]),
        "hops": st.sampled_from([0.0, 0.3]),
        "redundancy": st.sampled_from([0.0, 0.5, 2.0]),
        "redundancy_floor": st.sampled_from([-1.0, 0.0, 0.8]),
        "distraction": st.sampled_from([0.0, 0.3, 2.0]),
    }
)
