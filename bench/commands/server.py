"""``python -m bench server``: the server under load and overload, beside Chroma's, and bytes beside JSON."""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import (
    chroma,
    datasets,
    machine,
    plot_server,
    records,
    runs,
    server_bodies,
    server_chroma,
    server_load,
    server_summary,
)
from bench import truth as exact
from bench.commands import options
from bench.peers import split
from bench.server_driver import Driver, Scene

ROWS = 300_000
PARTS = ("load", "overload", "chroma", "bodies")
PREPARE = "prepare"


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("server", help="the server under load, beside Chroma's, and bytes beside JSON")
    options.add_datasets(parser, "glove100")
    parser.add_argument("--rows", type=options.positive, default=ROWS, help=f"so many vectors (default {ROWS})")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    parser.add_argument(
        "--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; or {PREPARE}: only fill the collections"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of one turn of the main loads (default 20)")
    parser.add_argument("--warm", type=float, default=2.0, help="seconds before each that do not count (default 2)")
    parser.add_argument("--in-flight", type=options.positive, default=64, help="requests at once (default 64)")
    parser.add_argument(
        "--limit", type=options.positive, default=server_load.MAX_IN_FLIGHT,
        help=f"requests that the overloaded server takes at once (default {server_load.MAX_IN_FLIGHT}, as a server's)",
    )  # fmt: skip
    parser.add_argument(
        "--ingest-rows", type=options.positive, default=server_chroma.INGEST_ROWS,
        help=f"records put in beside Chroma, each round (default {server_chroma.INGEST_ROWS})",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="do not take the collections of an earlier run")
    options.add_run(parser, rounds=3)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure the parts asked for."""
    chosen = split(args.parts)
    if unknown := set(chosen) - {*PARTS, PREPARE}:
        raise ValueError(f"--parts {', '.join(sorted(unknown))}: known are {', '.join((*PARTS, PREPARE))}")
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    for name in split(args.dataset):
        _one(name, chosen, args)
    return 0


def _one(name: str, chosen: list[str], args: argparse.Namespace) -> None:
    dataset = datasets.load(name, data=args.data, rows=args.rows)
    metric = args.metric or dataset.metric
    print(f"{dataset.label}, {metric}: {len(dataset.base):,} rows", flush=True)
    with datasets.work_dir() as work:
        scene = Scene(
            dataset=dataset, metric=metric, truth=exact.of_dataset(dataset, metric), k=args.k, threads=args.threads,
            rounds=args.rounds, seconds=args.seconds, warm_s=args.warm, in_flight=args.in_flight, work=work,
        )  # fmt: skip
        parts = _Parts(scene, args)
        for part in chosen:
            begun = time.perf_counter()
            print(f" {part}", flush=True)
            lines = parts.do(part)
            print(f"  {part} took {time.perf_counter() - begun:.0f} s", flush=True)
            if lines:
                _written(part, lines, scene, args.out)
    _drawn(f"{dataset.label}-{metric}", args.out)


class _Parts:
    """The parts, and the collections that they share."""

    def __init__(self, scene: Scene, args: argparse.Namespace) -> None:
        self._scene, self._args = scene, args
        self._ours: tuple[Path, dict[str, Any]] | None = None
        self._theirs: tuple[Path, dict[str, Any]] | None = None

    def do(self, part: str) -> list[dict[str, Any]]:
        """Do one part; return its lines."""
        do: dict[str, Callable[[], list[dict[str, Any]]]] = {
            PREPARE: self._prepare,
            "load": self._load,
            "overload": self._overload,
            "chroma": self._chroma,
            "bodies": lambda: server_bodies.measure(self._scene.work),
        }
        return do[part]()

    @property
    def ours(self) -> tuple[Path, dict[str, Any]]:
        """Ramet's collection, and facts about it."""
        if self._ours is None:
            self._ours = server_load.collection(self._scene, again=self._args.again)
        return self._ours

    @property
    def theirs(self) -> tuple[Path, dict[str, Any]]:
        """Chroma's."""
        if self._theirs is None:
            self._theirs = server_chroma.loaded(self._scene, again=self._args.again)
        return self._theirs

    def _prepare(self) -> list[dict[str, Any]]:
        print(f"  {self.ours[1]}\n  {self.theirs[1]}", flush=True)
        return []

    def _load(self) -> list[dict[str, Any]]:
        folder, facts = self.ours
        with Driver(self._scene.work) as driver:
            return [facts | line for line in server_load.load(self._scene, folder, driver)]

    def _overload(self) -> list[dict[str, Any]]:
        folder = self.ours[0]
        with Driver(self._scene.work) as driver:
            return server_load.overload(self._scene, folder, driver, self._args.limit)

    def _chroma(self) -> list[dict[str, Any]]:
        ours, theirs = self.ours[0], self.theirs
        lines = server_chroma.ingest(self._scene, self._args.ingest_rows)
        with Driver(self._scene.work) as driver:
            lines += server_chroma.queries(self._scene, ours, theirs, driver)
        return [{"chroma": chroma.VERSION} | line for line in lines]


def _written(part: str, lines: list[dict[str, Any]], scene: Scene, out: Path) -> None:
    """Write the lines of one part, each with what the run is about."""
    head = runs.header_of(
        "server", scene.dataset, scene.metric, threads=scene.threads, k=scene.k, rounds=scene.rounds,
        n_queries=len(scene.dataset.queries),
    )  # fmt: skip
    cores = head.machine["cores"]
    more = {"part": part, "together": f"server and driver share {cores} cores over loopback"}
    joined = [asdict(head) | more | line for line in lines]
    name = "server-bodies" if part == "bodies" else f"server-{part}-{scene.dataset.label}-{scene.metric}"
    records.write(Path(out) / f"{name}.jsonl", joined)
    print(server_summary.text(part, joined))
    print(f"-> {Path(out) / name}.jsonl\n", flush=True)


def _drawn(label: str, out: Path) -> None:
    """Draw the parts that there are results of, those of earlier runs included."""
    files = {part: Path(out) / f"server-{part}-{label}.jsonl" for part in PARTS if part != "bodies"}
    files["bodies"] = Path(out) / "server-bodies.jsonl"
    found = {part: records.read(file) for part, file in files.items() if file.exists()}
    plot_server.server(found, Path(out) / f"server-{label}.png")
