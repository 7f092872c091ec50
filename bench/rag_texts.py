"""Questions with evidence for ``bench rag``: four sets, each split once into train and test.

The sets lie where those of `bench.texts` do. A question goes to train or test by a hash of its id, SciFact's by its own
split. Whatever is tuned or trained sees train only.
"""

import gzip
import hashlib
import json
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import texts

SETS = ("hotpotqa", "2wikimultihopqa", "musique", "scifact")
MULTI_HOP = SETS[:3]
TRAIN, TEST = "train", "test"
CLOSED = frozenset({"yes", "no"})
"""Answers that say nothing about the text they stand in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question."""

    id: str
    text: str
    gold: frozenset[int]
    """Places of its evidence in the corpus."""
    answers: tuple[str, ...]
    """The answer and other spellings of it; none when the set has none, as for claims."""
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RagSet:
    """One corpus with its questions."""

    name: str
    ids: list[str]
    titles: list[str]
    bodies: list[str]
    questions: list[Question]

    @property
    def texts(self) -> list[str]:
        """Title and text of each document, with a space between: what is embedded."""
        return [f"{title} {body}" for title, body in zip(self.titles, self.bodies, strict=True)]

    def of(self, split: str) -> list[int]:
        """Numbers of the questions of a split."""
        return [number for number, question in enumerate(self.questions) if question.split == split]


def load(where: Path, name: str) -> RagSet:
    """Read one set; questions without evidence in the corpus are left out."""
    documents, asked = _read(where / name / "corpus.jsonl.gz"), _read(where / name / "queries.jsonl.gz")
    places = {document["id"]: place for place, document in enumerate(documents)}
    return RagSet(
        name=name,
        ids=[document["id"] for document in documents],
        titles=[document.get("title") or "" for document in documents],
        bodies=[document["text"] for document in documents],
        questions=[_question(one, places) for one in asked if any(gold in places for gold in one["gold"])],
    )


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf8") as file:
        return [json.loads(line) for line in file]


def _question(raw: dict[str, Any], places: dict[str, int]) -> Question:
    answers = [raw.get("answer") or "", *raw.get("aliases", [])]
    return Question(
        id=str(raw["id"]),
        text=raw["text"],
        gold=frozenset(places[gold] for gold in raw["gold"] if gold in places),
        answers=tuple(dict.fromkeys(answer for answer in answers if answer)),
        split=split_of(str(raw["id"]), raw.get("split")),
    )


def split_of(name: str, own: str | None = None) -> str:
    """The split of a question, by the set's own split or by its id; never another on another day."""
    if own is not None:
        return TEST if own == texts.TEST_SPLIT else TRAIN
    return TEST if int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2 else TRAIN


def question_vectors(of: RagSet) -> np.ndarray:
    """Vectors of all questions, (n, dim) float32; those that lie ready are taken."""
    out: np.ndarray | None = None
    groups = {f"{of.name}-other": of.of(TRAIN), of.name: of.of(TEST)} if of.name == "scifact" else {}
    for name, numbers in (groups or {of.name: list(range(len(of.questions)))}).items():
        if not numbers:
            continue
        asked = [of.questions[number] for number in numbers]
        queries = texts.Queries(
            ids=[one.id for one in asked], texts=[one.text for one in asked], gold=[one.gold for one in asked]
        )
        vectors = texts.query_vectors(queries, name)
        out = np.zeros((len(of.questions), vectors.shape[1]), np.float32) if out is None else out
        out[numbers] = vectors
    if out is None:
        raise ValueError(f"{of.name} has no questions")
    return out


def document_vectors(of: RagSet) -> np.ndarray:
    """Vectors of the documents, (n, dim) float32."""
    none = texts.Queries(ids=[], texts=[], gold=[])
    return texts.document_vectors(
        texts.TextSet(name=of.name, ids=of.ids, titles=of.titles, texts=of.texts, test=none, other=none)
    )


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, without punctuation and articles, as answers are compared since SQuAD."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_MARKS)).split())


def holds(context: str, answers: Sequence[str]) -> bool | None:
    """Whether a text has an answer in it; None when there is nothing to look for, as for yes and no."""
    sought = [f" {answer} " for answer in map(normalized, answers) if answer and answer not in CLOSED]
    if not sought:
        return None
    within = f" {normalized(context)} "
    return any(answer in within for answer in sought)
