"""Bad input gets an error that names the argument, and leaves everything as it was."""

import copy
import gc
import pickle

import numpy as np
import pytest

import ramet
from ramet.engine.errors import ArgumentError, CollectionExistsError, NotEmptyError, UnknownCollectionError
from tests.engine.world import vectors

NAN = vectors(5, 8)
NAN[3, 2] = np.nan
INF = vectors(5, 8)
INF[1, 0] = -np.inf
ZERO = vectors(5, 8)
ZERO[2] = 0


@pytest.fixture
def db(tmp_path):
    with ramet.connect(tmp_path / "db") as db:
        yield db


@pytest.fixture
def empty(db):
    return db.create_collection("c", 8, "cosine")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": 1.5}, "dim"),
        ({"dim": True}, "dim"),
        ({"dim": 100_000}, "dim"),
        ({"metric": "euclid"}, "metric"),
        ({"dtype": "float64"}, "dtype"),
        ({"codes": "pq"}, "codes"),
        ({"dtype": "int8", "codes": "sq8"}, "codes"),
        ({"name": ""}, "name"),
        ({"name": "../up"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a" * 200}, "name"),
        ({"name": 3}, "name"),
    ],
)
def test_a_wrong_property_is_named_and_nothing_is_made(db, arguments, name):
    with pytest.raises(ArgumentError, match=f"^{name}: ") as caught:
        db.create_collection(**{"name": "c", "dim": 4} | arguments)
    assert caught.value.argument == name
    assert db.collections() == []


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        (NAN, "vectors", "row 3 has NaN"),
        (INF, "vectors", "row 1 has NaN, infinity"),
        (ZERO, "vectors", "row 2 is all zeros"),
        (vectors(5, 7), "vectors", "dimension is 7, the collection's is 8"),
        (np.empty((0, 8), np.float32), "vectors", "is empty"),
        (vectors(1, 8)[0], "vectors", "must have shape"),
        (np.zeros((2, 8), complex), "vectors", "complex"),
        (np.array([["a"] * 8]), "vectors", "numbers"),
        ([[1.0] * 8, [1.0]], "vectors", "rectangular"),
        (np.full((2, 8), 1e300), "vectors", "beyond float32"),
    ],
)
def test_wrong_vectors_are_refused_and_the_collection_stays_empty(empty, given, name, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        empty.build(given)
    assert caught.value.argument == name
    assert empty.count() == 0
    empty.build(vectors(5, 8))
    assert empty.count() == 5


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", "b"], "2 ids for 3 vectors"),
        (["a", "b", "a"], "'a' is given twice"),
        (["a", "", "c"], "empty string"),
        (["a", 2, "c"], "must be str, got int"),
        (["a", "x" * 481, "c"], "481 bytes"),
        (["a", "é" * 241, "c"], "482 bytes"),
        (["a", "\ud800", "c"], "not valid Unicode"),
        ("abc", "single string"),
    ],
)
def test_wrong_ids_are_refused_and_the_collection_stays_empty(empty, ids, words):
    with pytest.raises(ArgumentError, match=words):
        empty.build(vectors(3, 8), ids)
    assert empty.count() == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"tenant": ""}, "tenant"),
        ({"tenant": 5}, "tenant"),
        ({"clusters": "many"}, "clusters"),
        ({"clusters": -1}, "clusters"),
        ({"list_size": -4}, "list_size"),
        ({"replicas": 99}, "replicas"),
        ({"navigation": "tree"}, "navigation"),
        ({"seed": -1}, "seed"),
        ({"n_threads": -1}, "n_threads"),
    ],
)
def test_wrong_build_options_are_named(empty, options, name):
    with pytest.raises(ArgumentError) as caught:
        empty.build(vectors(3, 8), **options)
    assert caught.value.argument == name
    assert empty.count() == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"k": 2.5}, "k"),
        ({"k": True}, "k"),
        ({"k": 10**7}, "k"),
        ({"recall": 0}, "recall"),
        ({"recall": 1.2}, "recall"),
        ({"recall": "high"}, "recall"),
        ({"nprobe": 0}, "nprobe"),
        ({"nprobe": "all"}, "nprobe"),
        ({"prune": 0.5}, "prune"),
        ({"n_threads": 0}, "n_threads"),
        ({"tenant": ""}, "tenant"),
        ({"vectors": np.zeros(8, np.float32)}, "vectors"),
        ({"vectors": np.full(8, np.nan)}, "vectors"),
        ({"vectors": vectors(1, 9)}, "vectors"),
        ({"vectors": vectors(2, 8)[None]}, "vectors"),
        ({"vectors": None}, "vectors"),
        ({"vectors": "text"}, "vectors"),
    ],
)
def test_wrong_query_arguments_are_named(empty, options, name):
    empty.build(vectors(30, 8))
    with pytest.raises(ArgumentError) as caught:
        empty.query(**{"vectors": vectors(1, 8)[0]} | options)
    assert caught.value.argument == name


