"""What a live collection should say: a dict, and what every operation does to it, transaction by transaction."""

from dataclasses import dataclass, field

import numpy as np

from tests.engine.content_world import allows, as_stored, contents_in

DIM = 6
CHUNK = 256
"""Records of a transaction in a live world."""


def points(seed, n, spread, dtype):
    """Vectors around one of eight centres: identical ones (spread 0), near ones, far ones."""
    rng = np.random.default_rng([seed, n])
    centres = np.random.default_rng(5).normal(size=(8, DIM)) * 2
    made = centres[rng.integers(8, size=n if spread else 1)] + spread * rng.normal(size=(n, DIM))
    if dtype == "int8":
        return np.clip(np.round(made * 20), -127, 127).astype(np.int8) | 1
    return made.astype(np.float32)


def vectors_in(operation):
    return points(operation["seed"], len(operation["ids"]), operation["spread"], operation["dtype"])


def records_in(operation):
    """vector or None, document, metadata of each record of an upsert, as they are put."""
    vectors = vectors_in(operation)
    return [
        (vectors[i] if full else None, document, metadata)
        for i, (full, document, metadata) in enumerate(contents_in(operation))
    ]


class Refused(Exception):
    """The model refuses an operation: with this error the collection should, too."""


@dataclass
class Known:
    """A record: what it holds, which does not change, and who sees it beside its owner."""

    vector: np.ndarray | None
    document: str | None = None
    metadata: dict | None = None
    viewers: set = field(default_factory=set)

    def copied(self):
        return Known(self.vector, self.document, self.metadata, set(self.viewers))

    def shown(self, name):
        """As `live_world.ask` shows it."""
        return [name, None if self.vector is None else self.vector.tolist(), self.document, self.metadata]


@dataclass
class Model:
    """What the collection should say."""

    tenants: set = field(default_factory=set)
    records: dict = field(default_factory=dict)  # (owner, id) -> Known, in the order of their rows

    def copied(self):
        return Model(set(self.tenants), {key: known.copied() for key, known in self.records.items()})

    def seen(self, tenant):
        """id -> (owner, record) of all that a tenant sees."""
        return {
            name: (owner, known)
            for (owner, name), known in self.records.items()
            if tenant == owner or tenant in known.viewers
        }

    def owned(self, tenant):
        return sorted(name for owner, name in self.records if owner == tenant)

    def state(self):
        """Everything visible, comparable: tenant -> {id: bytes of the vector, document, metadata}."""
        return {
            tenant: {
                name: (None if known.vector is None else known.vector.tobytes(), known.document, known.metadata)
                for name, (_, known) in self.seen(tenant).items()
            }
            for tenant in sorted(self.tenants)
        }

    def steps(self, operation):
        """The models after each transaction of an operation, one after the other; what it raises is raised at once.

        The last is the one after the whole of it, and comes with what the call returns.
        """
        model = self.copied()
        return getattr(model, f"_{operation['op']}")(operation)

    def _upsert(self, operation):
        names, owners, action = operation["ids"], operation["tenants"], operation["on_conflict"]
        for owner in dict.fromkeys(owners):
            seen = self.seen(owner)
            mine = [name for name, whose in zip(names, owners, strict=True) if whose == owner]
            if action == "error" and any(name in seen for name in mine):
                raise Refused("ConflictError")
            if action == "replace" and any(name in seen and seen[name][0] != owner for name in mine):
                raise Refused("NotOwnerError")
        rank = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
        order = sorted(range(len(names)), key=lambda i: rank[owners[i]])
        records, report, states = records_in(operation), [0, 0, 0], []
        for first in range(0, len(order), CHUNK):
            part = order[first : first + CHUNK]
            seen = {owner: self.seen(owner) for owner in {owners[i] for i in part}}
            for i in part:
                self.tenants.add(owners[i])
                there = names[i] in seen[owners[i]]
                report[2 if there and action == "skip" else int(there)] += 1
                if not there or action != "skip":
                    self._put((owners[i], names[i]), *records[i])
            states.append(self.copied())
        return states or [self], report

    def _put(self, key, vector, document, metadata):
        """A new record takes nothing over from the old one but who sees it, and its row is the last one."""
        old = self.records.pop(key, None)
        self.records[key] = Known(vector, document, as_stored(metadata), old.viewers if old else set())

    def _delete(self, operation):
        tenant, names = operation["tenant"], operation["ids"]
        if names and tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        self._refuse_foreign(tenant, names)
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            n += sum(self.records.pop((tenant, name), None) is not None for name in names[first : first + CHUNK])
            states.append(self.copied())
        return states or [self], n

    def _delete_where(self, operation):
        tenant = operation["tenant"]
        if tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        chosen = [
            key for key, known in self.records.items() if key[0] == tenant and allows(operation["where"], known)
        ]  # fmt: skip
        states = []
        for first in range(0, len(chosen) or 1, CHUNK):
            for key in chosen[first : first + CHUNK]:
                del self.records[key]
            states.append(self.copied())
        return states, len(chosen)

    def _grant(self, operation):
        tenant, names, to = operation["tenant"], operation["ids"], operation["to"]
        if not names:
            return [self], 0
        if tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        self._refuse_foreign(tenant, names, missing="UnknownIdError")
        for other in to:
            theirs = self.seen(other)
            if any(name in theirs and theirs[name][0] != tenant for name in names):
                raise Refused("ConflictError")
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            for other in dict.fromkeys(to):
                self.tenants.add(other)
                for name in names[first : first + CHUNK]:
                    viewers = self.records[tenant, name].viewers
                    n += other != tenant and other not in viewers
                    viewers |= {other} - {tenant}
            states.append(self.copied())
        return states, n

    def _refuse_foreign(self, tenant, names, missing=None):
        seen = self.seen(tenant)
        if missing and any(name not in seen for name in names):
            raise Refused(missing)
        if any(name in seen and seen[name][0] != tenant for name in names):
            raise Refused("NotOwnerError")

    def _revoke(self, operation):
        tenant, names, to = operation["tenant"], operation["ids"], operation["to"]
        if not names:
            return [self], 0
        if not {tenant, *to} <= self.tenants:
            raise Refused("UnknownTenantError")
        self._refuse_foreign(tenant, names)
        states, n = [], 0
        for first in range(0, len(names), CHUNK):
            for name in names[first : first + CHUNK]:
                if (tenant, name) in self.records:
                    viewers = self.records[tenant, name].viewers
                    n += len(viewers & set(to))
                    viewers -= set(to)
            states.append(self.copied())
        return states, n

    def _drop_tenant(self, operation):
        tenant = operation["tenant"]
        if tenant not in self.tenants:
            raise Refused("UnknownTenantError")
        mine = self.owned(tenant)
        for name in mine:
            del self.records[tenant, name]
        for known in self.records.values():
            known.viewers.discard(tenant)
        self.tenants.discard(tenant)
        return [self], len(mine)

    def _maintain(self, operation):
        return [self], None
