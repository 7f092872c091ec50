"""The application: routes, layers around them, and a life from start to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from fastapi import FastAPI

import ramet
from ramet.api.rest import errors, express, limits, openapi
from ramet.api.rest.context import Server
from ramet.api.rest.logs import adopt
from ramet.api.rest.observing import Observing
from ramet.api.rest.problems import EVERYWHERE, declared
from ramet.api.rest.routes import ROUTERS
from ramet.api.rest.settings import Settings, load

DESCRIPTION = """Vector, keyword and hybrid search, and answers under a budget of tokens, over collections on disk.

Every error has one form, `application/problem+json`, with a `code` for programs."""

# FastAPI's own telemetry would name paths with their values: tenants and ids. `tracing` does what is needed.
_SILENT: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}


def create_app(settings: Settings) -> FastAPI:
    """Make the application of one server process; ``app.state.server`` is what its requests share.

    Raises
    ------
    ArgumentError, AccessError
        The data directory cannot be one.
    """
    server = Server(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    app = FastAPI(
        title="Ramet", version=ramet.__version__, description=DESCRIPTION, lifespan=lifespan, telemetry=_SILENT,
        redirect_slashes=False, redoc_url=None, swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    app.state.server = server
    errors.install(app)
    for name in ROUTERS:
        router = import_module(f"ramet.api.rest.routes.{name}").router
        app.include_router(router, responses=declared(*EVERYWHERE) if router.prefix else {})
    express.install(app)
    # The layer that is added last is the outermost one.
    limits.install(app, server)
    app.add_middleware(Observing, server=server)
    openapi.describe(app)
    return app


def from_environment() -> FastAPI:
    """Make the application of settings in the environment: for ``uvicorn --factory``, and each of several processes."""
    settings = load({})
    adopt(settings)
    return create_app(settings)
