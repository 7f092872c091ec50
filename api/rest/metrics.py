"""What a server counts, for Prometheus. Labels are routes, codes and collections: never tenants, ids or texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ramet.api.rest.context import Server

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody reads

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the directory by which several processes add their figures up; set before this is imported."""

STAGES = ("queue", "search", "commit", "embed", "select", "llm")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one application; several may live in one process."""

    def __init__(self) -> None:
        self._shared = MULTIPROCESS in os.environ
        self._own = own = CollectorRegistry()
        self._requests = Counter("ramet_requests", "Requests answered.", ("route", "method", "status"), registry=own)
        self._seconds = Histogram(
            "ramet_request_seconds", "Time to answer a request.", ("route", "method"), registry=own, buckets=_SECONDS
        )
        self._in_flight = Gauge(
            "ramet_requests_in_flight", "Requests at work.", registry=own, multiprocess_mode="livesum"
        )
        self._stages = Histogram(
            "ramet_stage_seconds",
            "Time in a stage: waiting for a thread, searching, committing, embedding, selecting, language model.",
            ("stage",), registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self._together = Histogram(
            "ramet_queries_together", "Single queries that one search answered.", registry=own,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        self._joined = Histogram(
            "ramet_writes_together", "Write requests that one commit carried.", registry=own,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
        )  # fmt: skip
        self._queries = Counter("ramet_queries", "Queries answered.", ("collection",), registry=own)
        self._lists = Counter("ramet_lists_read", "Posting lists read, where counted.", ("collection",), registry=own)
        self._rows = Counter("ramet_rows_read", "Rows compared, where counted.", ("collection",), registry=own)
        self._bytes = Counter(
            "ramet_bytes_read", "Bytes of codes and vectors compared, where counted.", ("collection",), registry=own
        )
        self._written = Counter(
            "ramet_records_written", "Records upserted or deleted.", ("collection", "what"), registry=own
        )
        self._tokens = Counter(
            "ramet_tokens", "Tokens: embedded, read by a language model, written by it.", ("kind",), registry=own
        )
        self._refused = Counter("ramet_refusals", "Requests refused, by code of the problem.", ("code",), registry=own)
        self._known: dict[Any, Any] = {}

    # What the children of labels cost to find is more than what they cost to count.
    def _of(self, family: Any, *labels: str) -> Any:
        key = (family, *labels)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = family.labels(*labels)
        return found

    def begun(self) -> None:
        """A request came."""
        self._in_flight.inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered, or given up."""
        self._in_flight.dec()
        self._of(self._requests, route, method, str(status)).inc()
        self._of(self._seconds, route, method).observe(seconds)

    def refused(self, code: str) -> None:
        """A request was answered with a problem."""
        self._of(self._refused, code).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Time was spent in one of `STAGES`."""
        self._of(self._stages, name).observe(seconds)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the time inside as a stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.stage(name, perf_counter() - begin)

    def together(self, n: int, seconds: float) -> None:
        """One search answered so many single queries."""
        self._together.observe(n)
        self.stage("search", seconds)

    def joined(self, n: int, seconds: float) -> None:
        """One commit carried so many requests."""
        self._joined.observe(n)
        self.stage("commit", seconds)

    def waited(self, seconds: float) -> None:
        """Something waited for a thread."""
        self.stage("queue", seconds)

    def queries(self, collection: str, n: int = 1) -> None:
        """Queries were answered."""
        self._of(self._queries, collection).inc(n)

    def read(self, collection: str, lists: float, rows: float, n_bytes: float = 0) -> None:
        """Searches read so many lists, rows and bytes."""
        self._of(self._lists, collection).inc(lists)
        self._of(self._rows, collection).inc(rows)
        self._of(self._bytes, collection).inc(n_bytes)

    def written(self, collection: str, what: str, n: int) -> None:
        """Records were written; ``what``: "upserted" or "deleted"."""
        self._of(self._written, collection, what).inc(n)

    def tokens(self, kind: str, n: int) -> None:
        """Tokens were used; ``kind``: "embedded", "prompt" or "completion"."""
        self._of(self._tokens, kind).inc(n)

    def text(self, server: Server) -> bytes:
        """Everything in the format of Prometheus; of all processes of this server."""
        sizes = CollectorRegistry()
        sizes.register(_Sizes(server))
        counted = self._own
        if self._shared:
            _forget_dead(Path(os.environ[MULTIPROCESS]))
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        return generate_latest(counted) + generate_latest(sizes)

    def close(self) -> None:
        """Take back what only a living process has."""
        if self._shared:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def _forget_dead(directory: Path) -> None:
    """Take back the gauges of processes that were killed: nothing of theirs is at work any more."""
    for file in directory.glob("gauge_live*_*.db"):
        number = file.stem.rpartition("_")[2]
        if number.isdigit() and not Path("/proc", number).exists():
            mark_process_dead(int(number))  # type: ignore[no-untyped-call]


class _Sizes(Collector):
    """Sizes of the collections, read when they are asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Records and bytes of each collection; how many there are, and are damaged."""
        count = GaugeMetricFamily("ramet_collections", "Collections by status.", labels=["status"])
        records = GaugeMetricFamily("ramet_collection_records", "Records of a collection.", labels=["collection"])
        size = GaugeMetricFamily("ramet_collection_bytes", "Bytes on disk.", labels=["collection", "file"])
        states = {"ok": 0, "quarantined": 0}
        for name, found in self._server.sizes():
            states["quarantined" if found is None else "ok"] += 1
            if found is not None:
                records.add_metric([name], found.records)
                for file, n_bytes in found.bytes.items():
                    size.add_metric([name, file], n_bytes)
        for status, n in states.items():
            count.add_metric([status], n)
        return count, records, size
