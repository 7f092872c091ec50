"""What records hold beside vectors, in a live world: documents whose words collide, metadata of all types, filters."""

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import hypothesis.strategies as st
import numpy as np

from ramet.engine.text.analysis import Analyzer
from tests.oracle.filters import matches
from tests.oracle.words import scores as bm25

WORDS = "river stone rivers lamp the of running runs moss Über 東京都 x9 lamp_post".split()
LANGUAGES = ["en", "none"]
EPOCH = datetime(2024, 2, 28, 22, tzinfo=UTC)
LONG = "long " * 120
FIELDS = ["lang", "year", "when", "open", "tags", "note", "mixed"]
TEXTS = ["", "en", "de", "e", "ünï", LONG, LONG + "er"]
NUMBERS = [-1, 0, 1, 1.5, 2019, 2020, 2020.5, 2**53, float("inf")]
MOMENTS = [EPOCH + timedelta(hours=h) for h in (0, 1, 2, 24, 9000)]
LISTS = [[], ["a"], ["a", "b"], ["b", "c", "b"], ["en"]]
KINDS = ["rich", "rich", "rich", "documents", "metadata", "nothing"]


def contents_in(operation):
    """(has a vector, document, metadata) of each record of an upsert, the same for the same operation."""
    n, kind = len(operation["ids"]), operation.get("content", "nothing")
    rng = np.random.default_rng([operation["seed"], n, 77])
    found = []
    for _ in range(n):
        document = _document(rng) if kind in ("rich", "documents") else None
        metadata = _metadata(rng) if kind in ("rich", "metadata") else None
        found.append((bool(kind != "rich" or rng.random() > operation.get("bare", 0)), document, metadata))
    return found


def _document(rng):
    if rng.random() < 0.2:
        return [None, "", "the of"][rng.integers(3)]
    n = int(rng.choice([1, 2, 5, 9, 40], p=[0.3, 0.3, 0.2, 0.15, 0.05]))
    return " ".join(WORDS[i] for i in np.minimum(rng.geometric(0.25, n) - 1, len(WORDS) - 1).tolist())


def _metadata(rng):
    if rng.random() < 0.1:
        return [None, {}, {"lang": None}][rng.integers(3)]
    pools = {"lang": TEXTS[:3], "year": NUMBERS, "when": MOMENTS, "open": [True, False], "tags": LISTS, "note": TEXTS}
    found = {}
    for field in FIELDS:
        if rng.random() < 0.6:
            pool = pools.get(field) or [*TEXTS[:3], *NUMBERS[:4], *MOMENTS[:2], True, ["a"]]
            found[field] = pool[rng.integers(len(pool))]
    return found


def as_stored(metadata):
    """Metadata as they come back."""
    return {field: value for field, value in (metadata or {}).items() if value is not None} or None


# -------------------------------------------------------------------------------------------------------------- filters

_scalars = st.sampled_from([*TEXTS, *NUMBERS, *MOMENTS, True, False])
_ordered = st.sampled_from([*TEXTS, *NUMBERS, *MOMENTS])
_values = {
    "$eq": _scalars,
    "$ne": st.one_of(_scalars, st.none()),
    "$in": st.lists(_scalars, max_size=4),
    "$nin": st.lists(_scalars, max_size=4),
    "$gt": _ordered,
    "$gte": _ordered,
    "$lt": _ordered,
    "$lte": _ordered,
    "$contains": st.sampled_from([*TEXTS, "a", "b", "ong l"]),
    "$exists": st.booleans(),
}
_usual = [
    {"lang": "en"},
    {"lang": {"$ne": "en"}},
    {"year": {"$gte": 2019}},
    {"year": {"$gt": 0, "$lt": 2020.5}},
    {"when": {"$lt": MOMENTS[2]}},
    {"open": True},
    {"tags": {"$contains": "b"}},
    {"tags": "a", "open": {"$exists": True}},
    {"note": {"$gt": LONG}},
    {"note": {"$contains": "ger"}},
    {"mixed": {"$not": {"$in": ["en", 0, True]}}},
    {"$not": {"year": {"$exists": True}}},
    {"nowhere": 1},
]
_single = st.builds(
    lambda field, one: {field: one},
    st.sampled_from(FIELDS),
    st.sampled_from(sorted(_values)).flatmap(lambda key: st.fixed_dictionaries({key: _values[key]})),
)


