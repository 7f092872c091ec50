"""What a job that goes on takes and refuses, and what its directory is trusted with."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

import ramet
from ramet.engine.jobs import errors, stages
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import refuse_too_many
from ramet.engine.jobs.record_files import packed, unpacked
from ramet.engine.jobs.shard_job import run_shard
from ramet.engine.jobs.work import Work
from tests.engine import world
from tests.engine.jobs.job_world import left_over, opened, records_of, write_jsonl
from tests.engine.word_tokens import WordTokens

N, DIM = 400, 8


def build(inputs, place, **options):
    return ramet.build_job(inputs, place, memory="600MB", workers=2, metric="l2", **options)


def stopped_at(stage):
    """A callable for ``progress`` that stops the job when a stage has ended."""

    def told(event):
        if event.stage == stage and event.finished:
            raise KeyboardInterrupt

    return told


def begun(inputs, place, stage="ids", **options):
    """A job that was stopped; its directory."""
    with pytest.raises(KeyboardInterrupt):
        build(inputs, place, progress=stopped_at(stage), **options)
    return place.with_name(f".build-{place.name}")


class Knows(WordTokens):
    """Knows words that begin with w."""

    def embed_documents_with_tokens(self, texts):
        vectors, tokens = super().embed_documents_with_tokens(texts)
        vectors[[not text.startswith("w") for text in texts]] = 0
        return vectors, tokens


def owned_records(n=N):
    vectors = world.vectors(n, DIM)
    return [{**one, "owner": f"t{i % 3}", "other": f"o{i % 2}"} for i, one in enumerate(records_of(vectors))]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant_column": "other"}, {"tenant_column": None}, {"id_column": "n"}, {"text_column": "lang"},
        {"metadata_columns": ["lang"]}, {"format": "jsonl"},
    ],
)  # fmt: skip
def test_a_job_goes_on_with_the_same_columns_only(tmp_path, other):
    path, place = write_jsonl(tmp_path / "r.jsonl", owned_records()), tmp_path / "db" / "a"
    begun(path, place, tenant_column="owner")
    with pytest.raises(errors.JobMismatchError, match=next(iter(other))):
        build(path, place, resume=True, **{"tenant_column": "owner", **other})
    build(path, place, resume=True, tenant_column="owner")
    assert set(opened(place).tenants()) == {"t0", "t1", "t2"}


def test_the_columns_are_part_of_a_collection_s_identity(tmp_path):
    path, names = write_jsonl(tmp_path / "r.jsonl", owned_records()), []
    for i, column in enumerate(["owner", "other"]):
        known = begun(path, tmp_path / f"db{i}" / "a", tenant_column=column)
        names.append(json.loads((known / "job.json").read_bytes())["collection"])
    assert names[0] != names[1]


def test_a_job_that_has_lost_tenants_of_records_gives_them_to_nobody(tmp_path):
    records, place = owned_records(), tmp_path / "db" / "a"
    inputs = [write_jsonl(tmp_path / f"r{i}.jsonl", records[i::2]) for i in range(2)]
    known = begun(inputs, place, stage="read", tenant_column="owner")
    (known / "read" / "00001-000000.tenants").unlink()
    with pytest.raises(errors.JobDamagedError, match=r"tenants of records of .*r1\.jsonl"):
        build(inputs, place, resume=True, tenant_column="owner")


def test_a_job_goes_on_with_the_same_ids_only(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for file, letter in zip(files, "ab", strict=True):
        file.write_text("".join(f"{letter}{i}\n" for i in range(N)), "utf8")
    place = tmp_path / "db" / "a"
    begun(tmp_path / "v.npy", place, ids=files[0])
    for other in (files[1], None):
        with pytest.raises(errors.JobMismatchError, match="ids"):
            build(tmp_path / "v.npy", place, resume=True, ids=other)
    was = files[0].stat()
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(errors.JobMismatchError, match="before they were changed"):
        build(tmp_path / "v.npy", place, resume=True, ids=files[0])
    os.utime(files[0], ns=(was.st_atime_ns, was.st_mtime_ns))
    build(tmp_path / "v.npy", place, resume=True, ids=files[0])


def test_a_job_goes_on_with_the_same_documents_only(tmp_path):
    folder, place = tmp_path / "docs", tmp_path / "db" / "a"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i}.txt").write_text(f"w{i} w{i + 1} w{i + 2}", "utf8")
    begun(folder, place, embedder=WordTokens(width=64))
    was = (folder / "7.txt").stat()
    (folder / "7.txt").write_text("w9 w8 w7", "utf8")
    os.utime(folder / "7.txt", ns=(was.st_atime_ns, was.st_mtime_ns + 1))
    with pytest.raises(errors.JobMismatchError, match="before it was changed"):
        build(folder, place, resume=True, embedder=WordTokens(width=64))
    os.utime(folder / "7.txt", ns=(was.st_atime_ns, was.st_mtime_ns))
    build(folder, place, resume=True, embedder=WordTokens(width=64))


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_left_of_a_removed_job_is_not_reused(tmp_path, resume):
    vectors, place = world.vectors(N, DIM), tmp_path / "db" / "a"
    np.save(tmp_path / "v.npy", vectors + 1)
    known = begun(tmp_path / "v.npy", place)
    (known / "job.json").unlink()
    np.save(tmp_path / "v.npy", vectors)
    build(tmp_path / "v.npy", place, resume=resume)
    world.assert_exact(opened(place).query(vectors[:9], k=3, exact=True), vectors, vectors[:9], "l2", 3)


def test_the_directory_of_a_job_is_its_user_s_own(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    known = begun(tmp_path / "v.npy", tmp_path / "db" / "a")
    assert known.stat().st_mode & 0o777 == 0o700
    build(tmp_path / "v.npy", tmp_path / "db" / "a", resume=True)
    assert (tmp_path / "db" / "a").stat().st_mode == (tmp_path / "db").stat().st_mode


def test_a_directory_behind_a_link_is_not_touched(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    (tmp_path / "db").mkdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "over").write_text("true")
    (tmp_path / "db" / ".build-a").symlink_to(tmp_path / "else")
    with pytest.raises(errors.JobOwnerError, match="choose another place"):
        build(tmp_path / "v.npy", tmp_path / "db" / "a")
    assert (tmp_path / "else" / "over").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_not_used(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    (tmp_path / "db" / ".build-a").mkdir(parents=True)
    os.chown(tmp_path / "db" / ".build-a", 65534, 65534)
    with pytest.raises(errors.JobOwnerError):
        build(tmp_path / "v.npy", tmp_path / "db" / "a")


def test_contents_come_back_as_they_were():
    moment = datetime(2024, 3, 1, 12, 30, 1, 5, tzinfo=timezone(timedelta(hours=2)))
    metadata = {"at": moment, "n": 3, "x": 3.0, "inf": float("inf"), "on": True, "tags": ["a", "ü"], "s": '{"$date":1}'}
    for text in (None, "", "wörter \u2028"):
        for fields in (None, {}, metadata):
            for tokens in (None, np.zeros((0, 64), np.int8), np.arange(192, dtype=np.int8).reshape(3, 64)):
                found = unpacked(packed(text, fields, tokens))
                assert found[:2] == (text, fields)
                assert (found[2] is None) if tokens is None else np.array_equal(found[2], tokens)
    assert unpacked(packed(None, metadata, None))[1]["at"].tzinfo is UTC


def test_no_file_of_a_job_is_a_pickle(tmp_path):
    records = [{"text": "unheard of" if i % 4 == 0 else f"w{i} w{i + 1}", "n": i} for i in range(60)]
    path, place = write_jsonl(tmp_path / "r.jsonl", records), tmp_path / "db" / "a"
    known = begun(path, place, embedder=Knows(width=64))
    assert list((known / "read").glob("*.bare"))
    assert list((known / "read").glob("*.contents"))
    assert not [file for file in known.rglob("*") if file.is_file() and file.read_bytes()[:1] == b"\x80"]
    build(path, place, resume=True, embedder=Knows(width=64))
    assert opened(place).count() == 60
    ids = opened(place).query(text="unheard", mode="keyword", k=60).ids
    assert sorted(one.metadata["n"] for one in opened(place).get(ids, include=["metadata"])) == list(range(0, 60, 4))


def test_an_error_in_one_file_does_not_wait_for_another(tmp_path):
    long = write_jsonl(tmp_path / "long.jsonl", [{"text": f"w{i} w{i + 1}"} for i in range(3000)])
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"text": ""}, {"text": "w1"}])
    place = tmp_path / "db" / "a"
    with pytest.raises(errors.RejectedRecordError):
        build([long, bad], place, embedder=WordTokens(width=64))
    read = place.with_name(".build-a") / "read"
    assert not (read / "00000.end").exists()
    assert len(list(read.glob("00000-*.json"))) < 12
    build([long, bad], place, embedder=WordTokens(width=64), resume=True, on_error="skip")
    assert opened(place).count() == 3001


class Waits:
    """A stage of which one unit fails, and the other runs until it is told to stop."""

    name = "waits"

    def __init__(self):
        self.stopped = threading.Event()
        self.runs = threading.Event()
        self.in_time = False

    def run(self, unit):
        if unit == 0:
            self.runs.wait(30)
            raise KeyboardInterrupt
        self.runs.set()
        self.in_time = self.stopped.wait(30)
        raise stages.Stopped


def test_what_runs_is_told_to_stop_after_an_error():
    stage = Waits()
    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyboardInterrupt):
        list(stages.on(pool)(stage, [0, 1]))
    assert stage.in_time


def test_a_shard_is_left_after_a_unit_when_the_job_is_to_stop(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(3000, DIM))
    place, stopped = tmp_path / "db" / "a", threading.Event()
    known = begun(tmp_path / "v.npy", place, stage="split", shards=2)
    stopped.set()
    with pytest.raises(stages.Stopped):
        run_shard(known / "shard-0000", Work.opened(known / "shard-0000").plan.with_workers(1), stopped)
    assert not (known / "shard-0000" / "built").exists()
    build(tmp_path / "v.npy", place, resume=True, shards=2)
    assert opened(place).count() == 3000


def test_what_killed_writers_have_left_is_removed(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    place = tmp_path / "db" / "a"
    known = begun(tmp_path / "v.npy", place)
    left = [known / "read.json.77-00.part", known / "read" / "00000-000000.vecs.78-01.part"]
    for file in left:
        file.write_bytes(b"torn")
    begun(tmp_path / "v.npy", place, stage="group", resume=True)
    assert known.exists()
    assert not any(file.exists() for file in left)
    build(tmp_path / "v.npy", place, resume=True)


def test_writers_of_one_file_do_not_tear_it(tmp_path):
    place, n = Place(tmp_path / "job"), 200
    parts = [bytes([i]) * (1 << 16) for i in range(4)]

    def write(part):
        for _ in range(n):
            place.put_bytes("file", part)

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(write, part) for part in parts]
        while not all(one.done() for one in writers):
            if place.has("file"):
                assert (place.path / "file").read_bytes() in parts
        for one in writers:
            one.result()
    assert [one.name for one in place.path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_nothing_aside(tmp_path):
    place = Place(tmp_path / "job")
    with pytest.raises(TypeError):
        place.put_bytes("file", [1])
    assert list(place.path.iterdir()) == []


@pytest.mark.parametrize(
    ("n", "shards", "problem"),
    [
        (2**31 - 1, None, None), (2**31, None, "at least 3 of them"), (2**31, 2, None), (2**31, 1, "more shards"),
        (2**32 - 1, 3, None), (2**32, 100, "more than one job reads"), (2**32 - 1, 2, "more shards"),
    ],
)  # fmt: skip
def test_more_records_than_have_numbers_are_refused(n, shards, problem):
    if problem is None:
        refuse_too_many(n, shards)
    else:
        with pytest.raises(errors.JobError, match=problem):
            refuse_too_many(n, shards)


def test_the_read_stage_refuses_too_many_records(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    place = tmp_path / "db" / "a"
    known = begun(tmp_path / "v.npy", place, stage="read")
    facts = json.loads((known / "read" / "00000-000000.json").read_bytes())
    (known / "read" / "00000-000000.json").write_text(json.dumps({**facts, "n": 2**31}))
    (known / "done" / "read").unlink()
    with pytest.raises(errors.JobError, match="2,147,483,648 records"):
        build(tmp_path / "v.npy", place, resume=True)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[1]"])
def test_a_job_that_is_over_says_that_only_its_report_is_missing(tmp_path, content):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    place = tmp_path / "db" / "a"
    report = build(tmp_path / "v.npy", place)
    known = place.with_name(".build-a")
    known.mkdir()
    (known / "over").write_text("true")
    assert build(tmp_path / "v.npy", place, resume=True) == report
    known.mkdir()
    (known / "over").write_text("true")
    if content is None:
        (tmp_path / "db" / "a.build.json").unlink()
    else:
        (tmp_path / "db" / "a.build.json").write_bytes(content)
    with pytest.raises(errors.JobReportError, match="the job is over"):
        build(tmp_path / "v.npy", place, resume=True)
    assert left_over(place) == []
    assert opened(place).count() == N


def test_a_report_replaces_an_older_one_whole(tmp_path):
    np.save(tmp_path / "v.npy", world.vectors(N, DIM))
    place = tmp_path / "db" / "a"
    place.parent.mkdir()
    older = tmp_path / "db" / "a.build.json"
    older.write_text("older")
    os.link(older, tmp_path / "kept")
    report = build(tmp_path / "v.npy", place)
    assert (tmp_path / "kept").read_text() == "older"
    assert json.loads(older.read_text("utf8")) == json.loads(json.dumps(report.to_dict()))
    assert left_over(place) == []
