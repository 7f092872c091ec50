"""The contract suite: the same tests for collections in this process and on a server."""

import contextlib

import pytest

from tests.contract.places import KINDS, LOCAL, place_of, served


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """A server for all tests, started when the first one needs it; yields a function."""
    with contextlib.ExitStack() as stack:
        started = []

        def server():
            if not started:
                started.append(stack.enter_context(served(tmp_path_factory.mktemp("served") / "data")))
            return started[0]

        yield server


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.slow) if kind == "sharded" else kind for kind in KINDS])
def place(request, tmp_path, running):
    """An empty place of each kind."""
    if request.param == "sharded" and request.node.path.stem == "test_rag":
        pytest.skip("Rag does not answer from sharded collections")
    url = None if request.param in LOCAL else running().url
    with place_of(request.param, tmp_path / "data", url) as found:
        yield found
        for name in found.db.collections():
            found.db.delete_collection(name)


@pytest.fixture
def db(place):
    """Its database."""
    return place.db


@pytest.fixture
def docs(db):
    """A collection of four dimensions."""
    return db.create_collection("docs", 4)
