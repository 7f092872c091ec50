"""Kernels of navigation against their naive twins: groups, their members, how many to look into."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.index.kernels import navigate
from ramet.index.kernels.plan import COSINE, IP, L2, PLAN, SQ8
from ramet.index.kernels.topk import EMPTY
from ramet.index.navigate import group_navigator
from tests.index.lists import Query, address
from tests.oracle import kernels as naive

every_metric = pytest.mark.parametrize("metric", [L2, COSINE, IP], ids=["l2", "cosine", "ip"])


class Groups:
    """Cells in groups by chance, and what the naive twins need of them: codes and factors of each."""

    def __init__(self, n_cells, n_groups, dim, seed=0):
        rng = np.random.default_rng(seed)
        centroids = rng.standard_normal((n_cells, dim)).astype(np.float32)
        centres = rng.standard_normal((n_groups, dim)).astype(np.float32)
        labels = rng.integers(0, n_groups, n_cells).astype(np.int32)
        self.dim, self.n_cells, self.n_groups = dim, n_cells, n_groups
        self.navigator = group_navigator(centroids, centres, labels)
        self.plan = np.zeros(1, PLAN)
        self.navigator.fill(self.plan)
        self.scratch = np.empty(self.navigator.scratch(), np.float32)

    def query(self, seed, metric):
        vector = np.random.default_rng([seed, 1]).standard_normal(self.dim).astype(np.float32)
        return Query.of(vector, metric, SQ8)

    def group_estimates(self, query, metric):
        codes = self.navigator.group_codes[: self.n_groups * self.dim].reshape(-1, self.dim)
        return naive.sq8_estimates(codes, self.navigator.group_factors, self._parts(query), metric)

    def members(self, query, metric):
        """Estimates and numbers of the cells of each group."""
        nav = self.navigator
        codes = nav.codes[: self.n_cells * self.dim].reshape(-1, self.dim)
        estimates = naive.sq8_estimates(codes, nav.factors, self._parts(query), metric)
        pieces = [slice(a, b) for a, b in zip(nav.starts[:-1], nav.starts[1:], strict=True)]
        return [(estimates[piece], nav.cells[piece].tolist()) for piece in pieces]

    def _parts(self, query):
        return query.floats, query.signed[: self.dim], query.scalars


def numbers(keys):
    return (np.asarray(keys, np.uint64) & np.uint64(0xFFFFFFFF)).tolist()


@given(
    n_groups=st.integers(1, 300), per_group=st.integers(1, 40), nprobe=st.integers(1, 500), effort=st.floats(0.05, 8)
)
def test_the_budget_of_groups_is_that_of_the_naive_twin(n_groups, per_group, nprobe, effort):
    plan = np.zeros(1, PLAN)
    plan["n_groups"], plan["n_members"] = n_groups, n_groups * per_group
    found = navigate.group_budget(plan[0], nprobe, effort)
    twin = naive.group_budget(n_groups, n_groups * per_group, nprobe, effort)
    exact = effort * 30 * nprobe / per_group
    assert found == twin or math.isclose(exact, round(exact), rel_tol=1e-9)
    assert found <= n_groups


def test_a_flat_navigator_has_no_groups_to_look_into():
    assert navigate.group_budget(np.zeros(1, PLAN)[0], 10, 1.0) == 0


def test_a_budget_for_all_cells_is_all_groups():
    plan = np.zeros(1, PLAN)
    plan["n_groups"], plan["n_members"] = 90, 2000
    assert navigate.group_budget(plan[0], 2000, 1.0) == 90


@every_metric
@pytest.mark.parametrize("dim", [1, 17, 64, 100])
def test_nearest_groups_are_those_of_the_naive_twin(metric, dim):
    world = Groups(400, 37, dim)
    for seed in range(5):
        query = world.query(seed, metric)
        keys = np.full(9, EMPTY)
        plan = world.plan[0]
        found = navigate.nearest_groups(plan, metric, address(query.signed), query.scalars, world.scratch, keys)
        twin = naive.nearest_groups(world.group_estimates(query, metric), 9)
        assert found == 9
        assert numbers(keys) == [key[2] for key in twin]


@every_metric
def test_members_are_offered_as_by_the_naive_twin(metric):
    world = Groups(300, 10, 33)
    query = world.query(0, metric)
    members = world.members(query, metric)
    heap, size, kept = np.full(12, EMPTY), 0, []
    for group in (3, 7, 0):
        first, last = world.navigator.starts[group : group + 2]
        size = navigate.scan_members(
            world.plan[0], metric, first, last - first, address(query.signed), query.scalars, world.scratch, heap, size
        )
        kept = naive.scan_members(*members[group], kept, 12)
    assert numbers(np.sort(heap[:size])) == [key[2] for key in kept]


@every_metric
@pytest.mark.parametrize("effort", [0.1, 1.0, 3.0])
@pytest.mark.parametrize(("dim", "nprobe"), [(1, 5), (17, 1), (64, 20), (100, 600)])
def test_nearest_cells_are_those_of_the_naive_twin(metric, effort, dim, nprobe):
    world = Groups(600, 50, dim)
    for seed in range(4):
        query = world.query(seed, metric)
        keys = np.full(nprobe, EMPTY)
        plan = world.plan[0]
        n_groups = navigate.group_budget(plan, nprobe, effort)
        found = navigate.nearest_cells(
            plan, metric, world.navigator.starts, n_groups, address(query.signed), query.scalars, world.scratch, keys
        )
        twin = naive.nearest_cells(world.group_estimates(query, metric), world.members(query, metric), nprobe, effort)
        assert found == len(twin)
        assert numbers(keys[:found]) == [key[2] for key in twin]


@every_metric
def test_nearest_cells_of_many_queries_are_those_of_the_naive_twin_and_empty_behind(metric):
    world = Groups(60, 40, 16)
    vectors = np.random.default_rng(2).standard_normal((6, 16)).astype(np.float32)
    world.plan["metric"] = metric
    keys = np.zeros((6, 60), np.uint64)
    # so little effort that fewer cells are looked into than are asked for
    navigate.nearest_many(world.plan, world.navigator.starts, vectors, 0.01, len(world.scratch), keys)
    queries = [Query.of(vector, metric, SQ8) for vector in vectors]
    twins = naive.nearest_many(
        [world.group_estimates(query, metric) for query in queries],
        [world.members(query, metric) for query in queries], 60, 0.01,
    )  # fmt: skip
    for row, twin in zip(keys, twins, strict=True):
        assert 0 < len(twin) < 60
        assert numbers(row[: len(twin)]) == [key[2] for key in twin]
        assert (row[len(twin) :] == EMPTY).all()
