"""Naive twins of the kernels in `ramet.index.kernels`: obvious loops in float64, and nobody may optimise them.

A twin has its kernel's name and meaning, not its arguments: it takes lists and arrays where the kernel takes addresses
and buffers, and returns what the kernel writes. A key is a triple here (is it NaN, distance, number), a bounded heap is
a sorted list of at most `most` keys. The twins of the kernels that build are in `tests.oracle.building` and
`tests.oracle.ppp`.
"""

import ctypes
import math
import resource
import struct

import numpy as np

L2, COSINE, IP = 0, 1, 2
SQ8, FLOAT32, FLOAT16, INT8, UINT8 = 0, 1, 2, 3, 4
PAGE = 4096


# ------------------------------------------------------------------------------------------------------------- simd


def dot_f32(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def l2_f32(a, b):
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


dot_f32_f16 = dot_f16 = dot_f32
l2_f32_f16 = l2_f32


def dot_u8_s8(a, b):
    return sum(int(x) * int(y) for x, y in zip(a, b, strict=True))


dot_u8_s8_vnni = dot_u8_s8_portable = dot_u8_s8


def largest_difference(a, b):
    differences = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    return differences.index(max(differences))


def load_u32(buffer, at):
    return struct.unpack_from("<I", buffer, at)[0]


def load_i32(buffer, at):
    return struct.unpack_from("<i", buffer, at)[0]


def load_f32(buffer, at):
    return struct.unpack_from("<f", buffer, at)[0]


def float_bits(value):
    return load_u32(struct.pack("<f", value), 0)


def bits_float(bits):
    return load_f32(struct.pack("<I", bits), 0)


def array_f32(buffer, n):
    return [load_f32(buffer, 4 * i) for i in range(n)]


def array_u32(buffer, n):
    return [load_u32(buffer, 4 * i) for i in range(n)]


def array_u64(buffer, n):
    return [struct.unpack_from("<Q", buffer, 8 * i)[0] for i in range(n)]


# ------------------------------------------------------------------------------------------------------------- topk


def pack(distance, number):
    distance = float(distance)
    return (True, 0.0, int(number)) if math.isnan(distance) else (False, distance, int(number))


def distance_of(key):
    return math.nan if key[0] else key[1]


def number_of(key):
    return key[2]


def sift_down(heap, at, key):
    heap = [*heap[:at], key, *heap[at + 1 :]]
    while True:
        children = [child for child in (2 * at + 1, 2 * at + 2) if child < len(heap)]
        if not children:
            return heap
        larger = max(children, key=lambda child: heap[child])
        if heap[larger] <= heap[at]:
            return heap
        heap[at], heap[larger] = heap[larger], heap[at]
        at = larger


def insert(kept, most, key):
    return sorted([*kept, key])[:most]


def insert_once(kept, most, key):
    return kept if key in kept else insert(kept, most, key)


def sort_heap(heap):
    return sorted(heap)


def pack_many(distances, numbers):
    """None where the number is negative."""
    return [
        [pack(d, number) if number >= 0 else None for d, number in zip(*pair, strict=True)]
        for pair in zip(distances, numbers, strict=True)
    ]


# ----------------------------------------------------------------------------------------------------------- memory


def major_faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt


def missing_pages(address, n_bytes):
    libc = ctypes.CDLL(None, use_errno=True)
    first, missing = address // PAGE * PAGE, 0
    for page in range(first, address + n_bytes, PAGE):
        flag = ctypes.c_ubyte(0)
        if libc.mincore(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), ctypes.byref(flag)) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        missing += 1 - (flag.value & 1)
    return missing


def will_need(spans):
    """Spans in the order of addresses, and how many are not wholly cached."""
    return sorted(spans), sum(missing_pages(low, high - low) > 0 for low, high in spans)


# ------------------------------------------------------------------------------------------------------------ codes


def sq8_encode(vectors):
    """Codes, and for each row the norm of what they decode to, the middle of the range and the step."""
    codes, factors = [], []
    for vector in vectors:
        low, high = float(min(vector)), float(max(vector))
        step = (high - low) / 255
        row = [0 if step == 0 else math.floor((float(x) - low) / step + 0.5) for x in vector]
        decoded = sq8_decode(row, low + 128 * step, step)
        codes.append(row)
        factors.append((dot_f32(decoded, decoded), low + 128 * step, step))
    return np.array(codes), np.array(factors).T