def _combined(inner):
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"$and": several}),
        st.fixed_dictionaries({"$or": several}),
        st.fixed_dictionaries({"$not": inner}),
    )


filters = st.one_of(st.sampled_from(_usual), st.recursive(_single, _combined, max_leaves=4))
sentences = st.lists(st.sampled_from([*WORDS, "nowhere"]), min_size=0, max_size=4).map(" ".join)


def usual(i):
    """One filter after the other."""
    return _usual[i % len(_usual)]


def sentence(i):
    """One question in words after the other."""
    return f"{WORDS[i % len(WORDS)]} {WORDS[i * 5 % len(WORDS)]}"


# ----------------------------------------------------------------------------------------------------------------- JSON


def dumps(value):
    """JSON in which datetimes survive."""
    return json.dumps(value, default=lambda moment: {"@": moment.isoformat()})


def loads(line):
    return json.loads(line, object_hook=lambda d: datetime.fromisoformat(d["@"]) if d.keys() == {"@"} else d)


# -------------------------------------------------------------------------------------------------- what is to be found


@lru_cache(100_000)
def words_of(language, text):
    return tuple(_analyzer(language).words(text))


@lru_cache
def _analyzer(language):
    return Analyzer(language)


def pool_of(model, tenants):
    """(owner, id) -> record, of everything that tenants see together."""
    return {(owner, name): known for tenant in tenants for name, (owner, known) in model.seen(tenant).items()}


def check_page(model, question, answer):
    """Records of a filter, page by page: complete, in the order of the ids, with everything that was put."""
    seen = model.seen(question["tenant"])
    expected = sorted(name for name, (_, known) in seen.items() if allows(question["where"], known))
    assert [record[0] for record in answer["records"]] == sorted(expected, key=str.encode), question
    assert answer["count"] == len(expected)
    for record in answer["records"]:
        assert record == seen[record[0]][1].shown(record[0])


def allows(where, known):
    return where is None or matches(where, known.metadata)


def check_words(model, question, answer):
    """A keyword search against BM25 over everything that the tenants see."""
    language = question["language"]
    pool = pool_of(model, question["tenants"])
    texts = {key: words_of(language, known.document) for key, known in pool.items() if known.document is not None}
    every = bm25(texts, list(words_of(language, question["text"])))
    truth = {key: score for key, score in every.items() if allows(question["where"], pool[key])}
    ids, found, documents = answer
    k = min(question["k"], len(truth))
    assert len(ids) == len(found) == k, (question, len(ids), k)
    np.testing.assert_allclose(found, sorted(truth.values(), reverse=True)[:k], rtol=2e-6, atol=1e-7)
    left = {}
    for (owner, name), score in truth.items():
        left.setdefault(name, []).append((score, pool[owner, name].document))
    for name, score, document in zip(ids, found, documents or [None] * k, strict=True):
        fitting = [
            one for one in left.get(name, ()) if abs(one[0] - score) <= 1e-7 + 2e-6 * score and one[1] == document
        ]  # fmt: skip
        assert fitting, f"{name!r} with score {score} and text {document!r} is no result, or comes too often"
        left[name].remove(fitting[0])


def found_by_either(model, question):
    """Ids of all records that have a vector or one of the words, sorted."""
    language = question["language"]
    wanted = set(words_of(language, question["text"]))
    return sorted(
        name
        for (_, name), known in pool_of(model, question["tenants"]).items()
        if allows(question["where"], known)
        and (known.vector is not None or wanted & set(words_of(language, known.document or "")))
    )
