"""Plots of ``bench rag``: evidence by tokens used, one row of plots per measure, one column per set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from bench import plot, rag_summary
from bench.rag_runs import OURS

COLOURS = {
    "topk": "#000000",
    "mmr": "#0072B2",
    "adaptive_k": "#56B4E9",
    "adagres": "#009E73",
    "greedy": "#D55E00",
    "greedy, filled": "#E69F00",
    "beam": "#CC79A7",
    "mcts": "#999999",
    "auto": "#A50026",
}
SHOWN = (("recall", "evidence recall"), ("all_gold", "all gold in"), ("f1", "evidence F1"))


def rag(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw every contender's measures by tokens used, one point per budget, and save a PNG."""
    names = rag_summary.sets(lines)
    figure, grid = plt.subplots(
        len(SHOWN), len(names), figsize=(4.2 * len(names), 3.4 * len(SHOWN)), squeeze=False, constrained_layout=True
    )
    for column, name in enumerate(names):
        own = rag_summary.of(lines, name)
        for row, (measure, title) in enumerate(SHOWN):
            _panel(grid[row][column], own, measure)
            grid[row][column].set_title(f"{name}: {title}", fontsize=10)
    handles, shown = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="outside lower center", ncols=min(len(shown), 3 * len(names)), frameon=False)
    plot.save(figure, path)


def _panel(axes: Axes, lines: Sequence[Mapping[str, Any]], measure: str) -> None:
    for contender, colour in COLOURS.items():
        own = [line for line in lines if line["contender"] == contender]
        if own:
            axes.plot(
                [line["tokens"] for line in own],
                [line[measure] for line in own],
                "o-",
                color=colour,
                markersize=3,
                linewidth=2.0 if contender in OURS else 1.2,
                label=contender,
            )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("tokens used (log)", fontsize=8)
    axes.grid(alpha=0.25)
