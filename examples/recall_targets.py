"""What a recall target costs: ask for more, read more posting lists, wait longer.

usage: python examples/recall_targets.py [DIR]      DIR: where the database goes (default: data)
"""

import sys
from time import perf_counter

import numpy as np

import ramet

K = 10


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "data"
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((200, 32))
    points = (centres[rng.integers(200, size=20_200)] + 0.4 * rng.standard_normal((20_200, 32))).astype(np.float32)
    vectors, queries = points[:20_000], points[20_000:]

    with ramet.connect(directory) as db:
        docs = db.create_collection("targets", dim=32, metric="l2")
        docs.build(vectors, seed=0)
        truth = [set(ids) for ids in docs.query(queries, K, exact=True).ids]
        for target in (0.8, 0.9, 0.95, 0.99):
            docs.query(queries[0], K, recall=target)  # the first call may compile
            started = perf_counter()
            answers = [docs.query(query, K, recall=target).ids for query in queries]
            micros = (perf_counter() - started) / len(queries) * 1e6
            found = sum(len(right & set(ids)) for right, ids in zip(truth, answers, strict=True)) / (K * len(queries))
            print(f"asked for {target:.2f}: found {found:.3f} of the true nearest {K}, {micros:.0f} us a query")


if __name__ == "__main__":
    main()
