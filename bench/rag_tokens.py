"""Token codes of a set's documents and token vectors of its questions, made once and kept in the cache.

The files of a set are ``{set}-tokens.npy`` (int8, (tokens, 64)), ``-token-starts.npy`` (int64, (n + 1,)),
``-projection.npy`` (float32, (384, 64)) and ``-question-tokens.npz``. Making them takes minutes; a lock file keeps two
processes from doing it at once.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import texts
from bench.datasets import cache_dir, save_atomically
from bench.rag_texts import RagSet
from ramet.engine.token_codes import Projection

FITTED_ON = 512
"""Documents from whose tokens the projection is made."""
_PART = 1024
_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What is known of tokens."""

    codes: np.ndarray
    """(tokens, 64) int8 of all documents, one after the other."""
    starts: np.ndarray
    """(n + 1,): where each document begins."""
    projection: np.ndarray
    """(d, 64) float32."""
    questions: dict[str, tuple[np.ndarray, list[str]]]
    """Id of a question -> (t, d) vectors of its tokens, and the tokens."""


def of_set(of: RagSet) -> Tokens:
    """Token codes and vectors of a set; they are made if they are not there."""
    folder = cache_dir() / "text" / "minilm-tokens"
    if not (folder / f"{of.name}-tokens.npy").exists():
        _with_lock(of, folder)
    starts = np.load(folder / f"{of.name}-token-starts.npy")
    questions = _questions(folder / f"{of.name}-question-tokens.npz")
    if len(starts) != len(of.ids) + 1 or any(question.id not in questions for question in of.questions):
        raise ValueError(f"{folder}/{of.name}-* are of another set; delete them")
    return Tokens(
        codes=np.load(folder / f"{of.name}-tokens.npy", mmap_mode="r"),
        starts=starts,
        projection=np.load(folder / f"{of.name}-projection.npy"),
        questions=questions,
    )


def _questions(path: Path) -> dict[str, tuple[np.ndarray, list[str]]]:
    with np.load(path) as kept:
        vectors, starts, tokens, ids = (kept[name] for name in ("vectors", "starts", "tokens", "ids"))
    return {
        str(name): (vectors[first:last], [str(token) for token in tokens[first:last]])
        for name, first, last in zip(ids, starts[:-1], starts[1:], strict=True)
    }


def _with_lock(of: RagSet, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f"{of.name}.lock"
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return _awaited(folder / f"{of.name}-tokens.npy", lock)
    try:
        _make(of, folder)
    finally:
        lock.unlink(missing_ok=True)


def _awaited(made: Path, lock: Path) -> None:
    print(f"  another process makes {made.name}; waiting", flush=True)
    until = time.monotonic() + _WAIT_S
    while not made.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"{made} did not come; if nothing makes it any more, delete {lock}")
        time.sleep(2.0)


def _make(of: RagSet, folder: Path) -> None:
    model, documents = texts.embedder(), of.texts
    begun = time.perf_counter()
    projection = Projection.fitted(model.embed_documents_with_tokens(documents[:FITTED_ON])[1])
    codes: list[np.ndarray] = []
    for first in range(0, len(documents), _PART):
        read = model.embed_documents_with_tokens(documents[first : first + _PART])[1]
        codes += [projection.encode(one) for one in read]
        print(f"  {of.name}: tokens of {first + _PART:,} documents, {time.perf_counter() - begun:.0f} s", flush=True)
    asked = [model.embed_question_tokens(question.text) for question in of.questions]
    np.savez(
        folder / f"{of.name}-question-tokens.npz",
        vectors=np.concatenate([vectors for vectors, _ in asked]),
        starts=np.cumsum([0, *(len(vectors) for vectors, _ in asked)]),
        tokens=np.array([token for _, tokens in asked for token in tokens]),
        ids=np.array([question.id for question in of.questions]),
    )
    save_atomically(folder / f"{of.name}-projection.npy", projection.matrix)
    save_atomically(folder / f"{of.name}-token-starts.npy", np.cumsum([0, *map(len, codes)]).astype(np.int64))
    save_atomically(folder / f"{of.name}-tokens.npy", np.concatenate(codes))
