"""Plots: recall against latency, and growth with the number of vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display needed

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench import summary

# One colour per contender in every plot, told apart by colour-blind readers too (Okabe and Ito); Ramet is drawn bold.
COLOURS = {
    "ramet-sq8": "#D55E00",
    "ramet-none": "#E69F00",
    "ramet-auto": "#CC79A7",
    "hnswlib": "#0072B2",
    "faiss-hnsw": "#56B4E9",
    "faiss-ivf": "#009E73",
    "usearch": "#555555",
    "hnswlib-per-tenant": "#0072B2",
    "faiss-hnsw-filter": "#56B4E9",
    "faiss-ivf-filter": "#009E73",
    "hnswlib-filter": "#0072B2",
    "chroma": "#CC79A7",
    "bm25s": "#0072B2",
}
_TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_END = 1.0005  # recall 1 lies at a finite place on the axis


def recall_latency(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw recall against single-query p50 of one run, log latency, and save a PNG.

    The recall axis is stretched towards 1 (its scale is the logarithm of what is missed), where indexes differ.
    """
    figure, axes = plt.subplots(figsize=(8, 5.5), constrained_layout=True)
    for name, group in summary.series(lines).items():
        _curve(axes, name, group)
    _recall_axis(axes, [line["recall"] for line in lines])
    latency_axis(axes)
    head = lines[0]
    axes.set_title(
        f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']}), {head['mode']}", fontsize=11
    )
    axes.set_xlabel(f"recall@{head['k']}")
    axes.set_ylabel("single query, p50 (us, log)")
    axes.legend(frameon=False, fontsize=9)
    save(figure, path)


def _curve(axes: Axes, name: str, group: Sequence[Mapping[str, Any]]) -> None:
    base = name.split(" ", maxsplit=1)[0]
    ours = base.startswith("ramet-")
    points = sorted(summary.swept_points(group))
    axes.plot(
        [stretch(recall) for recall, _ in points],
        [p50 for _, p50 in points],
        color=COLOURS.get(base, "black"),
        linewidth=2.4 if ours else 1.4,
        linestyle="--" if "no prefetch" in name else "-",
        marker="o",
        markersize=4.5 if ours else 3,
        zorder=3 if ours else 2,
        label=name,
    )


def stretch(recall: float) -> float:
    """Place of a recall on an axis on which what is missed is logarithmic."""
    return float(-np.log10(_END - recall))


def recall_ticks(recalls: Sequence[float]) -> tuple[list[float], list[str]]:
    """Return places and labels of the ticks of such an axis."""
    low = min([*recalls, 0.9])
    ticks = [tick for tick in _TICKS if tick >= low - 0.05]
    return [stretch(tick) for tick in ticks], [f"{tick:g}" for tick in ticks]


def _recall_axis(axes: Axes, recalls: Sequence[float]) -> None:
    axes.set_xticks(*recall_ticks(recalls))
    for target in summary.TARGETS:
        axes.axvline(stretch(target), color="#999999", linewidth=0.8, linestyle=":", zorder=1)


def latency_axis(axes: Axes) -> None:
    """Make the y axis logarithmic, with ticks in plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.7, zorder=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def growth(sizes: Mapping[str, Sequence[tuple[int, float, float]]], slopes: Mapping[str, Any], path: Path) -> None:
    """Draw build time and query time against the number of vectors, both log-log, and save a PNG.

    Parameters
    ----------
    sizes : Mapping[str, Sequence[tuple[int, float, float]]]
        Contender -> (rows, build seconds, p50 in us at recall 0.95) per size.
    slopes : Mapping[str, Any]
        Contender -> (build exponent, query exponent), written beside the curves.
    path : Path
        PNG to write.
    """
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.5), constrained_layout=True)
    titles = ("build (s, log)", "single query p50 at recall@10 0.95 (us, log)")
    for which, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        for name, points in sizes.items():
            axes.plot(
                [point[0] for point in points],
                [point[1 + which] for point in points],
                color=COLOURS.get(name, "black"),
                linewidth=2.4 if name.startswith("ramet-") else 1.4,
                marker="o",
                label=f"{name}: n^{slopes[name][which]:.2f}",
            )
        axes.set_xscale("log")
        ticks = sorted({point[0] for points in sizes.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("vectors")
        axes.set_title(title, fontsize=10)
        latency_axis(axes)
        axes.legend(frameon=False, fontsize=9)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a PNG and forget the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
