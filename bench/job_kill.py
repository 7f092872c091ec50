"""A build job that is killed at random points and resumed: the same bytes, and what it costs.

A point is a time in the life of the job that nobody interrupts. In the life of the other one it is the place where that
job was then: so long after the same event. A resumed job gets there later by the clock, as it has to start first.
"""

import filecmp
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import job_data
from bench.job_child import NAME
from bench.job_process import Process
from bench.job_size import Conditions

SEED = 71


def measure(rows: int, n_kills: int, given: Conditions) -> list[dict[str, Any]]:
    """Return one line: the points, the time lost, and whether the bytes are the same."""
    path = job_data.file_of(rows, given.data)
    whole, broken = given.work / "whole", given.work / "broken"
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    with Process("build-job", _job(path, whole, given, resume=False)) as process:
        process.result()
        events, ended = process.events, process.last_seen()
    points = np.sort(np.random.default_rng(SEED).uniform(0, events[-1]["at"], n_kills)).tolist()
    kills, spent = _broken(_job(path, broken, given, resume=True), points, events, broken)
    differ = differing(whole / NAME, broken / NAME)
    started = sum(kill["started_s"] for kill in kills)
    return [
        {
            "kind": "kill", "rows": rows, "seed": SEED, "n_kills": len(kills), "kills": kills, "seconds": ended,
            "broken_seconds": spent, "lost_s": spent - ended, "lost_starting_s": started,
            "equal": not differ, "differ": differ, "n_files": len(files_of(whole / NAME)),
        }
    ]  # fmt: skip


def _job(path: Path, folder: Path, given: Conditions, *, resume: bool) -> dict[str, Any]:
    return {"input": str(path), "folder": str(folder), "options": given.options(resume=resume)}


def _broken(
    job: dict[str, Any], points: list[float], events: list[dict[str, Any]], folder: Path
) -> tuple[list[dict[str, Any]], float]:
    """Run the job, killed at each of the points; return the kills, and the seconds of all runs together."""
    order = {event["stage"]: number for number, event in reversed(list(enumerate(events)))}
    kills, spent = list[dict[str, Any]](), 0.0
    for point in points:
        if _over(folder):
            break
        before = [event for event in events if event["at"] <= point]
        with Process("build-job", job) as process:
            killed = _killed_at(process, point, before[-1] if before else None, order)
            spent += process.last_seen()
            if killed is None:
                process.result()
                break
            kills.append({"point_s": point, **killed})
            print(f"  killed at {point:.1f} s of the job, in {killed['stage']}", flush=True)
    if not _over(folder):
        with Process("build-job", job) as process:
            process.result()
            spent += process.last_seen()
    return kills, spent


def _over(folder: Path) -> bool:
    return (folder / NAME).exists() and not (folder / f".build-{NAME}").exists()


def _killed_at(
    process: Process, point: float, event: dict[str, Any] | None, order: dict[str, int]
) -> dict[str, Any] | None:
    """Kill the process at a point; None when it ended before."""
    if event is None:
        wait = point
    else:
        wanted = _position(event, order)
        reached = process.until(lambda one: _position(one, order) >= wanted)
        if reached is None:
            return None
        # A resumed job that begins beyond the event has been there before; it is killed as soon as it works again.
        same = _position(reached, order) == wanted
        wait = (reached["at"] + point - event["at"] if same else reached["at"]) - process.age()
    if not process.alive_after(wait) or not process.kill():
        return None
    process.look()
    last = process.events[-1] if process.events else None
    return {
        "stage": "start" if last is None else last["stage"], "done": 0 if last is None else last["done"],
        "stage_over": bool(last and last["finished"]), "after_s": process.last_seen(),
        "started_s": process.events[0]["at"] if process.events else process.last_seen(),
    }  # fmt: skip


def _position(event: dict[str, Any], order: dict[str, int]) -> tuple[int, int, bool]:
    return order.get(event["stage"], -1), event["done"], event["finished"]


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files under a collection but for locks, by their names relative to it."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if "lock" not in Path(name).name}


def differing(one: Path, other: Path) -> list[str]:
    """Return the names of files that are not in both collections, byte for byte."""
    ours, theirs = files_of(one), files_of(other)
    names = sorted(ours.keys() | theirs.keys())
    return [
        name for name in names
        if name not in ours or name not in theirs or not filecmp.cmp(ours[name], theirs[name], shallow=False)
    ]  # fmt: skip


def conditions(given: Conditions, memory: int) -> Conditions:
    """Return the same with less memory, so that stages have many units."""
    return replace(given, memory=memory)
