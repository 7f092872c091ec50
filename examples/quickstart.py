"""Build a small collection, search it, open it again.

usage: python examples/quickstart.py [DIR]      DIR: where the database goes (default: data)
"""

import sys

import numpy as np

import ramet


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "data"
    # Points around 50 centres: like embeddings, and unlike uniform noise, they have neighbours worth finding.
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((50, 32))
    vectors = (centres[rng.integers(50, size=10_000)] + 0.3 * rng.standard_normal((10_000, 32))).astype(np.float32)

    with ramet.connect(directory) as db:
        points = db.create_collection("points", dim=32, metric="l2")
        report = points.build(vectors, [f"point-{i}" for i in range(len(vectors))], seed=0)
        print(f"built {report.n_records} records in {report.n_lists} posting lists")

    with ramet.connect(directory) as db:  # as another process would
        points = db.collection("points")
        for hit in points.query(vectors[42], k=5):
            print(f"{hit.id:12} distance {hit.distance:.4f}")


if __name__ == "__main__":
    main()
