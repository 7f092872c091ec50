"""Latency of a query inside a tenant, by size of the tenant: contenders tuned to equal recall, then interleaved.

Every contender that has to be told its effort is given the smallest that reaches the target on tuning queries, in each
size class for itself; what is reported comes from other queries. Ramet is also measured as it comes.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench import inside
from bench.building import unit
from bench.datasets import Dataset
from bench.measure import WARM_QUERIES
from bench.peers.base import Setting
from bench.peers.tenant_base import Search, TenantContender
from bench.tenancy import Asked, SizeClass, Tenancy, asked, near_home

TARGET = 0.95
TUNING_QUERIES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The records, their owners, and two disjoint sets of queries."""

    dataset: Dataset
    """Its queries are the test queries."""
    tuning: np.ndarray
    """(n, dim) float32 queries to tune with."""
    tenancy: Tenancy
    metric: str
    k: int

    def plan(self, of: SizeClass, queries: np.ndarray, n: int, *, sticky: bool, seed: int) -> Asked:
        """Return who asks what, in order."""
        plan = asked(of, n, len(queries), sticky=sticky, seed=seed)
        if self.tenancy.membership == "clustered":
            plan = near_home(plan, self.tenancy, self.dataset.base, queries, seed)
        return plan

    def inside(self, plan: Asked, queries: np.ndarray) -> inside.Inside:
        """Return the true answers."""
        rows_of = self.tenancy.rows
        return inside.inside(self.dataset.base, rows_of, queries[plan.queries], plan.tenants, self.metric, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One size class: what is asked, and the true answers."""

    of: SizeClass
    plan: Asked
    truth: inside.Inside


@dataclass(slots=True, kw_only=True)
class Case:
    """One contender at one setting in one class, in the course of the measurement."""

    work: Work
    contender: TenantContender
    setting: Setting
    tuned: float | None
    """Recall of the tuning queries; None for a setting that was not tuned."""
    n_queries: int
    recall: float = 0.0
    strangers: int = 0
    short: int = 0
    """Queries that got fewer rows than there are, up to k."""
    p50_ns: list[float] = field(default_factory=list)
    p99_ns: list[float] = field(default_factory=list)

    @property
    def reached(self) -> bool | None:
        """Whether tuning reached the target; None for a setting that was not tuned."""
        return None if self.tuned is None else self.tuned >= TARGET

    @property
    def p50_us(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.p50_ns)) / 1e3

    @property
    def p99_us(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.p99_ns)) / 1e3


def run(
    scene: Scene,
    classes: Sequence[SizeClass],
    contenders: Sequence[TenantContender],
    *,
    n_queries: int,
    rounds: int,
    sticky: bool,
) -> list[Case]:
    """Tune, judge and time every contender in every class.

    Parameters
    ----------
    scene : Scene
        What was loaded.
    classes : Sequence[SizeClass]
        Tenants by size.
    contenders : Sequence[TenantContender]
        Loaded.
    n_queries : int
        Queries timed per class and round.
    rounds : int
        Times each case has its turn; figures are medians over them.
    sticky : bool
        Tenants ask many queries in a row instead of one.

    Returns
    -------
    list[Case]
        By class, then contender.
    """
    cases = []
    for of in classes:
        plan = scene.plan(of, scene.dataset.queries, n_queries, sticky=sticky, seed=0)
        work = Work(of=of, plan=plan, truth=scene.inside(plan, scene.dataset.queries))
        cases += [case for contender in contenders for case in _cases(scene, work, contender)]
        print(f"  class {of.label}: tuned", flush=True)
    for case in cases:
        _judge(scene, case)
    for number in range(rounds):
        for case in cases:  # contenders take turns within a class
            if number < (case.contender.most_rounds or rounds):
                _time_turn(scene, case)
    return cases


def _cases(scene: Scene, work: Work, contender: TenantContender) -> Iterator[Case]:
    """Return the contender's settings to measure in a class."""
    n_queries = len(work.plan.first(contender.most_queries).queries)
    if contender.untuned is not None:
        yield Case(work=work, contender=contender, setting=contender.untuned, tuned=None, n_queries=n_queries)
    if not contender.settings():
        return
    setting, recall = tune(scene, work.of, contender)
    yield Case(work=work, contender=contender, setting=setting, tuned=recall, n_queries=n_queries)


def tune(scene: Scene, of: SizeClass, contender: TenantContender) -> tuple[Setting, float]:
    """Return the first setting that reaches the target on the tuning queries (else the best), and its recall there."""
    n = min(TUNING_QUERIES, contender.most_queries or TUNING_QUERIES)
    plan = scene.plan(of, scene.tuning, n, sticky=False, seed=1)
    truth = scene.inside(plan, scene.tuning)
    queries = _lines(scene, contender, scene.tuning, plan)
    best: tuple[Setting, float] | None = None
    for setting in contender.settings():
        found = _answers(contender, setting, queries, plan, scene.k)
        recall = float(truth.judge(found)[0].mean())
        if best is None or recall > best[1]:
            best = (setting, recall)
        if recall >= TARGET:
            break
    assert best is not None
    return best


def _lines(scene: Scene, contender: TenantContender, queries: np.ndarray, plan: Asked) -> list[np.ndarray]:
    """Return the query vectors of a plan as arrays of their own, in the form that the contender wants."""
    wanted = unit(queries) if scene.metric == "cosine" and contender.unit_vectors else queries
    return list(wanted[plan.queries])


def _answers(
    contender: TenantContender, setting: Setting, queries: list[np.ndarray], plan: Asked, k: int
) -> np.ndarray:
    """Ask a plan's queries one by one; return the rows found, (n, k) int64, -1 where there was nothing."""
    search = contender.searcher(setting, np.unique(plan.tenants).tolist(), k)
    found = np.full((len(queries), k), -1, np.int64)
    for number, (query, tenant) in enumerate(zip(queries, plan.tenants.tolist(), strict=True)):
        rows = contender.rows(search(query, tenant))
        found[number, : len(rows)] = rows
    return found


def _judge(scene: Scene, case: Case) -> None:
    plan = case.work.plan.first(case.n_queries)
    queries = _lines(scene, case.contender, scene.dataset.queries, plan)
    found = _answers(case.contender, case.setting, queries, plan, scene.k)
    recalls, case.strangers = case.work.truth.judge(found)
    case.recall = float(recalls.mean())
    wanted = np.minimum(scene.tenancy.sizes[plan.tenants], scene.k)
    case.short = int(((found >= 0).sum(axis=1) < wanted).sum())


def _time_turn(scene: Scene, case: Case) -> None:
    """One round of one case."""
    plan = case.work.plan.first(case.n_queries)
    queries = _lines(scene, case.contender, scene.dataset.queries, plan)
    tenants = plan.tenants.tolist()
    times = case.contender.times(case.setting, queries, tenants, scene.k)
    if times is None:
        search = case.contender.searcher(case.setting, np.unique(plan.tenants).tolist(), scene.k)
        times = time_queries(search, queries, tenants)
    case.p50_ns.append(float(np.percentile(times, 50)))
    case.p99_ns.append(float(np.percentile(times, 99)))


def time_queries(search: Search, queries: list[np.ndarray], tenants: list[int]) -> np.ndarray:
    """Return the time of each query on its own, in nanoseconds, (n,) int64.

    The queries asked first, which are not counted, are the last ones of the plan: so the order's own first queries
    still meet tenants that have not just been asked.
    """
    clock = time.perf_counter_ns
    times = np.empty(len(queries), np.int64)
    for query, tenant in zip(queries[-WARM_QUERIES:], tenants[-WARM_QUERIES:], strict=True):
        search(query, tenant)
    gc.collect()
    gc.disable()
    try:
        for number, (query, tenant) in enumerate(zip(queries, tenants, strict=True)):
            started = clock()
            search(query, tenant)
            times[number] = clock() - started
    finally:
        gc.enable()
    return times
