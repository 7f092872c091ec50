"""The other side of a server: so many connections, each with one request on its way, in a process of its own.

HTTP/1.1 in its simplest form, written for speed: requests are bytes made before, connections are kept, of an answer
only the status and the length are read while the clock runs. No more than `in_flight` requests are ever unanswered, so
an overloaded server is not flooded by what piles up.
"""

import asyncio
import gc
import json
import re
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench import child, cpu_clock

OK = 200
CLOSED, UNANSWERED = "closed", "unanswered"
"""Counted beside the status codes: the server closed the connection, or did not answer in time."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_REFUSED = (429, 503)
_SAMPLES = 3


def write_parts(path: Path, parts: Sequence[bytes]) -> None:
    """Write pieces of bytes into one file, from which `read_parts` returns them."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    with path.open("wb") as file:
        np.savez(file, data=np.frombuffer(b"".join(parts), np.uint8), ends=ends)


def read_parts(path: Path) -> list[bytes]:
    """Return what `write_parts` wrote."""
    with np.load(path) as saved:
        data, ends = saved["data"].tobytes(), [0, *saved["ends"].tolist()]
    return [data[start:stop] for start, stop in pairwise(ends)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked, and for how long."""

    host: str
    port: int
    requests: list[bytes]
    """Whole requests, head and body, which are sent in turns."""
    in_flight: int
    warm_s: float
    """Seconds before the clock starts."""
    seconds: float
    wait: bool = False
    """Whether a connection that was refused with a 429 or 503 waits as long as the server says."""
    timeout_s: float = 35.0
    """For requests that are on their way when the time is over."""
    server: int | None = None
    """Process whose CPU time is measured."""


class Run:
    """One load in its course."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.statuses: Counter[str] = Counter()
        """Of all answers, those while warming up included."""
        self.latencies = array("q")
        """Nanoseconds of good answers that came while the clock ran."""
        self.refusals = array("q")
        """And of the others."""
        self.samples: list[str] = []
        """Beginnings of some answers that were not good."""
        self.answers: dict[int, bytes] = {}
        """Number of a request -> its last good answer."""
        self.per_second = [0] * max(1, round(load.seconds))
        self.over = False
        self.connections: set[Connection] = set()
        self._next = 0
        self._open = load.in_flight
        self._begin = self._end = 0
        self._idle = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def measure(self) -> dict[str, Any]:
        """Send requests until the time is over and all answers are there; return the figures."""
        load = self.load
        await asyncio.gather(*(self.connect() for _ in range(load.in_flight)))
        self._begin = time.perf_counter_ns() + round(load.warm_s * 1e9)
        self._end = self._begin + round(load.seconds * 1e9)
        cpu: list[tuple[float, float]] = []
        for moment in (self._begin, self._end):
            await asyncio.sleep(max(0.0, (moment - time.perf_counter_ns()) / 1e9))
            cpu.append((time.process_time(), 0.0 if load.server is None else cpu_clock.seconds(load.server)))
        self.over = True
        for connection in list(self.connections):
            connection.rest()
        try:
            await asyncio.wait_for(self._idle.wait(), load.timeout_s)
        except TimeoutError:
            self.statuses[UNANSWERED] += self._open
        for connection in list(self.connections):
            connection.abort()
        return self._figures(cpu)

    def _figures(self, cpu: list[tuple[float, float]]) -> dict[str, Any]:
        (driver, server), (driver_then, server_then) = cpu
        return {
            "requests_per_s": len(self.latencies) / self.load.seconds,
            "refusals_per_s": len(self.refusals) / self.load.seconds,
            "statuses": dict(self.statuses),
            "samples": self.samples,
            "per_second": self.per_second,
            "driver_cpu_s": driver_then - driver,
            "server_cpu_s": None if self.load.server is None else server_then - server,
            "loop": type(self._loop).__module__,
        }

    async def connect(self) -> None:
        """Open one connection, which begins to ask."""
        await self._loop.create_connection(lambda: Connection(self), self.load.host, self.load.port)

    def next(self) -> int:
        """Number of the request that is to be sent next."""
        number = self._next
        self._next = (number + 1) % len(self.load.requests)
        return number

    def done(self, number: int, took: int, now: int, status: int, answer: bytearray, body: int) -> None:
        """Count an answer."""
        self.statuses[str(status)] += 1
        counted = self._begin <= now < self._end
        if status == OK:
            self.answers[number] = bytes(answer[body:])
            if counted:
                self.latencies.append(took)
                second = (now - self._begin) // 1_000_000_000
                self.per_second[min(second, len(self.per_second) - 1)] += 1
            return
        if counted:
            self.refusals.append(took)
        if len(self.samples) < _SAMPLES and status not in _REFUSED:
            self.samples.append(bytes(answer[:400]).decode("utf8", "replace"))

    def lost(self, asking: bool) -> None:
        """A connection was closed by the server; asking: while a request was on its way."""
        if asking:
            self.statuses[CLOSED] += 1
        if self.over:
            self.ended()
        else:
            self._loop.create_task(self._again())

    async def _again(self) -> None:
        try:
            await self.connect()
        except OSError as error:
            self.statuses[CLOSED] += 1
            self.samples.append(str(error))
            await asyncio.sleep(0.1)
            self.lost(asking=False)

    def ended(self) -> None:
        """A connection has nothing more to do."""
        self._open -= 1
        if not self._open:
            self._idle.set()


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer = bytearray()
        self._whole = 0
        """Bytes of the answer with its head; 0 while the head is not there yet."""
        self._body = self._status = self._number = self._begun = 0
        self._asking = self._finished = False
        self._pause: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Ask for the first time."""
        self._transport = transport
        self._run.connections.add(self)
        self._ask()

    def rest(self) -> None:
        """Ask no more, if nothing is on its way: the time is over."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            self._ask()

    def abort(self) -> None:
        """Give up an answer that did not come."""
        self._finished = True
        self._transport.abort()

    def _ask(self) -> None:
        self._pause = None
        if self._transport.is_closing():
            return  # `connection_lost` goes on
        if self._run.over:
            self._finished = True
            self._transport.close()
            self._run.ended()
            return
        self._number, self._whole, self._asking = self._run.next(), 0, True
        self._answer.clear()
        self._begun = time.perf_counter_ns()
        self._transport.write(self._run.load.requests[self._number])

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        self._answer += data
        if not self._whole and not self._head():
            return
        if len(self._answer) < self._whole:
            return
        now = time.perf_counter_ns()
        self._asking = False
        self._run.done(self._number, now - self._begun, now, self._status, self._answer, self._body)
        if self._run.load.wait and self._status in _REFUSED:
            said = _RETRY_AFTER.search(self._answer, 0, self._body)
            self._pause = asyncio.get_running_loop().call_later(float(said[1]) if said else 0.0, self._ask)
        else:
            self._ask()

    def _head(self) -> bool:
        """Read the head of the answer; False when it is not all there."""
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = _LENGTH.search(self._answer, 0, end)
        self._status = int(self._answer[9:12])
        self._body = end + 4
        self._whole = self._body + (int(length[1]) if length else 0)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Count what was not answered, and let another connection take the place."""
        self._run.connections.discard(self)
        if self._pause is not None:
            self._pause.cancel()
        if not self._finished:
            self._finished = True
            self._run.lost(self._asking)


def run(load: Load) -> tuple[Run, dict[str, Any]]:
    """Do one load, on uvloop where it is installed; return it with its figures."""
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = None

    async def measured() -> tuple[Run, dict[str, Any]]:
        running = Run(load)
        return running, await running.measure()

    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(measured())
    finally:
        gc.unfreeze()


def driver_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: do the loads that come as messages, the fields of `Load`, and reply with the figures of each.

    ``requests`` is a file of `write_parts`. Latencies (nanoseconds) go into the file ``latencies``, and the answers, of
    every request the last good one (empty when there was none), into the file ``answers``.
    """
    requests: dict[str, list[bytes]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        latencies, answers, name = (Path(message.pop(key)) for key in ("latencies", "answers", "requests"))
        if str(name) not in requests:
            requests[str(name)] = read_parts(name)
        known = requests[str(name)]
        running, figures = run(Load(**message, requests=known))
        np.save(latencies, np.frombuffer(running.latencies, np.int64))
        write_parts(answers, [running.answers.get(number, b"") for number in range(len(known))])
        child.reply(figures)
    return {}
