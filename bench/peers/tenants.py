"""The contenders that keep tenants apart, made by name."""

import importlib

from bench.peers import CODES, split
from bench.peers.tenant_base import TenantContender

PEERS = {
    "hnswlib-per-tenant": "bench.peers.tenant_hnswlib:HnswlibPerTenant",
    "faiss-hnsw-filter": "bench.peers.tenant_faiss:FaissHnswFilter",
    "faiss-ivf-filter": "bench.peers.tenant_faiss:FaissIvfFilter",
}


def make(option: str, codes: str) -> list[TenantContender]:
    """Return the contenders of two comma-separated options, Ramet (one for each kind of code) first.

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
    made = [_made("bench.peers.tenant_ramet:RametTenants", code) for code in split(codes)]
    made += [_made(PEERS[name]) for name in split(option)]
    if not made:
        raise ValueError("no contenders: name some with --peers or --codes")
    return made


def _made(path: str, *arguments: str) -> TenantContender:
    module, cls = path.split(":")
    try:
        contender: TenantContender = getattr(importlib.import_module(module), cls)(*arguments)
    except ImportError as error:
        raise RuntimeError(f'{module} cannot be imported ({error}); pip install "ramet[bench]"') from error
    return contender
