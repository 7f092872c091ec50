"""Plots of live collections: tenants by size, filling, churn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from bench import plot, tenant_summary
from bench.plot import COLOURS, latency_axis

Lines = Sequence[Mapping[str, Any]]
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#999999"
_LEAST_RECALL = 0.5
_STATE_COLOURS = {"fresh": "#555555", "filled": _ORANGE, "churned": _ORANGE, "maintained": _BLUE, "compacted": _BLUE}


def tenants(lines: Lines, path: Path) -> None:
    """Draw p50 (thick) and p99 (thin) of a query against the size of its tenant, and save a PNG.

    Hollow points did not reach the recall.
    """
    figure, axes = plt.subplots(figsize=(8, 5.5), constrained_layout=True)
    for title in dict.fromkeys(tenant_summary.title_of(line) for line in lines):
        own = [line for line in lines if tenant_summary.title_of(line) == title]
        _by_size(axes, title, sorted(own, key=lambda line: line["class_size"]))
    axes.set_xscale("log")
    latency_axis(axes)
    head = lines[0]
    order = "50 queries in a row" if head["sticky"] else "every query another tenant"
    axes.set_title(
        f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']}), {head['n_tenants']:,} tenants, "
        f"{head['membership']} membership, {order}",
        fontsize=10,
    )
    axes.set_xlabel("records of the tenant (log)")
    axes.set_ylabel(f"single query at recall@{head['k']} 0.95, p50 and (thin) p99 (us, log)")
    axes.legend(frameon=False, fontsize=9)
    plot.save(figure, path)


def _by_size(axes: Any, title: str, own: Lines) -> None:
    name = own[0]["contender"]
    colour, ours = COLOURS.get(name, "black"), name.startswith("ramet-")
    style = "--" if title != name else "-"
    sizes = [line["class_size"] for line in own]
    p50s = [line["p50_us"] for line in own]
    axes.plot(sizes, p50s, color=colour, linewidth=2.4 if ours else 1.4, linestyle=style, label=title)
    axes.plot(sizes, [line["p99_us"] for line in own], color=colour, linewidth=0.6, linestyle=style)
    for size, p50, line in zip(sizes, p50s, own, strict=True):
        face = "white" if line["reached"] is False else colour
        axes.plot([size], [p50], marker="o", markersize=5, color=colour, markerfacecolor=face)


def fill(lines: Lines, path: Path) -> None:
    """Draw records per second and call latency over time, and recall against rows scanned; save a PNG."""
    figure, (rate, call, recall) = plt.subplots(1, 3, figsize=(15, 4.5), constrained_layout=True)
    for line in (line for line in lines if line["kind"] == "fill"):
        colour = COLOURS.get(line["contender"], "black")
        ends, took = np.array(line["ends_s"]), np.array(line["call_s"])
        window = min(line["window"], len(ends))
        begun = ends - took
        per_s = window * line["call_records"] / (ends[window - 1 :] - begun[: len(ends) - window + 1])
        held = np.arange(1, len(ends) + 1) * line["call_records"] / 1e3
        rate.plot(held[window - 1 :], per_s, color=colour, linewidth=1.4, label=line["contender"])
        call.plot(held, took * 1e3, color=colour, linestyle="", marker=".", markersize=3, label=line["contender"])
    head = lines[0]
    rate.set_title(f"{head['dataset']}, {head['order']}: records/s over {head['window']} calls", fontsize=10)
    rate.set_ylim(bottom=0)
    call.set_title(f"calls of {head['batch']:,} records (ms, log)", fontsize=10)
    latency_axis(call)
    for axes in (rate, call):
        axes.set_xlabel("thousand records held")
        axes.legend(frameon=False, fontsize=9)
    _curves(recall, lines)
    plot.save(figure, path)


def churn(lines: Lines, path: Path) -> None:
    """Draw the reader's latency and the writer's time per step, and recall against rows scanned; save a PNG."""
    figure, (latency, step, recall) = plt.subplots(1, 3, figsize=(15, 4.5), constrained_layout=True)
    steps = [line for line in lines if line["kind"] == "step"]
    summary = next(line for line in lines if line["kind"] == "summary")
    numbers = [line["step"] for line in steps]
    for name, colour in (("p50", _BLUE), ("p99", _ORANGE)):
        values = [np.nan if line[f"{name}_us"] is None else line[f"{name}_us"] for line in steps]
        latency.plot(numbers, values, color=colour, label=f"{name} during")
        latency.axhline(summary[f"quiet_{name}_us"], color=colour, linestyle=":", label=f"{name} quiet")
    latency_axis(latency)
    latency.set_title(f"{lines[0]['dataset']}: queries of the other process (us, log)", fontsize=10)
    step.plot(numbers, [line["insert_s"] for line in steps], color=_BLUE, label="insert")
    step.plot(numbers, [line["delete_s"] for line in steps], color=_ORANGE, label="delete")
    step.set_title(f"step of {lines[0]['rows'] // max(1, len(steps)):,} records (s)", fontsize=10)
    step.set_ylim(bottom=0)
    for axes in (latency, step):
        axes.set_xlabel("step")
        axes.legend(frameon=False, fontsize=9)
    _curves(recall, lines)
    plot.save(figure, path)


def _curves(axes: Any, lines: Lines) -> None:
    """Draw recall (stretched towards 1) against rows scanned, one curve per state of the collection."""
    points = [line for line in lines if line["kind"] == "curve" and line["recall"] >= _LEAST_RECALL]
    for state in dict.fromkeys(line["state"] for line in points):
        own = [line for line in points if line["state"] == state]
        axes.plot(
            [line["rows"] for line in own],
            [plot.stretch(line["recall"]) for line in own],
            color=_STATE_COLOURS.get(state, _GREY),
            linewidth=1.4,
            marker="o",
            markersize=3,
            label=state,
        )
    axes.set_xscale("log")
    axes.set_xlabel("rows scanned (log)")
    axes.set_yticks(*plot.recall_ticks([line["recall"] for line in points]))
    axes.set_title(f"recall@{lines[0]['k']} against rows scanned", fontsize=10)
    axes.grid(color="#E5E5E5", linewidth=0.7)
    axes.legend(frameon=False, fontsize=9)