def sq8_decode(codes, mid, step):
    return [float(mid) + float(step) * (int(code) - 128) for code in codes]


def byte_factors(vectors):
    return [sum(int(x) ** 2 for x in row) for row in vectors], [sum(int(x) for x in row) for row in vectors]


def inverse_norms(vectors):
    return [1 / math.sqrt(dot_f32(row, row)) for row in vectors]


def normalized(vectors):
    norms = [math.sqrt(dot_f32(row, row)) for row in vectors]
    return np.array([[float(x) / n if n else 0.0 for x in row] for row, n in zip(vectors, norms, strict=True)])


# ------------------------------------------------------------------------------------------------------------ query


def prepare(query, metric):
    """The query (unit length under cosine), its 8-bit form, and scale, sum, 8-bit sum, squared norm."""
    floats = normalized([query])[0] if metric == COSINE else np.array(query, np.float64)
    scale = max(abs(x) for x in floats) / 127
    signed = [0 if scale == 0 else math.floor(x / scale + 0.5) for x in floats]
    return floats, signed, (scale, sum(floats), sum(signed), dot_f32(floats, floats))


def prepare_bytes(query, kind):
    shift = 128 if kind == INT8 else -128
    return [(int(x) + shift) % 256 for x in query], sum(int(x) ** 2 for x in query)


# ------------------------------------------------------------------------------------------------------------- scan


def sq8_estimates(codes, factors, query, metric):
    """`query`: what `prepare` returns; `factors`: (norm, mid, step) of each row as columns."""
    _, signed, (scale, total, _, norm2) = query
    estimates = []
    for code, norm, mid, step in zip(codes, *factors, strict=True):
        offset = sum((int(c) - 128) * int(s) for c, s in zip(code, signed, strict=True))
        inner = float(mid) * total + float(step) * scale * offset
        estimates.append(-inner if metric == IP else norm2 + float(norm) - 2 * inner)
    return estimates


def threshold(kept, most):
    return math.inf if len(kept) < most else distance_of(kept[-1])


def offer(distances, rows, n_rows, kept, most):
    for distance, row in zip(distances, rows, strict=True):
        if row < n_rows and not math.isnan(distance):
            kept = insert_once(kept, most, pack(distance, row))
    return kept


def scan_sq8(codes, factors, rows, n_rows, query, metric, kept, most):
    return offer(sq8_estimates(codes, factors, query, metric), rows, n_rows, kept, most)


def scan_float(vectors, rows, n_rows, query, metric, kept, most):
    return offer([exact_distance(query, v, metric) for v in vectors], rows, n_rows, kept, most)


scan_bytes = scan_float


# ----------------------------------------------------------------------------------------------------------- rerank


def exact_distance(query, vector, metric):
    """Cosine of a zero vector is 0."""
    if metric == L2:
        return l2_f32(query, vector)
    inner = dot_f32(query, vector)
    if metric == IP:
        return -inner
    norms = math.sqrt(dot_f32(query, query)) * math.sqrt(dot_f32(vector, vector))
    return 1.0 if norms == 0 else 1 - inner / norms


def fetch_rows(numbers, base, vector_bytes):
    """Spans of the rows, in the order of addresses."""
    return sorted((base + number * vector_bytes, base + (number + 1) * vector_bytes) for number in numbers)


def careful_cosine(query, vector):
    return exact_distance(query, vector, COSINE)


def hopeful(estimates, most, metric, scale, norm2):
    """Candidates within six standard deviations of the estimates' error behind the last that counts."""
    if metric == IP or len(estimates) <= most or norm2 <= 0:
        return len(estimates)
    last = estimates[most - 1]
    far = max(last, 0.0)
    step = scale * max(1.0, math.sqrt(far / norm2))
    limit = last + 6 * step * math.sqrt((far + max(far, norm2)) / 3)
    return most + sum(estimate <= limit for estimate in estimates[most:])


def rerank(pool, vectors, query, metric, most):
    kept = []
    for key in pool:
        row = number_of(key)
        kept = insert(kept, most, pack(exact_distance(query, vectors[row], metric), row))
    return kept


