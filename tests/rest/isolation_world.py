"""Two servers that differ in nothing but one tenant's data, and random requests over all operations.

A key that is not for that tenant must get the same answers from both: then no id, text, value, name, count or order of
it is in any of them. Everything of a tenant carries a word of its own as well, which is looked for in answers, headers,
figures and logs.
"""

import contextlib
import functools
import io
import itertools
import json
import logging
import shutil
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
from hypothesis import strategies as st

from ramet.engine.keys import ALL, RIGHTS, Keys
from tests.engine.word_hash import WordHash
from tests.rest.serving import serving

MINE, OURS, THEIRS, NOBODY = "qzmine", "qzours", "qztheirs", "qznobody"
WORDS = (MINE, OURS, THEIRS)
DIM = WordHash.dim
N = {MINE: 13, OURS: 7, THEIRS: 171}
N_MORE = 300
REACH = {"mine": {MINE}, "ours": {OURS}, "both": {MINE, OURS}, "theirs": {THEIRS}, "all": ALL}


@dataclass
class Sent:
    """A request: what `httpx` is to send."""

    operation: str
    method: str
    path: str
    body: object = None
    params: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)

    @property
    def text(self):
        """Everything that the client itself said."""
        return json.dumps([self.path, self.body, self.params], ensure_ascii=False, default=repr)


@dataclass
class Worlds:
    """The servers: the first has the other tenant's data, the second has not."""

    running: list
    clients: list
    keys: dict
    """(whose, rights) -> text of the key."""
    log: io.StringIO
    secrets: list
    n: int = 0

    def fill(self):
        """Make a new collection in both; returns its name."""
        self.n += 1
        name = f"docs{self.n}"
        for which, one in enumerate(self.running):
            docs = one.server.database.create_collection(name, embedder=WordHash())
            for word in (MINE, OURS) if which else WORDS:
                ids, vectors, documents, metadata = records_of(word)
                docs.upsert(ids, vectors, documents=documents, metadata=metadata, tenant=word)
            if not which:  # many more, so that there are many lists
                more = np.random.default_rng(0).normal(size=(N_MORE, DIM)).astype(np.float32)
                docs.upsert([f"{THEIRS}-more-{i}" for i in range(N_MORE)], more, tenant=THEIRS)
            docs.grant([f"{MINE}-0", f"{MINE}-1"], to=OURS + "-guest", tenant=MINE)
        return name

    def warm(self):
        """Compile what the first calibration compiles, which may take longer than a client waits."""
        name = self.fill()
        self.running[0].server.database.collection(name).calibrate(np.eye(DIM), tenant=MINE)
        self.drop(name)

    def drop(self, name):
        for one in self.running:
            with contextlib.suppress(KeyError):
                one.server.database.delete_collection(name)

    def send(self, which, request, name, key):
        headers = dict(request.headers) if key is None else {**request.headers, "Authorization": f"Bearer {key}"}
        content, body = None, request.body
        if isinstance(body, bytes):
            content, body = body, None
        return self.clients[which].request(
            request.method, request.path.replace("{c}", name), json=body, content=content,
            params=request.params or None, headers=headers,
        )  # fmt: skip


@functools.cache
def records_of(word):
    """Ids, vectors, documents and metadata of a tenant; nothing in them is another's."""
    n = N[word]
    ids = [f"{word}-{i}" for i in range(n)]
    documents = [f"the {word} paper {word}{i} tells of rivers {'and lakes' if i % 2 else ''}" for i in range(n)]
    vectors = WordHash().embed_documents(documents)
    metadata = [{"kind": f"{word}-kind", f"{word}-field": i, "year": 1900 + i, "tags": [word, "x"]} for i in range(n)]
    return ids, vectors, documents, metadata


