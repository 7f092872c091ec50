"""Routes that do nothing but ask for rights, take time or send much: what the layers around them are tested with."""

import asyncio

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from ramet.api.rest import auth
from ramet.api.rest.auth import Asking
from ramet.api.rest.tokens import spend


class Named(BaseModel):
    tenant: str | list[str] | None = None


def add(app):
    """Add the routes under /v1/probe."""

    @app.post("/v1/probe/{right}")
    async def scoped(right: str, body: Named, principal: Asking):
        return {"tenants": auth.scope(principal, body.tenant, right)}

    @app.post("/v1/whole/{right}")
    async def whole(right: str, principal: Asking):
        auth.whole(principal, right)
        return {"key": principal.key_id}

    @app.post("/v1/size")
    async def size(request: Request):
        return {"size": len(await request.body())}

    @app.post("/v1/swallow")
    async def swallow(request: Request):
        try:
            return {"size": len(await request.body())}
        except Exception:
            return {"size": -1}

    @app.get("/v1/slow/{seconds}")
    async def slow(seconds: float):
        await asyncio.sleep(seconds)
        return {"slept": seconds}

    @app.get("/v1/own_timeout")
    async def own_timeout():
        raise TimeoutError("one of its own")

    @app.get("/v1/stream/{pause}")
    async def stream(pause: float):
        async def pieces():
            for n in range(5):
                yield f"{n}\n"
                await asyncio.sleep(pause)

        return StreamingResponse(pieces())

    @app.get("/v1/endless")
    async def endless():
        async def pieces():
            while True:
                yield b"x" * 65536

        return StreamingResponse(pieces())

    @app.post("/v1/probe/{tokens}/answer")
    async def answer(tokens: int, request: Request):
        spend(request.scope, tokens)
        return {"tokens": tokens}

    @app.get("/unguarded")
    async def unguarded(principal: Asking):
        return {"key": principal.key_id}