def test_pruning_is_refused_under_inner_product(db):
    collection = db.create_collection("i", 8, "ip")
    collection.build(vectors(30, 8))
    with pytest.raises(ArgumentError, match="ip"):
        collection.query(vectors(1, 8)[0], prune=1.5)


def test_whole_numbers_are_needed_for_byte_collections(db):
    collection = db.create_collection("b", 8, "l2", "uint8")
    with pytest.raises(ArgumentError, match="fractions"):
        collection.build(np.full((3, 8), 0.5))
    with pytest.raises(ArgumentError, match="0 to 255"):
        collection.build(np.full((3, 8), 256))
    with pytest.raises(ArgumentError, match="0 to 255"):
        collection.build(np.full((3, 8), np.nan))
    collection.build(np.full((3, 8), 255.0))
    with pytest.raises(ArgumentError, match="0 to 255"):
        collection.query(np.full(8, -1.0))


def test_a_zero_vector_is_welcome_where_it_has_a_meaning(db):
    for metric in ("l2", "ip"):
        collection = db.create_collection(metric, 8, metric)
        collection.build(ZERO)
        assert len(collection.query(np.zeros(8), 5).ids) == 5


def test_build_fills_only_an_empty_collection(empty):
    empty.build(vectors(5, 8))
    with pytest.raises(NotEmptyError, match="has 5 records"):
        empty.build(vectors(5, 8))
    assert empty.count() == 5


def test_an_empty_collection_answers(empty):
    assert empty.query(vectors(1, 8)[0]).ids == []
    assert empty.query(vectors(3, 8)).ids == [[], [], []]
    assert empty.get(["x"]) == []
    assert empty.count() == len(empty) == 0
    assert empty.stats()["records"] == 0
    assert empty.verify().ok


def test_unknown_and_existing_collections_are_named(db, empty):
    with pytest.raises(UnknownCollectionError, match=r"no collection 'x' .*'c'"):
        db.collection("x")
    with pytest.raises(UnknownCollectionError):
        db.delete_collection("x")
    with pytest.raises(CollectionExistsError, match="'c' exists"):
        db.create_collection("c", 8)
    assert db.create_collection("c", 8, "cosine", exist_ok=True) is empty
    with pytest.raises(CollectionExistsError, match="other properties"):
        db.create_collection("c", 9, exist_ok=True)


def test_a_deleted_collection_is_gone_and_its_name_is_free(db, empty, tmp_path):
    empty.build(vectors(5, 8))
    db.delete_collection("c")
    assert db.collections() == []
    assert list((tmp_path / "db").iterdir()) == []
    assert db.create_collection("c", 3).count() == 0


