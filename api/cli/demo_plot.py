"""The demo's plot; the one file of this room that imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from ramet.api.cli.demo_measure import Measurement
from ramet.api.cli.demo_words import INSTALL, MissingDemoDataError

CURVE_COLOUR = "#1f5fa8"
TARGET_COLOUR = "#c4501b"
TARGET_MARKERS = ("v", "D", "^", "s")


def require() -> None:
    """See whether a plot can be drawn, before the minutes that go into what it shows.

    Raises
    ------
    MissingDemoDataError
        matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDemoDataError(f"the plot needs matplotlib: {INSTALL}")


def draw(path: Path, title: str, curve: Sequence[Measurement], targets: Mapping[float, Measurement]) -> None:
    """Draw recall against latency.

    Parameters
    ----------
    path
        PNG file to write.
    title
        Line above the plot.
    curve
        One point per number of probes.
    targets
        Recall that was asked for -> what came of it.
    """
    # Figure alone, not pyplot: no global state, and no display is looked for.
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    points = sorted(curve, key=lambda point: point.recall)
    recalls = [point.recall for point in points]
    axes.plot(recalls, [p.p50_us for p in points], "o-", color=CURVE_COLOUR, label="median, by number of probes")
    axes.plot(recalls, [p.p99_us for p in points], "--", color=CURVE_COLOUR, alpha=0.5, label="99th percentile")
    for (target, point), marker in zip(targets.items(), TARGET_MARKERS, strict=False):
        axes.plot(point.recall, point.p50_us, marker, color=TARGET_COLOUR, label=f"median, recall {target:g} asked for")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")  # 200, not 2 x 10^2
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("recall@10, ties counted as found")
    axes.set_ylabel("time of one query, microseconds")
    axes.set_title(title)
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)