# --------------------------------------------------------------------------------------------------------- navigate


def group_budget(n_groups, n_members, nprobe, effort):
    wanted = math.ceil(effort * 30 * nprobe * n_groups / n_members)
    return min(n_groups, max(int(effort * 24), wanted))


def nearest_groups(estimates, most):
    return sorted(pack(distance, group) for group, distance in enumerate(estimates))[:most]


def scan_members(estimates, cells, kept, most):
    for distance, cell in zip(estimates, cells, strict=True):
        kept = insert(kept, most, pack(distance, cell))
    return kept


def nearest_cells(group_estimates, members, nprobe, effort):
    """`members`: for each group the estimates and the numbers of its cells; one group looks into all of them."""
    n_members = sum(len(cells) for _, cells in members)
    groups = nearest_groups(group_estimates, group_budget(len(members), n_members, nprobe, effort))
    kept = []
    for group in groups:
        kept = scan_members(*members[number_of(group)], kept, nprobe)
    return kept


def nearest_many(group_estimates, members, nprobe, effort):
    """Of each query."""
    return [nearest_cells(groups, mine, nprobe, effort) for groups, mine in zip(group_estimates, members, strict=True)]


# ----------------------------------------------------------------------------------------------------------- search


def keep_near(distances, ratio, metric):
    """Distances are squared, and the ratio is of true distances."""
    if ratio <= 0 or metric == IP or not len(distances):
        return len(distances)
    limit = max(float(distances[0]), 0.0) * ratio**2
    kept = 1
    while kept < len(distances) and distances[kept] <= limit:
        kept += 1
    return kept


def list_bytes(kind, metric, capacity, count, dim):
    n_factors = {SQ8: 3, FLOAT32: 0, FLOAT16: 0, INT8: 2, UINT8: 2}[kind]
    if metric == COSINE and kind in (FLOAT32, FLOAT16):
        n_factors = 1
    width = {SQ8: 1, FLOAT32: 4, FLOAT16: 2, INT8: 1, UINT8: 1}[kind]
    return 4 * capacity * (1 + n_factors) + count * dim * width


def fetch_lists(addresses, sizes):
    """Spans of the lists, in the order of addresses."""
    return sorted((address, address + size) for address, size in zip(addresses, sizes, strict=True))


def cells_of(given, most):
    """Numbers of the cells that another navigator chose; None ends them."""
    cells = []
    for cell in given[:most]:
        if cell is None:
            break
        cells.append(cell)
    return cells


def with_own_cell(cells, own):
    """`own`: the cell nearest by distance, which is where a twin of the query was put; None when there is none."""
    return cells if own is None or own in cells else [*cells, own]


def scan_lists(lists, vectors, query, metric, kept, most):
    """`lists`: the rows of each list; every row is known. Rows looked at as well."""
    looked = 0
    for rows in lists:
        kept = scan_float([vectors[row] for row in rows], rows, len(vectors), query, metric, kept, most)
        looked += len(rows)
    return kept, looked


def search_many(lists, vectors, queries, metric, most):
    """`lists`: for each query the rows of each list that it probes."""
    return [scan_lists(mine, vectors, query, metric, [], most)[0] for mine, query in zip(lists, queries, strict=True)]


# ------------------------------------------------------------------------------------------------------------ exact


def scan_all(lists, vectors, query, metric, most):
    rows = sorted({row for rows in lists for row in rows if row < len(vectors)})
    return sorted(pack(exact_distance(query, vectors[row], metric), row) for row in rows)[:most]


def exact_many(lists, vectors, queries, metric, most):
    return [scan_all(lists, vectors, query, metric, most) for query in queries]


# ------------------------------------------------------------------------------------------------------------- bm25


def bm25_top(lists, weights, k1, b, mean, most):
    """`lists`: for each term (row, frequency, length) of the rows that have it. Pairs (row, score), best first."""
    scores = {}
    for postings, weight in zip(lists, weights, strict=True):
        for row, frequency, length in postings:
            part = weight * frequency / (frequency + k1 * (1 - b + b * length / mean))
            scores[row] = np.float32(scores.get(row, np.float32(0)) + np.float32(part))
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:most]
