"""The whole search kernel: against brute force at full probe, and against the probed lists below it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index.kernels import search as kernel
from ramet.index.kernels.plan import COSINE, FLOAT16, FLOAT32, INT8, IP, L2, PLAN, SQ8, UINT8
from ramet.index.kernels.search import ABSENT, FAULTS, LISTS, RERANKED, ROWS
from ramet.index.kernels.topk import EMPTY, pack_many
from tests.index.lists import KINDS, METRICS, NONE_GIVEN, World, random_vectors, random_world, search
from tests.index.nearness import assert_top, tolerance
from tests.index.shapes import DIMS
from tests.oracle import kernels as naive

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
exact_kinds = pytest.mark.parametrize("kind", [FLOAT32, FLOAT16, INT8, UINT8], ids=["float32", "float16", "int8", "u8"])


def queries_for(world, n, seed=9):
    return random_vectors(np.random.default_rng(seed), n, world.dim, world.kind).astype(np.float32)


def probed(world, query, nprobe):
    """Numbers of the cells whose lists a query reads, as the naive twins put them together."""
    keys = world.navigator.nearest(query[None], nprobe, world.metric)[0]
    cells = naive.cells_of([int(key & np.uint64(0xFFFFFFFF)) for key in keys], nprobe)
    if world.metric == IP:
        own = world.navigator.nearest(query[None], 1, L2)[0, 0]
        cells = naive.with_own_cell(cells, int(own & np.uint64(0xFFFFFFFF)))
    return cells


# ---------------------------------------------------------------------------------------------------- against the truth


@exact_kinds
@every_metric
@pytest.mark.parametrize("dim", DIMS)
def test_a_full_probe_of_full_vectors_is_brute_force(kind, metric, dim):
    world = random_world(dim, 90, dim, kind, metric, 6)
    queries = queries_for(world, 4)
    rows, distances, stats = search(world, queries, 8, 6)
    for found, near, query in zip(rows, distances, queries, strict=True):
        assert_top(found, near, world.vectors, query, metric, 8)
    assert stats[LISTS] == 4 * 6
    assert stats[ROWS] == 4 * sum(map(len, world.lists))
    assert stats[RERANKED] == 0


@every_metric
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("dim", [2, 17, 64, 300])
def test_a_full_probe_of_codes_is_nearly_brute_force_with_exact_distances(metric, half, dim):
    world = random_world(dim, 200, dim, SQ8, metric, 6, half=half)
    queries = np.random.default_rng(9).standard_normal((20, dim)).astype(np.float32)
    rows, distances, stats = search(world, queries, 8, 6, pool=60)
    shared = []
    for found, near, query in zip(rows, distances, queries, strict=True):
        assert_top(found, near, world.vectors, query, metric, 8, among=found)
        truth = [naive.exact_distance(query, vector, metric) for vector in world.vectors]
        shared.append(len(set(np.argsort(truth)[:8]) & set(found)) / 8)
    assert np.mean(shared) > 0.99
    assert 20 * 8 <= stats[RERANKED] <= 20 * 60


@exact_kinds
@every_metric
@pytest.mark.parametrize("nprobe", [1, 3, 11])
def test_a_search_is_brute_force_over_the_lists_it_probes(kind, metric, nprobe):
    world = random_world(5, 300, 20, kind, metric, 12)
    queries = queries_for(world, 10)
    rows, distances, stats = search(world, queries, 8, nprobe)
    cells = [probed(world, query, nprobe) for query in queries]
    lists = [[world.lists[cell] for cell in mine] for mine in cells]
    twins = naive.search_many(lists, world.vectors, queries, metric, 8)
    for i, query in enumerate(queries):
        among = {row for mine in lists[i] for row in mine}
        assert_top(rows[i], distances[i], world.vectors, query, metric, 8, among=among)
        slack = tolerance(world.vectors, query, metric)
        np.testing.assert_allclose(distances[i][: len(twins[i])], [key[1] for key in twins[i]], rtol=0, atol=slack)
    assert stats[LISTS] == sum(map(len, cells))
    assert stats[ROWS] == sum(len(rows) for mine in lists for rows in mine)


@pytest.mark.parametrize("nprobe", [1, 5, 12])
def test_under_inner_product_the_cell_nearest_by_distance_is_probed_too(nprobe):
    """Cells are ranked by inner product, but rows are put into cells by distance."""
    world = random_world(5, 300, 20, FLOAT32, IP, 12)
    queries = queries_for(world, 30) * np.float32(0.01)  # short: the two orders have little in common
    _, _, stats = search(world, queries, 3, nprobe)
    expected = sum(len(probed(world, query, nprobe)) for query in queries)
    assert stats[LISTS] == expected
    assert expected == 30 * 12 if nprobe == 12 else 30 * nprobe < expected < 30 * (nprobe + 1) + 1


@every_kind
@every_metric
def test_copies_in_several_lists_are_found_once(kind, metric):
    rng = np.random.default_rng(0)
    vectors = random_vectors(rng, 30, 12, kind)
    lists = [list(range(30)), list(range(29, -1, -1)), list(range(0, 30, 2))]
    world = World(vectors, lists, kind, metric, rng.standard_normal((3, 12)).astype(np.float32))
    rows, _, _ = search(world, queries_for(world, 5), 30, 3)
    for found in rows:
        assert sorted(found) == list(range(30))


@every_kind
def test_rows_at_equal_distance_come_in_the_order_of_their_numbers(kind):
    vectors = np.repeat(random_vectors(np.random.default_rng(0), 1, 12, kind), 20, axis=0)
    lists = [[7, 3, 19, 0], [12, 4, 5, 6], [1, 2, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18]]
    world = World(vectors, lists, kind, L2, np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32))
    rows, _, _ = search(world, vectors[:1].astype(np.float32), 20, 3)
    assert rows[0].tolist() == list(range(20))


# ------------------------------------------------------------------------------------------------------------ the edges


@every_kind
def test_places_without_a_row_hold_minus_one_and_infinity(kind):
    world = random_world(1, 5, 10, kind, L2, 2)
    rows, distances, _ = search(world, queries_for(world, 3), 9, 2)
    assert (np.sort(rows, axis=1)[:, 4:] >= 0).all()
    assert (rows[:, 5:] == -1).all()
    assert np.isposinf(distances[:, 5:]).all()


@every_kind
def test_empty_lists_are_read_without_harm(kind):
    rng = np.random.default_rng(0)
    vectors = random_vectors(rng, 12, 10, kind)
    lists = [[], list(range(12)), []]
    world = World(vectors, lists, kind, L2, rng.standard_normal((3, 10)).astype(np.float32))
    rows, _, stats = search(world, queries_for(world, 4), 12, 3)
    assert (np.sort(rows, axis=1) == np.arange(12)).all()
    assert stats[LISTS] == 4  # empty ones are passed over


@every_kind
@every_metric
def test_rows_beyond_the_collection_are_never_found(kind, metric):
    """A damaged list must not make the search read full-precision rows that do not exist."""
    world = random_world(2, 80, 10, kind, metric, 4, copies=0.0)
    lost = [rows[1] for rows in world.lists]
    for extent, row in zip(world.extents, [80, 2**31 - 1, 2**31, 2**32 - 1], strict=True):
        extent.set_row(1, row)
    for fetch in (False, True):
        rows, _, _ = search(world, queries_for(world, 5), 80, 4, fetch=fetch)
        for found in rows:
            assert set(found[found >= 0]) == set(range(80)) - set(lost)


@every_kind
def test_only_the_asked_queries_are_answered(kind):
    world = random_world(1, 60, 10, kind, L2, 4)
    queries = queries_for(world, 9)
    whole = search(world, queries, 5, 4)[0]
    rows, distances, _ = search(world, queries, 5, 4, span=(3, 7))
    assert (rows[3:7] == whole[3:7]).all()
    for place in (slice(0, 3), slice(7, 9)):
        assert (rows[place] == -7).all()
        assert (distances[place] == -7).all()


@every_kind
@every_metric
def test_looking_for_missing_pages_changes_no_result(kind, metric):
    world = random_world(1, 200, 70, kind, metric, 8)
    queries = queries_for(world, 6)
    plain, fetched = search(world, queries, 7, 4), search(world, queries, 7, 4, fetch=True)
    assert (plain[0] == fetched[0]).all()
    assert (plain[1] == fetched[1]).all()
    assert plain[2][ABSENT] == fetched[2][ABSENT] == 0  # all of it is in memory
    assert fetched[2][FAULTS] == 0


def test_more_probes_than_cells_are_all_cells():
    world = random_world(1, 60, 10, FLOAT32, L2, 4)
    queries = queries_for(world, 3)
    assert (search(world, queries, 5, 4)[0] == search(world, queries, 5, 1000)[0]).all()


def test_codes_are_reranked_from_at_least_k_candidates():
    world = random_world(1, 100, 10, SQ8, IP, 4)
    _, _, stats = search(world, queries_for(world, 3), 20, 4, pool=1)
    assert stats[RERANKED] == 3 * 20


@pytest.mark.parametrize("kind", [SQ8, FLOAT32], ids=["sq8", "float32"])
def test_cells_of_another_navigator_are_taken_as_given(kind):
    world = random_world(3, 200, 10, kind, L2, 8)
    queries = queries_for(world, 3)
    given_cells = np.full((3, 4), EMPTY)
    given_cells[0, :2] = [5, 1]
    given_cells[1] = [7, 0, 3, 2]  # the third query has none
    rows, distances, stats = search(world, queries, 6, 4, given=given_cells)
    for i, cells in enumerate([[5, 1], [7, 0, 3, 2], []]):
        among = {row for cell in cells for row in world.lists[cell]}
        assert_top(rows[i], distances[i], world.vectors, queries[i], L2, 6, among=among)
    assert stats[LISTS] == 6


def test_given_cells_beyond_nprobe_are_left():
    world = random_world(3, 200, 10, FLOAT32, L2, 8)
    given_cells = np.array([[5, 1, 2, 3]], np.uint64)
    assert search(world, queries_for(world, 1), 6, 2, given=given_cells)[2][LISTS] == 2


# -------------------------------------------------------------------------------------------------------------- pruning


@given(
    distances=st.lists(st.floats(-1, 10, width=32), max_size=20),
    ratio=st.sampled_from([0.0, -1.0, 1.0, 1.5, 4.0]),
    metric=st.sampled_from([L2, COSINE, IP]),
)
def test_near_probes_are_those_of_the_naive_twin(distances, ratio, metric):
    distances = sorted(distances)
    keys = np.full((1, len(distances) + 1), EMPTY)
    numbers = np.arange(len(distances) + 1)[None]
    numbers[0, -1] = -1
    pack_many(np.array([[*distances, 0.0]], np.float32), numbers, keys)
    found = kernel.keep_near(keys[0], len(distances), ratio, metric)
    near = [naive.keep_near([d * (1 + sign * 1e-6) if i else d for i, d in enumerate(distances)], ratio, metric)
            for sign in (1, -1)]  # fmt: skip
    assert min(near) <= found <= max(near)


@pytest.mark.parametrize("metric", [L2, COSINE], ids=["l2", "cosine"])
def test_pruning_reads_fewer_lists_and_always_the_nearest(metric):
    world = random_world(4, 300, 6, FLOAT32, metric, 20)
    queries = queries_for(world, 10)
    read = [search(world, queries, 5, 20, ratio=ratio)[2][LISTS] for ratio in (1.0, 1.3, 2.0, 50.0, 0.0)]
    assert read == sorted(read)
    assert read[0] == 10
    assert read[-1] == 200


# ---------------------------------------------------------------------------------------------------------- small steps


@every_kind
@every_metric
@pytest.mark.parametrize("dim", [1, 17, 64])
def test_bytes_of_a_list_end_behind_its_last_code(kind, metric, dim):
    rng = np.random.default_rng(0)
    world = World(random_vectors(rng, 40, dim, kind), [list(range(40))], kind, metric, np.ones((1, dim), np.float32))
    extent = world.extents[0]
    found = kernel.list_bytes(world.plan[0], extent.capacity, extent.count)
    assert found == naive.list_bytes(kind, metric, extent.capacity, extent.count, dim)
    assert found <= extent.n_bytes
    codes = extent.pages.memory[found - extent.codes.nbytes : found]
    assert codes.tobytes() == extent.codes.tobytes()


def test_fetched_lists_are_the_spans_of_the_naive_twin():
    world = random_world(0, 200, 20, FLOAT32, COSINE, 6)
    cells = np.array([4, 0, 5], np.uint64)
    spans = np.zeros((3, 2), np.uint64)
    absent = kernel.fetch_lists(
        world.plan[0], cells, 3, world._address, world._count, world._capacity, spans, np.zeros(64, np.uint8)
    )
    extents = [world.extents[cell] for cell in (4, 0, 5)]
    sizes = [naive.list_bytes(FLOAT32, COSINE, extent.capacity, extent.count, 20) for extent in extents]
    assert absent == 0  # all of it is in memory
    assert [tuple(span) for span in spans.tolist()] == naive.fetch_lists([e.address for e in extents], sizes)


def test_the_plan_has_room_for_what_the_engine_writes():
    plan = np.zeros(1, PLAN)
    for name in PLAN.names:
        plan[name] = 7
        assert plan[0][name] == 7
    assert NONE_GIVEN.shape == (0, 0)
