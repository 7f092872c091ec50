"""The table of metrics."""

import dataclasses

import numpy as np
import pytest

from ramet.index.kernels import plan
from ramet.index.metrics import METRICS


def test_each_metric_has_one_row_under_its_name_with_a_number_of_its_own():
    assert list(METRICS) == ["l2", "cosine", "ip"]
    assert all(name == metric.name for name, metric in METRICS.items())
    assert [metric.number for metric in METRICS.values()] == [plan.L2, plan.COSINE, plan.IP]


def test_only_cosine_works_on_unit_vectors():
    assert [name for name, metric in METRICS.items() if metric.unit] == ["cosine"]


@pytest.mark.parametrize(
    ("name", "distances", "scores"),
    [
        ("l2", [0.0, 2.5], [0.0, -2.5]),
        ("cosine", [0.0, 0.25, 2.0], [1.0, 0.75, -1.0]),
        ("ip", [-3.0, 0.0, 4.0], [3.0, 0.0, -4.0]),
    ],
)
def test_scores_are_larger_for_nearer_rows(name, distances, scores):
    found = METRICS[name].scores(np.array(distances, np.float32))
    assert found.tolist() == scores
    assert found.dtype == np.float32
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("name", METRICS)
def test_the_score_of_a_row_that_was_not_found_is_the_worst(name):
    assert METRICS[name].scores(np.array([[np.inf]], np.float32)).tolist() == [[-np.inf]]


def test_rows_of_the_table_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METRICS["l2"].unit = True
