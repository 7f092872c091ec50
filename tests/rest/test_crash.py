"""Real server processes: killed in the middle of writes, and several on one directory."""

import asyncio
import signal

import httpx
import numpy as np
import orjson
import pytest

import ramet
from ramet.api.rest.wire import NPY, npy
from tests.rest.serving import process
from tests.rest.test_records import ok, refused

DIM = 8
BATCH = 3


def content(number):
    """A request's records: everything about them follows from its number."""
    ids = [f"r{number}-{i}" for i in range(BATCH)]
    rows = np.array([[number, i, *range(1, DIM - 1)] for i in range(BATCH)], np.float32)
    rest = {
        "ids": ids,
        "documents": [f"document {number} {i}" for i in range(BATCH)],
        "metadata": [{"number": number, "i": i} for i in range(BATCH)],
    }
    return npy(rows) + orjson.dumps(rest)


async def flood(url, kill_after, kill):
    """Keep 100 upserts under way, kill the server after so many answers; returns the numbers that got a 200."""
    acknowledged, next_number = [], iter(range(1_000_000))
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as http:

        async def worker():
            while True:
                number = next(next_number)
                try:
                    answer = await http.post(
                        "/v1/collections/c/records", content=content(number), headers={"Content-Type": NPY}
                    )
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged.append(number)
                if len(acknowledged) == kill_after:
                    kill()

        await asyncio.gather(*(worker() for _ in range(100)))
    return acknowledged


@pytest.mark.parametrize("kill_after", [1, 150, 700])
def test_every_acknowledged_record_survives_a_kill(tmp_path, kill_after):
    data = tmp_path / "data"
    with ramet.connect(data) as db:
        db.create_collection("c", DIM, "l2")
    with process(data) as server:
        done = asyncio.run(flood(server.url, kill_after, lambda: server.process.send_signal(signal.SIGKILL)))
        server.process.wait()
    assert len(done) >= kill_after
    with process(data) as server, server.client() as client:
        assert ok(client.post("/v1/collections/c/verify"))["ok"] is True
        records, cursor = {}, None
        while True:
            body = {"limit": 1000, "include": ["documents", "metadata", "vectors"]} | (
                {"cursor": cursor} if cursor else {}
            )
            page = ok(client.post("/v1/collections/c/records/get", json=body))
            records.update({one["id"]: one for one in page["records"]})
            cursor = page["cursor"]
            if cursor is None:
                break
        for number in done:
            assert all(f"r{number}-{i}" in records for i in range(BATCH)), f"request {number} was answered and is lost"
        seen = {}
        for name, one in records.items():
            number, i = map(int, name[1:].split("-"))
            assert one["vector"] == [number, i, *range(1, DIM - 1)]
            assert one["document"] == f"document {number} {i}" and one["metadata"] == {"number": number, "i": i}
            seen[number] = seen.get(number, 0) + 1
        assert set(seen.values()) <= {BATCH}, "a request was stored in part"
        found = ok(client.post("/v1/collections/c/query", json={"vector": records[f"r{done[0]}-0"]["vector"], "k": 1}))
        assert found["hits"][0]["id"] == f"r{done[0]}-0"


def test_several_servers_on_one_directory(tmp_path):
    """Each sees what the others commit, and concurrent writes through both are all there."""
    data = tmp_path / "data"
    with process(data) as one, one.client() as first:
        ok(first.post("/v1/collections", json={"name": "c", "dim": DIM, "metric": "l2"}), 201)
        second_data = tmp_path / "link"
        second_data.symlink_to(data)
        with process(second_data) as two, two.client() as second:

            async def written():
                async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
                    urls = [one.url, two.url]
                    return await asyncio.gather(
                        *(
                            http.post(
                                f"{urls[number % 2]}/v1/collections/c/records", content=content(number),
                                headers={"Content-Type": NPY},
                            )
                            for number in range(60)
                        )
                    )  # fmt: skip

            for answer in asyncio.run(written()):
                assert ok(answer) == {"inserted": BATCH, "replaced": 0, "skipped": 0}
            for client in (first, second):
                assert ok(client.post("/v1/collections/c/records/count")) == {"count": 60 * BATCH}
                hits = ok(client.post("/v1/collections/c/query", json={"vector": [41, 1, *range(1, DIM - 1)], "k": 1}))
                assert hits["hits"][0]["id"] == "r41-1"
            ok(first.post("/v1/collections/c/records/delete", json={"ids": ["r41-1"]}))
            refused(second.get("/v1/collections/c/records/r41-1"), 404, "unknown_id")
            ok(second.delete("/v1/collections/c"), 204)
            refused(first.post("/v1/collections/c/query", json={"vector": [1.0] * DIM}), 404, "unknown_collection")
            ok(second.post("/v1/collections", json={"name": "c", "dim": 2}), 201)
            assert ok(first.get("/v1/collections/c"))["dim"] == 2
            ok(first.post("/v1/collections/c/records", json={"ids": ["n"], "vectors": [[1.0, 2.0]]}))
            assert ok(second.post("/v1/collections/c/records/count")) == {"count": 1}
