"""Records that many tenants share: who may see what, and whether it is kept to, here and in another process."""

import sys
from dataclasses import dataclass, field
from json import loads
from typing import Any

import numpy as np

from bench import child, inside, live
from bench.datasets import Dataset
from bench.live import Calls, Stopwatch
from bench.peers.ramet import COLLECTION, id_rows
from bench.tenancy import name_of

SEED = 20_240_607
OWNER = "owner"
REVOKED_SHARE = 0.1
PROBES = 4
"""Of each revoked batch, so many records are searched for by their own vectors, in both processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Which tenants each record is granted to."""

    tenants: np.ndarray
    """(n_rows, n_grants) int32, distinct in a line."""
    n_tenants: int

    def rows(self, tenant: int) -> np.ndarray:
        """Rows that a tenant may see, rising."""
        return np.flatnonzero((self.tenants == tenant).any(axis=1))


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the checks found; all of it should be 0."""

    foreign: int = 0
    """Records returned to a tenant that may not see them."""
    missing: int = 0
    """Records that a tenant may see and that an exact search of everything did not return, or ``get`` did not."""
    miscounted: int = 0
    """Tenants whose ``count`` differs."""
    revoked_here: int = 0
    """Records returned after ``revoke`` had returned, in the process that revoked."""
    revoked_there: int = 0
    """The same in another process."""
    probes: int = field(default=0)
    """Queries that looked for revoked records (each process)."""


def shares(n_rows: int, n_tenants: int, n_grants: int) -> Shares:
    """Draw `n_grants` distinct tenants for each record."""
    if n_grants > n_tenants:
        raise ValueError(f"--grants {n_grants} is more than the {n_tenants} tenants")
    rng = np.random.default_rng(SEED)
    drawn = np.argsort(rng.random((n_rows, n_tenants), dtype=np.float32), axis=1)[:, :n_grants]
    return Shares(tenants=drawn.astype(np.int32), n_tenants=n_tenants)


def grant_all(docs: Any, given: Shares, batch: int) -> Calls:
    """Grant every record to its tenants, tenant by tenant, `batch` records a call."""
    watch = Stopwatch()
    for tenant in range(given.n_tenants):
        rows = given.rows(tenant)
        for part in live.batches(len(rows), batch):
            ids = [str(row) for row in rows[part]]
            granted = watch.time(len(ids), docs.grant, ids, to=name_of(tenant), tenant=OWNER)
            if granted != len(ids):
                raise RuntimeError(f"grant said {granted} of {len(ids)} records that had not been granted")
    return watch.calls()


def revoke_some(
    docs: Any, given: Shares, vectors: np.ndarray, batch: int, folder: str, seen: Seen
) -> tuple[Calls, Shares]:
    """Revoke a share of every tenant's records, and look for them at once, here and in another process.

    Returns
    -------
    Calls
        The revoking calls; the searches are not in their seconds but in the time between them.
    Shares
        What is left.
    """
    watch, left = Stopwatch(), given.tenants.copy()
    rng = np.random.default_rng([SEED, 1])
    with child.Beside("revoked", {"folder": folder}) as other:
        other.receive()
        for tenant in range(given.n_tenants):
            rows = given.rows(tenant)
            gone = rng.permutation(rows)[: round(REVOKED_SHARE * len(rows))]
            for part in live.batches(len(gone), batch):
                ids = [str(row) for row in gone[part]]
                watch.time(len(ids), docs.revoke, ids, to=name_of(tenant), tenant=OWNER)
                probes = vectors[rng.choice(gone[part], min(PROBES, len(ids)), replace=False)]
                message = {"tenant": name_of(tenant), "ids": ids, "vectors": probes.tolist()}
                seen.revoked_there += other.ask(message)
                seen.revoked_here += returned(docs, message)
                seen.probes += 2 * len(probes)
            left[np.isin(np.arange(len(left)), gone)[:, None] & (left == tenant)] = -1
    return watch.calls(), Shares(tenants=left, n_tenants=given.n_tenants)


def returned(docs: Any, message: dict[str, Any]) -> int:
    """Count revoked records among the answers to queries at the default recall and to exact ones."""
    gone = set(message["ids"])
    count = 0
    for vector in message["vectors"]:
        for effort in ({}, {"exact": True}):
            found = docs.query(np.array(vector, np.float32), 10, tenant=message["tenant"], **effort)
            count += len(gone.intersection(found.ids))
    return count


def reader_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: for each message on its input, search for revoked records and reply how many came back."""
    import ramet

    with ramet.connect(job["folder"]) as database:
        docs: Any = database.collection(COLLECTION)
        child.reply("ready")
        for line in sys.stdin:
            child.reply(returned(docs, loads(line)))
    return {}


def visible(docs: Any, given: Shares, query: np.ndarray, seen: Seen) -> None:
    """Check that each tenant sees its records and no others: by a search of everything, by ids, by their number."""
    for tenant in range(given.n_tenants):
        rows, name = given.rows(tenant), name_of(tenant)
        found = docs.query(query, len(rows) + 10, tenant=name, exact=True)
        answer = id_rows(found.ids)[0]
        seen.foreign += int(np.setdiff1d(answer, rows).size)
        seen.missing += int(np.setdiff1d(rows, answer).size)
        every = [str(row) for row in range(len(given.tenants))]
        got = np.array([int(record.id) for record in docs.get(every, tenant=name, with_vectors=False)], np.int64)
        seen.foreign += int(np.setdiff1d(got, rows).size)
        seen.missing += int(np.setdiff1d(rows, got).size)
        seen.miscounted += docs.count(tenant=name) != len(rows)


def recalls(docs: Any, given: Shares, dataset: Dataset, metric: str, n_queries: int, k: int) -> tuple[list[float], int]:
    """Return each tenant's mean recall at the default, and how many records of others came back."""
    rng = np.random.default_rng([SEED, 2])
    out, strangers = [], 0
    for tenant in range(given.n_tenants):
        chosen = dataset.queries[rng.choice(len(dataset.queries), n_queries, replace=False)]
        of_tenant = np.full(n_queries, tenant)
        truth = inside.inside(dataset.base, given.rows, chosen, of_tenant, metric, k)
        found = docs.query(chosen, k, tenant=name_of(tenant))
        of_queries, foreign = truth.judge(id_rows(found.ids))
        out.append(float(of_queries.mean()))
        strangers += foreign
    return out, strangers
