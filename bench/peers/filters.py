"""The contenders of ``bench filters``, made by name."""

import importlib

from bench.peers import chosen, load
from bench.peers.filter_base import FilterContender

PEERS = {
    "faiss-hnsw-filter": "bench.peers.filter_faiss:FaissHnswFilters",
    "faiss-ivf-filter": "bench.peers.filter_faiss:FaissIvfFilters",
    "hnswlib-filter": "bench.peers.filter_hnswlib:HnswlibFilters",
    "chroma": "bench.peers.filter_chroma:ChromaFilters",
}


def make(option: str, codes: str) -> list[FilterContender]:
    """Return the contenders of two comma-separated options, Ramet (two for each kind of code) first.

    Raises
    ------
    ValueError
        When a name is unknown, or there is none.
    RuntimeError
        When a library is not installed.
    """
    names, kinds = chosen(option, codes, PEERS)
    made: list[FilterContender] = []
    for code in kinds:
        ours = importlib.import_module("bench.peers.filter_ramet")
        warm = ours.RametFilters(code)
        made += [warm, ours.RametNewFilters(warm)]
    return made + [load(PEERS[name], PEERS[name].split(":")[0]) for name in names]
