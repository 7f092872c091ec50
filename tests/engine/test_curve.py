"""From measured points to a number of probes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.engine import curves
from ramet.engine.curve import RecallCurve
from ramet.engine.residency import QUIET_CALLS, Residency

POINTS = [
    (10, 1, 0.5, 0.0),
    (10, 2, 0.7, 0.0),
    (10, 8, 0.9, 0.0),
    (10, 32, 0.99, 0.0),
    (100, 8, 0.6, 0.0),
    (100, 32, 0.95, 0.0),
]


def test_a_target_between_two_points_is_interpolated_upwards():
    curve = RecallCurve(POINTS, 1000)
    assert curve.nprobe_for(0.5, 10) == 1
    assert curve.nprobe_for(0.7, 10) == 2
    assert curve.nprobe_for(0.8, 10) == 4
    assert curve.nprobe_for(0.99, 10) == 32


def test_a_target_beyond_the_curve_reads_every_list():
    assert RecallCurve(POINTS, 1000).nprobe_for(0.999, 10) == 1000


def test_larger_k_use_the_next_measured_one_and_stretch_beyond_the_last():
    curve = RecallCurve(POINTS, 1000)
    assert curve.nprobe_for(0.95, 50) == 32
    assert curve.nprobe_for(0.95, 200) == 64


def test_without_a_curve_every_list_is_read():
    assert RecallCurve([], 50).nprobe_for(0.5, 10) == 50
    assert RecallCurve([], 10_000).nprobe_for(0.95, 10) == 10_000


@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=12, unique_by=lambda p: p[0]),
    st.floats(0.01, 1),
)
def test_probes_grow_with_the_target_and_stay_within_the_lists(points, target):
    curve = RecallCurve([(10, nprobe, recall, 0.0) for nprobe, recall in points], 600)
    probes = curve.nprobe_for(target, 10)
    assert 1 <= probes <= 600
    assert curve.nprobe_for(min(1.0, target + 0.1), 10) >= probes
    if probes < 600:
        assert any(recall >= target for nprobe, recall in points)


def test_a_curve_survives_storage():
    again = curves.parsed(json.loads(json.dumps(curves.to_meta(RecallCurve(POINTS, 77)))))
    assert (again.points, again.n_lists) == (POINTS, 77)
    assert curves.parsed(None) is None


def test_tenants_with_more_lists_than_a_curve_was_measured_with_read_more():
    curve = RecallCurve(POINTS, 2000)
    assert curves.nprobe_for(curve, 2000, 0.9, 10) == curves.nprobe_for(curve, 600, 0.9, 10) == 8
    assert curves.nprobe_for(curve, 8000, 0.9, 10) == 16
    assert curves.nprobe_for(curve, 5, 0.9, 10) == 5
    assert curves.nprobe_for(curve, 4000, 0.999, 10) == 4000
    assert curves.nprobe_for(RecallCurve([], 10), 70, 0.5, 10) == 70


def test_a_curve_shared_by_a_class_leaves_a_margin_and_is_stretched_further():
    curve = RecallCurve(POINTS, 100)
    plain = RecallCurve(POINTS, 200).nprobe_for(0.9, 10)
    assert plain < curves.nprobe_for(curve, 100, 0.9, 10) == RecallCurve(POINTS, 100).nprobe_for(0.95, 10)
    of_its_own = curves.nprobe_for(RecallCurve(POINTS, 200), 200, 0.9, 10)
    assert of_its_own == RecallCurve(POINTS, 200).nprobe_for(0.93, 10)
    assert curves.nprobe_for(curve, 120, 0.9, 10) > curves.nprobe_for(curve, 100, 0.9, 10)


@pytest.mark.parametrize(("n_lists", "number"), [(5, 3), (8, 3), (9, 4), (16, 4), (17, 5), (127, 7)])
def test_classes_of_tenants_double(n_lists, number):
    assert curves.class_of(n_lists) == number


def test_prefetching_stops_when_all_is_cached_and_starts_again_after_a_fault(monkeypatch):
    monkeypatch.delenv("RAMET_PREFETCH", raising=False)
    residency = Residency()
    assert residency.fetch
    for _ in range(QUIET_CALLS - 1):
        residency.note(0, 0)
    assert residency.fetch
    residency.note(3, 0)
    for _ in range(QUIET_CALLS):
        residency.note(0, 0)
    assert not residency.fetch
    residency.note(0, 0)
    assert not residency.fetch
    residency.note(0, 2)
    assert residency.fetch


@pytest.mark.parametrize("faults", [0, 5])
def test_prefetching_can_be_switched_off(monkeypatch, faults):
    monkeypatch.setenv("RAMET_PREFETCH", "0")
    residency = Residency()
    residency.note(0, faults)
    assert not residency.fetch


def test_a_measurement_is_put_off_in_busy_calls_but_not_for_ever(tmp_path):
    """Also when calls that have nothing to measure come in between."""
    rng = np.random.default_rng(0)
    with ramet.connect(tmp_path) as db:
        docs = db.create_collection("c", 8, "l2")
        remeasure = docs._live._remeasure
        after, calls = remeasure.after, []
        remeasure.after = lambda *_, **__: None
        docs.upsert([str(i) for i in range(3000)], rng.standard_normal((3000, 8)), tenant="large")
        n_lists = docs.stats("large")["tenants"]["large"]["lists"]
        while not docs.stats()["shared_curves"]:
            after({0: n_lists}, 1, busy=True)
            after({}, 1, busy=True)
            calls.append(1)
            assert len(calls) < 10
        assert len(calls) > 1


def test_a_tenant_s_figures_show_no_curve_that_was_measured_on_others(tmp_path):
    rng = np.random.default_rng(0)
    with ramet.connect(tmp_path) as db:
        docs = db.create_collection("c", 8, "l2")
        docs.upsert([str(i) for i in range(3000)], rng.standard_normal((3000, 8)), tenant="measured")
        docs.upsert([str(i) for i in range(2500)], rng.standard_normal((2500, 8)), tenant="other")
        found = docs.stats()
        shared = found["shared_curves"]
        classes = [range(one["lists"][0], one["lists"][1] + 1) for one in shared]
        for tenant in ("measured", "other"):  # neither says whose it is
            figures = docs.stats(tenant)["tenants"][tenant]
            assert figures == found["tenants"][tenant]
            assert any(figures["lists"] in one for one in classes) and figures["curve"] == []
            assert figures["nprobe_at_default_recall"] < figures["lists"]  # it goes by the shared one all the same
        docs.calibrate(rng.standard_normal((64, 8)), tenant="other")
        assert docs.stats("other")["tenants"]["other"]["curve"]
        assert docs.stats()["shared_curves"] == shared
