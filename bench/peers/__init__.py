"""The contenders, one file each, made by name."""

import importlib
from collections.abc import Mapping
from typing import Any

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
    found: Contender = load(PEERS[name], name)
    return found


def load(path: str, name: str, *arguments: str) -> Any:
    """Return an object of the class at ``module:class``; its file is imported only now.

    Raises
    ------
    RuntimeError
        When a library of the contender that is called `name` is not installed.
    """
    module, cls = path.split(":")
    try:
        return getattr(importlib.import_module(module), cls)(*arguments)
    except ImportError as error:
        raise RuntimeError(f'{name} cannot be imported ({error}); pip install "ramet[bench]"') from error


def chosen(peers: str, codes: str, known: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the peers and the codes of two comma-separated options.

    Raises
    ------
    ValueError
        When a name is unknown, or there is none.
    """
    names, kinds = split(peers), split(codes)
    for name in names:
        if name not in known:
            raise ValueError(f"--peers {name!r} is unknown; known are {', '.join(known)}")
    for code in kinds:
        if code not in CODES:
            raise ValueError(f"--codes {code!r} is unknown; known are {', '.join(CODES)}")
    if not names and not kinds:
        raise ValueError("no contenders: name some with --peers or --codes")
    return names, kinds


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
