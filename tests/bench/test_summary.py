"""Latency at equal recall."""

import pytest

from bench import summary
from bench.commands import readme, scale


def test_interpolation_is_linear_in_recall_and_logarithmic_in_latency():
    assert summary.at_recall([(0.90, 10.0), (1.00, 40.0)], 0.95) == pytest.approx(20.0)


def test_a_measured_point_gives_its_own_latency():
    assert summary.at_recall([(0.9, 10.0), (0.95, 17.0), (0.99, 50.0)], 0.95) == pytest.approx(17.0)


def test_order_of_points_does_not_matter():
    points = [(0.99, 50.0), (0.9, 10.0), (0.96, 17.0)]
    assert summary.at_recall(points, 0.95) == summary.at_recall(points[::-1], 0.95)


def test_dominated_settings_have_no_say():
    points = [(0.90, 10.0), (1.00, 40.0)]
    assert summary.at_recall([*points, (0.94, 100.0)], 0.95) == pytest.approx(20.0)
    assert summary.pareto([*points, (0.94, 100.0), (0.90, 11.0)]) == points


def test_a_recall_never_reached_is_none_and_one_always_exceeded_is_an_upper_bound():
    assert summary.at_recall([(0.5, 1.0), (0.8, 2.0)], 0.95) is None
    assert summary.at_recall([], 0.95) is None
    assert summary.at_recall([(0.97, 3.0), (0.99, 5.0)], 0.95) == 3.0


def line(contender, recall, p50, **more):
    fixed = {"rows": 1_000, "dim": 100, "dataset": "set", "metric": "l2", "mode": "hot", "k": 10, "setting": "ef=1"}
    build = {"build_s": 2.0, "peak_mb": 1.0, "open_mb": 0.1, "disk_mb": 3.0, "swept": True, "full": True}
    origin = {"machine": {"cpu": "c", "cores": 2, "memory_gib": 4.0, "python": "3.11"}, "commit": "abc"}
    return fixed | build | origin | {"contender": contender, "recall": recall, "p50_us": p50} | more


def test_table_gives_ratios_to_hnswlib_and_shares_of_the_vectors():
    lines = [line("hnswlib", 0.9, 10.0), line("hnswlib", 1.0, 40.0)]
    lines += [line("ramet-sq8", 0.9, 5.0, build_s=0.25), line("ramet-sq8", 1.0, 20.0, build_s=0.25)]
    lines.append(line("ramet-sq8", 0.95, 1.0, swept=False, build_s=0.25))
    _, ours = summary.table(lines)
    assert ours["p50@0.95"] == pytest.approx(10.0) and ours["ratio@0.95"] == pytest.approx(0.5)
    assert ours["build_speedup"] == pytest.approx(8.0)
    assert ours["open_share"] == pytest.approx(0.1 / 0.4)
    assert "ramet-sq8" in summary.text(lines)


def test_cold_lines_are_told_apart_by_prefetch():
    lines = [line("ramet-sq8", 0.96, 1.0, prefetch=True), line("ramet-sq8", 0.96, 9.0, prefetch=False)]
    assert list(summary.series(lines)) == ["ramet-sq8", "ramet-sq8 (no prefetch)"]


def test_exponent_of_growth_is_recovered():
    points = [(rows, 3.0 * rows**1.1, 2.0 * rows**0.25) for rows in (10_000, 30_000, 100_000)]
    assert scale.slope(points, 1) == pytest.approx(1.1)
    assert scale.slope(points, 2) == pytest.approx(0.25)


def test_growth_points_interpolate_each_size_on_its_own():
    lines = [line("a", recall, p50 * rows, rows=rows) for rows in (10, 20) for recall, p50 in ((0.9, 1.0), (1.0, 4.0))]
    points = scale.growth_points(lines)["a"]
    assert [rows for rows, _, _ in points] == [10, 20]
    assert points[1][2] / points[0][2] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="does not reach"):
        scale.growth_points([line("a", 0.5, 1.0)])


def test_readme_block_is_replaced_and_the_rest_kept():
    text = f"before {readme.START} old {readme.END} after"
    once = readme.filled(text, "NEW")
    assert once == f"before {readme.START}\nNEW\n{readme.END} after"
    assert readme.filled(once, "NEW") == once
    with pytest.raises(ValueError, match="no block"):
        readme.filled("nothing here", "NEW")


def test_readme_leaves_out_sets_that_were_cut_short(tmp_path):
    from bench import records

    assert readme.block(tmp_path) == readme.NONE
    records.write(tmp_path / "ann-set-l2-hot.jsonl", [line("hnswlib", 0.96, 12.0)])
    records.write(tmp_path / "ann-set-9-l2-hot.jsonl", [line("usearch", 0.96, 12.0, full=False)])
    records.write(tmp_path / "ann-set-l2-cold.jsonl", [line("faiss-ivf", 0.96, 1500.0, mode="cold", open_mb=None)])
    block = readme.block(tmp_path)
    assert "| hnswlib | 12 (1.00) |" in block and "usearch" not in block and "| faiss-ivf | 1.50 |" in block
