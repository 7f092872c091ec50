"""Values of sets of chunks, written as the formulas are."""

import itertools
import re

REACH = 0.5


def coverage_of(pool, chosen):
    total = 0.0
    for a in range(len(pool.weights)):
        best = 0.0
        for c in chosen:
            best = max(best, float(pool.coverage[a, c]))
        total += float(pool.weights[a]) * best
    return total


def near_of(pool):
    """Relevance less the median; as a share of the highest where there is nothing to cover."""
    cosines = sorted(float(one) for one in pool.relevance)
    n = len(cosines)
    middle = (cosines[n // 2] + cosines[(n - 1) // 2]) / 2
    near = [float(one) - middle for one in pool.relevance]
    if any(weight != 0 for weight in pool.weights):
        return near
    return [one / max(near) for one in near] if max(near) > 0 else [1.0] * n


def mentioned(name, text):
    return re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text) is not None


def link_of(one, other):
    """Whether one of two titled chunks mentions the other."""
    names = [re.sub(r"\s*\([^()]*\)\s*$", "", (c.metadata or {}).get("title", "")) for c in (one, other)]
    if names[0] == names[1] or one.document == other.document:
        return 0.0
    forth, back = (len(name) >= 3 and mentioned(name, c.text) for name, c in zip(names, (other, one), strict=True))
    return float(forth or back)


def value(pool, chosen, *, relevance, links, hops, redundancy, redundancy_floor, distraction):
    """Value of a set as `ramet.engine.rag.utility.CoverageUtility` defines it."""
    total = coverage_of(pool, chosen)
    near = near_of(pool) if chosen else []
    for c in chosen:
        own = coverage_of(pool, chosen) - coverage_of(pool, [d for d in chosen if d != c])
        total += relevance * near[c] - distraction * max(near[c], 0.0) * max(0.0, 1.0 - own / REACH)
        others = (link_of(pool.candidates[c], pool.candidates[d]) for d in chosen if d != c)
        total += links * max(others, default=0.0)
        total += hops * float(pool.hops[c]) if pool.hops is not None else 0.0
    for c, d in itertools.combinations(chosen, 2):
        total -= redundancy * max(0.0, float(pool.similarity[c, d]) - redundancy_floor)
    return total


def best_set(pool, limit, utility, price):
    """Highest value, less the price of every member, of any set that fits: by trying all."""
    every = range(len(pool.candidates))
    sets = itertools.chain.from_iterable(itertools.combinations(every, size) for size in range(len(every) + 1))
    fitting = (one for one in sets if sum(int(limit.costs[c]) for c in one) <= limit.tokens)
    return max(utility.value(one) - price * len(one) for one in fitting)
