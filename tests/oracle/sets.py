"""Values of sets of chunks, written as the formulas are."""

import itertools

REACH = 0.5


def coverage_of(pool, chosen, power):
    total = 0.0
    for a in range(len(pool.weights)):
        best = 0.0
        for c in chosen:
            best = max(best, max(float(pool.coverage[a, c]), 0.0) ** power)
        total += float(pool.weights[a]) * best
    return total


def value(pool, chosen, *, relevance, redundancy, redundancy_floor, distraction, power):
    """Value of a set as `ramet.engine.rag.utility.CoverageUtility` defines it."""
    total = coverage_of(pool, chosen, power)
    for c in chosen:
        near = max(float(pool.relevance[c]), 0.0)
        own = coverage_of(pool, chosen, power) - coverage_of(pool, [d for d in chosen if d != c], power)
        total += relevance * near - distraction * near * max(0.0, 1.0 - own / REACH)
    for c, d in itertools.combinations(chosen, 2):
        total -= redundancy * max(0.0, float(pool.similarity[c, d]) - redundancy_floor)
    return total


def best_set(pool, limit, utility, price):
    """Highest value, less the price of every member, of any set that fits: by trying all."""
    every = range(len(pool.candidates))
    sets = itertools.chain.from_iterable(itertools.combinations(every, size) for size in range(len(every) + 1))
    fitting = (one for one in sets if sum(int(limit.costs[c]) for c in one) <= limit.tokens)
    return max(utility.value(one) - price * len(one) for one in fitting)
