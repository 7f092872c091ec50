"""A little world of metadata and filters: pools of values that collide, a store, and a dict as the model."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from hypothesis import strategies as st

from ramet.engine import filtering, where
from ramet.engine.metadata import checked, decode, encode
from ramet.storage import catalog
from ramet.storage.compact import compact
from ramet.storage.store import Store
from tests.oracle import filters

SETTINGS = {"n_factors": 0, "code_bytes": 8, "cell_bytes": 4, "vector_bytes": 0}
TENANTS = ("a", "b")
FIELDS = ("f", "g", "größe")

SHORT = ["", "a", "ab", "abc", "b", "B", "a\0", "a\0\0", "a\1", "\0", "\1", "\0\1", "ü", "u\u0308", "\uffff", "𐀀", "aa"]
LONG = ["x" * 256, "x" * 257, "x" * 300 + "a", "x" * 300 + "b", "ü" * 200, "\0" * 130, "a" + "\0" * 300, "\uffff" * 90]
TEXTS = st.sampled_from(SHORT + LONG)
NUMBERS = st.sampled_from([-(2**53), -2, -1.5, -0.0, 0, 0.0, 1, 1.0, 1.5, 2, 5e-324, 1e300, 2**53, np.inf, -np.inf])
DATES = st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1),
        datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2024, 2, 29, 12, 0, 0, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
)
SCALARS = st.one_of(TEXTS, NUMBERS, DATES, st.booleans())
VALUES = st.one_of(SCALARS, st.none(), st.lists(TEXTS, max_size=3))
METADATA = st.one_of(st.none(), st.dictionaries(st.sampled_from(FIELDS), VALUES))

_SOME = st.lists(st.one_of(SCALARS, st.none()), max_size=5)
_ORDERED = st.one_of(TEXTS, NUMBERS, DATES)
_SIMPLE = {
    "$eq": st.one_of(SCALARS, st.none()),
    "$ne": st.one_of(SCALARS, st.none()),
    "$in": _SOME,
    "$nin": _SOME,
    "$gt": _ORDERED,
    "$gte": _ORDERED,
    "$lt": _ORDERED,
    "$lte": _ORDERED,
    "$contains": TEXTS,
    "$exists": st.booleans(),
}


def _some_operators(inner):
    keys = st.lists(st.sampled_from([*_SIMPLE, "$not"]), min_size=1, max_size=3, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: _SIMPLE.get(key, inner) for key in chosen}))


OPERATIONS = st.recursive(
    st.sampled_from(sorted(_SIMPLE)).flatmap(lambda key: st.fixed_dictionaries({key: _SIMPLE[key]})),
    _some_operators,
    max_leaves=4,
)
_FIELD_FILTERS = st.dictionaries(
    st.sampled_from([*FIELDS, "unknown"]), st.one_of(SCALARS, st.none(), OPERATIONS), min_size=1, max_size=2
)


def _combined(inner):
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"$and": several}),
        st.fixed_dictionaries({"$or": several}),
        st.fixed_dictionaries({"$not": inner}),
        st.builds(lambda a, b: {**a, **b}, _FIELD_FILTERS, st.fixed_dictionaries({"$or": several})),
    )


FILTERS = st.recursive(_FIELD_FILTERS, _combined, max_leaves=6)


class World:
    """A store of two tenants, and what it should say: {tenant: {id: metadata}}."""

    def __init__(self, path):
        self.path = path
        self.store = Store.create(path, SETTINGS)
        self.said = [{} for _ in TENANTS]
        self.n_ids = 0
        with self.store.write() as writer:
            for name in TENANTS:
                writer.ensure_tenant(name)

    def come(self, tenant, metadata):
        """New records of a tenant."""
        records = checked(metadata, len(metadata))
        ids = [f"id-{self.n_ids + i}" for i in range(len(records))]
        self.n_ids += len(ids)
        with self.store.write() as writer:
            first = writer.append_rows(tenant, ids, None)
            self._describe(writer, range(first, first + len(ids)), records)
            writer.see_rows(tenant, np.arange(first, first + len(ids)), records)
        self.said[tenant].update(zip(ids, records, strict=True))

    def _describe(self, writer, rows, records):
        for row, record in zip(rows, records, strict=True):
            if record is not None:
                key = catalog.METADATA + catalog.U32_KEY.pack(row)
                catalog.put_summed(writer._reading(), key, encode(record))

    def grant(self, tenant, chosen):
        """Let the other tenant see some records, too, whatever the order of their rows."""
        other = 1 - tenant
        ids = [name for name in pick(self.said[tenant], chosen) if name not in self.said[other]]
        with self.store.write() as writer:
            rows = writer.rows_of(tenant, ids)
            writer.bind_ids(other, ids, rows)
            writer.see_rows(other, rows, [self.said[tenant][name] for name in ids])
            writer.see_rows(other, rows[:1], [self.said[tenant][name] for name in ids[:1]])
        self.said[other].update({name: self.said[tenant][name] for name in ids})

    def go(self, tenant, chosen):
        """A tenant sees some records no longer; what nobody sees is gone."""
        ids = pick(self.said[tenant], chosen)
        with self.store.write() as writer:
            rows = writer.rows_of(tenant, ids)
            writer.unbind_ids(tenant, ids)
            kept = [decode(encode(self.said[tenant].pop(name) or {})) for name in ids]
            writer.unsee_rows(tenant, rows, kept)
            gone = rows[np.array([name not in self.said[1 - tenant] for name in ids], bool)]
            writer.drop_rows(gone)
            for row in gone.tolist():
                writer._reading().delete(catalog.METADATA + catalog.U32_KEY.pack(row))

    def reopen(self):
        self.store.close()
        self.store = Store.open(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.store.close()

    def compact(self):
        """Compact, and write the metadata of all rows under the numbers that they have now."""
        compact(self.store)
        with self.store.write() as writer:
            for tenant, said in enumerate(self.said):
                ids, rows = writer.ids_of_tenant(tenant)
                self._describe(writer, rows.tolist(), [said[name] for name in ids])

    def assert_matches(self, reader, filters_given):
        """Compare what filters find for each tenant with the oracle."""
        for tenant, said in enumerate(self.said):
            ids, rows = reader.ids_of_tenant(tenant)
            names = dict(zip(rows.tolist(), ids, strict=True))
            assert set(reader.visible(tenant)) == set(names)
            assert sorted(names.values()) == sorted(said)

            def metadata_of(wanted, said=said, names=names):
                return [said[names[row]] for row in wanted.tolist()]

            for given in filters_given:
                found = filtering.matching(reader, tenant, where.parse(given), metadata_of)
                expected = {name for name, record in said.items() if filters.matches(given, record)}
                assert {names[row] for row in found} == expected, given


def pick(said, chosen):
    """Some of the ids, in an order that is not theirs."""
    ids = sorted(said)
    return list(dict.fromkeys(ids[i % len(ids)] for i in chosen)) if ids else []
