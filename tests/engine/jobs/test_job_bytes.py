"""One job, one result: whatever memory and workers it has, and however often it is killed."""

import random

import numpy as np
import pytest

import ramet
from tests.engine import world
from tests.engine.jobs.job_world import child, digests, left_over, opened, records_of, sentence, write_jsonl
from tests.engine.word_tokens import WordTokens

N, DIM = 20_000, 16


@pytest.fixture(scope="module")
def vectors():
    return world.vectors(N, DIM)


def knows(text):
    return "unknown" not in text


class PartlyWords(WordTokens):
    """An embedder that knows no word of some texts."""

    def _embed(self, texts):
        made = super()._embed(texts)
        made[[not knows(text) for text in texts]] = 0
        return made

    embed_documents = embed_queries = _embed


def variants(inputs, folder, **options):
    """Digests of the same job with other memory and workers."""
    found = {}
    for memory, workers in (("2GB", 1), ("2GB", 3), ("362MB", 2), ("356MB", 1)):
        place = folder / f"{memory}-{workers}" / "a"
        ramet.build_job(inputs, place, memory=memory, workers=workers, **options)
        found[memory, workers] = digests(place)
    return found


def assert_alike(found):
    first = next(iter(found.values()))
    for given, files in found.items():
        assert files == first, given


@pytest.mark.parametrize(("metric", "dtype", "codes"), [("l2", "float32", "sq8"), ("cosine", "uint8", "none")])
def test_memory_and_workers_do_not_show_in_the_bytes(tmp_path, metric, dtype, codes):
    for i, part in enumerate(np.array_split(world.vectors(N, 96, dtype), 3)):
        np.save(tmp_path / f"v{i}.npy", part)
    assert_alike(variants([tmp_path / "v*.npy"], tmp_path / "db", metric=metric, codes=codes))


def test_nor_do_they_with_contents_and_tenants(tmp_path, vectors):
    records = [{**one, "owner": f"t{i % 7 if i % 2 else 0}"} for i, one in enumerate(records_of(vectors[:6000]))]
    write_jsonl(tmp_path / "r.jsonl", records[:4000])
    write_jsonl(tmp_path / "s.jsonl", records[4000:])
    found = variants([tmp_path / "r.jsonl", tmp_path / "s.jsonl"], tmp_path / "db", tenant_column="owner")
    assert_alike(found)


@pytest.mark.slow
def test_nor_do_they_when_texts_are_embedded(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        texts = [sentence(rng, 30) if j % 9 else "unknown words" for j in range(150)]
        write_jsonl(tmp_path / f"t{i}.jsonl", [{"id": f"{i}-{j}", "text": text} for j, text in enumerate(texts)])
    options = {"embedder": PartlyWords(), "chunk_tokens": 12, "overlap": 2}
    found = variants([tmp_path / "t*.jsonl"], tmp_path / "db", **options)
    assert_alike(found)
    job = opened(tmp_path / "db" / "2GB-1" / "a")
    assert job.verify().ok
    assert len(job.query(text="unknown", mode="keyword", k=2000).ids) == 4 * 17


def run_to_the_end(inputs, place, seed, kills=20, **options):
    """A job that is killed at random; how often it was really killed."""
    rng, n_killed, resume = random.Random(seed), 0, False
    _, total, _ = child(inputs, place.parent.with_name("counted") / "a", kill="write", **options)
    for _ in range(kills):
        near = rng.random() < 0.5
        kill_at = rng.randint(1, 12) if near else rng.randint(1, max(2, total // 3))
        code, _, said = child(inputs, place, kill="write", kill_at=kill_at, resume=resume, **options)
        assert code in (0, -9), said
        resume = True
        n_killed += code == -9
        if code == 0:
            break
    code, _, said = child(inputs, place, resume=True, **options)
    assert code == 0 or "exists already" in said, said
    return n_killed


def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path, vectors):
    for i, part in enumerate(np.array_split(vectors, 2)):
        np.save(tmp_path / f"v{i}.npy", part)
    inputs, options = [tmp_path / "v0.npy", tmp_path / "v1.npy"], {"metric": "l2", "memory": "354MB", "workers": 2}
    ramet.build_job(inputs, tmp_path / "whole" / "a", **options)
    assert run_to_the_end(inputs, tmp_path / "db" / "a", 1, **options) >= 5
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "whole" / "a")
    assert left_over(tmp_path / "db" / "a") == []


@pytest.mark.slow
def test_killed_and_resumed_with_contents(tmp_path, vectors):
    records = [{**one, "owner": f"t{i % 5}"} for i, one in enumerate(records_of(vectors))]
    path = write_jsonl(tmp_path / "r.jsonl", records)
    options = {"metric": "cosine", "memory": "354MB", "workers": 2, "tenant_column": "owner"}
    ramet.build_job(path, tmp_path / "whole" / "a", **options)
    assert run_to_the_end([path], tmp_path / "db" / "a", 2, **options) >= 5
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "whole" / "a")
    assert opened(tmp_path / "db" / "a").verify().ok