def test_connect_refuses_a_file_and_on_request_a_missing_directory(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="is a file"):
        ramet.connect(tmp_path / "file")
    with pytest.raises(ArgumentError, match="does not exist"):
        ramet.connect(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_closed_collection_says_so(db, empty):
    empty.close()
    with pytest.raises(ramet.RametError, match="closed"):
        empty.count()
    assert db.collection("c").count() == 0


@pytest.mark.parametrize("error", [ArgumentError("k", "is odd"), NotEmptyError("full"), UnknownCollectionError("none")])
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_collection_refuses_to_be_copied_and_still_works(empty, copying):
    empty.build(vectors(30, 8))
    before = empty.query(vectors(1, 8)[0], 3).ids
    with pytest.raises(TypeError, match="cannot be copied"):
        copying(empty)
    with pytest.raises(TypeError):
        copy.deepcopy([empty._opened.searchers, empty._store])
    gc.collect()
    assert empty.query(vectors(1, 8)[0], 3).ids == before


def test_a_collection_is_not_taken_for_a_database(db, empty):
    with pytest.raises(ArgumentError, match="is a collection, not a database"):
        ramet.connect(empty.path)
    with pytest.raises(ArgumentError, match="lies inside the collection"):
        empty.backup(empty.path / "copy")
    with pytest.raises(ArgumentError, match="not a collection name"):
        empty.backup(db.path / "bad name")


def test_a_stray_directory_is_not_a_collection(db):
    (db.path / "stray").mkdir()
    (db.path / "stray" / "file").write_text("x")
    for exist_ok in (False, True):
        with pytest.raises(CollectionExistsError, match="is not a collection"):
            db.create_collection("stray", 8, exist_ok=exist_ok)
    with pytest.raises(UnknownCollectionError):
        db.verify("stray")


def test_a_database_stays_where_it_is_when_the_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ramet.connect("here") as db:
        db.create_collection("a", 4)
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        assert db.collections() == list(db) == ["a"]
        assert len(db) == 1
        db.create_collection("b", 4)
        assert db.collections() == ["a", "b"]


@pytest.mark.parametrize("ids", [{"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}, 5, iter("abc")])
def test_ids_without_an_order_are_refused(empty, ids):
    with pytest.raises(ArgumentError, match="pass a list of strings") as caught:
        empty.build(vectors(3, 8), ids)
    assert caught.value.argument == "ids"


def test_masked_arrays_are_refused(empty):
    with pytest.raises(ArgumentError, match="masked"):
        empty.build(np.ma.masked_less(vectors(3, 8), 0))


@pytest.mark.parametrize(
    "options", [{"recall": 0.9, "nprobe": 3}, {"nprobe": 3, "exact": True}, {"recall": 0.9, "exact": True}]
)
def test_search_options_that_contradict_each_other_are_refused(empty, options):
    with pytest.raises(ArgumentError, match="one of the three"):
        empty.query(vectors(1, 8)[0], **options)


@pytest.mark.parametrize("name", ["list_size", "replicas", "n_threads"])
def test_zero_is_not_taken_for_the_default(empty, name):
    with pytest.raises(ArgumentError) as caught:
        empty.build(vectors(3, 8), **{name: 0})
    assert caught.value.argument == name


def test_calibrate_names_its_own_arguments(empty):
    empty.build(vectors(30, 8))
    for arguments, name in [((vectors(3, 7),), "queries"), ((vectors(1, 8),), "queries")]:
        with pytest.raises(ArgumentError) as caught:
            empty.calibrate(*arguments)
        assert caught.value.argument == name
    with pytest.raises(ArgumentError, match="n_threads"):
        empty.calibrate(vectors(3, 8), n_threads=-1)
    with pytest.raises(ArgumentError, match="no records"):
        empty.calibrate(vectors(3, 8), tenant="nobody")


def test_an_empty_collection_is_true_and_hits_can_be_sliced(empty):
    assert empty
    empty.build(vectors(30, 8))
    hits = empty.query(vectors(1, 8)[0], 5)
    assert hits[:2].ids == hits.ids[:2]
    batch = empty.query(vectors(4, 8), 5)
    assert batch[1:3].ids == batch.ids[1:3]
    assert len(batch[1:3][0]) == 5
    assert repr(hits).startswith("Hits([")


def test_few_records_have_no_curve_and_are_read_whole(empty):
    report = empty.build(vectors(300, 8))
    assert report.curve == []
    assert report.nprobe == report.n_lists
