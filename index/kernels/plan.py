"""The search plan: everything a search kernel needs of one tenant's lists, as one record of addresses.

Numba takes about 0.1 us to unpack each array argument, which would be most of the time of a small query. So the
arrays stay on the Python side (``ramet.index.navigate`` and the engine own them and keep them alive), and kernels get
one record with their addresses.
"""

from __future__ import annotations

import numpy as np

L2, COSINE, IP = 0, 1, 2
SQ8, FLOAT32, FLOAT16, INT8, UINT8 = 0, 1, 2, 3, 4

ROW_MASK = np.uint32(0x7FFFFFFF)
"""Of a row number in a list; the bit above says that the row's nearest list is another one."""

PLAN = np.dtype(
    [
        ("dim", "i8"),
        ("metric", "i8"),  # L2, COSINE, IP
        ("kind", "i8"),  # what a posting list holds: SQ8, FLOAT32, FLOAT16, INT8, UINT8
        ("n_rows", "i8"),  # rows in the collection: numbers in a list are checked against it
        # navigation: groups of cells; n_groups == 0 means one flat group of all cells
        ("n_cells", "i8"),
        ("n_groups", "i8"),
        ("group_codes", "u8"),  # uint8 (n_groups, dim)
        ("group_factors", "u8"),  # float32 (3, n_groups)
        ("member_sizes", "u8"),  # uint32 (n_groups): members of each group, from the group's first slot on
        ("member_cells", "u8"),  # uint32 (n_slots): position of the cell in the arrays below
        ("member_codes", "u8"),  # uint8 (n_slots, dim)
        ("member_factors", "u8"),  # float32 (3, n_slots)
        ("n_members", "i8"),
        ("n_slots", "i8"),  # members and the free places behind those of each group
        # posting lists, by position of the cell
        ("list_address", "u8"),  # uint64 (n_cells): address of the extent
        ("list_count", "u8"),  # uint32 (n_cells): rows in the list
        ("list_capacity", "u8"),  # uint32 (n_cells): rows the extent has room for; decides where columns begin
        # full-precision rows, for reranking (0 when lists hold the vectors themselves)
        ("vectors", "u8"),
        ("vector_bytes", "i8"),
        ("ids", "u8"),  # address of the first row's id, read by the engine afterwards; 0: do not prefetch ids
        ("id_bytes", "i8"),
        ("half", "i8"),  # 1: full-precision rows are float16
    ]
)
