"""What a job builds, beside brute force and beside collections that were made in memory."""

import numpy as np
import pytest

import ramet
from tests.engine import world
from tests.engine.jobs.input_files import write
from tests.engine.jobs.job_world import left_over, opened, records_of, write_jsonl, write_parquet

N, DIM = 3000, 16
MEMORY = "600MB"


def build(inputs, place, **options):
    return ramet.build_job(inputs, place, memory=MEMORY, workers=2, **options)


def in_memory(tmp_path, vectors, ids, metric, dtype, codes):
    collection = ramet.connect(tmp_path / "other").create_collection(
        "m", dim=vectors.shape[1], metric=metric, dtype=dtype, codes=codes
    )
    collection.build(vectors, ids)
    return collection


def recall(collection, queries, truth, **options):
    hits = collection.query(queries, k=10, **options)
    return np.mean([len(set(found) & set(true)) / 10 for found, true in zip(hits.ids, truth, strict=True)])


@pytest.mark.parametrize("metric", world.METRICS)
@pytest.mark.parametrize(("dtype", "codes"), world.KINDS)
def test_a_job_builds_what_a_build_in_memory_builds(tmp_path, metric, dtype, codes):
    vectors, queries = np.split(world.vectors(N + 100, DIM, dtype), [N])
    np.save(tmp_path / "v.npy", vectors)
    report = build(tmp_path / "v.npy", tmp_path / "db" / "a", metric=metric, codes=codes)
    job, other = opened(tmp_path / "db" / "a"), in_memory(tmp_path, vectors, None, metric, dtype, codes)
    assert (report.n_records, report.n_input, report.n_rejected, report.n_tenants) == (N, N, 0, 1)
    assert job.verify().ok
    assert job.count() == N
    assert (job.dim, job.metric, job.dtype, job.codes) == (other.dim, other.metric, other.dtype, other.codes)
    exact = job.query(queries, k=10, exact=True)
    world.assert_exact(exact, vectors, queries, metric, 10)
    own = job.query(vectors, k=1, recall=0.99)
    if metric != "ip":
        missed = [i for i, ids in enumerate(own.ids) if ids[0] != str(i) and own.distances[i, 0] > 1e-3]
        assert len(missed) <= N // 500
    truth = exact.ids
    assert recall(job, queries, truth) >= 0.93
    for nprobe in (2, 4, 8):
        assert recall(job, queries, truth, nprobe=nprobe) >= recall(other, queries, truth, nprobe=nprobe) - 0.02
    got = job.get(["0", "17", str(N - 1)], include=["vectors"])
    np.testing.assert_array_equal(np.stack([one.vector for one in got]), vectors[[0, 17, N - 1]])
    assert left_over(tmp_path / "db" / "a") == []


@pytest.mark.parametrize("kind", ["fvecs", "fbin", "u8bin", "i8bin", "bvecs"])
def test_binary_inputs_in_several_files(tmp_path, kind):
    dtype = {"f": "float32", "u": "uint8", "i": "int8", "b": "uint8"}[kind[0]]
    vectors = world.vectors(2500, 8, dtype)
    for i in range(3):
        (tmp_path / f"part{i}").mkdir()
    paths = [write(kind, tmp_path / f"part{i}", part) for i, part in enumerate(np.array_split(vectors, 3))]
    build([str(tmp_path / "part*" / f"*.{kind}")], tmp_path / "db" / "a", metric="l2")
    job = opened(tmp_path / "db" / "a")
    assert len(paths) == 3 and job.count() == 2500
    world.assert_exact(job.query(vectors[::50], k=5, exact=True), vectors, vectors[::50], "l2", 5)
    assert job.verify().ok


@pytest.mark.parametrize("n", [1, 2, 3, 40, 63, 64, 65, 300])
def test_few_records(tmp_path, n):
    vectors = world.vectors(n, DIM)
    np.save(tmp_path / "v.npy", vectors)
    report = build(tmp_path / "v.npy", tmp_path / "db" / "a", metric="l2")
    job = opened(tmp_path / "db" / "a")
    assert (report.n_records, job.count()) == (n, n)
    assert job.verify().ok
    world.assert_exact(job.query(vectors, k=3), vectors, vectors, "l2", 3)


@pytest.mark.parametrize("codes", ["sq8", "none"])
def test_ten_thousand_equal_vectors_and_some_others(tmp_path, codes):
    vectors = np.concatenate([np.ones((10_000, 8), np.float32), world.vectors(500, 8)])
    np.random.default_rng(0).shuffle(vectors)
    np.save(tmp_path / "v.npy", vectors)
    build(tmp_path / "v.npy", tmp_path / "db" / "a", metric="l2", codes=codes)
    job = opened(tmp_path / "db" / "a")
    assert job.count() == len(vectors) and job.verify().ok
    hits = job.query(np.ones(8, np.float32), k=20)
    assert len(set(hits.ids)) == 20
    assert hits.distances.max() == 0
    job.upsert(["new"], np.ones((1, 8), np.float32))
    job.maintain(2.0)
    assert job.verify().ok


def test_all_vectors_are_equal(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((3000, 4), np.float32))
    report = build(tmp_path / "v.npy", tmp_path / "db" / "a")
    job = opened(tmp_path / "db" / "a")
    assert job.verify().ok and report.n_records == 3000
    assert len(set(job.query(np.ones(4, np.float32), k=3000).ids)) == 3000


