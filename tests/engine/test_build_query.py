"""What a build makes, queries find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from tests.engine.world import KINDS, METRICS, assert_exact, vectors


def make(path, data, metric="l2", codes="auto", **options):
    db = ramet.connect(path)
    collection = db.create_collection("c", data.shape[1], metric, data.dtype, codes)
    report = collection.build(data, **options)
    return collection, report


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("dtype", "codes"), KINDS)
def test_full_probe_equals_exact_search(tmp_path, dtype, codes, metric):
    data = vectors(3000, 37, dtype)
    queries = vectors(40, 37, dtype, seed=1)
    collection, report = make(tmp_path, data, metric, codes)
    assert report.n_lists > 20
    assert_exact(collection.query(queries, 10, exact=True), data, queries, metric, 10)
    assert_exact(collection.query(queries, 10, nprobe=10**6), data, queries, metric, 10)
    assert_exact(collection.query(queries, 10, recall=1.0), data, queries, metric, 10)


@settings(max_examples=25)
@given(
    n=st.integers(1, 200),
    dim=st.integers(1, 70),
    k=st.integers(1, 250),
    kind=st.sampled_from(KINDS),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 2**16),
)
def test_small_collections_of_any_shape_are_searched_exactly(tmp_path_factory, n, dim, k, kind, metric, seed):
    dtype, codes = kind
    data, queries = vectors(n, dim, dtype, seed), vectors(3, dim, dtype, seed + 1)
    collection, _ = make(tmp_path_factory.mktemp("small"), data, metric, codes, list_size=16)
    assert_exact(collection.query(queries, k), data, queries, metric, k)
    assert collection.count() == n
    collection.close()


@pytest.mark.parametrize(("dtype", "codes"), KINDS)
def test_vectors_come_back_bit_for_bit_under_cosine(tmp_path, dtype, codes):
    data = vectors(300, 21, dtype)
    collection, _ = make(tmp_path, data, "cosine", codes)
    records = collection.get([str(i) for i in range(300)])
    assert [record.id for record in records] == [str(i) for i in range(300)]
    for record, expected in zip(records, data, strict=True):
        assert record.vector.dtype == data.dtype
        assert record.vector.tobytes() == expected.tobytes()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize(("dtype", "codes"), KINDS)
def test_every_vector_finds_itself_at_the_default_probe_count(tmp_path, dtype, codes, metric):
    data = np.unique(vectors(6000, 24, dtype), axis=0)
    collection, _ = make(tmp_path, data, metric, codes)
    hits = collection.query(data, 1)
    own = [row for row, ids in enumerate(hits.ids) if ids != [str(row)]]
    for row in own:  # another vector may be as near: a multiple of it under cosine
        assert hits.distances[row, 0] <= 1e-6, row


@pytest.mark.parametrize("metric", METRICS)
def test_the_recall_asked_for_is_reached(tmp_path, metric):
    data, queries = vectors(20_000, 32), vectors(20_500, 32)[20_000:]
    collection, report = make(tmp_path, data, metric)
    truth = collection.query(queries, 10, exact=True)
    for target in (0.8, 0.95, 0.99):
        hits = collection.query(queries, 10, recall=target)
        found = [len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, truth.ids, strict=True)]
        assert np.mean(found) >= target - 0.02  # a mean of 500 queries against one of 400 others
    assert report.nprobe < report.n_lists / 2


def test_more_probes_never_find_less(tmp_path):
    data, queries = vectors(5000, 16), vectors(50, 16, seed=3)
    collection, report = make(tmp_path, data)
    limits = np.full(50, np.inf)
    for nprobe in (1, 2, 4, 8, 16, report.n_lists):
        distances = collection.query(queries, 5, nprobe=nprobe).distances[:, 4]
        assert (distances <= limits).all()
        limits = distances


def test_a_batch_and_single_queries_agree(tmp_path):
    data, queries = vectors(4000, 20), vectors(64, 20, seed=1)
    collection, _ = make(tmp_path, data, "cosine")
    batch = collection.query(queries, 7, n_threads=2)
    for query, hits in zip(queries, batch, strict=True):
        single = collection.query(query, 7)
        assert single.ids == hits.ids
        np.testing.assert_array_equal(single.distances, hits.distances)
        assert [hit.id for hit in single] == single.ids
        assert single[0].score == pytest.approx(1 - single[0].distance)


def test_k_beyond_the_count_returns_what_there_is(tmp_path):
    data = vectors(5, 4)
    collection, _ = make(tmp_path, data)
    single = collection.query(data[0], 50)
    assert sorted(single.ids) == ["0", "1", "2", "3", "4"]
    assert single.distances.shape == (5,)


def test_a_probe_that_holds_too_few_pads_the_batch(tmp_path):
    data = vectors(2000, 8)
    collection, _ = make(tmp_path, data, replicas=1, list_size=16)
    hits = collection.query(data[:3], 500, nprobe=1)
    for q in range(3):
        n = len(hits.ids[q])
        assert 0 < n < 500
        assert np.isfinite(hits.distances[q, :n]).all()
        assert np.isinf(hits.distances[q, n:]).all()
        assert len(hits[q].distances) == n


@pytest.mark.parametrize(("dtype", "codes"), KINDS)
def test_ten_thousand_identical_vectors_build_and_search(tmp_path, dtype, codes):
    data = np.repeat(vectors(1, 12, dtype), 10_000, axis=0)
    collection, _ = make(tmp_path, data, "l2", codes)
    hits = collection.query(data[0], 25)
    assert len(set(hits.ids)) == 25
    np.testing.assert_allclose(hits.distances, 0, atol=1e-6)
    assert collection.verify().ok


def test_identical_vectors_among_others_do_not_hide_them(tmp_path):
    data = np.concatenate([np.repeat(vectors(1, 12), 3000, axis=0), vectors(3000, 12, seed=5)])
    collection, _ = make(tmp_path, data)
    hits = collection.query(data[3000:], 1)
    found = [ids == [str(3000 + i)] or hits.distances[i, 0] <= 1e-9 for i, ids in enumerate(hits.ids)]
    assert all(found)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_seed_builds_the_same_bytes_on_any_number_of_threads(tmp_path, threads):
    data = vectors(5000, 16)
    files = []
    for n_threads in (1, threads):
        collection, _ = make(tmp_path / str(n_threads), data, seed=3, n_threads=n_threads)
        files.append([(collection.path / name).read_bytes()[4096:] for name in ("postings.bin", "vectors.bin")])
    assert files[0] == files[1]


def test_non_contiguous_and_other_dtypes_are_accepted(tmp_path):
    wide = vectors(400, 40).astype(np.float64)
    data = wide[::2, ::4]
    assert not data.flags.c_contiguous
    db = ramet.connect(tmp_path)
    collection = db.create_collection("c", 10, "l2")
    collection.build(data)
    hits = collection.query(np.asfortranarray(data[:7]), 1)
    assert [ids[0] for ids in hits.ids] == [str(i) for i in range(7)]
    assert collection.query(data[3].tolist(), 1).ids == ["3"]


def test_a_mapped_file_is_accepted(tmp_path):
    data = vectors(500, 6)
    np.save(tmp_path / "x.npy", data)
    collection, _ = make(tmp_path / "db", np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert collection.query(data[9], 1).ids == ["9"]


@pytest.mark.parametrize("options", [{"clusters": 7}, {"clusters": "auto"}, {"navigation": "hnsw"}, {"replicas": 1}])
def test_build_options_keep_results_exact_at_full_probe(tmp_path, options):
    both = vectors(9050, 16)
    data, queries = both[:9000], both[9000:]
    collection, report = make(tmp_path, data, list_size=12, **options)
    assert report.n_lists > 512 or "clusters" in options
    assert_exact(collection.query(queries, 10, exact=True), data, queries, "l2", 10)
    near = collection.query(queries, 10, recall=0.95)
    truth = collection.query(queries, 10, exact=True)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near.ids, truth.ids, strict=True)]) > 0.85
    assert collection.verify().ok


def test_progress_reports_every_stage_to_its_end(tmp_path):
    seen = {}
    make(tmp_path, vectors(3000, 8), progress=lambda stage, done: seen.__setitem__(stage, done))
    assert list(seen) == ["cluster", "assign", "write", "measure"]
    assert set(seen.values()) == {1.0}


def test_the_report_says_what_was_built(tmp_path):
    data = vectors(3000, 8)
    collection, report = make(tmp_path, data)
    assert report.n_records == 3000
    assert 1 <= report.n_replicas <= 2
    assert set(report.stages) == {"cluster", "assign", "write", "measure"}
    assert report.seconds >= sum(report.stages.values()) * 0.99
    recalls = [point.recall for point in report.curve if point.k == 10]
    assert recalls[-1] > 0.99
    stats = collection.stats()
    assert stats["records"] == 3000
    assert stats["lists"] == report.n_lists
    assert stats["tenants"]["default"]["nprobe_at_default_recall"] == report.nprobe
    assert sum(stats["bytes"].values()) >= 3000 * 8 * 4


def test_calibrate_replaces_the_curve(tmp_path):
    data = vectors(5000, 16)
    collection, before = make(tmp_path, data)
    far = vectors(200, 16, seed=99) * 3
    after = collection.calibrate(far)
    assert after != before.curve
    assert collection.stats()["tenants"]["default"]["curve"][0]["recall"] == round(after[0].recall, 4)
    truth, hits = collection.query(far, 10, exact=True), collection.query(far, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits.ids, truth.ids, strict=True)]) >= 0.94


def test_queries_of_one_tenant_do_not_see_another(tmp_path):
    data = vectors(100, 8)
    collection, _ = make(tmp_path, data, tenant="acme")
    assert collection.query(data[0], 3, tenant="globex").ids == []
    assert collection.query(data[:2], 3).ids == [[], []]
    assert collection.query(data[0], 1, tenant="acme").ids == ["0"]
    assert collection.get(["0"]) == []
    assert collection.count("acme") == 100
    assert collection.count("globex") == 0


def test_stored_vectors_come_with_hits_when_asked_for(tmp_path):
    data = vectors(300, 8)
    collection, _ = make(tmp_path, data)
    hits = collection.query(data[4], 3, with_vectors=True)
    for hit in hits:
        np.testing.assert_array_equal(hit.vector, data[int(hit.id)])
    for i, hits in enumerate(collection.query(data[:3], 2, with_vectors=True)):
        np.testing.assert_array_equal(hits[0].vector, data[i])


def test_an_empty_batch_gives_an_empty_result(tmp_path):
    data = vectors(30, 8)
    collection, _ = make(tmp_path, data)
    hits = collection.query(np.empty((0, 8), np.float32))
    assert len(hits) == 0
    assert hits.to_list() == []


def test_pruning_reads_less_and_keeps_the_nearest(tmp_path):
    data = vectors(8000, 16)
    collection, _ = make(tmp_path, data)
    hits = collection.query(data[:200], 1, nprobe=50, prune=1.01)
    assert [ids[0] for ids in hits.ids] == [str(i) for i in range(200)]
    wide = collection.query(data[:200], 10, nprobe=50, prune=1.01).distances[:, 9]
    assert (wide >= collection.query(data[:200], 10, nprobe=50).distances[:, 9]).all()


def test_exact_search_is_not_pruned(tmp_path):
    data = vectors(3000, 16)
    collection, _ = make(tmp_path, data, codes="none")
    exact = collection.query(data[:20], 10, exact=True)
    assert collection.query(data[:20], 10, exact=True, prune=1.01).ids == exact.ids


def test_without_a_measured_curve_every_list_is_read(tmp_path):
    data = vectors(1900, 16)
    collection, report = make(tmp_path, data, list_size=2)
    assert report.nprobe == report.n_lists > 500
    assert_exact(collection.query(data[:50], 10, recall=0.9), data, data[:50], "l2", 10)


def test_read_only_arrays_and_half_precision_input_are_accepted(tmp_path):
    data = vectors(500, 6, "uint8")
    collection, _ = make(tmp_path, data.astype(np.float16).astype(np.uint8))
    query = np.frombuffer(data[9].astype(np.float32).tobytes(), np.float32)
    assert collection.query(query, 1).distances[0] == 0
    assert collection.query(data[9].astype(np.float16), 1).distances[0] == 0
    with pytest.raises(ramet.ArgumentError, match="fractions"):
        collection.query(np.full(6, 1.5, np.float16))
    with pytest.raises(ramet.ArgumentError, match="fractions"):
        collection.query(np.full(6, 1.5, ">f8"))
