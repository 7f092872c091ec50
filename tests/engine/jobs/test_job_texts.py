"""Texts that are chunked and embedded in the job, beside `add_texts`."""

import numpy as np
import pytest

import ramet
from ramet.engine.jobs.errors import RejectedRecordError
from tests.engine.jobs.job_world import opened, sentence, write_jsonl
from tests.engine.word_hash import WordHash
from tests.engine.word_tokens import WordTokens

OPTIONS = {"memory": "500MB", "workers": 2}


class Partly(WordHash):
    """Knows no word of texts with "unknown" in them."""

    def _embed(self, texts):
        made = super()._embed(texts)
        made[["unknown" in text for text in texts]] = 0
        return made

    embed_documents = embed_queries = _embed


def texts_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return [{"id": f"d{i}", "text": sentence(rng, int(rng.integers(3, 60))), "year": 2000 + i % 9} for i in range(n)]


@pytest.mark.parametrize("embedder", [WordHash(), WordTokens(width=64)], ids=["plain", "tokens"])
def test_a_job_stores_what_add_texts_stores(tmp_path, embedder):
    documents = texts_of(400)
    path = write_jsonl(tmp_path / "t.jsonl", documents)
    report = ramet.build_job(path, tmp_path / "db" / "a", embedder=embedder, chunk_tokens=16, overlap=3, **OPTIONS)
    other = ramet.connect(tmp_path / "other").create_collection("a", embedder=embedder)
    for first in range(0, 400, 100):
        part = documents[first : first + 100]
        other.add_texts(
            [one["text"] for one in part], [one["id"] for one in part], chunk_tokens=16, overlap=3,
            metadata=[{"year": one["year"]} for one in part],
        )  # fmt: skip
    job = ramet.connect(tmp_path / "db").collection("a", embedder=embedder)
    assert job.verify().ok and report.n_records == job.count() == other.count()
    mine, theirs = job.get(), other.get()
    assert [(one.id, one.document, one.metadata) for one in mine] == [
        (one.id, one.document, one.metadata) for one in theirs
    ]
    np.testing.assert_allclose([one.vector for one in mine], [one.vector for one in theirs], atol=1e-6)
    for text in ("w0 w3", "w17 w2 w1"):
        for mode in ("dense", "keyword"):
            options = {"mode": mode, "k": 5, **({} if mode == "keyword" else {"exact": True})}
            found, expected = (one.query(text=text, **options) for one in (job, other))
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    job.add_texts(["w1 w2 w3"], ["more"])
    assert job.delete_texts(["d1"]) == sum(one.metadata["_document"] == "d1" for one in mine)
    assert job.verify().ok
    with pytest.raises(ramet.RametError):
        ramet.connect(tmp_path / "db").collection("a", embedder=WordHash("other"))


def test_chunks_without_a_known_word_are_found_by_words(tmp_path):
    documents = texts_of(300)
    for i in range(0, 300, 10):
        documents[i]["text"] = f"unknown thing number{i}"
    for one in documents:
        one["owner"] = "bare" if one["text"].startswith("unknown") and int(one["id"][1:]) % 20 else "mine"
    path = write_jsonl(tmp_path / "t.jsonl", documents)
    report = ramet.build_job(path, tmp_path / "db" / "a", embedder=Partly(), tenant_column="owner", **OPTIONS)
    job = ramet.connect(tmp_path / "db").collection("a", embedder=Partly())
    assert job.verify().ok
    assert report.n_records == 300 and job.tenants() == {"mine": 285, "bare": 15}
    found = job.query(text="unknown", mode="keyword", k=99, tenant="bare").ids
    assert set(found) == {f"d{i}" for i in range(10, 300, 20)}
    assert job.query(text="number40", mode="keyword", tenant="mine").ids == ["d40"]
    assert job.query(text="w1", mode="dense", k=300, tenant="mine").ids.count("d40") == 0
    job.add_texts(["unknown w1"], ["d10"], tenant="bare")
    job.compact()
    assert job.verify().ok and job.tenants() == {"mine": 285, "bare": 15}


def test_ids_that_come_twice_where_a_chunk_is_bare(tmp_path):
    path = write_jsonl(
        tmp_path / "t.jsonl",
        [
            {"id": "a", "text": "w1"},
            {"id": "b", "text": "unknown"},
            {"id": "a", "text": "unknown"},
            {"id": "b", "text": "w2"},
            {"id": "c", "text": "unknown"},
            {"id": "c", "text": "unknown"},
        ],
    )
    with pytest.raises(RejectedRecordError, match="row 1: duplicate_id"):
        ramet.build_job(path, tmp_path / "db" / "a", embedder=Partly(), **OPTIONS)
    report = ramet.build_job(path, tmp_path / "db" / "a", embedder=Partly(), resume=True, on_error="skip", **OPTIONS)
    job = opened(tmp_path / "db" / "a")
    assert (report.n_records, report.reasons) == (3, {"duplicate_id": 3})
    assert sorted(one["row"] for one in report.rejected) == [1, 2, 5]
    assert [(one.id, one.document) for one in job.get()] == [("a", "w1"), ("b", "w2"), ("c", "unknown")]
    assert job.verify().ok


def test_no_text_has_a_known_word(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "unknown"}])
    with pytest.raises(ramet.RametError, match="knows no word"):
        ramet.build_job(path, tmp_path / "db" / "a", embedder=Partly(), **OPTIONS)
    assert not (tmp_path / "db" / ".build-a").exists()


def test_documents_without_ids_are_named_by_file_and_row(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "t.jsonl", [{"text": f"w{i} {folder}"} for i in range(3)])
    ramet.build_job([tmp_path / "x", tmp_path / "y"], tmp_path / "db" / "a", embedder=WordHash(), **OPTIONS)
    names = [one.id for one in opened(tmp_path / "db" / "a").get()]
    assert names == [f"{folder}/t.jsonl:{i}" for folder in "xy" for i in range(3)]


def test_a_file_of_bad_lines_among_good_ones(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", texts_of(20))
    (tmp_path / "b.jsonl").write_text("no\n{\n", "utf8")
    report = ramet.build_job([tmp_path / "*.jsonl"], tmp_path / "db" / "a", embedder=WordHash(), on_error="skip")
    assert (report.n_records, report.n_rejected) == (20, 2)
    assert {one["file"] for one in report.rejected} == {str(tmp_path / "b.jsonl")}


def test_a_folder_of_documents(tmp_path):
    (tmp_path / "docs" / "in").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text("w1 w2", "utf8")
    (tmp_path / "docs" / "in" / "b.md").write_text("# Title\n\nw3 w4", "utf8")
    (tmp_path / "docs" / "bad.txt").write_bytes(b"\xff\xfe\xff")
    report = ramet.build_job(tmp_path / "docs", tmp_path / "db" / "a", embedder=WordHash(), on_error="skip", **OPTIONS)
    found = {one.id: one.metadata for one in opened(tmp_path / "db" / "a").get()}
    assert list(found) == ["a.txt", "in/b.md"] and report.n_rejected == 1
    assert found["in/b.md"]["title"] == "Title"
