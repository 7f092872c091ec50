"""After a compaction no byte of what was deleted is in the directory: documents, words, values and names of fields."""

from datetime import UTC, datetime

import numpy as np
import pytest

import ramet
from tests.engine.world import vectors

DIM = 8
MOMENT = datetime(2031, 7, 9, 4, 33, 17, 123456, tzinfo=UTC)
NUMBER = 987654321.0625
SECRETS = {
    "document": b"confidential zanzibar",
    "word of a document": b"zanzibar",
    "field": b"secretfield",
    "value": b"hushvalue",
    "element of a list": b"hushelement",
    "part of a long value": b"hushlong",
    "id": b"hushid",
    "number": np.float64(NUMBER).tobytes(),
    "number, as it is in JSON": b"987654321.0625",
    "moment": str(int(MOMENT.timestamp() * 1_000_000)).encode(),
}


def secret(i):
    return {
        "documents": [f"confidential zanzibar number {i}"],
        "metadata": [
            {
                "secretfield": "hushvalue", "tags": ["x", "hushelement"], "long": "hushlong" * 100, "when": MOMENT,
                "n": NUMBER, "flag": True,
            }
        ],
    }  # fmt: skip


def files(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def found_in(path):
    """Secrets in the bytes of any file: (what, file). Numbers in both byte orders, and as the filter sorts them."""
    found = set()
    for what, secret in SECRETS.items():
        forms = {secret, secret[::-1]} if what == "number" else {secret}
        if what == "number":
            code = np.frombuffer(secret, np.uint64)[0] | np.uint64(1 << 63)
            forms |= {code.tobytes(), code.tobytes()[::-1]}
        if what == "moment":
            micros = int(secret)
            for code in (micros, micros + (1 << 63)):
                forms |= {code.to_bytes(8, "little"), code.to_bytes(8, "big")}
        for name, content in files(path).items():
            found |= {(what, name) for form in forms if form in content}
    return found


GONE = {
    "deleted": lambda c: c.delete(["hushid"], tenant="a"),
    "deleted by a filter": lambda c: c.delete(where={"secretfield": "hushvalue"}, tenant="a"),
    "dropped with its tenant": lambda c: c.drop_tenant("a"),
}


@pytest.fixture(params=["sq8", "none"])
def docs(request, tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        docs = db.create_collection("c", DIM, codes=request.param)
        n = 300
        docs.upsert(
            [str(i) for i in range(n)], vectors(n, DIM), tenant="b", documents=["river stone"] * n,
            metadata=[{"tags": ["x"], "n": i, "flag": i % 2 == 0} for i in range(n)],
        )  # fmt: skip
        docs.upsert(["hushid"], vectors(1, DIM, seed=4), tenant="a", **secret(1))
        docs.grant(["hushid"], to="b", tenant="a")
        assert {what for what, _ in found_in(docs.path)} == SECRETS.keys()  # so the search finds what is there
        yield docs


@pytest.mark.parametrize("how", GONE)
def test_nothing_of_a_deleted_record_is_left(docs, how):
    assert GONE[how](docs) == 1
    docs.compact()
    assert found_in(docs.path.parent) == set()
    assert docs.count("b") == 300
    assert len(docs.query(text="river", mode="keyword", k=999, tenant="b").ids) == 300
    assert docs.verify().ok


def test_nothing_of_a_replaced_record_is_left_but_its_id(docs):
    docs.upsert(["hushid"], documents=["river"], metadata=[{"n": 1}], tenant="a")
    docs.compact()
    assert {what for what, _ in found_in(docs.path.parent)} == {"id"}
    assert docs.query(text="river", mode="keyword", tenant="a").ids == ["hushid"]
    assert docs.verify().ok


def test_what_somebody_else_still_has_stays(docs):
    """Words and values of a deleted record that another record has, too, belong to that one."""
    docs.upsert(["other"], tenant="b", **secret(2))
    docs.delete(["hushid"], tenant="a")
    docs.compact()
    assert {what for what, _ in found_in(docs.path.parent)} == SECRETS.keys() - {"id"}
    assert docs.query(text="zanzibar", mode="keyword", tenant="b").ids == ["other"]
    assert docs.count("b", where={"when": MOMENT, "n": NUMBER, "tags": "hushelement"}) == 1


def test_a_revoked_grant_leaves_nothing_with_the_other_tenant_but_the_record_with_its_own(docs):
    docs.revoke(["hushid"], to="b", tenant="a")
    docs.compact()
    assert docs.query(text="zanzibar", mode="keyword", tenant="b").ids == []
    assert docs.query(text="zanzibar", mode="keyword", tenant="a").ids == ["hushid"]
    assert docs.count("b", where={"secretfield": "hushvalue"}) == 0
    assert docs.count("a", where={"secretfield": "hushvalue"}) == 1
    docs.delete(["hushid"], tenant="a")
    docs.compact()
    assert found_in(docs.path.parent) == set()
