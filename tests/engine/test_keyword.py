"""Keyword search against a dict: histories of two tenants, shared rows, filters, compactions; and against bm25s."""

import re
from pydoc_data.topics import topics

import bm25s
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pyroaring import BitMap

from ramet.engine.text import keyword
from ramet.engine.text.analysis import Analyzer
from ramet.storage import terms, verify_terms, write_terms
from ramet.storage.compact import compact
from ramet.storage.store import Store
from ramet.storage.verify import verify
from tests.oracle import words as naive

SIZES = {"n_factors": 0, "code_bytes": 0, "cell_bytes": 0, "vector_bytes": 0}
PLAIN = Analyzer("none")
WORDS = ["ab", "abc", "b\u0301a", "cd", "de", "x" * 300, "x" * 299 + "y", "é" * 60]

TEXT = st.lists(st.sampled_from(WORDS), max_size=8)
PICK = st.lists(st.integers(0, 60), max_size=12)
STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 1), st.lists(TEXT, min_size=1, max_size=8)),
    st.tuples(st.just("grant"), st.integers(0, 1), PICK),
    st.tuples(st.just("again"), st.integers(0, 1), PICK),
    st.tuples(st.just("drop"), st.integers(0, 1), PICK),
    st.tuples(st.just("compact"), st.just(0), st.just([])),
    st.tuples(st.just("reopen"), st.just(0), st.just([])),
    st.tuples(st.just("forget"), st.integers(0, 1), st.just([])),
)


class World:
    """A collection of texts beside a model of it: who sees which id, and what its words are."""

    def __init__(self, path):
        self.path = path
        self.store = Store.create(path, SIZES)
        self.sees = [set(), set()]
        self.texts = {}  # id -> words
        with self.store.write() as writer:
            assert [writer.ensure_tenant(name) for name in ("a", "b")] == [0, 1]

    def step(self, kind, tenant, given):
        if kind == "compact":
            compact(self.store)
        elif kind == "reopen":
            self.store.close()
            self.store = Store.open(self.path)
        else:
            with self.store.write() as writer:
                getattr(self, kind)(writer, tenant, given)

    def add(self, writer, tenant, texts):
        ids = [f"r{len(self.texts) + i}" for i in range(len(texts))]
        first = writer.append_rows(tenant, ids, None)
        writer.see_rows(tenant, np.arange(first, first + len(ids)), [None] * len(ids))
        writer.add_words(tenant, np.arange(first, first + len(ids)), texts)
        self.texts.update(zip(ids, texts, strict=True))
        self.sees[tenant].update(ids)

    def grant(self, writer, tenant, picks):
        other = self.picked(self.sees[1 - tenant] - self.sees[tenant], picks)
        rows = writer.rows_of(1 - tenant, other)
        writer.bind_ids(tenant, other, rows)
        writer.see_rows(tenant, rows, [None] * len(rows))
        writer.add_words(tenant, rows, [self.texts[name] for name in other])
        self.sees[tenant].update(other)

    def again(self, writer, tenant, picks):
        ids = self.picked(self.sees[tenant], picks)
        writer.add_words(tenant, writer.rows_of(tenant, ids), [self.texts[name] for name in ids])

    def drop(self, writer, tenant, picks):
        ids = self.picked(self.sees[tenant], picks)
        rows = writer.rows_of(tenant, ids)
        writer.unbind_ids(tenant, ids)
        writer.unsee_rows(tenant, rows, [None] * len(rows))
        writer.drop_words(tenant, rows)
        self.sees[tenant].difference_update(ids)
        gone = [row for name, row in zip(ids, rows.tolist(), strict=True) if name not in self.sees[1 - tenant]]
        writer.drop_rows(np.array(gone, np.int64))

    def forget(self, writer, tenant, _):
        ids = sorted(self.sees[tenant])
        rows = writer.rows_of(tenant, ids)
        writer.unbind_ids(tenant, ids)
        writer.forget_fields(tenant)
        writer.forget_words(tenant)
        self.sees[tenant].clear()
        gone = [row for name, row in zip(ids, rows.tolist(), strict=True) if name not in self.sees[1 - tenant]]
        writer.drop_rows(np.array(gone, np.int64))

    def picked(self, names, picks):
        """Some of the names, in no order."""
        there = sorted(names)
        return list(dict.fromkeys(there[pick % len(there)] for pick in picks)) if there else []

    def rows_by_id(self, reader, tenants):
        rows = {}
        for tenant in tenants:
            ids = sorted(self.sees[tenant])
            rows.update(zip(ids, reader.rows_of(tenant, ids).tolist(), strict=True))
        return rows

    def check(self, reader, tenants, query, k, allowed_ids):
        rows = self.rows_by_id(reader, tenants)
        expected = naive.scores({rows[name]: self.texts[name] for name in rows}, query)
        allowed = None
        if allowed_ids is not None:
            mine = {tenant: set(self.picked(self.sees[tenant], allowed_ids)) for tenant in tenants}
            allowed = {tenant: BitMap(rows[name] for name in names) for tenant, names in mine.items() if names}
            expected = {row: score for row, score in expected.items() if any(row in part for part in allowed.values())}
        found, scores = keyword.search(reader, tenants, PLAIN, " ".join(query), k, self.visible(reader), allowed)
        assert len(found) == len(set(found.tolist())) == min(k, len(expected))
        assert scores == pytest.approx([expected[row] for row in found.tolist()], rel=1e-5)
        assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:k], rel=1e-5)

    def visible(self, reader):
        return lambda tenant: BitMap(reader.rows_of(tenant, sorted(self.sees[tenant])).tolist())


