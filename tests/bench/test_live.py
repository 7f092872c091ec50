"""Timed calls, what several fills come to, what is replaced in a churn, who is granted what."""

import numpy as np
import pytest

from bench import churning, filling, live, sharing
from bench.churn_reader import Board
from bench.datasets import Dataset
from bench.live import Calls, Stopwatch


def calls(begun, seconds, records=1_000):
    return Calls(begun_s=np.array(begun, float), seconds=np.array(seconds, float), records=np.full(len(begun), records))


def test_rates_count_the_time_between_calls():
    found = calls([0.0, 2.0, 4.0], [1.0, 1.0, 1.0])
    assert found.total_s == 5.0 and found.rate == pytest.approx(600)
    assert found.rates(1) == pytest.approx([1_000, 1_000, 1_000])
    assert found.rates(2) == pytest.approx([2_000 / 3, 2_000 / 3])
    assert found.rates(10) == pytest.approx([600])


def test_stopwatch_returns_what_the_call_returned():
    watch = Stopwatch()
    assert watch.time(3, lambda value, more: (value, more), 1, more=2) == (1, 2)
    watch.time(4, lambda: None)
    found = watch.calls()
    assert found.records.tolist() == [3, 4] and found.begun_s[0] == 0 and found.begun_s[1] >= found.seconds[0] >= 0


def test_batches_cover_everything_once():
    assert [(part.start, part.stop) for part in live.batches(25, 10)] == [(0, 10), (10, 20), (20, 25)]


def test_several_fills_come_to_medians_and_to_the_worst_of_what_must_not_happen():
    runs = [calls([0, 1, 2], [1, 1, 1]), calls([0, 1, 5], [1, 4, 1]), calls([0, 2, 4], [2, 2, 2])]
    line = filling.line("x", runs)
    assert line["records_per_s"] == pytest.approx(500) and line["slowest_call_s"] == 4
    assert line["worst_window_per_s"] == pytest.approx(500)
    assert line["call_s"] in ([1, 4, 1], [2, 2, 2])


def dataset(n=300):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((n, 4)).astype(np.float32)
    return Dataset(name="x", base=base, queries=base[:5] + 1, metric="l2", full=True)


def test_arrival_order_keeps_every_row():
    given = dataset()
    assert filling.arranged(given, "stored") is given
    shuffled = filling.arranged(given, "shuffled").base
    assert not np.array_equal(shuffled, given.base)
    assert sorted(map(tuple, shuffled.tolist())) == sorted(map(tuple, given.base.tolist()))


def test_an_exchange_replaces_every_row_by_another_one():
    given = dataset()
    data = churning.exchange(given.base, 120)
    assert sorted(data.leaving) == list(range(120)) and sorted(data.arriving) == list(range(120, 240))
    assert len({tuple(row) for row in data.vectors.tolist()}) == 240
    parts = data.parts(100)
    assert len(parts) == 100
    assert np.concatenate([gone for gone, _ in parts]).tolist() == data.leaving.tolist()
    assert np.concatenate([come for _, come in parts]).tolist() == data.arriving.tolist()
    np.testing.assert_array_equal(churning.contents(data, given, "last").base, data.vectors[120:])
    with pytest.raises(ValueError, match="400"):
        churning.exchange(given.base, 200)


def test_two_sides_of_a_board_see_the_same(tmp_path):
    one, other = Board(tmp_path / "board", 10), Board(tmp_path / "board", 10)
    one.note_deleted(np.array([3, 4]))
    one.note_inserted(np.array([9]))
    assert (other.n_deleted, other.n_inserted, other.stopped) == (2, 1, False)
    assert np.flatnonzero(other.deleted_ns).tolist() == [3, 4] and np.flatnonzero(other.inserted_ns).tolist() == [9]
    one.stop()
    assert other.stopped


def test_latencies_are_those_of_held_out_queries_that_began_in_the_phase():
    latencies = np.array([[10, 1_000, 0], [20, 2_000, 1], [30, 3_000, 0], [40, 4_000, 0]], np.int64)
    done = churning.Churned(quiet=[(0, 20), (40, 50)], steps=[], latencies=latencies, reader={})
    assert done.took_us(0, 40).tolist() == [1.0, 3.0]
    assert done.took_us(40, 50).tolist() == [4.0]


def test_each_record_is_granted_to_as_many_tenants():
    given = sharing.shares(200, 12, 3)
    rows = [given.rows(tenant) for tenant in range(12)]
    assert np.bincount(np.concatenate(rows), minlength=200).tolist() == [3] * 200
    assert all(len(own) > 20 for own in rows)
    with pytest.raises(ValueError, match="12 tenants"):
        sharing.shares(10, 12, 13)
