"""What can be asked of a collection: the methods for queries that `Collection` inherits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramet.engine import asking, checks
from ramet.engine import where as filters
from ramet.engine.asking import EVERYTHING, Question, begin
from ramet.engine.curve import DEFAULT_RECALL, TEXT_RECALL
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import Floats, Hits
from ramet.engine.opened import Opened
from ramet.engine.reads import Include
from ramet.engine.search import Effort
from ramet.engine.threads import n_cores

MODES = ("dense", "keyword", "hybrid")
FUSIONS = ("rrf", "weighted")


class CollectionSearch:
    """Queries; `Collection` adds the rest."""

    _opened: Opened

    def query(
        self,
        vectors: Any = None,
        k: int = 10,
        *,
        text: str | Sequence[str] | None = None,
        mode: str | None = None,
        where: Any = None,
        tenant: str | Sequence[str] = checks.DEFAULT_TENANT,
        recall: float | None = None,
        nprobe: int | None = None,
        exact: bool = False,
        prune: float | None = None,
        fusion: str = "rrf",
        alpha: float = 0.5,
        include: Sequence[str] | None = None,
        with_vectors: bool = False,
        explain: bool = False,
        n_threads: int | None = None,
        check: bool = False,
    ) -> Hits:
        """The records nearest to a vector, or best for some words, or both; for one query or each of a batch.

        Parameters
        ----------
        vectors : array-like (dim,) or (n, dim), optional
        k : int
            Results wanted; fewer come back when fewer records match.
        text : str or sequence of str, optional
            Question in words. The collection's embedder makes vectors of it where these are needed and not given.
        mode : str, optional
            "dense" (near vectors), "keyword" (BM25 over the documents) or "hybrid" (both, fused). Default: "dense";
            "hybrid" for vectors together with a text; "keyword" for a text alone when the collection has no embedder.
        where : dict, optional
            Only records whose metadata match (``docs/filters.md``): ``{"lang": "en", "year": {"$gte": 2020}}``.
            Evaluated exactly and before ranking: if k records with a vector match, a dense search finds k; by words,
            only records that have one of the words are found.
        tenant : str or sequence of str
            Whose records; a tenant without records gives no hits. Several tenants are searched on one snapshot, each
            with ``nprobe`` lists or to the recall target, and a record that more than one of them sees comes back
            once. Lists of other tenants are not read.
        recall : float, optional
            Share of the true k nearest to find on average (default 0.95; 0.99 with ``text``, whose vectors lie farther
            from the records than these from each other): sets the number of posting lists read, by the curve measured
            on this collection for k = 10 and 100. A target beyond the curve reads every list; 1.0 is exact search.
        nprobe : int, optional
            Posting lists to read, instead of ``recall``; more when fewer than k matching records were found in them.
        exact : bool
            Read every list and compare full-precision vectors.
        prune : float, optional
            Skip lists whose centroid is farther than this ratio (of true distances, > 1) times the nearest one's.
        fusion : str
            Of a hybrid search: "rrf" (reciprocal ranks) or "weighted" (scores scaled to 0 .. 1).
        alpha : float
            Weight of the dense side in a weighted fusion, 0 to 1.
        include : sequence of str, optional
            What comes with each hit: "documents", "metadata", "vectors". Default: documents and metadata, where there
            are any.
        with_vectors : bool
            Return the stored vectors as well.
        explain : bool
            Say in ``hits.explanation`` how the query was answered and what each stage took.
        n_threads : int, optional
            Threads for a batch (default: all cores). One query runs on the calling thread.
        check : bool
            Verify the checksum of every list read first (slow).

        Returns
        -------
        Hits

        Raises
        ------
        ArgumentError
            A wrong argument.
        MissingEmbedderError
            A text has to be embedded, and the collection was opened without an embedder.
        CorruptionError
            Damaged files, where that was noticed.
        """
        opened = self._opened
        if type(k) is not int or not 0 < k <= checks.MAX_K:
            k = checks.positive(k, "k", checks.MAX_K)
        if (recall is not None) + (nprobe is not None) + bool(exact) > 1:
            raise ArgumentError("recall", "is given together with nprobe or exact; pass one of the three")
        texts, single = (None, False) if text is None else checks.texts(text)
        chosen = self._mode(mode, vectors, texts)
        queries = known = None
        if chosen != "keyword":
            if vectors is None:
                vectors, known = opened.embedded_queries(texts or [], words_too=chosen == "hybrid")
            queries, alone = checks.query_form(vectors, opened.settings)
            if texts is None:
                single = alone
            else:
                checks.as_many_texts(texts, len(queries))
        default = DEFAULT_RECALL if texts is None else TEXT_RECALL
        effort = Effort(
            recall=default if recall is None else checks.share(recall, "recall"),
            nprobe=None if nprobe is None else checks.positive(nprobe, "nprobe", 1 << 31),
            exact=bool(exact) or recall == 1.0,
            ratio=0.0 if prune is None else checks.prune_ratio(prune, opened.settings),
            n_threads=1 if single and n_threads is None else checks.given(n_threads, n_cores(), "n_threads", 1024),
        )
        parts = EVERYTHING if include is None and not with_vectors else Include.of(include, with_vectors)
        names = (tenant,) if type(tenant) is str and tenant in opened.searchers else checks.tenants(tenant)
        if chosen == "dense" and where is None and not explain:
            assert queries is not None
            return self._near(names, queries, single, k, effort, parts, check)
        question = Question(
            queries=queries,
            texts=texts,
            known=known,
            single=single,
            k=k,
            where=filters.parse(where),
            effort=effort,
            include=parts,
            fusion=one_of(fusion, "fusion", FUSIONS),
            alpha=checks.fraction(alpha, "alpha"),
            explain=explain,
            check=check,
        )
        return self._answer(question, chosen, names)

    def _near(
        self,
        names: tuple[str, ...],
        queries: Floats,
        single: bool,
        k: int,
        effort: Effort,
        include: Include,
        check: bool,
    ) -> Hits:
        """Near vectors without a filter, for checked arguments."""
        return asking.near(self._opened, names, queries, single, k, effort, include, check)

    def _answer(self, question: Question, mode: str, names: tuple[str, ...]) -> Hits:
        """Every other query, for checked arguments."""
        return asking.answer(self._opened, question, mode, names)

    def _mode(self, mode: str | None, vectors: Any, texts: list[str] | None) -> str:
        """What kind of search is asked for."""
        if texts is None and mode is None and vectors is not None:
            return "dense"
        if vectors is None and texts is None:
            raise ArgumentError("vectors", "is missing; pass vectors, or text=")
        if mode is None and vectors is not None:
            return "hybrid"
        if mode is None:
            return "dense" if self._opened.embedder is not None else "keyword"
        chosen = one_of(mode, "mode", MODES)
        if chosen != "dense" and texts is None:
            raise ArgumentError("text", f"is missing; mode={chosen!r} searches for words")
        return chosen

    def scanned(
        self,
        vectors: Any,
        *,
        tenant: str = checks.DEFAULT_TENANT,
        recall: float | None = None,
        nprobe: int | None = None,
    ) -> float:
        """Rows that a query compares its vector with, on average over the queries, copies in several lists included.

        What a recall costs, whatever the machine; arguments as in `query`.
        """
        opened = self._opened
        queries, _ = checks.query_form(vectors, opened.settings)
        effort = Effort(
            recall=DEFAULT_RECALL if recall is None else checks.share(recall, "recall"),
            nprobe=None if nprobe is None else checks.positive(nprobe, "nprobe", 1 << 31),
        )
        return self._scanned(queries, effort, checks.tenants(tenant))

    def _scanned(self, queries: Floats, effort: Effort, names: tuple[str, ...]) -> float:
        opened = self._opened
        snapshot, searchers = begin(opened, names)
        with snapshot:
            return sum(s.rows_scanned(queries, effort.probes(s, 10), opened.residency) for s in searchers)
