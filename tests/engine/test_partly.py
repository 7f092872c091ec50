"""What the error of a write in several transactions says about those before."""

import pickle
from contextlib import contextmanager

import numpy as np
import pytest

import ramet
from ramet.engine import adding, live
from ramet.storage.errors import WriterBusyError
from tests.engine.word_hash import WordHash
from tests.engine.world import vectors


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 4)
    monkeypatch.setattr(adding, "TOGETHER", 2)
    monkeypatch.setattr(adding, "DELETED_TOGETHER", 2)
    with ramet.connect(tmp_path) as db:
        yield db.create_collection("c", embedder=WordHash())


def names(n):
    return [f"{i:02}" for i in range(n)]


@contextmanager
def taken_over(docs, after=1):
    """Somebody else takes the collection as soon as so many transactions are committed, and keeps it."""
    n, holding, commit = [0], [], live.committed

    def then():
        commit()
        n[0] += 1

    begun = docs._store.write

    def write(timeout_s):
        if n[0] == after and not holding:
            holding.append(begun(1.0))
        return begun(timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "committed", then)
        patch.setattr(type(docs._store), "write", lambda self, timeout_s=1.0: write(timeout_s))
        yield
    for one in holding:
        one.abort()


CALLS = {
    "upsert": lambda docs: docs.upsert(names(10), vectors(10, 16), timeout_s=0.05),
    "delete": lambda docs: docs.delete(names(10), timeout_s=0.05),
    "delete where": lambda docs: docs.delete(where={"n": {"$gte": 0}}, timeout_s=0.05),
    "grant": lambda docs: docs.grant(names(70), to="other", timeout_s=0.05),
    "revoke": lambda docs: docs.revoke(names(10), to="other", timeout_s=0.05),
    "add_texts": lambda docs: docs.add_texts(["one", "two", "three", "four"], list("wxyz"), timeout_s=0.05),
    "delete_texts": lambda docs: docs.delete_texts(["00", "01", "02", "03"], timeout_s=0.05),
}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("call", CALLS)
def test_an_error_tells_whether_something_was_committed(docs, call, after):
    docs.add_texts([f"text {i}" for i in range(70)], names(70), metadata=[{"n": i} for i in range(70)])
    docs.grant(names(10), to="other")
    before = (docs.tenants(), [one.metadata for one in docs.get()])
    with taken_over(docs, after), pytest.raises(WriterBusyError) as caught:
        CALLS[call](docs)
    assert caught.value.partly_done is bool(after)
    assert pickle.loads(pickle.dumps(caught.value)).partly_done is bool(after)
    if not after:
        assert (docs.tenants(), [one.metadata for one in docs.get()]) == before


def test_other_errors_say_so_too(docs):
    assert ramet.ArgumentError("k", "is wrong").partly_done is False
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.upsert(["a"], np.full((1, 16), np.nan))
    assert caught.value.partly_done is False

    class Ending(WordHash):
        calls = 0

        def embed_documents(self, texts):
            self.calls += 1
            if self.calls > 1:
                raise ramet.ArgumentError("embedder", "has ended")
            return super().embed_documents(texts)

    docs._opened.embedder = Ending()
    with pytest.raises(ramet.ArgumentError) as caught:
        docs.add_texts(["one", "two", "three"], list("xyz"))
    assert caught.value.partly_done is True
    assert [one.id for one in docs.get()] == ["x", "y"]
