"""The plan of a filtered search follows from counts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine import curves, planner
from ramet.engine.curve import RecallCurve
from ramet.engine.planner import Facts, plan
from ramet.index.kernels.filtered import RUNGS

FACTS = Facts(
    n_records=300_000, n_lists=5_000, n_listed=600_000, code_bytes=100, vector_bytes=400, n_allowed=30_000, k=10
)
POINTS = [(10, 40, 0.9, 0.0), (10, 80, 0.97, 0.0), (100, 80, 0.9, 0.0), (100, 160, 0.97, 0.0)]


def probes(rank):
    return min(5_000, int(80 * (rank / 10) ** 0.4))


def made(n_allowed, *, exact=False, nprobe=None, of_rank=probes, **facts):
    return plan(replace(FACTS, n_allowed=n_allowed, **facts), of_rank, exact=exact, nprobe=nprobe)


def test_many_allowed_rows_are_found_by_the_index_and_few_without():
    modes = [made(n).mode for n in (0, 1, 30, 300, 3_000, 30_000, 150_000, 299_999, 300_000)]
    assert modes == ["nothing", "rows", "rows", "rows", "rows", "index", "index", "index", "unfiltered"]


def test_without_a_file_of_vectors_lists_are_read():
    assert made(30_000, vector_bytes=0).mode == "index"
    assert made(3, vector_bytes=0).mode == "lists"
    assert "rows" not in made(3, vector_bytes=0).estimated_us
    assert made(30_000, vector_bytes=0).most == 5_000


def test_exact_search_compares_every_allowed_row():
    assert made(30_000, exact=True).mode == "rows"
    assert made(30_000, exact=True, vector_bytes=0).mode == "lists"


def test_probes_that_are_asked_for_are_made_whatever_they_cost():
    asked = made(3, nprobe=7)
    assert (asked.mode, asked.nprobe) == ("index", 7)
    assert asked.most >= 7
    assert made(3, nprobe=10_000).mode == "lists"


def test_a_plan_says_why_and_what_it_expected():
    chosen = made(30_000)
    assert chosen.selectivity == pytest.approx(0.1)
    assert chosen.rank == pytest.approx(100)
    assert chosen.nprobe == probes(100)
    assert "rank 100" in chosen.reason
    assert chosen.estimated_us[chosen.mode] == min(chosen.estimated_us.values())
    assert json.loads(json.dumps(chosen.to_dict()))["mode"] == "index"


@given(
    n_records=st.integers(1, 10**8),
    n_lists=st.integers(1, 10**6),
    share=st.floats(0, 1),
    k=st.integers(1, 1000),
    exact=st.booleans(),
    nprobe=st.none() | st.integers(1, 10**6),
    stored=st.booleans(),
    recall_known=st.booleans(),
)
def test_every_plan_can_be_carried_out(n_records, n_lists, share, k, exact, nprobe, stored, recall_known):
    facts = Facts(
        n_records=n_records, n_lists=n_lists, n_listed=2 * n_records, code_bytes=100,
        vector_bytes=400 if stored else 0, n_allowed=int(share * n_records), k=k,
    )  # fmt: skip
    of_rank = (lambda rank: max(1, min(n_lists, int(rank)))) if recall_known else None
    chosen = plan(facts, of_rank, exact=exact, nprobe=nprobe)
    assert chosen.reason
    assert all(us > 0 for us in chosen.estimated_us.values())
    if chosen.mode == "rows":
        assert stored
    if chosen.mode in ("index", "lists"):
        assert 1 <= chosen.nprobe <= chosen.most <= n_lists
        assert stored or chosen.most == n_lists
        assert (chosen.nprobe == n_lists) == (chosen.mode == "lists")
    assert (chosen.mode == "nothing") == (facts.n_allowed == 0)


@given(low=st.integers(1, 5_000), more=st.integers(0, 5_000))
def test_more_probes_and_more_rows_cost_more(low, more):
    assert planner.index_us(FACTS, low) <= planner.index_us(FACTS, min(5_000, low + more)) + planner.NAVIGATE_NS * 5
    assert planner.rows_us(replace(FACTS, n_allowed=low)) <= planner.rows_us(replace(FACTS, n_allowed=low + more))
    assert 0 <= planner.most_probes(FACTS, low) <= planner.most_probes(FACTS, low + more) <= 5_000


# --------------------------------------------------------------------------------------------------- probes of a rank


def test_probes_of_a_rank_lie_on_the_measured_points_and_grow_beyond():
    curve = RecallCurve(POINTS, 5_000)
    at = [curves.probes_of_rank(curve, 5_000, 0.97, rank) for rank in (1, 10, 31.6, 100, 1_000, 10_000, 10**6)]
    assert at[:2] == [80, 80]
    assert at[2] == pytest.approx(113, abs=2)
    assert at[3] == 160
    assert at[4] == pytest.approx(160 * 10**curves.POWER_BEYOND, abs=2)
    assert at == sorted(at)
    assert at[-1] == 5_000


def test_probes_of_a_rank_without_a_curve_are_all_lists():
    assert curves.probes_of_rank(RecallCurve([], 70), 70, 0.9, 50) == 70


def test_probes_of_a_rank_do_without_a_point_at_100():
    curve = RecallCurve(POINTS[:2], 5_000)
    at = [curves.probes_of_rank(curve, 5_000, 0.97, rank) for rank in (10, 50, 500)]
    assert at[0] == 80
    assert at == sorted(at)


@given(k=st.integers(1, 200), n_records=st.integers(1, 10**7), recall=st.floats(0.5, 1.0))
def test_a_ladder_rises_from_k_to_all_records(k, n_records, recall):
    curve = RecallCurve(POINTS, 5_000)
    ladder = curves.ladder_of(curve, 5_000, n_records, recall, min(k, n_records))
    assert (ladder[1:] >= ladder[:-1]).all()
    assert ladder[0] == curves.probes_of_rank(curve, 5_000, recall, min(k, n_records))
    assert min(k, n_records) * 2 ** ((len(ladder) - 1) / RUNGS) >= n_records * 0.99