@pytest.mark.parametrize("fragment", [3, terms.FRAGMENT])
@settings(max_examples=40)
@given(
    steps=st.lists(STEP, min_size=1, max_size=12),
    queries=st.lists(
        st.tuples(
            st.sampled_from([[0], [1], [0, 1], [1, 0, 7]]),
            st.lists(st.sampled_from([*WORDS, "zz"]), max_size=6),
            st.integers(0, 20),
            st.none() | PICK,
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_every_history_searches_like_a_dict(tmp_path_factory, fragment, steps, queries):
    with pytest.MonkeyPatch.context() as patch:
        for module in (terms, write_terms, verify_terms):
            patch.setattr(module, "FRAGMENT", fragment)
        world = World(tmp_path_factory.mktemp("w") / "c")
        for step in steps:
            world.step(*step)
            with world.store.read() as snapshot:
                for tenants, *query in queries:
                    world.check(snapshot, [t for t in tenants if t < 2] or tenants, *query)
        report = verify(world.store)
        assert report.ok, list(map(str, report.problems))
        for tenant, sees in enumerate(world.sees):
            with world.store.read() as snapshot:
                said = snapshot.texts(tenant)
                assert (said.documents, said.words) == (len(sees), sum(len(world.texts[name]) for name in sees))
        world.store.close()


def test_a_writer_finds_what_it_wrote(tmp_path):
    world = World(tmp_path / "c")
    with world.store.write() as writer:
        world.add(writer, 0, [["ab", "cd"], ["ab"]])
        world.check(writer, [0], ["cd", "ab"], 5, None)
        with world.store.read() as before:
            assert not len(keyword.search(before, [0], PLAIN, "ab", 5, world.visible(before))[0])
    with world.store.read() as snapshot:
        world.check(snapshot, [0], ["cd", "ab"], 5, None)


def test_tenants_that_do_not_exist_see_nothing(tmp_path):
    world = World(tmp_path / "c")
    with world.store.read() as snapshot:
        rows, scores = keyword.search(snapshot, [5, 6], PLAIN, "ab", 5, lambda tenant: BitMap())
    assert (rows.dtype, scores.dtype, len(rows), len(scores)) == (np.int64, np.float32, 0, 0)


@given(st.sets(st.integers(0, 100_000), max_size=300), st.sets(st.integers(0, 100_000), max_size=300), st.booleans())
def test_postings_inside_a_bitmap(rows, others, near):
    rows = {row % 500 for row in rows} if near else rows
    others = {row % 500 for row in others} if near else others
    parts = [rows, set(), {row for row in rows if row % 2}]
    lists = [np.array(sorted(part), np.uint64) << np.uint64(32) | np.uint64(1 << 16 | 7) for part in parts]
    kept = keyword.inside(lists, BitMap(others))
    assert [terms.rows_in(one).tolist() for one in kept] == [sorted(part & others) for part in parts]
    assert all((terms.lengths_in(one) == 7).all() for one in kept)


TOPICS = [text for _, text in sorted(topics.items())]


def test_the_same_scores_and_ranking_as_bm25s(tmp_path):
    """Real prose, the same words for both; several batches and a compaction for us."""
    analyzer = Analyzer("en")
    docs = [analyzer.words(text) for text in TOPICS]
    world = World(tmp_path / "c")
    for first in range(0, len(docs), 30):
        world.step("add", 0, docs[first : first + 30])
    peer = bm25s.BM25(k1=keyword.K1, b=keyword.B, method="lucene")
    peer.index(docs, show_progress=False)
    queries = [re.sub(r"\s+", " ", text)[:120] for text in TOPICS] + ["python python class", "the", "lambda"]
    for compacted in (False, True):
        if compacted:
            compact(world.store)
        with world.store.read() as snapshot:
            for query in queries:
                rows, scores = keyword.search(snapshot, [0], analyzer, query, 10, world.visible(snapshot))
                said = analyzer.words(query)
                theirs = peer.get_scores(said) if said else np.zeros(len(docs), np.float32)
                best = np.lexsort((np.arange(len(docs)), -theirs))[:10]
                assert scores == pytest.approx(theirs[rows], rel=1e-5)
                assert scores == pytest.approx(theirs[best][: len(rows)], rel=1e-5)
                assert len(rows) == min(10, int((theirs > 0).sum()))
