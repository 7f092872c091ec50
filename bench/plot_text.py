"""Plots of ``bench text`` and ``bench ingest``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from bench import plot, text_summary
from bench.plot import latency_axis

Lines = Sequence[Mapping[str, Any]]
_COLOURS = ("#777777", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def text(lines: Lines, path: Path) -> None:
    """Draw nDCG@10 by set and method, the reference as a line across each bar, and the latencies; save a PNG."""
    figure, (quality, latency) = plt.subplots(1, 2, figsize=(13, 5), constrained_layout=True)
    ours = [line for line in lines if line["contender"] == text_summary.OURS]
    sets = list(dict.fromkeys(line["dataset"] for line in ours))
    methods = list(dict.fromkeys(line["method"] for line in ours))
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        own = {line["dataset"]: line for line in ours if line["method"] == method}
        at = np.arange(len(sets)) + (place - (len(methods) - 1) / 2) * width
        quality.bar(at, [own[name]["ndcg"] for name in sets], width * 0.9, color=_COLOURS[place], label=method)
        theirs = [own[name]["reference_ndcg"] for name in sets]
        quality.hlines(theirs, at - width / 2, at + width / 2, color="black", linewidth=1.2)
        latency.plot(sets, [own[name]["p50_us"] for name in sets], "o", color=_COLOURS[place], label=method)
    others = {line["dataset"]: line for line in lines if line["contender"] == "bm25s"}
    if others:
        latency.plot(sets, [others[name]["p50_us"] for name in sets], "x", color="black", label="bm25s")
    quality.set_xticks(np.arange(len(sets)), sets)
    quality.set_title("nDCG@10; black: the reference", fontsize=10)
    quality.legend(frameon=False, fontsize=9)
    latency_axis(latency)
    latency.set_title("single query without embedding, p50 (us, log)", fontsize=10)
    latency.legend(frameon=False, fontsize=9)
    plot.save(figure, path)


def ingest(lines: Lines, path: Path) -> None:
    """Draw records/s of every variant as bars, and save a PNG."""
    figure, axes = plt.subplots(figsize=(9, 4.5), constrained_layout=True)
    shown = [line for line in lines if line["records_per_s"] is not None and line["what"] != "embedding"]
    names = [f"{line['contender']}: {line['what']}, {line['calls']}" for line in shown]
    colours = [_COLOURS[1] if line["contender"] == text_summary.OURS else _COLOURS[0] for line in shown]
    axes.barh(names, [line["records_per_s"] for line in shown], color=colours)
    axes.invert_yaxis()
    axes.axvline(5_000, color="black", linestyle=":", linewidth=1)
    axes.set_xlabel(f"records/s ({lines[0]['dataset']}, {lines[0]['rows']:,} documents); dotted: target")
    plot.save(figure, path)
