"""A live collection against a dict: any order of writes, by this process and by others that are killed on the way."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ramet
from ramet.engine.collection import Collection
from tests.engine import content_world, live_world
from tests.engine.dict_model import DIM, Model, Refused, points
from tests.engine.live_world import KINDS, SOAK
from tests.engine.other_processes import Other

STEPS = 60 if SOAK else 25

TENANTS = ["a", "b", "ç\0", "d"]
others, tenant_names = {}, st.sampled_from(TENANTS)
at_home = Counter()


def other(role):
    """The other process of a role, for the whole run."""
    if role not in others:
        others[role] = Other(role)
    return others[role]


@pytest.fixture(scope="module", autouse=True)
def _processes():
    yield
    while others:
        others.popitem()[1].close()
    print(f"rows in their nearest cell: {at_home['near']} of {at_home['rows']}")


sizes = st.one_of(st.integers(0, 6), st.integers(7, 60), st.integers(300, 700))
spreads = st.sampled_from([0.0, 0.0, 1e-3, 0.1, 0.5, 2.0])


@st.composite
def batches(draw):
    """An upsert: ids from a small range, so that they meet those that are there; some with mixed tenants."""
    return {
        "op": "upsert",
        "n": draw(sizes),
        "first": draw(st.sampled_from([0, 0, 20, 100, 500, 2000])),
        "owners": draw(st.lists(tenant_names, min_size=1, max_size=4)) if draw(st.booleans()) else [draw(tenant_names)],
        "seed": draw(st.integers(0, 1000)),
        "spread": draw(spreads),
        "on_conflict": draw(st.sampled_from(["replace", "replace", "replace", "skip", "error"])),
        "content": draw(st.sampled_from(content_world.KINDS)),
        "bare": draw(st.sampled_from([0, 0, 0.3, 1])),
    }


def spelt(batch):
    """The operation with one id and one owner for each record."""
    n, owners = batch["n"], batch["owners"]
    ids = [f"{batch['first'] + i}" for i in range(n)]
    return {**batch, "ids": ids, "tenants": [owners[i % len(owners)] for i in range(n)]}


class Live(RuleBasedStateMachine):
    """Every rule is one call, in this process or in a child that may be killed."""

    @initialize(
        kind=st.sampled_from(sorted(KINDS)),
        start=st.sampled_from(["empty", "groups", "hnsw"]),
        language=st.sampled_from(content_world.LANGUAGES),
    )
    def create(self, kind, start, language):
        self.limits = live_world.shrunk()
        self.directory = Path(tempfile.mkdtemp(prefix="ramet-live-"))
        self.dtype, codes, self.metric = KINDS[kind]
        self.strict = codes == "none"
        self.model, self.language, self.n_steps = Model(), language, 0
        self.db = ramet.connect(self.directory)
        self.collection = self.db.create_collection("c", DIM, self.metric, self.dtype, codes, language=language)
        event(f"{kind}, {start}")
        if start != "empty":
            built = {"op": "upsert", "ids": [str(i) for i in range(500)], "tenants": ["a"] * 500, "seed": 3,
                     "spread": 0.4, "dtype": self.dtype, "on_conflict": "error", "content": "rich"}  # fmt: skip
            self.collection.build(ids=built["ids"], tenant="a", navigation=start, **live_world.put(built))
            states, _ = self.model.steps(built)
            self.model = states[-1]
        assert other("read")(open=str(self.directory / "c"))

    def teardown(self):
        if hasattr(self, "directory"):
            try:
                self.compare_all()
                report = self.collection.verify()
                assert report.ok, [str(problem) for problem in report.problems[:3]]
            finally:
                self.collection.close()
                self.limits.close()
                shutil.rmtree(self.directory)

    # ------------------------------------------------------------------------------------------------------- writing

    def do(self, operation):
        """Perform an operation here, and hold what it returns or raises against the model."""
        operation["dtype"] = self.dtype
        try:
            states, result = self.model.steps(operation)
        except Refused as refused:
            with pytest.raises(getattr(ramet, str(refused))):
                live_world.perform(self.collection, operation)
            return
        assert live_world.perform(self.collection, operation) == result
        self.model = states[-1]

    @rule(batch=batches())
    def upsert(self, batch):
        if not batch["n"]:
            assert self.collection.upsert([], []).n_inserted == 0
            return
        self.do(spelt(batch))

    def ids_of(self, data, tenant):
        """Some ids, most of them the tenant's: few, a run of them, or nearly all.

        No draw depends on the state: after a kill that is a matter of chance, and Hypothesis wants to repeat its draws.
        """
        there = sorted(self.model.seen(tenant), key=int)
        first = data.draw(st.integers(0, 99)) * len(there) // 100
        n = data.draw(st.sampled_from([1, 2, 10, 100, 400, 5000]))
        extra = data.draw(st.sampled_from([[], [], [], ["nobody"]]))
        return there[first : first + n] + extra

    @rule(data=st.data(), tenant=tenant_names)
    def delete(self, data, tenant):
        self.do({"op": "delete", "tenant": tenant, "ids": self.ids_of(data, tenant)})

    @rule(tenant=tenant_names, where=content_world.filters)
    def delete_where(self, tenant, where):
        self.do({"op": "delete_where", "tenant": tenant, "where": where})

    @rule(data=st.data(), tenant=tenant_names, to=st.lists(tenant_names, min_size=1, max_size=2))
    def grant(self, data, tenant, to):
        ids = self.ids_of(data, tenant)
        if data.draw(st.integers(0, 5)):
            ids = [name for name in ids if (tenant, name) in self.model.records]
        self.do({"op": "grant", "tenant": tenant, "ids": ids, "to": to})

    @rule(data=st.data(), tenant=tenant_names, to=st.lists(tenant_names, min_size=1, max_size=2))
    def revoke(self, data, tenant, to):
        self.do({"op": "revoke", "tenant": tenant, "ids": self.ids_of(data, tenant), "to": to})

    @rule(tenant=tenant_names, sure=st.integers(0, 3))
    def drop_tenant(self, tenant, sure):
        if sure == 0:
            self.do({"op": "drop_tenant", "tenant": tenant})

    @rule(seconds=st.sampled_from([0, 0.05]))
    def maintain(self, seconds):
        self.do({"op": "maintain", "seconds": seconds})

    @rule()
    def reopen(self):
        self.collection.close()
        self.collection = self.db.collection("c")

    @precondition(lambda self: hasattr(Collection, "compact"))
    @rule()
    def compact(self):
        self.collection.compact()

    # --------------------------------------------------------------------------------------- writers that are killed

    @rule(batch=batches(), point=st.one_of(st.integers(0, 12), st.integers(0, 120)))
    def upsert_killed_at_a_call(self, batch, point):
        self.do_elsewhere(spelt(batch), point=point)

    @rule(batch=batches(), after_s=st.floats(0, 0.12))
    def upsert_killed_at_a_moment(self, batch, after_s):
        self.do_elsewhere(spelt(batch), after_s=after_s)

    @rule(data=st.data(), tenant=tenant_names, to=tenant_names, point=st.integers(0, 60))
    def other_writes_killed(self, data, tenant, to, point):
        ids = self.ids_of(data, tenant)
        mine = [name for name in ids if (tenant, name) in self.model.records]
        operation = data.draw(st.sampled_from([
            {"op": "delete", "tenant": tenant, "ids": mine},
            {"op": "delete_where", "tenant": tenant, "where": content_world.usual(point)},
            {"op": "grant", "tenant": tenant, "ids": mine, "to": [to]},
            {"op": "revoke", "tenant": tenant, "ids": mine, "to": [to]},
            {"op": "maintain", "seconds": 0.05},
        ]))  # fmt: skip
        self.do_elsewhere(operation, point=point)

    def do_elsewhere(self, operation, **when):
        """Perform an operation in a child that is killed: before or after each of its transactions."""
        operation["dtype"] = self.dtype
        if operation["op"] == "upsert" and not operation["ids"]:
            return
        try:
            states, _ = self.model.steps(operation)
        except Refused:
            return
        ended = other("nursery")(path=str(self.directory / "c"), operation=operation, **when)
        assert ended["killed"] or ended["code"] == 0, ended
        event(f"killed: {ended['killed']}")
        # LMDB shows a commit in two steps, first in the file, then in the lock file. Who dies between them leaves it to
        # the next writer to do the second: until then the state before is what everybody sees.
        self.collection._store.write().abort()
        found = live_world.state_of(self.collection)
        possible = states[-1:] if not ended["killed"] else [self.model, *states]
        fitting = [model for model in possible if model.state() == found]
        assert fitting, f"after a kill the state is neither of {len(possible)} that it may be in"
        self.model = fitting[0]

    # ------------------------------------------------------------------------------------------------------- reading

    @rule(
        tenants=st.lists(tenant_names, min_size=1, max_size=3, unique=True),
        k=st.sampled_from([1, 5, 40, 3000]),
        seed=st.integers(0, 1000),
        how=st.sampled_from([{"exact": True}, {"nprobe": 1 << 20}, {"exact": True, "check": True}]),
        where=st.one_of(st.none(), content_world.filters),
        elsewhere=st.booleans(),
    )
    def query(self, tenants, k, seed, how, where, elsewhere):
        queries = points(seed, 3, 0.4, self.dtype).tolist()
        question = {"ask": "query", "tenants": tenants, "k": k, "vectors": queries, "how": how, "where": where}
        answer = other("read")(**question) if elsewhere else live_world.ask(self.collection, question)
        live_world.check_query(self.model, self.metric, question, answer, self.strict or "exact" in how)

    @rule(
        tenant=tenant_names,
        recall=st.sampled_from([None, 0.5, 0.99]),
        where=st.one_of(st.none(), content_world.filters),
        k=st.sampled_from([1, 10]),
    )
    def query_for_recall(self, tenant, recall, where, k):
        """What is found is there, at its distance, and k when k match; how near, other tests measure."""
        queries = points(7, 3, 0.4, self.dtype).tolist()
        how = {"recall": recall}
        k = 1 if where is None else k
        question = {"ask": "query", "tenants": [tenant], "k": k, "vectors": queries, "how": how, "where": where}
        for answer in (live_world.ask(self.collection, question), other("read")(**question)):
            live_world.check_query(self.model, self.metric, question, answer, False)

    @rule(data=st.data(), tenant=tenant_names)
    def get(self, data, tenant):
        ids = self.ids_of(data, tenant)
        question = {"ask": "get", "tenant": tenant, "ids": ids}
        seen = self.model.seen(tenant)
        expected = [seen[name][1].shown(name) for name in ids if name in seen]
        assert live_world.ask(self.collection, question) == other("read")(**question) == expected

    @rule(
        tenant=tenant_names,
        where=st.one_of(st.none(), content_world.filters),
        limit=st.sampled_from([1, 7, 100, 5000]),
        elsewhere=st.booleans(),
    )
    def get_by_pages(self, tenant, where, limit, elsewhere):
        if limit == 1 and len(self.model.seen(tenant)) > 50:
            limit = 20
        self.check_page({"ask": "page", "tenant": tenant, "where": where, "limit": limit}, elsewhere)

    @rule(
        tenants=st.lists(tenant_names, min_size=1, max_size=3, unique=True),
        text=content_world.sentences,
        k=st.sampled_from([1, 5, 40, 3000]),
        where=st.one_of(st.none(), content_world.filters),
        elsewhere=st.booleans(),
    )
    def search_for_words(self, tenants, text, k, where, elsewhere):
        self.check_words({"ask": "words", "tenants": tenants, "text": text, "k": k, "where": where}, elsewhere)

    @rule(
        tenants=st.lists(tenant_names, min_size=1, max_size=2, unique=True),
        text=content_world.sentences,
        where=st.one_of(st.none(), content_world.filters),
        elsewhere=st.booleans(),
    )
    def search_for_both(self, tenants, text, where, elsewhere):
        """With room for all: whatever one of the two searches finds, each once."""
        queries = points(7, 1, 0.4, self.dtype).tolist()
        question = {"ask": "hybrid", "tenants": tenants, "k": 5000, "vectors": queries, "text": text, "where": where}
        ids, distances, _ = self.answer(question, elsewhere)
        assert distances == sorted(distances)
        assert sorted(ids) == content_world.found_by_either(self.model, {**question, "language": self.language})

    def answer(self, question, elsewhere):
        return other("read")(**question) if elsewhere else live_world.ask(self.collection, question)

    def check_page(self, question, elsewhere):
        content_world.check_page(self.model, question, self.answer(question, elsewhere))

    def check_words(self, question, elsewhere):
        content_world.check_words(
            self.model, {**question, "language": self.language}, self.answer(question, elsewhere)
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------- invariants

    @invariant()
    def counts_agree_here_and_elsewhere(self):
        if not hasattr(self, "model"):
            return
        question = {"ask": "tenants", "tenants": TENANTS}
        counts = {tenant: len(self.model.seen(tenant)) for tenant in TENANTS}
        expected = [
            {tenant: counts[tenant] for tenant in sorted(self.model.tenants)}, len(self.model.records), counts
        ]  # fmt: skip
        assert live_world.ask(self.collection, question) == expected
        assert other("read")(**question) == expected

    @invariant()
    def lists_are_in_order(self):
        if hasattr(self, "model"):
            rows, near = live_world.check_lists(self.collection, self.model)
            at_home.update(rows=rows, near=near)
            live_world.check_placements(self.collection)

    @invariant()
    def filters_and_words_agree(self):
        """After every step: a filter by pages, near vectors under it, and words, in turns here and elsewhere."""
        if not hasattr(self, "model"):
            return
        self.n_steps = i = self.n_steps + 1
        tenant, where, elsewhere = TENANTS[i % 4], content_world.usual(i), i % 2 == 0
        self.check_page({"ask": "page", "tenant": tenant, "where": where, "limit": 100}, elsewhere)
        text, several = content_world.sentence(i), [tenant, TENANTS[i // 4 % 4]]
        among = where if i % 3 else None
        self.check_words({"ask": "words", "tenants": several, "text": text, "k": 20, "where": among}, not elsewhere)
        queries = points(i, 1, 0.4, self.dtype).tolist()
        question = {"ask": "query", "tenants": [tenant], "k": 20, "vectors": queries, "how": {"exact": True}}
        question["where"] = where
        live_world.check_query(self.model, self.metric, question, self.answer(question, elsewhere), True)

    def compare_all(self):
        """Everything at once, here and elsewhere, with full probes and with the searchers that there are."""
        assert live_world.state_of(self.collection) == self.model.state()
        queries = points(11, 4, 0.4, self.dtype).tolist()
        for tenants in ([TENANTS[0]], TENANTS):
            for how in ({"exact": True}, {"nprobe": 1 << 20}):
                for where in (None, content_world.usual(len(self.model.records))):
                    question = {"ask": "query", "tenants": tenants, "k": 30, "vectors": queries, "how": how}
                    question["where"] = where
                    for answer in (live_world.ask(self.collection, question), other("read")(**question)):
                        live_world.check_query(self.model, self.metric, question, answer, self.strict or "exact" in how)
        for i in range(12):
            where = content_world.usual(i)
            for elsewhere in (True, False):
                self.check_page({"ask": "page", "tenant": TENANTS[i % 4], "where": where, "limit": 300}, elsewhere)
                question = {"ask": "words", "tenants": TENANTS[i % 3 :], "text": content_world.sentence(i), "k": 30}
                self.check_words({**question, "where": where if i % 2 else None}, elsewhere)


TestLive = Live.TestCase
TestLive.settings = settings(
    max_examples=max(1, SOAK // STEPS) if SOAK else 12,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate) if SOAK else settings.default.phases,
    print_blob=True,
)
