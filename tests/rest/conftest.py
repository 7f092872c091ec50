"""Servers and clients for the tests of the REST interface."""

import contextlib

import pytest

from tests.rest.serving import serving


@pytest.fixture
def start(tmp_path):
    """Start servers: ``start(max_k=10)``; by default on ``tmp_path / "data"``. They stop after the test."""
    with contextlib.ExitStack() as stack:

        def begin(data=None, change=None, **settings):
            return stack.enter_context(serving(data or tmp_path / "data", change, **settings))

        yield begin


@pytest.fixture
def server(start):
    """A server with default settings: its ``url``, ``data`` directory and ``server`` (the context of its requests)."""
    return start()


@pytest.fixture
def client(server):
    """An ``httpx.Client`` of that server, without a key."""
    with server.client() as found:
        yield found
