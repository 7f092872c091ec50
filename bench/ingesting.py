"""Documents put into empty collections: records/s, and where the time goes. Ramet durably, Chroma beside it."""

import cProfile
import json
import pstats
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import chroma
from bench.building import unit
from bench.datasets import save_atomically, work_dir
from bench.live import DURABILITY, Calls, Stopwatch, batches
from bench.texts import TextSet

SEED = 20_240_606
EVERYTHING = ("vectors", "documents", "metadata")
VARIANTS: dict[str, tuple[str, ...]] = {
    "vectors": ("vectors",),
    "vectors, metadata": ("vectors", "metadata"),
    "vectors, text": ("vectors", "documents"),
    "everything": EVERYTHING,
    "text, metadata": ("documents", "metadata"),
}
CHROMA_MOST = 5_000
"""Chroma refuses more than 5,461 records a call."""
PROFILED = 25
ROOMS = (("engine",), ("storage",), ("index",), ("text",))
"""Last folders of Ramet's files, as a profile shows them."""
_TOPICS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is put in."""

    ids: list[str]
    vectors: np.ndarray
    documents: list[str]
    metadata: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self, names: Sequence[str], part: slice) -> dict[str, Any]:
        """Arguments of an upsert of some of the records."""
        return {name: getattr(self, name)[part] for name in names}


def load_of(of: TextSet, vectors: np.ndarray) -> Load:
    """Return the documents of a set with metadata of every type: what the text says, and seeded numbers and dates."""
    rng = np.random.default_rng(SEED)
    n = len(of.ids)
    since = datetime(2015, 1, 1, tzinfo=UTC)
    days, scores = rng.integers(0, 3_650, n).tolist(), rng.random(n).round(4).tolist()
    metadata = [
        {
            "title": of.titles[row][:200],
            "source": of.name,
            "words": len(of.texts[row].split()),
            "score": scores[row],
            "added": since + timedelta(days=days[row]),
            "long": len(of.texts[row]) > 1_500,
            "topics": _topics(of.texts[row]),
        }
        for row in range(n)
    ]
    return Load(ids=of.ids, vectors=vectors, documents=of.texts, metadata=metadata)


def _topics(text: str) -> list[str]:
    """The long words that occur most often."""
    counts = Counter(word for word in text.lower().split() if len(word) > 8 and word.isalpha())
    return [word for word, _ in counts.most_common(_TOPICS)]


def ramet_seconds(load: Load, names: Sequence[str], size: int) -> tuple[float, float]:
    """Put records into a new collection, `size` a call, every call durable; return seconds, and those of all cores."""
    with work_dir() as work, ramet.connect(work / "data", create=True) as database:
        docs = _created(database, load)
        begun = time.process_time()
        calls = _upserted(docs, load, names, size)
        return calls.total_s, time.process_time() - begun


def _created(database: Any, load: Load) -> Any:
    dim = load.vectors.shape[1]
    return database.create_collection("ingest", dim=dim, metric="cosine", language="en", durability=DURABILITY)


def _upserted(docs: Any, load: Load, names: Sequence[str], size: int) -> Calls:
    watch = Stopwatch()
    for part in batches(len(load), size):
        watch.time(part.stop - part.start, docs.upsert, load.ids[part], **load.columns(names, part))
    return watch.calls()


def warm_up(load: Load) -> None:
    """Compile the kernels by doing all of it once."""
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
        _upserted(_created(database, load), load, EVERYTHING, 1_000)


def profile(load: Load, size: int) -> list[dict[str, Any]]:
    """Return the functions that take the most time when everything is put in, by the profiler.

    Those with the most time of their own come first, then those of Ramet by the time with what they call. The profiler
    makes Python calls slower and leaves NumPy, kernels and LMDB as they are: shares are a hint.
    """
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
        docs = _created(database, load)
        profiler.enable()
        _upserted(docs, load, EVERYTHING, size)
        profiler.disable()
    entries: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in entries.values())
    by_own = sorted(entries, key=lambda where: -entries[where][2])[:PROFILED]
    of_ramet = [where for where in entries if Path(where[0]).parts[-2:-1] in ROOMS]
    by_all = sorted(of_ramet, key=lambda where: -entries[where][3])[:PROFILED]
    found = []
    for order, chosen in (("own", by_own), ("with callees", by_all)):
        for where in chosen:
            calls, _, own, whole, _ = entries[where]
            seconds = own if order == "own" else whole
            found.append(
                {"by": order, "function": _name(where), "calls": calls, "seconds": seconds, "share": seconds / total}
            )
    return found


def _name(where: tuple[str, int, str]) -> str:
    file, line, function = where
    return function if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {function}"


def analysis_s(load: Load) -> float:
    """Return the seconds in which the documents' words are found, which is a part of "text"."""
    from ramet.engine.text.analysis import Analyzer

    analyzer = Analyzer("en")
    begun = time.perf_counter()
    for text in load.documents:
        analyzer.words(text)
    return time.perf_counter() - begun


def embedded_s(documents: Sequence[str], model: Any) -> float:
    """Return the seconds in which a model makes the vectors of some documents."""
    model.embed_documents(list(documents[:8]))
    begun = time.perf_counter()
    model.embed_documents(list(documents))
    return time.perf_counter() - begun


class Chroma:
    """Puts the same records into Chroma, in a process of its own. Dates become seconds: it knows none."""

    def __init__(self, load: Load, work: Path) -> None:
        self._base, self._records = work / "base.npy", work / "records.json"
        save_atomically(self._base, unit(load.vectors))
        metadata = [_without_dates(fields) for fields in load.metadata]
        self._records.write_text(json.dumps({"ids": load.ids, "documents": load.documents, "metadatas": metadata}))
        self._process = chroma.beside(work / "chroma")

    def seconds(self, names: Sequence[str], size: int) -> float:
        """Put the records into a new collection and delete it again; only the first is timed."""
        message = {"do": "ingest", "base": str(self._base), "records": str(self._records), "size": size}
        message |= {"documents": "documents" in names, "metadatas": "metadata" in names}
        return float(self._process.ask(message)["seconds"])

    def close(self) -> None:
        """End the process."""
        self._process.__exit__(None, None, None)


def _without_dates(fields: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, datetime):
            out[name] = int(value.timestamp())
        elif value != []:  # it refuses empty lists
            out[name] = value
    return out
