"""Plot of ``bench jobs``: time a record by stage, own memory, and temporary disk, for each size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from bench import job_summary, plot

Lines = Sequence[Mapping[str, Any]]
_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#F0E442", "#555555")
_LEAST = 0.03
"""Stages with less of the time of every bar are put together as "other"."""
_OTHER, _GREY = "other", "#BBBBBB"


def sizes(lines: Lines, path: Path) -> None:
    """Draw jobs of all sizes, and builds in memory beside them, and save a PNG."""
    jobs = job_summary.of(lines, "job")
    figure, (time, memory, disk) = plt.subplots(
        1, 3, figsize=(15, 4.8), constrained_layout=True, width_ratios=(2.2, 1, 1)
    )
    _stages(time, [*jobs, *job_summary.of(lines, "memory")])
    names = [_count(line["rows"]) for line in jobs]
    _memory(memory, jobs, names)
    _disk(disk, jobs, names)
    for axes in (time, memory, disk):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(axis="y", color="#E5E5E5", linewidth=0.7)
        axes.set_axisbelow(True)
    plot.save(figure, path)


def _count(rows: int) -> str:
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if rows >= unit and rows % unit == 0:
            return f"{rows // unit}{letter}"
    return f"{rows:,}"


def shown(bars: Lines) -> list[str]:
    """Return the stages that take a visible part of some bar, in the order of the stages."""
    names = dict.fromkeys(name for bar in bars for name in bar["stages"])
    return [
        name for name in names
        if any(bar["stages"].get(name, 0.0) >= _LEAST * sum(bar["stages"].values()) for bar in bars)
    ]  # fmt: skip


def _stages(axes: Any, bars: Lines) -> None:
    """Stack microseconds a record; what the stages leave of the time in all counts as other."""
    named, at = shown(bars), list(range(len(bars)))
    bottom = [0.0] * len(bars)
    parts = {name: [1e6 * bar["stages"].get(name, 0.0) / bar["rows"] for bar in bars] for name in named}
    parts[_OTHER] = [
        max(0.0, bar["us_per_record"] - sum(part[i] for part in parts.values())) for i, bar in enumerate(bars)
    ]
    for number, (name, heights) in enumerate(parts.items()):
        colour = _GREY if name == _OTHER else _COLOURS[number % len(_COLOURS)]
        hatch = "//" if number >= len(_COLOURS) and name != _OTHER else None
        axes.bar(at, heights, 0.65, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", label=name)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    for place, height in zip(at, bottom, strict=True):
        axes.text(place, height, f"{height:.0f}", ha="center", va="bottom", fontsize=10)
    kinds = {"job": "job", "memory": "in memory"}
    axes.set_xticks(at, [f"{_count(bar['rows'])}\n{kinds[bar['kind']]}" for bar in bars])
    axes.set_ylim(top=1.12 * max(bottom, default=1.0))
    head = bars[0]
    axes.set_title(f"{head['dataset']}: microseconds a record, {head['threads']} workers", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))


def _memory(axes: Any, jobs: Lines, names: list[str]) -> None:
    axes.bar(names, [line["peak_bytes"] / 1e6 for line in jobs], 0.55, color=_COLOURS[0])
    limits = [(jobs[-1]["memory"], "--memory", "--")]
    if jobs[-1].get("cap"):
        limits.append((jobs[-1]["cap"], "killed above", ":"))
    for limit, label, style in limits:
        axes.axhline(limit / 1e6, color="black", linestyle=style, linewidth=1)
        axes.text(-0.4, limit / 1e6, label, va="bottom", fontsize=9)
    axes.set_ylim(top=1.12 * max([limit / 1e6 for limit, _, _ in limits] + [line["peak_bytes"] / 1e6 for line in jobs]))
    axes.set_title("memory of its own, at most (MB)", fontsize=11)


def _disk(axes: Any, jobs: Lines, names: list[str]) -> None:
    axes.bar(names, [line["temporary_share"] for line in jobs], 0.55, color=_COLOURS[2])
    axes.axhline(job_summary.TEMPORARY, color="black", linestyle="--", linewidth=1)
    axes.text(-0.4, job_summary.TEMPORARY, "target", va="bottom", fontsize=9)
    axes.set_ylim(top=1.12 * max([job_summary.TEMPORARY] + [line["temporary_share"] for line in jobs]))
    axes.set_title("temporary disk, times the input", fontsize=11)
