"""Loads on a server, driven from a process of its own, and what several turns of one load come to."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bench import truth as exact
from bench.child import Beside
from bench.datasets import Dataset
from bench.load_driver import OK, read_parts, write_parts
from bench.server_process import HOST, Serving

WARM_S = 0.5
WARM_TURNS = 40

Rows = Callable[[Iterable[bytes], int], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What every part measures on, and how long."""

    dataset: Dataset
    metric: str
    truth: exact.Truth
    k: int
    threads: int
    rounds: int
    seconds: float
    """Of one turn of the main loads; other turns are parts of it."""
    warm_s: float
    """Before every turn, not counted."""
    in_flight: int
    work: Path

    def recall(self, rows: np.ndarray, queries: np.ndarray) -> float:
        """Return the recall of the rows found for the queries of these numbers."""
        asked = exact.Truth(
            rows=self.truth.rows[queries], distances=self.truth.distances[queries], slack=self.truth.slack[queries]
        )
        base = self.dataset.base
        return exact.recall(rows, base, self.dataset.queries[queries], self.metric, asked, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to ask the queries of the scene."""

    name: str
    file: Path
    """Requests, as `write_parts` wrote them."""
    per_request: int
    """Queries of each; the first request has the first ones, and so on."""
    rows: Rows
    """Reads answers."""

    @classmethod
    def of(cls, name: str, requests: Sequence[bytes], work: Path, rows: Rows, per_request: int = 1) -> Self:
        """Write the requests down."""
        file = work / f"requests-{re.sub('[^a-z0-9]+', '-', name.lower())}.npz"
        write_parts(file, requests)
        return cls(name=name, file=file, per_request=per_request, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One load, done."""

    figures: dict[str, Any]
    """What `bench.load_driver.Run` counted."""
    seconds: float
    latencies: np.ndarray
    """(n,) int64: nanoseconds of every good answer."""
    answers: list[bytes]
    """The last good one of every request; empty where there was none."""


class Driver:
    """The driver's process. A context manager."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._process = Beside("server-driver")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    def warm(self, server: Serving, forms: Iterable[Form], in_flight: int) -> None:
        """Load a server that has just started until it has opened and compiled all that it needs; nothing is counted.

        Raises
        ------
        RuntimeError
            When there is no good answer.
        """
        for form in forms:
            for _ in range(WARM_TURNS):
                turn = self.turn(server, form, in_flight=in_flight, seconds=WARM_S, warm_s=0.0)
                if len(turn.latencies):
                    break
            else:
                raise RuntimeError(f"no answer to {form.name}: {turn.figures['statuses']} {turn.figures['samples']}")

    def turn(
        self, server: Serving, form: Form, *, in_flight: int, seconds: float, warm_s: float, wait: bool = False
    ) -> Turn:
        """Load a server; see `bench.load_driver.Load`."""
        latencies, answers = self._work / "latencies.npy", self._work / "answers.npz"
        message = {
            "host": HOST, "port": server.port, "server": server.pid, "requests": str(form.file),
            "in_flight": in_flight, "seconds": seconds, "warm_s": warm_s, "wait": wait,
            "latencies": str(latencies), "answers": str(answers),
        }  # fmt: skip
        figures = self._process.ask(message)
        return Turn(figures=figures, seconds=seconds, latencies=np.load(latencies), answers=read_parts(answers))


def errors(statuses: Counter[str] | dict[str, int]) -> int:
    """Count what was not a good answer."""
    return sum(count for status, count in statuses.items() if status != str(OK))


def counted(turns: Iterable[Turn]) -> Counter[str]:
    """Add up the statuses of several turns."""
    total: Counter[str] = Counter()
    for turn in turns:
        total.update(turn.figures["statuses"])
    return total


def line(scene: Scene, form: Form, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return what several turns come to: medians of rates, latencies of all requests together.

    CPU is in seconds of all cores. Latencies are those of requests, which for batches have several queries each.
    """
    of_turns = [turn.figures["requests_per_s"] * form.per_request for turn in turns]
    latencies = np.concatenate([turn.latencies for turn in turns])
    p50, p99 = np.percentile(latencies, (50, 99)) / 1e3 if len(latencies) else (np.nan, np.nan)
    statuses = counted(turns)
    n_queries = len(latencies) * form.per_request
    server_s, driver_s = (sum(turn.figures[f"{who}_cpu_s"] for turn in turns) for who in ("server", "driver"))
    return {
        "form": form.name,
        "queries_a_request": form.per_request,
        "in_flight": scene.in_flight,
        "seconds": sum(turn.seconds for turn in turns),
        "qps": float(np.median(of_turns)),
        "qps_of_rounds": of_turns,
        "p50_us": float(p50),
        "p99_us": float(p99),
        "p99_over_p50": float(p99 / p50),
        "slowest_us": float(latencies.max() / 1e3) if len(latencies) else None,
        "statuses": dict(statuses),
        "errors": errors(statuses),
        "samples": [sample for turn in turns for sample in turn.figures["samples"]][:3],
        "recall": recall(scene, form, turns),
        "server_cores": server_s / sum(turn.seconds for turn in turns),
        "driver_cores": driver_s / sum(turn.seconds for turn in turns),
        "queries_per_server_cpu_s": n_queries / server_s if server_s else None,
        "driver_loop": turns[0].figures["loop"],
    }


def recall(scene: Scene, form: Form, turns: Sequence[Turn]) -> float | None:
    """Return the recall of the answers, each query counted once; None without any."""
    last: dict[int, bytes] = {}
    for turn in turns:
        last |= {number: answer for number, answer in enumerate(turn.answers) if answer}
    if not last:
        return None
    queries = np.concatenate([number * form.per_request + np.arange(form.per_request) for number in last])
    return scene.recall(form.rows(last.values(), scene.k), queries)
