"""Ramet's server under load, beside the same collection embedded; and under more load than it takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import building, live, machine, server_requests
from bench.child import Beside
from bench.datasets import kept
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION
from bench.server_driver import Driver, Form, Scene, Turn, counted, errors, line
from bench.server_process import Serving, ramet_server

EMBEDDED_TIMES = 5
"""Batches of one turn."""
MAX_IN_FLIGHT = 256
"""The server's default limit of requests at work."""
OVER = 2
_BUILT = "data"


def collection(scene: Scene, *, again: bool = False) -> tuple[Path, dict[str, Any]]:
    """Return the database directory with the collection, and how it was built; one of an earlier run will do."""
    name = f"{scene.dataset.key}-{scene.metric}-{scene.threads}t-ramet-server-{ramet.__version__}"

    def make(folder: Path) -> dict[str, Any]:
        print(f"  building {len(scene.dataset.base):,} records", flush=True)
        live.warm_up(scene.metric, "sq8")
        ids = [str(row) for row in range(len(scene.dataset.base))]
        with ramet.connect(folder / _BUILT, create=True) as database:
            docs = live.create(database, COLLECTION, scene.dataset.base.shape[1], scene.metric, "sq8")
            build_s = live.timed(lambda: docs.build(scene.dataset.base, ids, n_threads=scene.threads))
        return {"build_s": build_s, "built_by": machine.commit(), "disk_mb": disk_bytes(folder) / 1e6}

    folder, facts = kept(name, make, again=again)
    return folder / _BUILT, facts


def forms(scene: Scene) -> list[Form]:
    """The ways of asking: single queries as JSON and as bytes, and batches."""
    queries, k, work, rows = scene.dataset.queries, scene.k, scene.work, server_requests.ramet_rows
    size = min(server_requests.BATCH, len(queries))
    return [
        Form.of("json", server_requests.single_json(COLLECTION, queries, k), work, rows),
        Form.of("binary", server_requests.single_binary(COLLECTION, queries, k), work, rows),
        Form.of(f"binary, {size} a request", server_requests.batches(COLLECTION, queries, k), work, rows, size),
    ]


def load(scene: Scene, folder: Path, driver: Driver) -> list[dict[str, Any]]:
    """Embedded batches and every form of asking the server, in turns; return a line for each."""
    arrays = building.prepare(scene.dataset, scene.metric)
    job = {"folder": str(folder), "queries": str(arrays.queries(scene.metric, False)), "k": scene.k}
    chosen, embedded = forms(scene), []
    turns: dict[str, list[Turn]] = {form.name: [] for form in chosen}
    with ramet_server(folder, scene.work / "load.log") as server, Beside("server-embedded", job) as inside:
        inside.receive()
        driver.warm(server, chosen, scene.in_flight)
        for number in range(scene.rounds):
            embedded.append(inside.ask(EMBEDDED_TIMES))
            for form in chosen:
                seconds = scene.seconds if form.per_request == 1 else scene.seconds / 2
                turn = driver.turn(server, form, in_flight=scene.in_flight, seconds=seconds, warm_s=scene.warm_s)
                turns[form.name].append(turn)
                _said(number, form, turn)
    first = _embedded_line(scene, embedded)
    lines = [{"contender": "ramet", "share": None, **line(scene, form, turns[form.name])} for form in chosen]
    for one in lines:
        one["share"] = one["qps"] / first["qps"]
        each = one["queries_per_server_cpu_s"]
        one["share_of_cpu_s"] = each / first["queries_per_cpu_s"] if each else None
    return [first, *lines]


def _said(number: int, form: Form, turn: Turn) -> None:
    figures = turn.figures
    rate = figures["requests_per_s"] * form.per_request
    print(f"  round {number + 1}, {form.name}: {rate:,.0f} queries/s, {figures['statuses']}", flush=True)


def _embedded_line(scene: Scene, rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the batches without a server come to."""
    seconds = [took for one in rounds for took in one["seconds"]]
    n = len(scene.dataset.queries)
    rows = np.array(rounds[-1]["rows"], np.int64)
    return {
        "contender": "ramet, embedded",
        "form": f"batch of {n:,}",
        "qps": n / float(np.median(seconds)),
        "qps_of_rounds": [n / float(np.median(one["seconds"])) for one in rounds],
        "queries_per_cpu_s": n * len(seconds) / sum(one["cpu_s"] for one in rounds),
        "recall": scene.recall(rows, np.arange(n)),
    }


def overload(scene: Scene, folder: Path, driver: Driver, limit: int = MAX_IN_FLIGHT) -> list[dict[str, Any]]:
    """Load a server as usual, then with twice as many requests as it takes at once, then as usual again.

    Twice: by clients that ask again at once when they are refused, which is the worst they can do, and by clients that
    wait as long as the answer says.
    """
    form = forms(scene)[0]
    with ramet_server(folder, scene.work / "overload.log", max_in_flight=limit) as server:
        driver.warm(server, [form], scene.in_flight)
        lines = [_overloaded(scene, server, driver, form, limit, wait) for wait in (False, True)]
    return lines


def _overloaded(scene: Scene, server: Serving, driver: Driver, form: Form, limit: int, wait: bool) -> dict[str, Any]:
    seconds, many = scene.seconds / 2, OVER * limit
    before = driver.turn(server, form, in_flight=scene.in_flight, seconds=seconds / 2, warm_s=scene.warm_s)
    during = driver.turn(server, form, in_flight=many, seconds=seconds, warm_s=0.0, wait=wait)
    after = driver.turn(server, form, in_flight=scene.in_flight, seconds=seconds / 2, warm_s=0.0)
    statuses, (p50, p99) = counted([during]), _percentiles(during)
    usual, rate, then = (turn.figures["requests_per_s"] for turn in (before, during, after))
    n_refused = statuses["429"] + statuses["503"]
    clients = "that wait as told" if wait else "that ask again at once"
    print(f"  {many} clients {clients}: {dict(statuses)}", flush=True)
    return {
        "contender": "ramet",
        "clients": clients,
        "limit": limit,
        "in_flight": many,
        "seconds": seconds,
        "answered": statuses["200"],
        "refused_429": statuses["429"],
        "refused_503": statuses["503"],
        "other": errors(statuses) - n_refused,
        "samples": during.figures["samples"],
        "usual_in_flight": scene.in_flight,
        "qps_before": usual,
        "qps": rate,
        "refusals_per_s": during.figures["refusals_per_s"],
        "p50_us": p50,
        "p99_us": p99,
        "server_cores": during.figures["server_cpu_s"] / seconds,
        "driver_cores": during.figures["driver_cpu_s"] / seconds,
        "qps_after": then,
        "recovered": then / usual if usual else None,
        "first_second_after": after.figures["per_second"][0],
        "errors_around": errors(counted([before, after])),
    }


def _percentiles(turn: Turn) -> tuple[float | None, float | None]:
    if not len(turn.latencies):
        return None, None
    p50, p99 = np.percentile(turn.latencies, (50, 99)) / 1e3
    return float(p50), float(p99)
