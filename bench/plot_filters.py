"""Plot of ``bench filters``: latency against the share of the records that the filter allows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from bench import plot
from bench.plot import COLOURS, latency_axis

Lines = Sequence[Mapping[str, Any]]


def filters(lines: Lines, path: Path) -> None:
    """Draw p50 against selectivity, filters at random and near a pivot side by side, and save a PNG.

    Hollow points did not reach the recall.
    """
    figure, panels = plt.subplots(1, 2, figsize=(13, 5.5), sharey=True, constrained_layout=True)
    titles = ("filters that have nothing to do with the vectors", "filters that allow what is near a pivot")
    for near, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        for name in dict.fromkeys(line["contender"] for line in lines):
            own = [line for line in lines if line["contender"] == name and line["near"] in (bool(near), None)]
            own += [line for line in lines if near and line["contender"] == name and line["class"] == "all"]
            _curve(axes, name, sorted(own, key=lambda line: -line["share"]))
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
        axes.set_xlabel("records that the filter allows (log)")
        axes.set_title(title, fontsize=10)
        latency_axis(axes)
    head = lines[0]
    panels[0].set_ylabel(f"single query at recall@{head['k']} 0.95, p50 (us, log)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.suptitle(f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']})", fontsize=11)
    plot.save(figure, path)


def _curve(axes: Any, name: str, own: Lines) -> None:
    base = name.split(" ", maxsplit=1)[0]
    colour, ours = COLOURS.get(base, "black"), base.startswith("ramet-")
    style = "--" if name != base else "-"
    shares, p50s = [line["share"] for line in own], [line["p50_us"] for line in own]
    axes.plot(shares, p50s, color=colour, linewidth=2.4 if ours else 1.4, linestyle=style, label=name)
    for line in own:
        face = "white" if line["reached"] is False else colour
        axes.plot([line["share"]], [line["p50_us"]], marker="o", markersize=5, color=colour, markerfacecolor=face)
