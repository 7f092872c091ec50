"""Ramet's server beside Chroma's on the same data: records put in by each one's client, queries by the same driver."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import building, chroma, cpu_clock, live, server_requests
from bench.child import Beside
from bench.datasets import kept, save_atomically
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION
from bench.server_driver import Driver, Form, Scene, Turn, line
from bench.server_process import Serving, chroma_server, emptied, ramet_server

EF = (100, 400)
"""Its default, and more."""
INGEST_ROWS = 30_000
INGEST_ROUNDS = 2
SIZE = 1_000
LOAD_SIZE = 5_000
"""Records of a call when the collection for the queries is made; it refuses more than 5,461."""
SHARE = 0.3
"""A turn of queries here takes this share of a turn of the main loads: there are many."""
WARM_ROWS = 2_000


def ingest(scene: Scene, rows: int = INGEST_ROWS) -> list[dict[str, Any]]:
    """Fill collections of both servers in turns, `SIZE` records a call; return a line for each.

    The records are a seeded sample in a seeded order.
    """
    rows = min(rows, len(scene.dataset.base))
    chosen = np.random.default_rng(live.ORDER_SEED).permutation(len(scene.dataset.base))[:rows]
    vectors = scene.dataset.base[chosen]
    files = {"ramet": scene.work / "ingest.npy", "chroma": scene.work / "ingest-unit.npy"}
    save_atomically(files["ramet"], vectors)
    save_atomically(files["chroma"], building.unit(vectors) if scene.metric == "cosine" else vectors)
    took: dict[str, list[dict[str, Any]]] = {name: [] for name in files}
    with ExitStack() as stack:
        sides = _sides(scene, stack)
        for number in range(-1, INGEST_ROUNDS):
            for name, (server, client) in sides.items():
                file = files[name] if number >= 0 else _warm(scene, files[name])
                figures = _ingested(server, client, f"ingest{number + 1}", file, scene.metric)
                if number < 0:
                    continue
                took[name].append(figures)
                print(f"  round {number + 1}, {name}: {rows / figures['seconds']:,.0f} records/s", flush=True)
    return [_ingest_line(name, runs, rows) for name, runs in took.items()]


def _sides(scene: Scene, stack: ExitStack) -> dict[str, tuple[Serving, Beside]]:
    """Both servers, empty, each with its client."""
    ours = stack.enter_context(ramet_server(emptied(scene.work / "ingest-ramet"), scene.work / "ingest-ramet.log"))
    theirs = stack.enter_context(chroma_server(emptied(scene.work / "ingest-chroma"), scene.work / "ingest-chroma.log"))
    return {
        "ramet": (ours, stack.enter_context(Beside("server-ingest", {"url": ours.url}))),
        "chroma": (theirs, stack.enter_context(chroma.client(theirs.port))),
    }


def _warm(scene: Scene, file: Path) -> Path:
    """Return a file with the first vectors only, to be put in before the clock starts."""
    first = scene.work / f"warm-{file.name}"
    save_atomically(first, np.load(file)[:WARM_ROWS])
    return first


def _ingested(server: Serving, client: Beside, name: str, file: Path, metric: str) -> dict[str, Any]:
    """One collection, filled and deleted again."""
    message = {"do": "ingest", "name": name, "base": str(file), "metric": metric, "size": SIZE, "drop": True}
    cpu = cpu_clock.seconds(server.pid)
    figures: dict[str, Any] = client.ask(message)
    return figures | {"server_cpu_s": cpu_clock.seconds(server.pid) - cpu}


def _ingest_line(name: str, runs: Sequence[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    """What several rounds come to. CPU is that of filling, the first query and the deletion together."""
    rates = [rows / run["seconds"] for run in runs]
    return {
        "kind": "ingest",
        "contender": name,
        "records": rows,
        "size": SIZE,
        "records_per_s": float(np.median(rates)),
        "records_per_s_of_rounds": rates,
        # what was put off until somebody asks, if anything
        "first_query_s": float(np.median([run["first_query_s"] for run in runs])),
        "slowest_call_s": max(run["slowest_call_s"] for run in runs),
        "server_cpu_s": float(np.median([run["server_cpu_s"] for run in runs])),
        "client_cpu_s": float(np.median([run["client_cpu_s"] for run in runs])),
        "stored": [run["records"] for run in runs],
    }


def loaded(scene: Scene, *, again: bool = False) -> tuple[Path, dict[str, Any]]:
    """Return Chroma's directory with all vectors, and how long that took; one of an earlier run will do."""
    name = f"{scene.dataset.key}-{scene.metric}-chroma-server-{chroma.VERSION}"

    def make(folder: Path) -> dict[str, Any]:
        print(f"  loading {len(scene.dataset.base):,} records into Chroma; 300,000 take some ten minutes", flush=True)
        base = building.prepare(scene.dataset, scene.metric).base(scene.metric, True)
        message = {"do": "ingest", "name": COLLECTION, "base": str(base), "metric": scene.metric, "drop": False}
        with chroma_server(folder / "data", scene.work / "chroma.log") as server, chroma.client(server.port) as client:
            figures = client.ask(message | {"size": LOAD_SIZE})
        return {"load_s": figures["seconds"], "load_size": LOAD_SIZE, "disk_mb": disk_bytes(folder) / 1e6}

    folder, facts = kept(name, make, again=again)
    return folder / "data", facts