@pytest.mark.slow
def test_killed_and_resumed_while_texts_are_embedded(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        records = [{"id": f"{i}-{j}", "text": sentence(rng, 30)} for j in range(300)]
        write_jsonl(tmp_path / f"t{i}.jsonl", records)
    inputs = [tmp_path / f"t{i}.jsonl" for i in range(3)]
    options = {"chunk_tokens": 12, "memory": "400MB", "workers": 2}
    ramet.build_job(inputs, tmp_path / "whole" / "a", embedder=WordTokens(width=64), **options)
    assert run_to_the_end(inputs, tmp_path / "db" / "a", 3, kills=10, embeds=True, **options) >= 5
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "whole" / "a")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.9, 1.3])
def test_killed_by_a_clock(tmp_path, vectors, seconds):
    path = write_jsonl(tmp_path / "r.jsonl", records_of(vectors[:5000]))
    options = {"metric": "l2", "memory": "500MB", "workers": 2}
    ramet.build_job(path, tmp_path / "whole" / "a", **options)
    code = -9
    while code == -9:
        code, _, said = child([path], tmp_path / "db" / "a", kill="timer", kill_at=seconds, resume=True, **options)
        seconds += 0.7
    assert code == 0, said
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "whole" / "a")


@pytest.mark.slow
def test_resumed_with_other_memory_and_workers(tmp_path, vectors):
    for i, part in enumerate(np.array_split(vectors, 2)):
        np.save(tmp_path / f"v{i}.npy", part)
    inputs = [tmp_path / "v0.npy", tmp_path / "v1.npy"]
    ramet.build_job(inputs, tmp_path / "whole" / "a", metric="l2", memory="2GB", workers=1)
    given = [("348MB", 1), ("2GB", 3), ("354MB", 2), ("500MB", 1)]
    code, at = -9, 0
    while code != 0:
        memory, workers = given[at % len(given)]
        at += 1
        code, _, said = child(
            inputs, tmp_path / "db" / "a", kill="write", kill_at=15 + at, resume=True, metric="l2", memory=memory,
            workers=workers,
        )  # fmt: skip
        assert code in (0, -9), said
        assert at < 100
    assert at > 4
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "whole" / "a")


@pytest.mark.slow
def test_nor_do_they_in_shards_killed_or_not(tmp_path, vectors):
    records = [{**one, "owner": f"t{i % 5}"} for i, one in enumerate(records_of(vectors))]
    path, options = write_jsonl(tmp_path / "r.jsonl", records), {"tenant_column": "owner", "shards": 3}
    found = variants([path], tmp_path / "db", **options)
    assert_alike(found)
    assert run_to_the_end([path], tmp_path / "killed" / "a", 5, kills=12, memory="354MB", workers=2, **options) >= 5
    assert digests(tmp_path / "killed" / "a") == found["2GB", 1]
