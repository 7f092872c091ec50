"""Jobs that cannot begin, go on or end: what they say, and what they leave behind."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import ramet
from ramet import RametError
from ramet.engine.errors import ArgumentError, CollectionExistsError
from ramet.engine.jobs.errors import (
    JobDamagedError,
    JobExistsError,
    JobMismatchError,
    JobRunningError,
    RejectedRecordError,
)
from ramet.storage.errors import StorageFullError
from tests.engine import world
from tests.engine.jobs.job_world import child, digests, left_over, opened, records_of, write_jsonl
from tests.engine.word_hash import WordHash

OPTIONS = {"memory": "500MB", "workers": 2}


@pytest.fixture
def vectors(tmp_path):
    """v.npy with 3,000 vectors; its path."""
    np.save(tmp_path / "v.npy", world.vectors(3000, 8))
    return tmp_path / "v.npy"


def interrupted(inputs, place, at=20, **options):
    """A job that was killed."""
    code, _, said = child(inputs, place, kill="write", kill_at=at, **{**OPTIONS, **options})
    assert code == -9, said


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"metric": "ip"}, "metric"),
        ({"codes": "none"}, "code"),
        ({"replicas": 1}, "replicas=2"),
        ({"list_size": 32}, "list_size=64"),
        ({"seed": 3}, "seed=0"),
        ({"tenant": "x"}, "tenant='default'"),
        ({"dtype": "float16"}, "dtype"),
        ({"language": "de"}, "language"),
    ],
)
def test_a_job_goes_on_with_the_same_options_only(vectors, tmp_path, changed, word):
    place = tmp_path / "db" / "a"
    interrupted([vectors], place)
    with pytest.raises(JobMismatchError, match=word) as failed:
        ramet.build_job(vectors, place, resume=True, **OPTIONS, **changed)
    assert str(tmp_path / "db" / ".build-a") in str(failed.value)
    assert ramet.build_job(vectors, place, resume=True, **OPTIONS).n_records == 3000


def test_and_with_the_same_inputs(vectors, tmp_path):
    place, other = tmp_path / "db" / "a", tmp_path / "w.npy"
    np.save(other, world.vectors(3000, 8))
    interrupted([vectors], place)
    for inputs in ([other], [vectors, other]):
        with pytest.raises(JobMismatchError, match=r"w\.npy|v\.npy"):
            ramet.build_job(inputs, place, resume=True, **OPTIONS)
    stamp = vectors.stat().st_mtime_ns
    np.save(vectors, world.vectors(3000, 8, seed=9))
    os.utime(vectors, ns=(stamp + 10, stamp + 10))
    with pytest.raises(JobMismatchError, match="changed"):
        ramet.build_job(vectors, place, resume=True, **OPTIONS)
    shutil.rmtree(tmp_path / "db" / ".build-a")
    assert ramet.build_job(vectors, place, resume=True, **OPTIONS).n_records == 3000


def test_and_with_the_same_model(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [{"id": str(i), "text": f"w{i} w{i % 7}"} for i in range(600)])
    bad = {"id": "x", "text": 7}
    with open(path, "a", encoding="utf8") as file:
        file.write(json.dumps(bad) + "\n")
    with pytest.raises(RejectedRecordError):
        ramet.build_job(path, tmp_path / "db" / "a", embedder=WordHash(), **OPTIONS)
    for changed in ({"embedder": WordHash("other")}, {"embedder": WordHash(), "chunk_tokens": 9}):
        with pytest.raises(JobMismatchError, match=r"model|chunk_tokens"):
            ramet.build_job(path, tmp_path / "db" / "a", resume=True, on_error="skip", **OPTIONS, **changed)
    report = ramet.build_job(path, tmp_path / "db" / "a", resume=True, on_error="skip", embedder=WordHash(), **OPTIONS)
    assert (report.n_records, report.reasons) == (600, {"bad_text": 1})


def test_a_job_that_was_begun_is_not_begun_again(vectors, tmp_path):
    interrupted([vectors], tmp_path / "db" / "a")
    with pytest.raises(JobExistsError, match="--resume"):
        ramet.build_job(vectors, tmp_path / "db" / "a", **OPTIONS)
    assert ramet.connect(tmp_path / "db").collections() == []
    assert ramet.build_job(vectors, tmp_path / "db" / "a", resume=True, **OPTIONS).n_records == 3000


def test_one_process_at_a_job(vectors, tmp_path):
    waits = (
        "import sys, time, ramet\n"
        "told = lambda event: (print(flush=True), time.sleep(60))\n"
        f"ramet.build_job({str(vectors)!r}, {str(tmp_path / 'db' / 'a')!r}, progress=told, memory='500MB')\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", waits], stdout=subprocess.PIPE, env=env) as other:
        try:
            other.stdout.readline()
            for resume in (True, False):
                with pytest.raises(JobRunningError, match="another process"):
                    ramet.build_job(vectors, tmp_path / "db" / "a", resume=resume, **OPTIONS)
        finally:
            other.send_signal(signal.SIGKILL)
    assert ramet.build_job(vectors, tmp_path / "db" / "a", resume=True, **OPTIONS).n_records == 3000


def test_a_progress_callback_may_end_it(vectors, tmp_path):
    class Enough(Exception):
        pass

    def told(event):
        if event.stage == "assign":
            raise Enough

    with pytest.raises(Enough):
        ramet.build_job(vectors, tmp_path / "db" / "a", progress=told, **OPTIONS)
    ramet.build_job(vectors, tmp_path / "db" / "a", resume=True, **OPTIONS)
    ramet.build_job(vectors, tmp_path / "db" / "b", **OPTIONS)
    assert digests(tmp_path / "db" / "a") == digests(tmp_path / "db" / "b")


def test_what_is_there_already(vectors, tmp_path):
    ramet.build_job(vectors, tmp_path / "db" / "a", **OPTIONS)
    before = digests(tmp_path / "db" / "a")
    for resume in (False, True):
        with pytest.raises(CollectionExistsError):
            ramet.build_job(vectors, tmp_path / "db" / "a", resume=resume, **OPTIONS)
    assert digests(tmp_path / "db" / "a") == before
    (tmp_path / "db" / "file").write_text("mine")
    with pytest.raises(CollectionExistsError):
        ramet.build_job(vectors, tmp_path / "db" / "file", **OPTIONS)


def test_killed_while_it_removed_itself(vectors, tmp_path):
    place, job = tmp_path / "db" / "a", tmp_path / "db" / ".build-a"
    report = ramet.build_job(vectors, place, **OPTIONS)
    job.mkdir()
    (job / "over").write_text("true")
    (job / "job.json").write_text("{}")
    again = ramet.build_job(vectors, place, resume=True, **OPTIONS)
    assert again == report
    assert left_over(place) == []
    job.mkdir()
    (job / "over").write_text("true")
    ramet.connect(tmp_path / "db").delete_collection("a")
    assert ramet.build_job(vectors, place, **OPTIONS).n_records == 3000


@pytest.mark.parametrize("where", ["rename", "before", "after"])
def test_killed_at_the_very_end(vectors, tmp_path, where, monkeypatch):
    from ramet.engine.jobs import ending

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    place = tmp_path / "db" / "a"
    name = {"rename": "sweep", "before": "sync_directory", "after": "_remove"}[where]
    with monkeypatch.context() as patched:
        patched.setattr(ending, name, killed)
        with pytest.raises(Killed):
            ramet.build_job(vectors, place, **OPTIONS)
    report = ramet.build_job(vectors, place, resume=True, **OPTIONS)
    assert report.n_records == 3000 and opened(place).count() == 3000
    assert left_over(place) == []


def empty_inputs(folder):
    """Inputs without a record that can be taken: name, path, options."""
    np.save(folder / "none.npy", np.empty((0, 8), np.float32))
    np.save(folder / "nan.npy", np.full((20, 8), np.nan, np.float32))
    (folder / "none.jsonl").write_text("")
    (folder / "blank.jsonl").write_text("\n\n\n")
    (folder / "bad.jsonl").write_text("{\nno\n[1]\n")
    write_jsonl(folder / "white.jsonl", [{"id": "a", "text": "  "}])
    (folder / "empty.npy").write_bytes(b"")
    (folder / "none.fbin").write_bytes(bytes(8))
    return [path for path in sorted(folder.iterdir()) if path.is_file()]


@pytest.mark.parametrize("on_error", ["skip", "fail"])
def test_nothing_to_build(tmp_path, on_error):
    paths = empty_inputs(tmp_path)
    assert len(paths) == 8
    for path in paths:
        place = tmp_path / "db" / "a"
        with pytest.raises(RametError, match=r"inputs|row \d|dim") as failed:
            ramet.build_job(path, place, embedder=WordHash(), on_error=on_error, metric="l2", **OPTIONS)
        if isinstance(failed.value, RejectedRecordError):
            assert on_error == "fail" and str(path) in str(failed.value)
            shutil.rmtree(tmp_path / "db")
        assert left_over(place) == []
        assert not place.exists()


def test_nothing_to_build_says_why(tmp_path):
    np.save(tmp_path / "nan.npy", np.full((20, 8), np.nan, np.float32))
    with pytest.raises(ArgumentError, match=r"not_finite 20.*nan\.npy, row 0"):
        ramet.build_job(tmp_path / "nan.npy", tmp_path / "db" / "a", on_error="skip", **OPTIONS)


def duplicates(folder, tenants=False):
    """Two files of records, of which 30 have ids that were there before."""
    records = records_of(world.vectors(4000, 8))
    for i in range(30):
        records[2000 + i]["id"] = f"r{i}"
    if tenants:
        for i, one in enumerate(records):
            one["owner"] = "second" if i >= 2000 else "first"
    return [write_jsonl(folder / "r.jsonl", records[:1990]), write_jsonl(folder / "s.jsonl", records[1990:])]


def test_ids_that_come_twice(tmp_path):
    paths, place = duplicates(tmp_path), tmp_path / "db" / "a"
    with pytest.raises(RejectedRecordError, match=r"s\.jsonl, row 10: duplicate_id: id 'r0' is that of row 0 of .*r\."):
        ramet.build_job(paths, place, **OPTIONS)
    report = ramet.build_job(paths, place, resume=True, on_error="skip", **OPTIONS)
    assert (report.n_records, report.n_rejected, report.reasons) == (3970, 30, {"duplicate_id": 30})
    assert [(one["file"], one["row"]) for one in report.rejected] == [(str(paths[1]), 10 + i) for i in range(30)]
    job, table = opened(place), world.vectors(4000, 8)
    assert job.verify().ok and job.count() == 3970
    got = job.get([f"r{i}" for i in range(30)])
    np.testing.assert_array_equal(np.stack([one.vector for one in got]), table[:30])
    ramet.build_job(paths, tmp_path / "other" / "a", on_error="skip", **OPTIONS)
    assert digests(place) == digests(tmp_path / "other" / "a")


def test_tenants_may_have_the_same_ids(tmp_path):
    paths = duplicates(tmp_path, tenants=True)
    assert ramet.build_job(paths, tmp_path / "db" / "a", tenant_column="owner", **OPTIONS).n_records == 4000
    assert opened(tmp_path / "db" / "a").tenants() == {"first": 2000, "second": 2000}


def test_every_id_is_the_same(tmp_path):
    path = write_jsonl(tmp_path / "r.jsonl", [{"id": "a", "vector": [1.0, i]} for i in range(3000)])
    report = ramet.build_job(path, tmp_path / "db" / "a", on_error="skip", metric="l2", **OPTIONS)
    assert (report.n_records, report.reasons, len(report.rejected)) == (1, {"duplicate_id": 2999}, 1000)


def test_bad_records_are_skipped_or_end_the_job(vectors, tmp_path):
    table = np.load(vectors)
    table[5], table[2999] = np.nan, np.inf
    np.save(vectors, table)
    place = tmp_path / "db" / "a"
    with pytest.raises(RejectedRecordError, match=r"v\.npy, row 5: not_finite.*--on-error skip") as failed:
        ramet.build_job(vectors, place, **OPTIONS)
    assert failed.value.rejected.row == 5
    report = ramet.build_job(vectors, place, resume=True, on_error="skip", **OPTIONS)
    assert (report.n_records, report.n_input, report.reasons) == (2998, 3000, {"not_finite": 2})
    assert json.loads((tmp_path / "db" / "a.build.json").read_text("utf8"))["n_rejected"] == 2
    assert opened(place).get(["5", "2999"]) == []


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"metric": "far"}, "metric"),
        ({"dtype": "float64"}, "dtype"),
        ({"codes": "pq"}, "codes"),
        ({"codes": "sq8", "dtype": "int8"}, "codes"),
        ({"language": "xx"}, "language"),
        ({"memory": "much"}, "memory"),
        ({"memory": 0}, "memory"),
        ({"memory": "100MB"}, "memory"),
        ({"memory": True}, "memory"),
        ({"workers": 0}, "workers"),
        ({"workers": 100_000}, "workers"),
        ({"list_size": 0}, "list_size"),
        ({"list_size": 10**7}, "list_size"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": 99}, "replicas"),
        ({"clusters": 0}, "clusters"),
        ({"clusters": True}, "clusters"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"on_error": "ignore"}, "on_error"),
        ({"tenant": ""}, "tenant"),
        ({"format": "csv"}, "format"),
        ({"ids": "nowhere.txt"}, "ids"),
        ({"embedder": WordHash()}, "embedder"),
        ({"embedder": "all-MiniLM-L6-v2"}, "embedder"),
        ({"resume": "yes"}, "resume"),
        ({"progress": 7}, "progress"),
    ],
)
def test_wrong_arguments_leave_nothing_behind(vectors, tmp_path, options, argument):
    with pytest.raises(ArgumentError) as failed:
        ramet.build_job(vectors, tmp_path / "db" / "a", **options)
    assert failed.value.argument == argument
    assert not (tmp_path / "db").exists()


def test_wrong_chunks_are_refused_before_the_work(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "w1"}])
    for options in ({"chunk_tokens": 0}, {"chunk_tokens": 8, "overlap": 7}, {"overlap": -1}):
        with pytest.raises(ArgumentError) as failed:
            ramet.build_job(path, tmp_path / "db" / "a", embedder=WordHash(), **options)
        assert failed.value.argument == list(options)[-1]
        assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("out", ["-x", "a b", "..", "x" * 200])
def test_a_name_that_is_none(vectors, tmp_path, out):
    with pytest.raises(ArgumentError, match="out"):
        ramet.build_job(vectors, f"{tmp_path}/db/{out}")


def test_the_plan_writes_nothing(vectors, tmp_path):
    plan = ramet.plan_job(vectors, tmp_path / "db" / "a", memory="1GB", workers=2)
    assert (plan.n_records, plan.dim, plan.metric, plan.dtype, plan.codes) == (3000, 8, "cosine", "float32", "sq8")
    assert plan.fits and plan.least_memory < plan.memory == 10**9
    assert not (tmp_path / "db").exists()
    assert ramet.plan_job(vectors, tmp_path / "db" / "a", memory=plan.least_memory, workers=2).fits is not False
    path = write_jsonl(tmp_path / "r.jsonl", records_of(world.vectors(10, 4)))
    assert ramet.plan_job(path, tmp_path / "db" / "a").n_records is None
    with pytest.raises(ArgumentError, match="color"):
        ramet.plan_job(vectors, tmp_path / "db" / "a", color="red")


def test_files_of_the_job_that_are_cut_off(vectors, tmp_path):
    interrupted([vectors], tmp_path / "db" / "a", at=15)
    cut = sorted((tmp_path / "db" / ".build-a" / "read").glob("*.vecs"))
    for one in cut:
        one.write_bytes(one.read_bytes()[:-7])
    if cut:
        with pytest.raises(RametError, match="start anew") as failed:
            ramet.build_job(vectors, tmp_path / "db" / "a", resume=True, **OPTIONS)
        assert isinstance(failed.value, JobDamagedError)


def test_an_input_that_vanishes(vectors, tmp_path):
    def told(event):
        vectors.unlink(missing_ok=True)

    with pytest.raises(RametError, match=r"v\.npy cannot be read"):
        ramet.build_job(vectors, tmp_path / "db" / "a", progress=told, **OPTIONS)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
@pytest.mark.parametrize("kind", ["npy", "jsonl"])
def test_a_full_disk(tmp_path, kind):
    table, disk = world.vectors(20_000, 16), tmp_path / "disk"
    if kind == "npy":
        path = tmp_path / "v.npy"
        np.save(path, table)
    else:
        path = write_jsonl(tmp_path / "r.jsonl", records_of(table[:6000]))
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        options = {"metric": "l2", **OPTIONS}
        ramet.build_job(path, tmp_path / "whole" / "a", **options)
        n_full = 0
        for megabytes in (*range(1, 40, 1), 200):
            subprocess.run(["mount", "-o", f"remount,size={megabytes}m", disk], check=True)
            try:
                ramet.build_job(path, disk / "a", resume=True, **options)
                break
            except StorageFullError as error:
                n_full += 1
                assert "make room, and go on with resume=True (--resume)" in str(error)
                assert not (disk / "a").exists()
        assert n_full >= 4
        assert digests(disk / "a") == digests(tmp_path / "whole" / "a")
        assert opened(disk / "a").verify().ok
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # files of a failed test may still be open