@contextlib.contextmanager
def worlds(place):
    """Start both servers, with the same keys."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    (place / "one").mkdir()
    keys, known = Keys(place / "one"), {}
    for whose, tenants in REACH.items():
        for rights in (some for n in (1, 2, 3) for some in itertools.combinations(RIGHTS, n)):
            known[whose, rights] = keys.create(tenants, rights)
    shutil.copytree(place / "one", place / "two")
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.redirect_stderr(log):
                running = [stack.enter_context(serving(place / name, log_level="info")) for name in ("one", "two")]
            clients = [stack.enter_context(one.client()) for one in running]
            found = Worlds(running, clients, known, log, [text.split("_")[2] for text in known.values()])
            found.warm()
            yield found
    finally:
        logging.getLogger().removeHandler(handler)


# ------------------------------------------------------------------------------------------------- random requests

TENANT = st.sampled_from([None, None, MINE, OURS, THEIRS, OURS + "-guest", NOBODY])
TENANT_OR_LIST = st.one_of(TENANT, st.lists(st.sampled_from([MINE, OURS, THEIRS, NOBODY]), min_size=1, max_size=3))
ID = st.one_of(
    st.builds("{}-{}".format, st.sampled_from(WORDS), st.integers(0, 3)),
    st.sampled_from(["../../etc/passwd", "..", "%2e%2e/x", "a\0b", "new", "\ud7ff"]),
)
IDS = st.lists(ID, min_size=1, max_size=4, unique=True)
WHERE = st.sampled_from(
    [
        None, None, {}, {"year": {"$gte": 1903}}, {"tags": "x"}, {"kind": f"{THEIRS}-kind"}, {f"{THEIRS}-field": 3},
        {"$or": [{"kind": f"{MINE}-kind"}, {"tags": THEIRS}]}, {"$not": {"kind": f"{MINE}-kind"}},
        {"year": "text"}, {"$bad": 1}, {f"{MINE}-field": {"$lt": 5}}, {"kind": {"$ne": "x"}},
    ]
)  # fmt: skip
INCLUDE = st.one_of(st.none(), st.lists(st.sampled_from(["documents", "metadata", "vectors"]), unique=True))
TEXT = st.sampled_from(["rivers", f"{THEIRS} paper", f"{MINE} rivers", "lakes and rivers", "nothing", "the"])
VECTOR = st.integers(0, 5).map(lambda seed: np.random.default_rng(seed).normal(size=DIM).round(4).tolist())


@st.composite
def given_fields(draw, **fields):
    """A body of those fields that are not None; now and then with one that does not belong there."""
    found = {name: draw(value) for name, value in fields.items()}
    body = {name: value for name, value in found.items() if value is not None}
    if draw(st.integers(0, 30)) == 0:
        body["tenants"] = [THEIRS]
    return body


OPTIONS = {
    "k": st.sampled_from([None, 1, 5, 400]), "where": WHERE, "tenant": TENANT_OR_LIST, "include": INCLUDE,
    "exact": st.sampled_from([None, True]), "explain": st.sampled_from([None, None, True]),
    "mode": st.sampled_from([None, "dense", "keyword", "hybrid"]),
}  # fmt: skip
QUERY = given_fields(vector=st.one_of(st.none(), VECTOR), text=st.one_of(st.none(), TEXT), **OPTIONS)
BATCH = st.one_of(
    given_fields(queries=st.lists(QUERY, min_size=1, max_size=3)),
    given_fields(vectors=st.one_of(st.none(), st.lists(VECTOR, min_size=1, max_size=2)), **OPTIONS),
    given_fields(texts=st.lists(TEXT, min_size=1, max_size=2), **OPTIONS),
)
CHOOSING = {
    "where": WHERE, "tenant": TENANT_OR_LIST, "mode": st.sampled_from([None, "keyword", "dense", "hybrid"]),
    "budget": st.sampled_from([50, 200, 4000]), "strategy": st.sampled_from([None, "topk", "greedy"]),
}  # fmt: skip
MESSAGES = TEXT.map(lambda text: [{"role": "user", "content": text}])
NPY_HEADERS = st.sampled_from([{}, {}, {"Accept": "application/x-npy"}])


@st.composite
def upserts(draw):
    ids = draw(IDS)
    n = len(ids)
    owner = draw(st.one_of(TENANT, st.lists(st.sampled_from([MINE, OURS, THEIRS]), min_size=n, max_size=n)))
    body = {"ids": ids, "vectors": [draw(VECTOR) for _ in ids], "documents": [f"new text {i}" for i in range(n)]}
    conflict = draw(st.sampled_from([None, "skip", "error"]))
    return {
        **body,
        **({} if owner is None else {"tenant": owner}),
        **({} if conflict is None else {"on_conflict": conflict}),
    }


def to(operation, method, path, body=None, params=None, headers=None):
    """A strategy of requests; parts of the path in braces are those of `PARTS`."""

    @st.composite
    def made(draw):
        full = path
        for part, values in PARTS.items():
            if part in full:
                full = full.replace(part, quote(draw(values), safe="" if draw(st.booleans()) else "/"))
        given = {name: draw(value) for name, value in (params or {}).items()}
        return Sent(
            operation, method, full, None if body is None else draw(body),
            {name: value for name, value in given.items() if value is not None},
            {} if headers is None else draw(headers),
        )  # fmt: skip

    return made()


PARTS = {"{id}": ID, "{tenant}": TENANT.filter(bool)}
DOCS = "/v1/collections/{c}"
JSON_WHERE = WHERE.map(lambda where: None if where is None else json.dumps(where))
COMMAS = INCLUDE.map(lambda names: None if not names else ",".join(names))
SOME = given_fields(ids=st.one_of(st.none(), IDS), where=WHERE, tenant=TENANT)
SHARE = given_fields(ids=IDS, to=TENANT_OR_LIST, tenant=TENANT)
CURSOR = st.sampled_from([None, None, "cXp0aGVpcnMtMA==", "cXptaW5lLTE=", "x"])

REQUESTS = {
    "livez": to("livez", "GET", "/livez"),
    "healthz": to("healthz", "GET", "/healthz"),
    "readyz": to("readyz", "GET", "/readyz"),
    "metrics": to("metrics", "GET", "/metrics", headers=st.just({"X-Forwarded-For": "10.0.0.1"})),
    "listCollections": to("listCollections", "GET", "/v1/collections"),
    "createCollection": to("createCollection", "POST", "/v1/collections", st.just({"name": "qz..", "dim": 4})),
    "getCollection": to("getCollection", "GET", DOCS),
    "deleteCollection": to("deleteCollection", "DELETE", DOCS),
    "getStats": to("getStats", "GET", DOCS + "/stats", params={"tenant": TENANT}),
    "compactCollection": to("compactCollection", "POST", DOCS + "/compact"),
    "verifyCollection": to("verifyCollection", "POST", DOCS + "/verify"),
    "calibrateTenant": to(
        "calibrateTenant", "POST", DOCS + "/calibrate",
        given_fields(vectors=st.lists(VECTOR, min_size=2, max_size=4), tenant=TENANT),
    ),
    "maintainCollection": to("maintainCollection", "POST", DOCS + "/maintain", st.just({"seconds": 0})),
    "flushCollection": to("flushCollection", "POST", DOCS + "/flush"),
    "upsertRecords": to("upsertRecords", "POST", DOCS + "/records", upserts(), params={"tenant": TENANT}),
    "listRecords": to(
        "listRecords", "GET", DOCS + "/records",
        params={"limit": st.sampled_from([None, 3]), "cursor": CURSOR, "tenant": TENANT, "where": JSON_WHERE,
                "include": COMMAS},
    ),
    "getRecord": to("getRecord", "GET", DOCS + "/records/{id}", params={"tenant": TENANT, "include": COMMAS}),
    "readRecords": to(
        "readRecords", "POST", DOCS + "/records/get",
        given_fields(ids=st.one_of(st.none(), IDS), where=WHERE, tenant=TENANT, include=INCLUDE,
                     limit=st.sampled_from([None, 2]), cursor=CURSOR),
        headers=NPY_HEADERS,
    ),
    "countRecords": to("countRecords", "POST", DOCS + "/records/count", given_fields(where=WHERE, tenant=TENANT)),
    "deleteRecords": to("deleteRecords", "POST", DOCS + "/records/delete", SOME),
    "grantRecords": to("grantRecords", "POST", DOCS + "/records/grant", SHARE),
    "revokeRecords": to("revokeRecords", "POST", DOCS + "/records/revoke", SHARE),
    "addTexts": to(
        "addTexts", "POST", DOCS + "/texts",
        given_fields(texts=st.just(["a text of rivers"]), ids=ID.map(lambda one: [one]), tenant=TENANT),
    ),
    "deleteTexts": to("deleteTexts", "POST", DOCS + "/texts/delete", given_fields(ids=IDS, tenant=TENANT)),
    "queryRecords": to("queryRecords", "POST", DOCS + "/query", QUERY, headers=NPY_HEADERS),
    "queryBatch": to("queryBatch", "POST", DOCS + "/query/batch", BATCH, headers=NPY_HEADERS),
    "listTenants": to("listTenants", "GET", DOCS + "/tenants"),
    "getTenant": to("getTenant", "GET", DOCS + "/tenants/{tenant}"),
    "dropTenant": to("dropTenant", "DELETE", DOCS + "/tenants/{tenant}"),
    "createBackup": to("createBackup", "POST", DOCS + "/backups", st.sampled_from([{"name": "../x"}, {"name": "b"}])),
    "listBackups": to("listBackups", "GET", "/v1/backups"),
    "selectChunks": to("selectChunks", "POST", DOCS + "/select", given_fields(question=TEXT, **CHOOSING)),
    "answerQuestion": to(
        "answerQuestion", "POST", DOCS + "/answer",
        given_fields(question=TEXT, stream=st.sampled_from([None, True]), **CHOOSING),
    ),
    "createChatCompletion": to(
        "createChatCompletion", "POST", "/v1/chat/completions",
        given_fields(model=st.just("{c}"), messages=MESSAGES, stream=st.sampled_from([None, True]), **CHOOSING),
    ),
    "listModels": to("listModels", "GET", "/v1/models"),
    "getModel": to("getModel", "GET", "/v1/models/{c}"),
}  # fmt: skip
"""Operation -> requests; every operation of the description has to be here."""

MANY = [
    "listRecords", "getRecord", "readRecords", "countRecords", "deleteRecords", "grantRecords", "revokeRecords",
    "upsertRecords", "queryRecords", "queryRecords", "queryBatch", "queryBatch", "selectChunks", "answerQuestion",
    "getStats", "getTenant", "listTenants", "getCollection", "listCollections", "addTexts", "createChatCompletion",
    "calibrateTenant",
]  # fmt: skip
RANDOM_REQUEST = st.one_of(st.sampled_from(MANY), st.sampled_from(sorted(REQUESTS))).flatmap(REQUESTS.__getitem__)
