"""Tenants of the benchmarks: sizes, who owns what, size classes, who asks what."""

import numpy as np
import pytest

from bench import tenancy


def vectors(n=4_000, dim=8):
    return np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize(
    ("n_rows", "n_tenants"), [(340_479, 1_000), (340_479, 10_000), (1_000_000, 1_000), (1_000_000, 10_000), (3_000, 40)]
)
def test_sizes_follow_the_law_and_use_every_row(n_rows, n_tenants):
    sizes, exponent = tenancy.zipf_sizes(n_rows, n_tenants)
    assert sizes.sum() == n_rows and len(sizes) == n_tenants
    assert sizes.min() == tenancy.SMALLEST and (np.diff(sizes) <= 0).all()
    expected = np.maximum(sizes[0] * np.arange(1, n_tenants + 1) ** -exponent, tenancy.SMALLEST)
    assert np.abs(sizes - expected).max() <= 2


def test_all_size_classes_occur_in_the_sets_that_are_large_enough():
    sizes, _ = tenancy.zipf_sizes(1_000_000, 1_000)
    for size in tenancy.CLASS_SIZES:
        assert np.abs(np.log(sizes / size)).min() < np.log(2), size


def test_too_many_tenants_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        tenancy.zipf_sizes(1_000, 100)


@pytest.mark.parametrize("membership", tenancy.MEMBERSHIPS)
def test_every_row_has_one_owner_and_runs_repeat(membership):
    data = vectors()
    found = tenancy.assign(data, 50, membership)
    rows = [found.rows(tenant) for tenant in range(50)]
    assert sorted(np.concatenate(rows)) == list(range(len(data)))
    for tenant, own in enumerate(rows):
        assert len(own) == found.sizes[tenant] and (found.owner[own] == tenant).all() and (np.diff(own) > 0).all()
    np.testing.assert_array_equal(tenancy.assign(data, 50, membership).owner, found.owner)
    assert len(set(found.names())) == 50


def test_unknown_membership_is_refused():
    with pytest.raises(ValueError, match="nosuch"):
        tenancy.assign(vectors(), 50, "nosuch")


def spread(data, found, tenant):
    own = data[found.rows(tenant)]
    return float(np.square(own - own.mean(axis=0)).sum(axis=1).mean())


def test_clustered_tenants_own_neighbourhoods():
    data = vectors()
    near, anywhere = tenancy.assign(data, 50, "clustered"), tenancy.assign(data, 50, "random")
    tenants = [tenant for tenant in range(50) if 15 <= near.sizes[tenant] <= 400]
    assert len(tenants) > 10
    ratio = np.mean([spread(data, near, t) for t in tenants]) / np.mean([spread(data, anywhere, t) for t in tenants])
    assert ratio < 0.75


def classes():
    found = tenancy.assign(vectors(), 50, "random")
    return found, {of.label: of for of in tenancy.size_classes(found, most=20)}


def test_classes_hold_tenants_of_about_their_size():
    found, by_label = classes()
    assert "100000" not in by_label and {"10", "100", "1000"} <= set(by_label)
    assert "0.1%" not in by_label  # four records
    for of in by_label.values():
        assert 1 <= len(of.tenants) <= 20
        assert np.abs(np.log(found.sizes[of.tenants] / of.size)).max() <= np.log(2)


def test_tenants_take_turns_and_queries_are_used_up_before_one_returns():
    _, by_label = classes()
    of = by_label["10"]
    plan = tenancy.asked(of, 60, 40, sticky=False, seed=0)
    assert len(plan.tenants) == len(plan.queries) == 60
    turn = len(of.tenants)
    for start in range(0, 60 - turn, turn):
        assert set(plan.tenants[start : start + turn]) == set(of.tenants)
    assert sorted(plan.queries[:40]) == list(range(40))
    other = tenancy.asked(of, 60, 40, sticky=False, seed=1)
    assert plan.tenants.tolist() != other.tenants.tolist() or plan.queries.tolist() != other.queries.tolist()


def test_sticky_tenants_ask_many_queries_in_a_row():
    _, by_label = classes()
    plan = tenancy.asked(by_label["10"], 120, 40, sticky=True, seed=0)
    assert len(plan.tenants) == 120
    assert len(set(plan.tenants[:50])) == len(set(plan.tenants[50:100])) == 1
    assert plan.tenants[0] != plan.tenants[50]


def test_queries_of_clustered_tenants_are_near_their_records():
    data, queries = vectors(), vectors(300)[::-1].copy()
    found = tenancy.assign(data, 50, "clustered")
    of = next(of for of in tenancy.size_classes(found, most=20) if of.label == "100")
    plan = tenancy.asked(of, 200, len(queries), sticky=False, seed=0)
    home = tenancy.near_home(plan, found, data, queries, seed=0)
    np.testing.assert_array_equal(home.tenants, plan.tenants)

    def nearness(asked):
        centres = np.stack([data[found.rows(tenant)].mean(axis=0) for tenant in asked.tenants])
        return float((centres * queries[asked.queries]).sum(axis=1).mean())

    assert nearness(home) > nearness(plan) + 0.1
