"""The questions of a set in two halves with their candidates, and what a line of results says of them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import datasets, rag_pools, rag_texts, rag_widened, records, texts
from bench.rag_pools import Asked
from bench.rag_texts import TEST, TRAIN

READER = "all-MiniLM-L6-v2's tokenizer"
Halves = tuple[int, list[Asked], list[Asked]]
"""Documents, and the questions of train and of test."""


def halves(where: Path, name: str, n_train: int, *, widen: bool) -> Halves:
    """Documents of a set, and the questions of either half with their candidates.

    Parameters
    ----------
    where : Path
        Folder of the sets.
    name : str
    n_train : int
        Questions of the train half, at most.
    widen : bool
        Candidates as `ramet.Rag` finds them, second hop included.
    """
    of = rag_texts.load(where, name)
    made = rag_pools.Pools(of)
    numbers = of.of(TRAIN)[:n_train], of.of(TEST)
    if not widen:
        return len(of.ids), made.of(numbers[0]), made.of(numbers[1])
    with datasets.work_dir() as work, rag_widened.filled(of, made, work / "data") as rag:
        train, test = (rag_widened.asked(rag, of, made, half) for half in numbers)
    return len(of.ids), train, test


def header(command: str, name: str, rows: int, n: int, n_train: int) -> dict[str, Any]:
    """What every line says."""
    run = records.Run(
        command=command, dataset=name, rows=rows, full=True, dim=384, metric="cosine", mode="hot", threads=1,
        k=rag_pools.CANDIDATES, rounds=1, n_queries=n,
    )  # fmt: skip
    more = {"model": texts.MODEL, "reader": READER, "candidates": rag_pools.CANDIDATES, "n_train": n_train}
    return asdict(run) | more