def queries(
    scene: Scene, ours: Path, theirs: tuple[Path, dict[str, Any]], driver: Driver, efs: Sequence[int] = EF
) -> list[dict[str, Any]]:
    """Ask both servers the same single queries as JSON, in turns, at every ef of Chroma's search."""
    asked, k = scene.dataset.queries, scene.k
    form = Form.of("json", server_requests.single_json(COLLECTION, asked, k), scene.work, server_requests.ramet_rows)
    lines = []
    with ramet_server(ours, scene.work / "queries-ramet.log") as server:
        driver.warm(server, [form], scene.in_flight)
        for ef in efs:
            with _chroma_at(ef, theirs[0], scene) as (other, collection):
                their_form = _chroma_form(scene, collection)
                first_s = live.timed(_first, other, collection, scene)
                turns = _turns(scene, driver, {"ramet": (server, form), "chroma": (other, their_form)})
            beside = {"kind": "queries", "beside": f"ef={ef}"}
            lines.append({"contender": "ramet", "setting": "default", **beside, **line(scene, form, turns["ramet"])})
            facts = {"contender": "chroma", "setting": f"ef={ef}", "first_query_s": first_s, **theirs[1]}
            lines.append({**facts, **beside, **line(scene, their_form, turns["chroma"])})
    return lines


def _turns(scene: Scene, driver: Driver, sides: Mapping[str, tuple[Serving, Form]]) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    for number in range(scene.rounds):
        for name, (server, form) in sides.items():
            turn = driver.turn(
                server, form, in_flight=scene.in_flight, seconds=scene.seconds * SHARE, warm_s=scene.warm_s
            )
            turns[name].append(turn)
            rate = turn.figures["requests_per_s"]
            print(f"  round {number + 1}, {name}: {rate:,.0f} queries/s, {turn.figures['statuses']}", flush=True)
    return turns


@contextmanager
def _chroma_at(ef: int, folder: Path, scene: Scene) -> Iterator[tuple[Serving, str]]:
    """Chroma's server with an ef of its searches, and the id of the collection."""
    log = scene.work / "queries-chroma.log"
    with chroma_server(folder, log) as server, chroma.client(server.port) as client:
        client.ask({"do": "effort", "name": COLLECTION, "ef": ef})
        name = str(client.ask({"do": "id", "name": COLLECTION})["id"])
    with chroma_server(folder, log) as server:
        yield server, name


def _chroma_form(scene: Scene, collection: str) -> Form:
    """Chroma's requests, with vectors of the length that it got."""
    asked = building.unit(scene.dataset.queries) if scene.metric == "cosine" else scene.dataset.queries
    requests = server_requests.chroma_single(collection, asked, scene.k)
    return Form.of("chroma", requests, scene.work, server_requests.chroma_rows)


def _first(server: Serving, collection: str, scene: Scene) -> None:
    """Ask once, so that the index is in memory."""
    path = f"{server_requests.CHROMA_COLLECTIONS}/{collection}/query"
    body = json.dumps({"query_embeddings": [scene.dataset.queries[0].tolist()], "n_results": scene.k})
    status, answer = server.asked("POST", path, body.encode())
    if status != 200:
        raise RuntimeError(f"Chroma answered {status}: {answer[:300]!r}")
