"""Plot of ``bench server``: throughput and latency, beside Chroma, and bodies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from bench import plot, server_summary
from bench.plot import COLOURS, latency_axis

Lines = Sequence[Mapping[str, Any]]
_OURS, _THEIRS, _GREY = COLOURS["ramet-sq8"], COLOURS["chroma"], "#999999"


def server(parts: Mapping[str, Lines], path: Path) -> None:
    """Draw what there is of all parts, and save a PNG."""
    draw = {"load": (_rates, _latencies), "chroma": (_chroma,), "bodies": (_bodies,)}
    panels = [(one, parts[part]) for part, several in draw.items() if part in parts for one in several]
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 4.5), constrained_layout=True, squeeze=False)
    for (draw_panel, lines), one in zip(panels, axes[0], strict=True):
        draw_panel(one, lines)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    plot.save(figure, path)


def _rates(axes: Any, lines: Lines) -> None:
    names = [f"{line['contender']}\n{line['form']}" for line in lines]
    colours = [_OURS if "share" in line else _GREY for line in lines]
    axes.barh(names, [line["qps"] for line in lines], color=colours)
    axes.axvline(server_summary.SHARE * lines[0]["qps"], color="black", linestyle=":", linewidth=1)
    axes.invert_yaxis()
    axes.set_title(f"{lines[0]['dataset']}, {lines[0]['rows']:,} rows: queries/s; dotted: target", fontsize=10)


def _latencies(axes: Any, lines: Lines) -> None:
    asked = [line for line in lines if "share" in line]
    at = np.arange(len(asked))
    for name, colour in (("p50", _OURS), ("p99", _GREY)):
        axes.plot(at, [line[f"{name}_us"] for line in asked], "o", color=colour, label=name)
    axes.set_xticks(at, [line["form"].replace(", ", "\n") for line in asked])
    axes.set_xlim(-0.5, len(asked) - 0.5)
    latency_axis(axes)
    axes.set_title(f"a request, {asked[0]['in_flight']} in flight (us, log)", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def _chroma(axes: Any, lines: Lines) -> None:
    names, rates, colours = [], [], []
    for line in lines:
        ingest = line["kind"] == "ingest"
        recall = "" if ingest or line["recall"] is None else f", recall {line['recall']:.3f}"
        beside = f" beside {line['beside']}" if not ingest and line["contender"] == "ramet" else ""
        setting = "records/s" if ingest else f"{line['setting']}{beside}{recall}"
        names.append(f"{line['contender']}\n{setting}")
        rates.append(line["records_per_s"] if ingest else line["qps"])
        colours.append(_OURS if line["contender"] == "ramet" else _THEIRS)
    axes.barh(names, rates, color=colours)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title("beside Chroma's server: records/s, queries/s", fontsize=10)


def _bodies(axes: Any, lines: Lines) -> None:
    calls = list(dict.fromkeys(line["call"] for line in lines))
    forms = list(dict.fromkeys(line["form"] for line in lines))
    width = 0.8 / len(forms)
    for place, (form, colour) in enumerate(zip(forms, (_OURS, "#0072B2", _GREY), strict=False)):
        own = [line for line in lines if line["form"] == form]
        at = np.arange(len(calls)) + (place - (len(forms) - 1) / 2) * width
        axes.bar(at, [1e3 * line["seconds"] for line in own], width * 0.9, color=colour, label=form)
    axes.set_xticks(np.arange(len(calls)), [name.replace(", ", ",\n") for name in calls])
    latency_axis(axes)
    axes.set_title(f"{lines[0]['rows']:,} x {lines[0]['dim']} (ms, log)", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
