"""The second hop without a language model: what the chunks found first bring up.

The passage that holds an answer often shares no word with the question; it is named in a passage that does. So the
names in the first chunks of a greedy choice (words that begin with a capital or a digit), together with the words of
the question, are searched for by keywords, and what is found comes into the pool. `docs/rag.md` says what was compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ramet.engine.opened import Opened
from ramet.engine.rag.pool import F32, Name, Pool
from ramet.engine.rag.retrieval import Asked, Found, Place, answered, found_in, unit_question
from ramet.engine.rag.utility import CoverageUtility

SEEDS = 3
"""Chunks whose names are searched for. Of one seed the second of two people that a question compares is missed."""
MOST_NEW = 10
"""Candidates that come in. Twice as many raise what could be found by another two points, and distract as much."""
DEPTH = 40
"""Hits of each search that are looked at, most of which are in the pool already."""
MOST_NAMES = 48

_WORD = re.compile(r"\w[\w'’-]*")


@dataclass(frozen=True, slots=True)
class Widening:
    """What a second look brought."""

    new: list[Found] = field(default_factory=list)
    hops: dict[Name, float] = field(default_factory=dict)
    """Name -> how well it fits what a seed brings up, as a share of how well the seed does itself, 0 to 1."""
    seeds: dict[Name, str] = field(default_factory=dict)
    """Name of a new candidate -> id of the chunk that brought it up."""


def seeds_of(pool: Pool) -> list[int]:
    """Candidates whose names are searched for: the first ones of a greedy choice, whatever the budget."""
    utility = CoverageUtility(pool, links=0.0)
    chosen: list[int] = []
    while len(chosen) < min(SEEDS, len(pool.candidates)):
        chosen.append(int(np.argmax(utility.gains(chosen))))
    return chosen


def names_in(text: str, question: str) -> list[str]:
    """Words of a text that look like names, each once, without those of the question; all of them if none does.

    Scripts without capitals have words that are neither small nor large: these count.
    """
    asked = {word.casefold() for word in _WORD.findall(question)}
    words = dict.fromkeys(word for word in _WORD.findall(text) if word.casefold() not in asked)
    names = [word for word in words if word[0] != word[0].lower() or not word[0].isalpha() or word == word.upper()]
    return (names or list(words))[:MOST_NAMES]


def widened(opened: Opened, question: Asked, place: Place, pool: Pool) -> Widening:
    """Search for what the best chunks of a pool bring up."""
    seeds = seeds_of(pool)
    chunks = [pool.candidates[i] for i in seeds]
    texts = [f"{question.text} {' '.join(names_in(chunk.text, question.text))}" for chunk in chunks]
    result = Widening()
    if not texts:
        return result
    found = _ranked(opened, question, place, texts)
    for chunk, ranked in zip(chunks, found, strict=True):
        scores = {one.candidate.name: one.candidate.score for one in ranked}
        own = scores.get(chunk.name, max(scores.values(), default=0.0))
        for name, score in scores.items():
            if name != chunk.name and own > 0.0:
                result.hops[name] = max(result.hops.get(name, 0.0), min(score / own, 1.0))
    _take(
        result, [chunk.id for chunk in chunks], found, pool, unit_question(question) if place.mode == "dense" else None
    )
    return result


def _ranked(opened: Opened, question: Asked, place: Place, texts: list[str]) -> list[list[Found]]:
    """What each search finds, best first."""
    hits = answered(opened, None, texts, replace(place, mode="keyword"), DEPTH)
    return [found_in(one, question, "keyword") for one in hits]


def _take(result: Widening, seeds: Sequence[str], found: Sequence[list[Found]], pool: Pool, query: F32 | None) -> None:
    """Take the best new hits of the searches in turn; they are scored by the cosine with the query, if there is one."""
    known = {one.name for one in pool.candidates}
    lowest = min((one.score for one in pool.candidates), default=0.0)
    waiting = [[one for one in ranked if one.candidate.name not in known] for ranked in found]
    while any(waiting) and len(result.new) < MOST_NEW:
        for seed, ranked in zip(seeds, waiting, strict=True):
            while ranked and (ranked[0].candidate.name in known or ranked[0].candidate.name in result.seeds):
                ranked.pop(0)
            if ranked and len(result.new) < MOST_NEW:
                one = ranked.pop(0)
                # Scores of different searches do not compare: cosines do, and else it comes behind what was there.
                hop = result.hops.get(one.candidate.name, 0.0)
                score = lowest * hop if query is None else float(one.vector @ query)
                result.new.append(replace(one, candidate=replace(one.candidate, score=score)))
                result.seeds[one.candidate.name] = seed
