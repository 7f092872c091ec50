"""The contenders that keep tenants apart, made by name."""

from typing import Any

from bench.peers import chosen, load
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
    names, kinds = chosen(option, codes, PEERS)
    made: list[TenantContender] = [_loaded("bench.peers.tenant_ramet:RametTenants", code) for code in kinds]
    return made + [_loaded(PEERS[name]) for name in names]


def _loaded(path: str, *arguments: str) -> Any:
    return load(path, path.split(":")[0], *arguments)
