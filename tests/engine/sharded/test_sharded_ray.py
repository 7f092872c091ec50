"""Shards served by actors of Ray give what shards in this process give."""

import os
import signal

import numpy as np
import pytest

import ramet
from tests.engine.sharded.world import clustered, everything, sharded

ray = pytest.importorskip("ray")

# Ray warns of its own future.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    """Two cores of Ray."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture
def both(cluster, tmp_path):
    """The same collection, here and behind actors."""
    vectors = clustered(800)
    here, docs = sharded(tmp_path, n_shards=2)
    content = {"documents": [f"red {i}" for i in range(800)], "metadata": [{"n": i} for i in range(800)]}
    docs.upsert([f"r{i}" for i in range(800)], vectors, **content)
    with here, ramet.connect(tmp_path, ray="auto") as there:
        yield docs, there.collection("s")


def pids(docs):
    """Processes of the actors."""

    def pid(server):
        return os.getpid()

    return [ray.get(actor.__ray_call__.remote(pid)) for actor in docs._shards.host.actors.values()]


def test_actors_give_the_same_survive_and_follow(both):
    here, there = both
    queries = clustered(20, seed=4)
    assert os.getpid() not in pids(there) and len(set(pids(there))) == 2

    def same():
        for options in ({"exact": True}, {"where": {"n": {"$lt": 99}}}, {"recall": 0.9}, {"text": ["red 7"] * 20}):
            found, expected = (each.query(queries, k=5, with_vectors=True, **options) for each in (there, here))
            assert found.ids == expected.ids and np.array_equal(found.distances, expected.distances)
        assert everything(there) == everything(here) and there.stats() == here.stats()

    same()
    # Writes and errors come through.
    there.upsert([f"r{i}" for i in range(0, 800, 9)], clustered(89, seed=6), documents=["blue"] * 89)
    there.grant(["r1"], to="other")
    with pytest.raises(ramet.UnknownTenantError) as caught:
        there.delete(["r1"], tenant="nobody")
    assert caught.value.tenant == "nobody"
    assert there.verify().ok
    same()
    # A killed actor comes back; nobody notices but by the time it takes.
    before = pids(there)
    os.kill(before[0], signal.SIGKILL)
    same()
    assert pids(there)[0] != before[0]
    # Another manifest, other actors.
    here.rebalance(3)
    same()
    assert len(pids(there)) == 3


def test_no_cluster_is_said(tmp_path, cluster):
    for address in ("", 3):
        with pytest.raises(ramet.ArgumentError, match="^ray: "):
            ramet.connect(tmp_path, ray=address)
    with pytest.raises(ramet.ArgumentError, match="^ray: is for directories"):
        ramet.connect("http://localhost:1", ray="auto")
