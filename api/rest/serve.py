"""Running a server: one process, or several that share a socket and a data directory, until a signal stops it."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import tempfile

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ramet import ArgumentError, RametError, connect
from ramet.api.rest.auth import is_loopback
from ramet.api.rest.logs import adopt, logger_of
from ramet.api.rest.settings import Settings
from ramet.engine.keys import Keys

FACTORY = "ramet.api.rest.app:from_environment"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG = 2048
KEEP_ALIVE_S = 65


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then take no new connections, finish requests and commits, and return.

    Raises
    ------
    ArgumentError
        The address cannot be listened on, or is not loopback while no key is configured.
    AccessError, StorageError
        The data directory or the keyring cannot be used.
    """
    connect(settings.data_dir).close()  # made when missing; refused here, in one line, when it cannot be one
    guarded = Keys(settings.data_dir).guarded
    refuse_open(settings, guarded)
    adopt(settings)
    with bound(settings) as listening:
        app = _application(settings) if settings.workers == 1 else None
        _announce(settings, listening, guarded)
        if app is None:
            _several(settings, listening)
        else:
            _single(app, settings, listening)


def _announce(settings: Settings, listening: socket.socket, guarded: bool) -> None:
    """Say where the server is, and who may ask it."""
    log = logger_of(settings)
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    log.info("listening", url=url, data_dir=str(settings.data_dir), workers=settings.workers, keys=guarded)
    if not guarded:
        whom = "everybody who reaches this address" if settings.allow_unauthenticated else "everybody on this machine"
        log.warning("no_key", says=f"no API key is configured: {whom} may do everything; `ramet keys create` makes one")


def refuse_open(settings: Settings, guarded: bool) -> None:
    """Refuse to listen where others reach it while nobody needs a key.

    Raises
    ------
    ArgumentError
    """
    if guarded or settings.allow_unauthenticated or is_loopback(settings.host):
        return
    raise ArgumentError(
        "host",
        f"no API key is configured, so the server listens on loopback only, and {settings.host} is not loopback; make "
        "a key with `ramet keys create`, or allow everybody everything with --allow-unauthenticated",
    )


def bound(settings: Settings) -> socket.socket:
    """A socket at the address of the settings.

    Raises
    ------
    ArgumentError
        There is no such address, or somebody else has it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.create_server((address[0], address[1]), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ArgumentError(
            "port", f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; choose another"
        ) from error
    found.set_inheritable(True)
    return found


def _config(app: object, settings: Settings, *, factory: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application, or the name of what makes one
        factory=factory, workers=settings.workers, host=settings.host, port=settings.port,
        loop="uvloop", http="httptools", ws="none", lifespan="on", interface="asgi3",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=math.ceil(settings.drain_s),
    )  # fmt: skip


def _application(settings: Settings) -> FastAPI:
    """The application of this process, its models loaded: what is wrong with one is one line here, not a traceback."""
    from ramet.api.rest.app import create_app  # in each process after it is known how figures are counted

    app = create_app(settings)
    app.state.server.embedders.load()
    return app


def _single(app: FastAPI, settings: Settings, listening: socket.socket) -> None:
    """Serve in this process."""
    running = uvicorn.Server(_config(app, settings, factory=False))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn sends itself again what stopped it, once all is finished
    running.run(sockets=[listening])


def _several(settings: Settings, listening: socket.socket) -> None:
    """Serve in processes that are started anew when they die."""
    figures = tempfile.mkdtemp(prefix="ramet-metrics-")
    os.environ.update({**settings.as_environment(), MULTIPROCESS: figures})
    os.environ.pop("RAMET_CONFIG", None)
    try:
        together = Multiprocess(_config(FACTORY, settings, factory=True), sockets=[listening])
        together.run()
    finally:
        shutil.rmtree(figures, ignore_errors=True)
    if any(one.exitcode == STARTUP_FAILURE for one in together.processes):
        raise RametError("the server could not start; the log says why")
