"""Search among allowed rows: kernels against naive twins, and the promise that k rows come back when k match."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index.kernels import filtered, scan, topk
from ramet.index.kernels import search as unfiltered
from ramet.index.kernels.filtered import ALLOWED, DIRECT, N_FILTERED, ROUNDS, RUNGS
from ramet.index.kernels.plan import FLOAT32, INT8, IP, L2, SQ8, UINT8
from ramet.index.kernels.search import ABSENT, LISTS, RERANKED, ROWS
from ramet.index.kernels.topk import EMPTY
from tests.index.lists import KINDS, METRICS, NONE_GIVEN, Extent, Query, World, address, random_vectors, random_world
from tests.index.lists import search as search_all
from tests.index.nearness import assert_top, tolerance
from tests.index.shapes import DIMS, dims, every_dim, seeds
from tests.oracle import filtered as naive
from tests.oracle import kernels

COPY = 1 << 31
NO_LADDER = np.empty(0, np.float64)
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
shares = pytest.mark.parametrize("share", [0.02, 0.3, 0.9])


def words_of(rows, n_rows):
    words = np.zeros((n_rows + 63) // 64, np.uint64)
    filtered.set_bits(np.array(sorted(rows), np.uint32), words)
    return words


def listed_of(rows):
    return np.array(sorted(rows), np.uint32)


def some(n, share, seed=3):
    rng = np.random.default_rng(seed)
    return set(rng.choice(n, max(1, int(share * n)), replace=False).tolist())


def queries_for(world, n, seed=9):
    return random_vectors(np.random.default_rng(seed), n, world.dim, world.kind).astype(np.float32)


def search(
    world, queries, k, nprobe, allowed, *, most=None, ladder=NO_LADDER, step=0, ratio=0.0, given=NONE_GIVEN, fetch=0,
    span=None, pool=None,
):  # fmt: skip
    """Rows, distances and counters of ``search_allowed``; places not answered hold -7."""
    n_lists = sum(map(bool, world.lists))
    rows, distances = np.full((len(queries), k), -7), np.full((len(queries), k), -7, np.float32)
    stats = np.zeros(N_FILTERED, np.int64)
    first, last = span or (0, len(queries))
    filtered.search_allowed(
        world.plan, world.navigator.starts, given, queries, first, last, n_lists, nprobe,
        n_lists if most is None else most, ladder, step, ratio, words_of(allowed, len(world.vectors)),
        listed_of(allowed), len(world.vectors) if pool is None else pool, fetch, world.longest, rows, distances, stats,
    )  # fmt: skip
    return rows, distances, stats


def nearest_rows(world, queries, k, listed, fetch=0):
    rows, distances = np.full((len(queries), k), -7), np.full((len(queries), k), -7, np.float32)
    stats = np.zeros(N_FILTERED, np.int64)
    filtered.nearest_rows(world.plan, queries, 0, len(queries), listed_of(listed), fetch, rows, distances, stats)
    return rows, distances, stats


# ---------------------------------------------------------------------------------------------------- against the truth


@every_kind
@every_metric
@shares
def test_all_lists_under_a_filter_are_brute_force_over_the_allowed_rows(kind, metric, share):
    world = random_world(1, 160, 20, kind, metric, 7)
    allowed = some(160, share)
    queries = queries_for(world, 6)
    k = min(8, len(allowed))
    rows, distances, stats = search(world, queries, k, 7, allowed)
    twins = naive.search_allowed([world.lists] * 6, world.vectors, queries, metric, allowed, k)
    for found, near, query, twin in zip(rows, distances, queries, twins, strict=True):
        assert_top(found, near, world.vectors, query, metric, k, among=allowed)
        slack = tolerance(world.vectors, query, metric)
        np.testing.assert_allclose(near, [key[1] for key in twin], rtol=0, atol=slack)
    assert stats[LISTS] == 6 * 7
    assert stats[ROWS] == 6 * sum(map(len, world.lists))
    assert stats[ALLOWED] == 6 * sum(row in allowed for mine in world.lists for row in mine)


@every_metric
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("dim", DIMS)
def test_the_vectors_of_allowed_rows_alone_are_brute_force(metric, half, dim):
    world = random_world(dim, 90, dim, SQ8, metric, 5, half=half)
    allowed = some(90, 0.4)
    queries = queries_for(world, 4)
    twins = naive.nearest_rows(allowed, world.vectors, queries, metric, 8)
    for fetch in (0, 1, 2):
        rows, distances, stats = nearest_rows(world, queries, 8, allowed, fetch)
        for found, near, query, twin in zip(rows, distances, queries, twins, strict=True):
            assert_top(found, near, world.vectors, query, metric, 8, among=allowed)
            np.testing.assert_allclose(
                near, [key[1] for key in twin], rtol=0, atol=tolerance(world.vectors, query, metric)
            )
        assert stats[RERANKED] == 4 * len(allowed)
        assert stats[DIRECT] == 4


@every_kind
@every_metric
def test_a_filter_that_allows_all_changes_no_result(kind, metric):
    world = random_world(2, 200, 33, kind, metric, 9)
    queries = queries_for(world, 8)
    for nprobe in (1, 4, 9):
        plain, under = search_all(world, queries, 5, nprobe), search(world, queries, 5, nprobe, set(range(200)))
        if (plain[0] >= 0).all():
            assert (plain[0] == under[0]).all()
            assert (plain[1] == under[1]).all()
            assert under[2][LISTS] == plain[2][LISTS]
            assert under[2][ROWS] == under[2][ALLOWED] == plain[2][ROWS]
            assert under[2][RERANKED] == plain[2][RERANKED]


@given(
    seed=seeds,
    kind=st.sampled_from(list(KINDS.values())),
    metric=st.sampled_from(list(METRICS.values())),
    n_allowed=st.integers(0, 60),
    k=st.integers(1, 12),
    nprobe=st.integers(1, 9),
    fetch=st.integers(0, 2),
    direct=st.booleans(),
)
def test_as_many_rows_come_back_as_match_wherever_they_lie(seed, kind, metric, n_allowed, k, nprobe, fetch, direct):
    world = random_world(seed, 60, 9, kind, metric, 8, copies=0.4)
    allowed = some(60, n_allowed / 60, seed) if n_allowed else set()
    most = min(3, sum(map(bool, world.lists))) if direct and kind == SQ8 else None
    rows, distances, stats = search(world, queries_for(world, 3), k, nprobe, allowed, most=most, fetch=fetch)
    for found, near in zip(rows, distances, strict=True):
        there = found[found >= 0].tolist()
        assert len(there) == len(set(there)) == min(k, len(allowed))
        assert set(there) <= allowed
        assert (np.diff(near[: len(there)]) >= 0).all()
        assert np.isposinf(near[len(there) :]).all()
    assert stats[ABSENT] >= 0


@every_kind
def test_rows_that_lie_in_the_farthest_list_are_found(kind):
    rng = np.random.default_rng(0)
    vectors = random_vectors(rng, 80, 12, kind)
    lists = [list(range(10 * i, 10 * i + 10)) for i in range(8)]
    world = World(vectors, lists, kind, L2, np.arange(8, dtype=np.float32)[:, None] * np.ones((1, 12), np.float32))
    query = np.zeros((1, 12), np.float32)  # list 0 is the nearest
    rows, _, stats = search(world, query, 10, 1, set(range(70, 80)))
    assert set(rows[0]) == set(range(70, 80))
    assert stats[LISTS] == 8
    assert stats[ROUNDS] == 4  # 1, 2, 4, 8 lists
    assert stats[ROWS] == 80  # none is read twice


def test_a_query_that_asks_for_too_many_lists_is_answered_from_the_rows():
    world = random_world(1, 200, 20, SQ8, L2, 10, copies=0.0)
    allowed = set(world.lists[7][:5])
    queries = queries_for(world, 20)
    rows, distances, stats = search(world, queries, 5, 1, allowed, most=1, fetch=1)
    assert 0 < stats[DIRECT] <= 20
    assert stats[LISTS] == 20
    for found, near, query in zip(rows, distances, queries, strict=True):
        assert_top(found, near, world.vectors, query, L2, 5, among=allowed)


def test_a_ladder_asks_for_more_lists_where_allowed_rows_are_far():
    """Allowed rows are all far away, so many others are nearer: k are found at once, but not the nearest."""
    rng = np.random.default_rng(5)
    places = np.repeat(np.arange(40), 30)
    vectors = (np.c_[places, np.zeros(1200)] + rng.normal(scale=0.3, size=(1200, 2))).astype(np.float32)
    lists = [np.flatnonzero(places == i).tolist() for i in range(40)]
    world = World(vectors, lists, FLOAT32, L2, np.c_[np.arange(40), np.zeros(40)].astype(np.float32))
    allowed = {row for row in range(1200) if places[row] % 2 == 1 or places[row] > 20}
    ladder = np.array([2.0 + i for i in range(2 * 9)])
    query = np.array([[10.0, 0.0]], np.float32)
    far = {row for row in allowed if places[row] > 20}
    near_stats = search(world, query, 4, 3, allowed, ladder=ladder, step=1)[2]
    far_rows, far_near, far_stats = search(world, query, 4, 12, far, ladder=ladder, step=1)
    assert near_stats[ROUNDS] <= 2
    assert far_stats[LISTS] > near_stats[LISTS]
    assert_top(far_rows[0], far_near[0], vectors, query[0], L2, 4, among=far)


def test_cells_of_another_navigator_are_read_first_and_then_all_others():
    world = random_world(3, 200, 10, FLOAT32, L2, 8, copies=0.0)
    chosen = np.array([[5, 1, 2, 3]], np.uint64)
    everything = search(world, queries_for(world, 1), 5, 2, set(range(200)), given=chosen)
    assert everything[2][LISTS] == 2
    assert set(everything[0][0]) <= set(world.lists[5]) | set(world.lists[1])
    wanted = set(world.lists[2][:3]) | set(world.lists[3][:3])
    rows, _, stats = search(world, queries_for(world, 1), 6, 2, wanted, given=chosen)
    assert set(rows[0]) == wanted
    assert stats[LISTS] == 4
    wanted = set(world.lists[7][:3])
    rows, _, stats = search(world, queries_for(world, 1), 3, 2, wanted, given=chosen)
    assert set(rows[0]) == wanted
    assert stats[LISTS] == 8


def test_pruning_holds_for_the_first_round_only():
    world = random_world(4, 300, 6, FLOAT32, L2, 20, copies=0.0)
    queries = queries_for(world, 10)
    assert search(world, queries, 2, 15, set(range(300)), ratio=1.0001)[2][LISTS] < 150
    allowed = some(300, 0.05)
    rows, _, _ = search(world, queries, 10, 15, allowed, ratio=1.0001)
    assert (rows >= 0).all()


@every_kind
def test_only_the_asked_queries_are_answered(kind):
    world = random_world(1, 60, 10, kind, L2, 4)
    queries, allowed = queries_for(world, 9), some(60, 0.5)
    whole = search(world, queries, 5, 4, allowed)[0]
    rows, distances, _ = search(world, queries, 5, 4, allowed, span=(3, 7))
    assert (rows[3:7] == whole[3:7]).all()
    for place in (slice(0, 3), slice(7, 9)):
        assert (rows[place] == -7).all()
        assert (distances[place] == -7).all()


@every_kind
def test_a_damaged_list_offers_no_row_beyond_the_collection(kind):
    world = random_world(2, 80, 10, kind, L2, 4, copies=0.0)
    lost = [rows[1] for rows in world.lists]
    for extent, row in zip(world.extents, [80, 127, COPY + 80, 2**32 - 1], strict=True):
        extent.set_row(1, row)
    rows, _, _ = search(world, queries_for(world, 5), 80, 4, set(range(80)))
    for found in rows:
        assert set(found[found >= 0]) == set(range(80)) - set(lost)


def test_rows_beyond_the_collection_are_never_read_directly():
    world = random_world(2, 50, 10, SQ8, L2, 4)
    for fetch in (0, 1):
        rows, _, _ = nearest_rows(world, queries_for(world, 2), 4, [3, 7, 50, 2**31], fetch)
        assert np.sort(rows, axis=1).tolist() == [[-1, -1, 3, 7]] * 2


# ---------------------------------------------------------------------------------------------------------- small steps


@given(rows=st.lists(st.integers(0, 400), max_size=50), n_words=st.integers(0, 5))
def test_bits_are_set_for_rows_and_no_others(rows, n_words):
    words = np.zeros(n_words, np.uint64)
    filtered.set_bits(np.array(rows, np.uint32), words)
    assert words.tolist() == naive.set_bits(rows, n_words)


@given(
    rows=st.lists(st.integers(0, 200), max_size=40),
    copies=st.lists(st.booleans(), min_size=40, max_size=40),
    allowed=st.sets(st.integers(0, 191)),
    first=st.integers(0, 45),
    step=st.integers(1, 7),
)
def test_places_are_those_of_the_naive_twins(rows, copies, allowed, first, step):
    copies = copies[: len(rows)]
    column = np.array([row + COPY * copy for row, copy in zip(rows, copies, strict=True)], np.uint32)
    places = np.zeros(max(1, len(rows)), np.int32)
    n = scan.allowed_places(column.ctypes.data, len(rows), 150, words_of(allowed, 192), places)
    assert places[:n].tolist() == naive.allowed_places(rows, 150, allowed)
    n, after = scan.sampled_places(column.ctypes.data, len(rows), first, step, places)
    assert (places[:n].tolist(), after) == naive.sampled_places(copies, first, step)


@every_kind
@every_metric
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_distances_of_places_are_those_that_a_whole_scan_finds(kind, metric, dim, seed):
    rng = np.random.default_rng(seed)
    vectors = random_vectors(rng, 16, dim, kind)
    extent, query = Extent(vectors, np.arange(16), kind, metric), random_vectors(rng, 1, dim, kind)[0]
    made = Query.of(query.astype(np.float32), metric, kind)
    world = World(vectors, [list(range(16))], kind, metric, np.ones((1, dim), np.float32))
    places = np.sort(rng.choice(16, 5, replace=False)).astype(np.int32)
    out = np.full(5, np.nan, np.float32)
    scan.distances_at(
        world.plan[0], extent.address, extent.capacity, places, 5, address(made.floats), address(made.signed),
        made.scalars, address(made.operand), made.norm, out,
    )  # fmt: skip
    whole, heap = np.full(16, np.nan, np.float32), np.full(3, EMPTY)
    place = (extent.address, extent.capacity, 16, 16, dim)
    if kind == SQ8:
        scan.scan_sq8(*place, address(made.signed), made.scalars, metric, whole, heap, 0)
    elif kind in (INT8, UINT8):
        scan.scan_bytes(*place, kind, address(made.operand), made.norm, metric, whole, heap, 0)
    else:
        scan.scan_float(*place, kind, address(made.floats), metric, whole, heap, 0)
    assert out.tolist() == whole[places].tolist()
    if kind != SQ8:
        expected = naive.distances_at(vectors, places, query, metric)
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(vectors, query, metric))


@given(distances=st.lists(st.floats(width=32), max_size=20), k=st.integers(1, 8), seed=seeds)
def test_offered_places_are_those_of_the_naive_twin(distances, k, seed):
    rng = np.random.default_rng(seed)
    column = rng.integers(0, 12, 30).astype(np.uint32)
    places = np.sort(rng.choice(30, len(distances), replace=False)).astype(np.int32)
    heap = np.full(k, EMPTY)
    out = np.array(distances, np.float32)
    size = scan.offer_places(out, len(out), places, column.ctypes.data, heap, 0)
    kept = naive.offer_places(distances, column[places].tolist(), [], k)
    assert np.sort(heap[:size] & np.uint64(0xFFFFFFFF)).tolist() == sorted(key[2] for key in kept)


@every_kind
def test_a_scan_counts_what_its_twin_counts(kind):
    world = random_world(6, 120, 20, kind, L2, 5)
    allowed = some(120, 0.3)
    query = Query.of(queries_for(world, 1)[0], L2, kind)
    heap, samples = np.full(200, EMPTY), np.full(500, np.nan, np.float32)
    size, first, n, looked, here, pairs = filtered.scan_filtered(
        world.plan[0], np.arange(5, dtype=np.uint64), words_of(allowed, 120), query.floats, query.signed, query.scalars,
        query.operand, query.norm, np.empty(world.longest, np.int32), np.empty(world.longest, np.float32), heap, 0, 3,
        0, samples, 0,
    )  # fmt: skip
    twin = naive.scan_filtered(world.lists, world.vectors, query.floats, L2, allowed, [], 200)
    assert (size, looked, here, pairs) == (len(twin[0]), *twin[1:])
    total = sum(map(len, world.lists))
    assert n == math.ceil(total / 3)  # no list here marks its copies
    assert first == 3 * n - total
    assert not np.isnan(samples[:n]).any()
    assert np.isnan(samples[n:]).all()


def test_no_more_samples_are_taken_than_there_is_room_for():
    world = random_world(6, 120, 20, FLOAT32, L2, 5)
    query = Query.of(queries_for(world, 1)[0], L2, FLOAT32)
    samples = np.empty(7, np.float32)
    found = filtered.scan_filtered(
        world.plan[0], np.arange(5, dtype=np.uint64), words_of({1}, 120), query.floats, query.signed, query.scalars,
        query.operand, query.norm, np.empty(world.longest, np.int32), np.empty(world.longest, np.float32),
        np.full(2, EMPTY), 0, 2, 0, samples, 0,
    )  # fmt: skip
    assert found[2] == 7


@given(
    samples=st.lists(st.floats(0, 10, width=32), max_size=40),
    near=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=9).map(sorted),
    step=st.integers(1, 50),
)
def test_ranks_are_those_of_the_naive_twin(samples, near, step):
    found = filtered.rank_of(np.array(samples, np.float32), len(samples), step, np.array(near, np.float32), len(near))
    assert found == pytest.approx(naive.rank_of(samples, step, near))


def test_ranks_of_rows_that_lie_like_the_others_are_those_of_the_last_one():
    samples = np.arange(1000, dtype=np.float32)
    near = np.arange(9, 100, 10).astype(np.float32)  # every tenth of all
    assert filtered.rank_of(samples, 1000, 1, near, 10) == pytest.approx(100, abs=15)
    assert filtered.rank_of(samples[::5].copy(), 200, 5, near, 10) == pytest.approx(100, abs=15)
    behind = np.arange(90, 100).astype(np.float32)
    assert filtered.rank_of(samples, 1000, 1, behind, 10) > 180


@given(
    ladder=st.lists(st.integers(1, 300), max_size=12).map(sorted),
    probes=st.integers(1, 100),
    found=st.integers(0, 10),
    rank=st.floats(0, 1e6),
)
def test_more_probes_are_those_of_the_naive_twin(ladder, probes, found, rank):
    more = filtered.more_probes(np.array(ladder, np.float64), probes, found, 10, rank, 200)
    assert abs(more - naive.more_probes(ladder, probes, found, 10, rank, 200)) <= 1  # one rounding up
    assert more <= 200
    assert more >= min(200, probes)
    if found < 10:
        assert more >= min(200, 2 * probes)


@given(n_lists=st.integers(0, 300), allowed=st.integers(0, 5000), pairs=st.integers(0, 10**6))
def test_clumping_is_that_of_the_naive_twin(n_lists, allowed, pairs):
    assert filtered.clumping(n_lists, allowed, pairs) == pytest.approx(naive.clumping(n_lists, allowed, pairs))


def test_rows_that_lie_by_chance_do_not_clump_and_those_in_few_lists_do():
    rng = np.random.default_rng(0)
    here = rng.binomial(130, 0.1, 100)
    assert filtered.clumping(100, here.sum(), (here * (here - 1)).sum()) == 1.0
    assert filtered.clumping(100, 1300, 10 * 130 * 129) == filtered.MOST_CLUMPED


@pytest.mark.parametrize("metric", [L2, IP], ids=["l2", "ip"])
def test_further_cells_are_the_nearest_without_those_visited(metric):
    world = random_world(4, 100, 8, FLOAT32, metric, 12)
    query = Query.of(queries_for(world, 1)[0], metric, FLOAT32)
    visited, cells, out = np.zeros(12, np.uint8), np.empty(13, np.uint64), np.empty(world.longest, np.float32)
    seen = []
    for probes in (2, 5, 12):
        n = filtered.further_cells(
            world.plan[0], world.navigator.starts, NONE_GIVEN, 0, probes, 12, 0.0, address(query.signed), query.scalars,
            out, visited, cells,
        )  # fmt: skip
        near = None
        if probes < 12:
            keys = world.navigator.nearest(query.floats[None], probes, metric)[0]
            near = [int(key & np.uint64(0xFFFFFFFF)) for key in keys]
            if metric == IP:
                own = world.navigator.nearest(query.floats[None], 1, L2)[0, 0]
                near = kernels.with_own_cell(near, int(own & np.uint64(0xFFFFFFFF)))
        got = (cells[:n] & np.uint64(0xFFFFFFFF)).tolist()
        assert got == naive.further_cells(near, range(12), seen)
        seen += got
    assert sorted(seen) == list(range(12))
    assert visited.all()


@given(distances=st.lists(st.floats(-5, 5, width=32), max_size=20), k=st.integers(1, 8))
def test_the_nearest_found_and_what_is_written_are_those_of_the_naive_twins(distances, k):
    heap = np.full(max(1, len(distances)), EMPTY)
    keys = np.full((1, max(1, len(distances))), EMPTY)
    numbers = np.arange(len(distances))[None]
    topk.pack_many(np.array([distances], np.float32), numbers, keys)
    size = 0
    for key in keys[0, : len(distances)]:
        size = topk.insert(heap, size, key)
    near = np.full(k, np.nan, np.float32)
    found = filtered.nearest_found(heap, size, np.empty(len(heap), np.uint64), near)
    kept = [kernels.pack(distance, number) for number, distance in enumerate(distances)]
    assert near[:found].tolist() == naive.nearest_found(kept, k)
    rows, written = np.empty(len(heap) + 2, np.int64), np.empty(len(heap) + 2, np.float32)
    unfiltered.write_top(heap, size, rows, written)
    assert (rows.tolist(), written.tolist()) == naive.write_top(kept, len(rows))


@every_metric
def test_a_reranked_pool_is_the_exact_top_of_its_rows(metric):
    world = random_world(1, 60, 20, SQ8, metric, 3)
    query = Query.of(queries_for(world, 1)[0], metric, SQ8)
    pool, heap, stats = np.full(60, EMPTY), np.full(5, EMPTY), np.zeros(N_FILTERED, np.int64)
    scored = [kernels.exact_distance(query.floats, vector, metric) for vector in world.vectors]
    keys = np.full((1, 60), EMPTY)
    topk.pack_many(np.array([scored], np.float32), np.arange(60)[None], keys)
    size = 0
    for key in keys[0]:
        size = topk.insert(pool, size, key)
    size = unfiltered.rerank_pool(
        world.plan[0], pool, size, query.floats, query.scalars, 0, np.empty((60, 2), np.uint64), np.empty(0, np.uint8),
        heap, stats,
    )  # fmt: skip
    pool_keys = [kernels.pack(distance, row) for row, distance in enumerate(scored)]
    expected = naive.rerank_pool(pool_keys, world.vectors, query.floats, metric, 5)
    assert sorted((heap[:size] & np.uint64(0xFFFFFFFF)).tolist()) == sorted(key[2] for key in expected)
    assert 5 <= stats[RERANKED] <= 60


def test_fetched_vectors_are_counted_when_they_are_not_cached():
    world = random_world(1, 60, 20, SQ8, L2, 3)
    listed = listed_of({3, 4, 40})
    spans = np.zeros((2, 2), np.uint64)  # fewer than rows: asked for in parts
    assert filtered.fetch_vectors(world.plan[0], listed, spans, np.zeros(64, np.uint8)) == 0
    base = int(world.plan["vectors"][0])
    assert [tuple(span) for span in spans[:1].tolist()] == naive.fetch_vectors([40], base, 80)
    assert filtered.fetch_vectors(world.plan[0], listed, spans, np.zeros(0, np.uint8)) == 3  # may not ask


def test_the_vectors_scanned_are_those_of_the_naive_twin():
    world = random_world(1, 60, 20, SQ8, L2, 3)
    query = Query.of(queries_for(world, 1)[0], L2, SQ8)
    heap = np.full(4, EMPTY)
    size = filtered.scan_vectors(world.plan[0], listed_of(range(10, 30)), address(query.floats), heap)
    kept = naive.scan_vectors(range(10, 30), world.vectors, query.floats, L2, 4)
    assert sorted((heap[:size] & np.uint64(0xFFFFFFFF)).tolist()) == sorted(key[2] for key in kept)


def test_a_rung_is_half_a_doubling():
    ladder = np.array([10.0, 20.0, 40.0])
    assert filtered.more_probes(ladder, 1, 5, 5, 5.0 * 2 ** (1 / RUNGS), 100) == 4  # at most four times as many
    assert filtered.more_probes(ladder, 8, 5, 5, 5.0 * 2 ** (1 / RUNGS), 100) == pytest.approx(20, abs=1)
