"""Defaults of the index, each with its reason. Figures: ``docs/index.md`` and ``bench/results``."""

from __future__ import annotations

LIST_SIZE = 64
"""Vectors a cell should hold. Smaller lists need fewer rows scanned for the same recall, but more cells in memory."""

LIMIT_FACTOR = 3
"""A cell is split when it holds more than this many times LIST_SIZE."""

BOUND_FACTOR = 4
"""A finished list holds at most this many times LIST_SIZE rows, closure copies included."""

SPLIT_ROUNDS = 6
"""Tries to cut a cell over the bound into parts within it, each with twice as many parts. Five were seen to be needed
where lengths of vectors differ by orders of magnitude; a cell that fits ends them."""

STARVE_DIVISOR = 8
"""A cell with fewer than LIST_SIZE / STARVE_DIVISOR vectors is dropped during the build."""

LLOYD_STEPS = 4
"""Global refinement steps; the gain of a fifth was below 0.1 points of recall."""

SETTLE_STEPS = 1
"""Further steps while cells are over the limit."""

NEAR_GROUPS = 12
"""Groups whose cells a vector is compared with in a refinement step, its own included."""

BALANCE = 0.005
"""How fast the price of an overfull cluster rises in k-means, in mean squared distances per step and unit of excess.
0 leaves group sizes of 443 to 7,051 on GloVe, 0.005 of 468 to 4,530, 0.02 of 836 to 3,643; recall hardly differs."""

MOST_EXCESS = 4.0
"""Load (size over n / k) beyond which a price rises no faster."""

ROOT_STEPS = 10
CELL_STEPS = 6

SAMPLE_PER_GROUP = 256
SAMPLE_MIN = 10_000
"""Sample of the root clustering."""

BLOCK_ROWS = 16_384
"""Rows a work item takes at a time: fixed, so that results do not depend on the number of threads."""

BLOCK_PRODUCTS = 1 << 18
"""Products computed at a time (1 MiB of float32): stays in the cache between the product and the argmin."""

REPLICAS = 2
"""Most lists that hold a vector (SPANN: 8). With the SOAR rule a second copy saves 18 % (GloVe) to 38 % (navec) of the
rows scanned at recall 0.95; a third gains less than its bytes cost."""

CLOSURE = 1.2
"""A vector joins a further list within this ratio of true distances to the nearest centroid."""

ASSIGN_CANDIDATES = 16
"""Cells compared exactly when a vector is assigned."""

FLAT_CELLS = 512
"""Up to this many cells navigation scans all centroids; two levels are slower below it."""

GROUPS_FACTOR = 2.0
"""Groups of cells, as a multiple of the square root of the number of cells; in the clustering and in navigation."""

RERANK_EXTRA = 20
"""Candidates reranked beyond k (at least): what 8-bit codes may misplace."""

SPLIT_ROWS = 96
"""Home rows at which an online list is split: a list then has 64 on average, like those of a build."""

SPLIT_LENGTH = 192
"""Rows, copies included, at which an online list is split: with two copies of each row, twice SPLIT_ROWS."""

SPLIT_SINGLE = 128
"""The same for tenants of few lists, which read all of them and so keep no copies."""

SPLIT_MANY = 2.2
PART_SHARE = 0.67
"""A list of more than SPLIT_MANY times SPLIT_ROWS is cut at once into parts of PART_SHARE of it."""

MERGE_LENGTH = 44
"""Rows, copies included, below which an online list is dissolved. Of home rows 24: with 0, 8 and 16 a collection that
was replaced completely had 95, 26 and 14 % more cells than a fresh one, with 24 8 %."""

MERGE_SINGLE = 24
"""The same for tenants of few lists."""

NEAR_LISTS = 32
"""Lists around a new or moved cell whose rows are compared with it: 16 cost 0.5 points of recall, 64 gain 0.1."""

RECENTRED = 0.025
"""Cells re-centred for each changed record, worst drift first. With one copy a row, at the rows that a fresh build
scans for 0.95, none leaves 1.3 points of recall to it, 0.01 and 0.02 0.5, 0.05 0.35, 0.1 0.1."""
