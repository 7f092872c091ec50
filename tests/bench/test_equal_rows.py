"""Recall at equal rows scanned."""

import math

import pytest

from bench import equal_rows, summary


def test_recall_is_interpolated_in_the_logarithm_of_the_rows():
    assert equal_rows.at_rows([(0.90, 100.0), (0.98, 400.0)], 200.0) == pytest.approx(0.94)


def test_it_is_the_inverse_of_latency_at_recall():
    points = [(0.5, 10.0), (0.8, 30.0), (0.93, 100.0), (0.97, 333.0), (0.995, 2_000.0)]
    for target in (0.6, 0.8, 0.9, 0.95, 0.99):
        assert equal_rows.at_rows(points, summary.at_recall(points, target)) == pytest.approx(target)


def test_below_the_curve_nothing_is_known_and_beyond_it_nothing_is_gained():
    points = [(0.90, 100.0), (0.98, 400.0)]
    assert equal_rows.at_rows(points, 50.0) is None
    assert equal_rows.at_rows(points, 4_000.0) == 0.98
    assert equal_rows.at_rows(points, 100.0) == 0.90


def test_a_curve_has_no_gap_to_itself():
    points = [(0.5, 10.0), (0.93, 100.0), (0.97, 333.0), (0.995, 2_000.0)]
    assert [gap.points for gap in equal_rows.gaps(points, points)] == pytest.approx([0.0, 0.0, 0.0])


def test_a_worse_curve_has_a_gap_in_points():
    fresh = [(0.80, 100.0), (0.96, 1_600.0)]
    other = [(0.78, 100.0), (0.94, 1_600.0)]
    by_target = {gap.target: gap for gap in equal_rows.gaps(fresh, other)}
    assert by_target[0.90].points == pytest.approx(2.0) and by_target[0.95].recall == pytest.approx(0.93)
    assert math.isclose(by_target[0.90].rows, math.exp((math.log(100) * 3 + math.log(1_600) * 5) / 8))
    assert by_target[0.99].rows is None and by_target[0.99].points is None


def test_a_yardstick_that_begins_above_the_target_is_compared_where_it_begins():
    gaps = equal_rows.gaps([(0.97, 50.0), (0.995, 100.0)], [(0.96, 50.0), (0.995, 200.0)])
    assert [gap.points for gap in gaps][:2] == pytest.approx([1.0, 1.0])
