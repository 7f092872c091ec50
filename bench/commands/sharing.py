"""``python -m bench sharing``: records granted to many tenants, and taken away again."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, live, machine, peers, records, runs, sharing
from bench.commands import options
from bench.live import Calls
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION

ROWS = 100_000
TENANTS = 100
GRANTS = 10
TARGET = 0.95


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("sharing", help="records granted to many tenants, and taken away again")
    options.add_datasets(parser, "glove100")
    parser.add_argument("--rows", type=options.positive, default=ROWS, help=f"records (default {ROWS})")
    parser.add_argument("--tenants", type=options.positive, default=TENANTS, help=f"tenants (default {TENANTS})")
    parser.add_argument(
        "--grants", type=options.positive, default=GRANTS, help=f"tenants per record (default {GRANTS})"
    )
    parser.add_argument("--batch", type=options.positive, default=1_000, help="records per call (default 1000)")
    parser.add_argument("--queries", type=options.positive, default=200, help="queries per tenant (default 200)")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    options.add_run(parser, rounds=3)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Share every data set asked for; return 1 when a tenant saw too much or too little."""
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    failed = False
    for name in peers.split(args.dataset):
        dataset = datasets.load(name, data=args.data, rows=args.rows)
        for codes in peers.split(args.codes):
            failed |= _one(dataset, args.metric or dataset.metric, codes, args)
    return int(failed)


def _one(dataset: datasets.Dataset, metric: str, codes: str, args: argparse.Namespace) -> bool:
    print(f"{dataset.label}, {metric}, ramet-{codes}: each record granted to {args.grants} of {args.tenants} tenants")
    given = sharing.shares(len(dataset.base), args.tenants, args.grants)
    live.warm_up(metric, codes)
    rounds = []
    for number in range(args.rounds):
        with datasets.work_dir() as work:
            rounds.append(_round(dataset, metric, codes, given, work, args, check_all=number == 0))
    line = merged(rounds)
    counts = {"threads": args.threads, "k": args.k, "rounds": args.rounds, "n_queries": args.queries}
    head = asdict(runs.header_of("sharing", dataset, metric, **counts))
    head |= {"contender": f"ramet-{codes}", "n_tenants": args.tenants, "grants_per_record": args.grants}
    path = Path(args.out) / f"sharing-{dataset.label}-{metric}{'' if codes == 'sq8' else f'-{codes}'}.jsonl"
    records.write(path, [head | {"batch": args.batch} | line])
    failed = _show(line)
    print(f"-> {path}", flush=True)
    return failed


def _round(
    dataset: datasets.Dataset,
    metric: str,
    codes: str,
    given: sharing.Shares,
    work: Path,
    args: argparse.Namespace,
    *,
    check_all: bool,
) -> dict[str, Any]:
    """Own, grant, check, revoke, check."""
    import ramet

    folder, seen = work / "shared", sharing.Seen()
    facts: dict[str, Any] = {"vector_bytes": dataset.base.shape[1] * 4}
    ids = [str(row) for row in range(len(dataset.base))]
    with ramet.connect(folder, create=True) as database:
        docs = live.create(database, COLLECTION, dataset.base.shape[1], metric, codes)
        live.upsert_all(docs, dataset.base, ids, args.batch, [sharing.OWNER] * len(ids))
        facts["owned_disk_mb"] = disk_bytes(folder) / 1e6
        facts |= _calls("grant", sharing.grant_all(docs, given, args.batch))
        facts["granted_disk_mb"] = disk_bytes(folder) / 1e6
        if check_all:
            sharing.visible(docs, given, dataset.queries[0], seen)
            facts |= _recall(docs, given, dataset, metric, args, seen)
        revokes, left = sharing.revoke_some(docs, given, dataset.base, args.batch, str(folder), seen)
        facts |= _calls("revoke", revokes)
        if check_all:
            sharing.visible(docs, left, dataset.queries[0], seen)
            seen.missing += len(ids) - docs.count(tenant=sharing.OWNER)
        facts["revoked_disk_mb"] = disk_bytes(folder) / 1e6
        facts["compact_s"] = live.timed(docs.compact)
    facts["compact_disk_mb"] = disk_bytes(folder) / 1e6
    facts["bytes_per_grant"] = 1e6 * (facts["granted_disk_mb"] - facts["owned_disk_mb"]) / facts["n_grants"]
    return facts | asdict(seen)


def _recall(
    docs: Any,
    given: sharing.Shares,
    dataset: datasets.Dataset,
    metric: str,
    args: argparse.Namespace,
    seen: sharing.Seen,
) -> dict[str, Any]:
    of_tenants, strangers = sharing.recalls(docs, given, dataset, metric, args.queries, args.k)
    seen.foreign += strangers
    return {"recall_mean": float(np.mean(of_tenants)), "recall_worst": min(of_tenants)}


def _calls(name: str, calls: Calls) -> dict[str, float]:
    """Records a second inside the calls: between two of them there may have been checks."""
    return {
        f"n_{name}s": int(calls.records.sum()),
        f"{name}s_per_s": float(calls.records.sum() / calls.seconds.sum()),
        f"slowest_{name}_s": float(calls.seconds.max()),
    }


def merged(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over rounds; sums of what must not happen, maxima of the slowest calls."""
    out = dict(rounds[0])
    for name in rounds[-1]:
        values = [one[name] for one in rounds if name in one]
        if name in sharing.Seen.__dataclass_fields__:
            out[name] = sum(values)
        elif name.startswith("slowest_"):
            out[name] = max(values)
        elif name.endswith(("_per_s", "_mb", "_s", "bytes_per_grant")):
            out[name] = float(np.median(values))
    return out


def _show(line: dict[str, Any]) -> bool:
    wrong = {name: line[name] for name in sharing.Seen.__dataclass_fields__ if name != "probes"}
    print(
        f"  grants {line['grants_per_s']:,.0f} records/s (slowest call {line['slowest_grant_s']:.3f} s), revokes "
        f"{line['revokes_per_s']:,.0f} (slowest {line['slowest_revoke_s']:.3f} s)"
    )
    print(f"  recall per tenant: mean {line['recall_mean']:.4f}, worst {line['recall_worst']:.4f} (target {TARGET:g})")
    print(
        f"  disk: owned {line['owned_disk_mb']:.0f} MB, granted {line['granted_disk_mb']:.0f}, after revoking "
        f"{line['revoked_disk_mb']:.0f}, compacted {line['compact_disk_mb']:.0f}; {line['bytes_per_grant']:.0f} bytes "
        f"a grant (a float32 vector has {line['vector_bytes']})"
    )
    print(f"  must be 0: {wrong}; {line['probes']:,} searches for revoked records in each process")
    return any(wrong.values()) or line["recall_mean"] < TARGET
