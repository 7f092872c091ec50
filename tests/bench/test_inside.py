"""Exact neighbours inside a tenant: against a naive search of its rows, and answers that belong to somebody else."""

import numpy as np
import pytest

from bench import inside


def world(metric="l2", k=5):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 6)).astype(np.float32)
    owner = rng.integers(0, 4, 300)
    owner[:3], owner[owner == 3] = 3, 2
    owner[:3] = 3  # three records, fewer than k
    queries = rng.standard_normal((40, 6)).astype(np.float32)
    tenants = rng.integers(0, 4, 40)
    rows = {tenant: np.flatnonzero(owner == tenant) for tenant in range(4)}
    return base, rows, queries, tenants, inside.inside(base, rows.__getitem__, queries, tenants, metric, k)


def nearest(base, rows, query, metric, k):
    def distance(row):
        dot = sum(float(a) * float(b) for a, b in zip(base[row], query, strict=True))
        if metric == "l2":
            return sum((float(a) - float(b)) ** 2 for a, b in zip(base[row], query, strict=True))
        norm = sum(float(a) ** 2 for a in base[row]) ** 0.5
        return -dot / norm if metric == "cosine" else -dot

    return sorted(rows, key=distance)[:k]


def answers(metric, k=5):
    base, rows, queries, tenants, truth = world(metric, k)
    found = np.full((len(queries), k), -1, np.int64)
    for number, (query, tenant) in enumerate(zip(queries, tenants, strict=True)):
        own = nearest(base, rows[tenant], query, metric, k)
        found[number, : len(own)] = own
    return found, tenants, rows, truth


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_a_naive_search_of_the_tenants_rows_has_recall_one(metric):
    found, _, _, truth = answers(metric)
    recalls, strangers = truth.judge(found)
    assert recalls.tolist() == [1.0] * len(found) and strangers == 0


def test_a_small_tenant_is_judged_by_the_records_it_has():
    found, tenants, rows, truth = answers("l2")
    small = int(np.flatnonzero(tenants == 3)[0])
    assert len(rows[3]) == 3
    found[small, 2] = -1
    assert truth.judge(found)[0][small] == pytest.approx(2 / 3)


def test_rows_of_other_tenants_count_as_strangers_and_as_misses():
    found, tenants, rows, truth = answers("l2")
    foreign = rows[(int(tenants[0]) + 1) % 3 if tenants[0] != 3 else 0][0]
    found[0, 0] = foreign
    recalls, strangers = truth.judge(found)
    own = min(5, len(rows[int(tenants[0])]))
    assert strangers == 1 and recalls[0] == pytest.approx((own - 1) / own)
    assert recalls[1:].tolist() == [1.0] * (len(found) - 1)


def test_the_first_answers_may_be_judged_alone():
    found, _, _, truth = answers("l2")
    recalls, _ = truth.judge(found[:7])
    assert recalls.tolist() == [1.0] * 7


def test_places_of_rows_that_are_not_there():
    assert inside.places_in(np.array([2, 5, 9]), np.array([[9, 2], [-1, 100]])).tolist() == [[2, 0], [-1, -1]]
