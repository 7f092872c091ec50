"""The contenders, one file each, made by name."""

import importlib

from bench.peers.base import Contender

PEERS = {
    "hnswlib": "bench.peers.hnswlib:Hnswlib",
    "faiss-hnsw": "bench.peers.faiss_hnsw:FaissHnsw",
    "faiss-ivf": "bench.peers.faiss_ivf:FaissIvf",
    "usearch": "bench.peers.usearch:Usearch",
}
CODES = ("auto", "none", "sq8")


def make(name: str) -> Contender:
    """Return a contender by name: a key of `PEERS`, or ``ramet-CODES``.

    Only the contender's own file is imported, so that a missing library concerns nobody else.

    Raises
    ------
    ValueError
        When the name is unknown.
    RuntimeError
        When the contender's library is not installed.
    """
    codes = name.removeprefix("ramet-")
    if name.startswith("ramet-") and codes in CODES:
        return importlib.import_module("bench.peers.ramet").Ramet(codes)
    if name not in PEERS:
        raise ValueError(f"contender {name!r} is unknown; known are {', '.join([*PEERS, 'ramet-' + '|'.join(CODES)])}")
    module, cls = PEERS[name].split(":")
    try:
        return getattr(importlib.import_module(module), cls)()
    except ImportError as error:
        raise RuntimeError(f'{name} cannot be imported ({error}); pip install "ramet[bench]"') from error


def names(peers: str, codes: str) -> list[str]:
    """Return contender names from the two comma-separated options, Ramet first."""
    chosen = [f"ramet-{code}" for code in split(codes)] + split(peers)
    for name in chosen:
        if name.removeprefix("ramet-") not in (CODES if name.startswith("ramet-") else PEERS):
            raise ValueError(f"contender {name!r} is unknown; peers are {', '.join(PEERS)}; codes {', '.join(CODES)}")
    if not chosen:
        raise ValueError("no contenders: name some with --peers or --codes")
    return list(dict.fromkeys(chosen))


def split(option: str) -> list[str]:
    """Split a comma-separated option; empty and ``-`` mean none."""
    return [part.strip() for part in option.split(",") if part.strip() not in ("", "-")]
