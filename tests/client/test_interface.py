"""The clients have the interface of the embedded engine, and cost nothing to those who do not use them."""

import inspect
import json
import subprocess
import sys

import pytest

import ramet
from ramet.api.client import collection_calls, messages, rag_calls, reading
from ramet.engine import arguments
from ramet.engine.rag.llm import protocol

# What is not on the wire, or is the server's own (docs/client.md).
NOT_THERE = {"build", "scanned", "path", "is_open", "reads"}
COLLECTIONS = [ramet.RemoteCollection, ramet.AsyncRemoteCollection]
DATABASES = [ramet.RemoteDatabase, ramet.AsyncRemoteDatabase]


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_collections_have_all_methods(kind):
    assert public(ramet.Collection) - NOT_THERE <= public(kind)


@pytest.mark.parametrize("kind", DATABASES)
def test_databases_have_all_methods(kind):
    assert public(ramet.Database) - NOT_THERE <= public(kind)


def parameters(function):
    """Name, kind and default of each parameter; tenants, which default to that of the key, without one."""
    return [
        (one.name, one.kind, None if one.name == "tenant" else one.default)
        for one in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(("own", "kinds"), [(ramet.Collection, COLLECTIONS), (ramet.Database, DATABASES)])
def test_arguments_are_the_same(own, kinds):
    for kind in kinds:
        for name in public(own) - NOT_THERE - {"backup"}:
            method = getattr(own, name)
            if inspect.isfunction(method):
                assert parameters(getattr(kind, name)) == parameters(method), name


def test_the_asynchronous_twin_is_one():
    for plain, twin in ((COLLECTIONS), (DATABASES), (ramet.RemoteRag, ramet.AsyncRemoteRag)):
        assert public(plain) <= public(twin)
        for name in public(plain):
            method = getattr(plain, name)
            if inspect.isfunction(method):
                assert parameters(getattr(twin, name)) == parameters(method), name
                asynchronous = inspect.iscoroutinefunction(getattr(twin, name))
                assert asynchronous or (name == "close" and twin is ramet.AsyncRemoteCollection), name


def test_constants_are_those_of_the_engine():
    from ramet.engine import collection_search

    assert reading.MODES == collection_search.MODES and reading.FUSIONS == collection_search.FUSIONS
    assert rag_calls.MAX_TOKENS == protocol.MAX_TOKENS
    assert messages.LONG_S > 600


def test_names_are_one_part_of_a_path():
    assert collection_calls.segment("a/../ä?#%") == "a%2F%2E%2E%2F%C3%A4%3F%23%25"
    assert arguments.DEFAULT_TENANT == "default"


def loaded_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_a_directory_needs_no_http(tmp_path):
    loaded = loaded_after(f"import ramet; ramet.connect({str(tmp_path / 'data')!r}).close()")
    assert not loaded & {"httpx", "httpcore", "fastapi", "asyncio", "ssl"}
    assert "ramet.api.client.transports" not in loaded


def test_a_client_needs_no_compiler():
    code = """
import numpy as np, ramet
from ramet.api.client.described import Calls
from ramet.api.client.asking import Server
from ramet.api.client.results import Facts
from ramet.engine.settings import Settings
db = ramet.connect("http://127.0.0.1:9")
settings = Settings.checked(4, "cosine", "float32", "auto")
calls = Calls(Server(url="http://127.0.0.1:9"), Facts(name="c", settings=settings, embedder=None))
named = dict(documents=["x"], metadata=[{"n": 1}], tenant=None, on_conflict="replace", timeout_s=1.0)
calls.upsert(["a"], np.eye(4)[:1], **named)
calls.get(where={"n": 1})
calls.select("question?", 100, {})
ramet.RemoteCollection, ramet.RemoteRag, ramet.Hits, ramet.UpsertReport
"""
    assert not loaded_after(code) & {"numba", "llvmlite", "faiss", "fastapi", "torch"}


def test_without_the_package_the_extra_is_named(tmp_path):
    code = """
import sys
sys.modules["httpx"] = None
import ramet
try:
    ramet.connect("http://127.0.0.1:9")
except ramet.MissingPackageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "httpx is not installed" in done.stdout and "ramet[client]" in done.stdout


def test_options_of_a_server_are_not_for_directories(tmp_path):
    with pytest.raises(ramet.ArgumentError, match="^api_key: "):
        ramet.connect(tmp_path / "data", api_key="rk_x")
    assert not (tmp_path / "data").exists()