def owner_of(i):
    """Skewed: one tenant has most, many have a few."""
    return "large" if i % 3 else f"t{i % 97:02d}"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_many_tenants_with_contents(tmp_path, kind):
    n = 4000
    vectors = world.vectors(n, DIM)
    records = [{**one, "owner": owner_of(i)} for i, one in enumerate(records_of(vectors))]
    if kind == "jsonl":
        path = write_jsonl(tmp_path / "r.jsonl", records)
    else:
        path = write_parquet(tmp_path / "r.parquet", {name: [one[name] for one in records] for name in records[0]})
    report = build(path, tmp_path / "db" / "a", metric="cosine", tenant_column="owner")
    job = opened(tmp_path / "db" / "a")
    assert job.verify().ok
    owners = [owner_of(i) for i in range(n)]
    assert job.tenants() == {name: owners.count(name) for name in set(owners)}
    assert report.n_tenants == len(set(owners))
    for tenant in ("large", "t00", "t51"):
        mine = [i for i in range(n) if owners[i] == tenant]
        queries = vectors[mine[:20]]
        exact = job.query(queries, k=5, exact=True, tenant=tenant)
        truth = np.argsort(world.brute_force(vectors[mine], queries, "cosine"), axis=1, kind="stable")[:, :5]
        for found, true in zip(exact.ids, truth.tolist(), strict=True):
            assert set(found) == {f"r{mine[i]}" for i in true}
        assert [ids[0] for ids in job.query(queries, k=1, tenant=tenant).ids] == [f"r{i}" for i in mine[:20]]
        word = records[mine[0]]["text"].split()[0]
        found = job.query(text=word, mode="keyword", k=n, tenant=tenant).ids
        assert set(found) == {f"r{i}" for i in mine if word in records[i]["text"].split()}
        found = job.query(queries[0], k=n, where={"lang": "en", "n": {"$lt": 20}}, tenant=tenant).ids
        assert set(found) == {f"r{i}" for i in mine if i % 3 == 0 and i % 50 < 20}
    assert job.get(["r1"], tenant="t00") == []
    (one,) = job.get(["r2"], tenant="large", include=["documents", "metadata"])
    assert (one.document, one.metadata) == (records[2]["text"], {"lang": "de", "n": 2})


def test_a_built_collection_lives_on(tmp_path):
    vectors = world.vectors(2500, DIM)
    path = write_jsonl(tmp_path / "r.jsonl", records_of(vectors))
    build(path, tmp_path / "db" / "a", metric="l2", tenant="mine")
    job = opened(tmp_path / "db" / "a")
    more = world.vectors(400, DIM, seed=5)
    job.upsert([f"r{i}" for i in range(200)] + [f"n{i}" for i in range(200)], more, tenant="mine")
    job.delete([f"r{i}" for i in range(2000, 2100)], tenant="mine")
    job.grant([f"r{i}" for i in range(300, 320)], to="other", tenant="mine")
    held = {f"r{i}": vectors[i] for i in range(2500) if not 2000 <= i < 2100}
    held |= {name: more[i] for i, name in enumerate([f"r{i}" for i in range(200)] + [f"n{i}" for i in range(200)])}
    for _ in range(2):
        assert job.verify().ok
        assert job.count("mine") == len(held)
        assert job.count("other") == 20
        names, table = list(held), np.stack(list(held.values()))
        hits = job.query(more[:30], k=5, exact=True, tenant="mine")
        truth = np.argsort(world.brute_force(table, more[:30], "l2"), axis=1)[:, :5]
        assert [set(ids) for ids in hits.ids] == [{names[i] for i in row} for row in truth.tolist()]
        assert job.query(vectors[305], k=1, tenant="other").ids == ["r305"]
        job.compact()


def test_the_positions_in_all_inputs_are_the_ids(tmp_path):
    vectors = world.vectors(30, 4)
    vectors[3] = np.nan
    np.save(tmp_path / "a.npy", vectors[:10])
    np.save(tmp_path / "b.npy", vectors[10:])
    report = build([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "db" / "a", metric="l2", on_error="skip")
    job = opened(tmp_path / "db" / "a")
    assert (report.n_records, report.n_rejected, report.reasons) == (29, 1, {"not_finite": 1})
    assert (report.rejected[0]["file"], report.rejected[0]["row"]) == (str(tmp_path / "a.npy"), 3)
    assert [ids[0] for ids in job.query(vectors[[0, 4, 10, 29]], k=1).ids] == ["0", "4", "10", "29"]


def test_ids_from_a_file_of_any_length(tmp_path):
    vectors = world.vectors(2000, 4)
    names = [f"{'x' * (i % 400)}{i}" for i in range(2000)]
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "ids.txt").write_text("\n".join(names) + "\n", "utf8")
    build(tmp_path / "v.npy", tmp_path / "db" / "a", ids=tmp_path / "ids.txt", metric="l2")
    job = opened(tmp_path / "db" / "a")
    assert job.verify().ok
    assert [ids[0] for ids in job.query(vectors, k=1, exact=True).ids] == names
    assert [one.id for one in job.get(names, include=[])] == names
