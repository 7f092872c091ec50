"""Posting lists in memory, laid out as they lie in a file, and a search plan over them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.index.codes import encode_rows
from ramet.index.kernels.plan import COSINE, FLOAT16, FLOAT32, INT8, IP, L2, PLAN, SQ8, UINT8
from ramet.index.kernels.query import N_SCALARS, prepare, prepare_bytes
from ramet.index.kernels.search import N_STATS, search_many
from ramet.index.navigate import flat_navigator
from ramet.storage.format import PAGE_BYTES, ListLayout
from tests.index.pages import GuardedPages

METRICS = {"l2": L2, "cosine": COSINE, "ip": IP}
KINDS = {"sq8": SQ8, "float32": FLOAT32, "float16": FLOAT16, "int8": INT8, "uint8": UINT8}
DTYPES = {SQ8: np.float32, FLOAT32: np.float32, FLOAT16: np.float16, INT8: np.int8, UINT8: np.uint8}
RUBBISH = 0xA5  # what places hold that no row was written to


def random_vectors(rng, n, dim, kind):
    """Rows that a list of this kind may hold; none is all zeros."""
    if kind in (INT8, UINT8):
        info = np.iinfo(DTYPES[kind])
        vectors = rng.integers(info.min, info.max, (n, dim), DTYPES[kind], endpoint=True)
        vectors[:, 0] |= 1
        return vectors
    return rng.standard_normal((n, dim)).astype(DTYPES[kind])


def layout_of(kind, metric, dim):
    n_factors = {SQ8: 3, INT8: 2, UINT8: 2}.get(kind, 1 if metric == COSINE else 0)
    return ListLayout(n_factors=n_factors, code_bytes=dim * (1 if kind == SQ8 else np.dtype(DTYPES[kind]).itemsize))


class Extent:
    """One list at the very end of readable memory; its capacity may be larger than its number of rows."""

    def __init__(self, vectors, rows, kind, metric, spare_pages=0):
        layout = layout_of(kind, metric, vectors.shape[1])
        n_pages = int(layout.pages_for(len(rows))) + spare_pages
        self.capacity = layout.capacity_for(n_pages)
        self.pages = GuardedPages(n_pages)
        memory = self.pages.memory
        memory[:] = RUBBISH
        factors, codes = encode_rows(vectors, kind, metric == COSINE)
        self._put(0, np.asarray(rows, np.uint32))
        for number, column in enumerate(factors):
            self._put(layout.factor_offset(self.capacity, number), column)
        self._put(layout.codes_offset(self.capacity), codes)
        self.address, self.count, self.n_bytes = self.pages.address, len(rows), n_pages * PAGE_BYTES
        self.factors, self.codes = factors, codes

    def _put(self, at, array):
        raw = np.ascontiguousarray(array).view(np.uint8).ravel()
        self.pages.memory[at : at + len(raw)] = raw

    def set_row(self, place, row):
        """Damage: another number in the column of rows."""
        self._put(4 * place, np.array([row], np.uint32))

    def set_factor(self, factor, place, value):
        """Damage: another value in a column of factors, 4 bytes wide."""
        self._put(4 * self.capacity * (1 + factor) + 4 * place, value)


@dataclass
class Query:
    """A prepared query and the arrays behind its addresses."""

    floats: Any
    signed: Any
    scalars: Any
    operand: Any
    norm: int

    @classmethod
    def of(cls, vector, metric, kind):
        vector = np.ascontiguousarray(vector, np.float32)
        dim, padded = len(vector), -(-len(vector) // 64) * 64
        made = cls(
            np.empty(dim, np.float32), np.empty(padded, np.int8), np.empty(N_SCALARS, np.float32),
            np.empty(padded, np.uint8), 0,
        )  # fmt: skip
        prepare(vector, metric, made.floats, made.signed, made.scalars)
        if kind in (INT8, UINT8):
            made.norm = int(prepare_bytes(vector, kind, made.operand))
        return made


def address(array):
    return np.uintp(array.ctypes.data)


class World:
    """Lists, full-precision rows and a plan over them, as the engine makes them from files."""

    def __init__(self, vectors, lists, kind, metric, centroids, navigator=None, spare_pages=0):
        self.vectors, self.lists, self.kind, self.metric = vectors, lists, kind, metric
        self.dim = vectors.shape[1]
        self.extents = [Extent(vectors[np.asarray(rows, np.int64)], rows, kind, metric, spare_pages) for rows in lists]
        self.navigator = flat_navigator(centroids) if navigator is None else navigator
        self._address = np.array([extent.address for extent in self.extents], np.uint64)
        self._count = np.array([extent.count for extent in self.extents], np.uint32)
        self._capacity = np.array([extent.capacity for extent in self.extents], np.uint32)
        self._rows = GuardedPages(vectors.nbytes // PAGE_BYTES + 1)
        self.plan = np.zeros(1, PLAN)
        self.navigator.fill(self.plan)
        self.plan["metric"], self.plan["kind"], self.plan["n_rows"] = metric, kind, len(vectors)
        self.plan["list_address"] = self._address.ctypes.data
        self.plan["list_count"] = self._count.ctypes.data
        self.plan["list_capacity"] = self._capacity.ctypes.data
        if kind == SQ8:
            self.plan["vectors"] = self._rows.put(vectors)
            self.plan["vector_bytes"] = vectors.strides[0]
            self.plan["half"] = int(vectors.dtype == np.float16)
        self.longest = max(self.navigator.scratch(), int(self._count.max()), 1)


def random_world(seed, n, dim, kind, metric, n_lists, copies=0.3, half=False):
    """Rows scattered over lists by chance; some stand in two lists, and every list has a centroid of its own."""
    rng = np.random.default_rng(seed)
    vectors = random_vectors(rng, n, dim, FLOAT16 if half else kind)
    homes = rng.integers(0, n_lists, n)
    lists = [set(np.flatnonzero(homes == cell).tolist()) for cell in range(n_lists)]
    for row in np.flatnonzero(rng.random(n) < copies):
        lists[rng.integers(0, n_lists)].add(int(row))
    ordered = [rng.permutation(sorted(rows)).tolist() for rows in lists]
    centroids = rng.standard_normal((n_lists, dim)).astype(np.float32)
    return World(vectors, ordered, kind, metric, centroids)


NONE_GIVEN = np.empty((0, 0), np.uint64)


def search(world, queries, k, nprobe, *, given=NONE_GIVEN, ratio=0.0, pool=None, fetch=False, span=None, effort=1.0):
    """Rows, distances and counters of ``search_many``, called as the engine calls it; places not answered hold -7."""
    rows, distances = np.full((len(queries), k), -7), np.full((len(queries), k), -7, np.float32)
    stats = np.zeros(N_STATS, np.int64)
    first, last = span or (0, len(queries))
    pool = len(world.vectors) if pool is None else pool
    search_many(
        world.plan, world.navigator.starts, given, queries, first, last, nprobe, effort, ratio, pool, fetch,
        world.longest, rows, distances, stats,
    )  # fmt: skip
    return rows, distances, stats
