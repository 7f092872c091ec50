"""The contenders of ``bench filters``, made by name."""

import importlib

from bench.peers import CODES, split
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
    for name in split(option):
        if name not in PEERS:
            raise ValueError(f"--peers {name!r} is unknown; known are {', '.join(PEERS)}")
    for code in split(codes):
        if code not in CODES:
            raise ValueError(f"--codes {code!r} is unknown; known are {', '.join(CODES)}")
    made: list[FilterContender] = []
    for code in split(codes):
        ours = importlib.import_module("bench.peers.filter_ramet")
        warm = ours.RametFilters(code)
        made += [warm, ours.RametNewFilters(warm)]
    made += [_made(PEERS[name]) for name in split(option)]
    if not made:
        raise ValueError("no contenders: name some with --peers or --codes")
    return made


def _made(path: str) -> FilterContender:
    module, cls = path.split(":")
    try:
        contender: FilterContender = getattr(importlib.import_module(module), cls)()
    except ImportError as error:
        raise RuntimeError(f'{module} cannot be imported ({error}); pip install "ramet[bench]"') from error
    return contender
