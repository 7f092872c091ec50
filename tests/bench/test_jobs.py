"""The benchmark of build jobs on tiny data: what it writes, and that its checks see what they look for."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from bench import (
    cgroup,
    job_data,
    job_kill,
    job_process,
    job_ray,
    job_size,
    plot_jobs,
    records,
    scale_doc,
    scale_plan,
    synthetic,
)
from bench.__main__ import main
from bench.commands import jobs, readme


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(job_data, "N_QUERIES", 50)
    monkeypatch.setattr(synthetic, "BLOCK", 1_500)


def conditions(work, **changed):
    given = {"data": None, "memory": 400_000_000, "cap": 1_500_000_000, "workers": 2, "rounds": 1, "k": 10}
    work.mkdir(exist_ok=True)
    return job_size.Conditions(work=work, **(given | changed))


def test_every_size_is_a_prefix_of_the_next():
    small, large = (np.load(job_data.file_of(rows, None)) for rows in (2_000, 4_000))
    assert small.shape == (2_000, 96) and small.dtype == np.float32
    np.testing.assert_array_equal(small, large[:2_000])
    np.testing.assert_array_equal(large[1_500:3_000], synthetic.narrow_block(1))
    assert {job_data.name_of(rows) for rows in (2_000, 10_000_000, 1_234)} == {"s2k96.npy", "s10m96.npy", "s123496.npy"}


def test_a_given_file_is_taken_and_another_one_refused(tmp_path):
    made = job_data.file_of(2_000, None)
    given = tmp_path / "data"
    given.mkdir()
    rows = np.load(made)
    np.save(given / "s2k96.npy", rows)
    assert job_data.file_of(2_000, given) == given / "s2k96.npy"
    assert job_data.file_of(3_000, given).parent == made.parent
    rows[-1, -1] += 1
    np.save(given / "s2k96.npy", rows)
    with pytest.raises(ValueError, match="recipe"):
        job_data.file_of(2_000, given)
    np.save(given / "s2k96.npy", rows[:100])
    with pytest.raises(ValueError, match=r"not float32 \(2000, 96\)"):
        job_data.file_of(2_000, given)


@pytest.mark.slow
def test_sizes_are_measured_and_planned_from(tmp_path):
    out = tmp_path / "out"
    options = ("--parts", "size", "--sizes", "2000,4000", "--memory", "400MB", "--rounds", "1")
    assert main(["jobs", *options, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"jobs-size-synthetic-96.jsonl", "jobs-size.png"}
    lines = records.read(out / "jobs-size-synthetic-96.jsonl")
    assert [(line["kind"], line["rows"]) for line in lines] == [
        ("job", 2_000), ("memory", 2_000), ("job", 4_000), ("memory", 4_000), ("compared", 4_000),
    ]  # fmt: skip
    for line in lines[:4]:
        assert line["ok"] is True and line["killed"] is False and line["recall"] > 0.9 and line["peak_bytes"] > 0
        assert line["us_per_record"] == pytest.approx(1e6 * line["seconds"] / line["rows"], rel=1e-3)
        assert sum(line["stages"].values()) <= line["seconds"] * 1.01
        assert line["curve"][-1][2] >= 0.95 and line["nprobe_095"] >= 1 and line["n_lists"] > 10
    job = lines[2]
    assert job["input_bytes"] >= 4_000 * 96 * 4 and job["planned"]["least_memory"] < 400_000_000
    assert job["files"]["vectors.bin"] >= 4_000 * 96 * 4
    assert ("cap_why" in job) is (job["cap"] is None)
    assert lines[4]["ratio"] == pytest.approx(job["us_per_record"] / lines[3]["us_per_record"], rel=1e-3)
    text = scale_doc.block(out)
    assert "| 4,000 |" in text and "1,000,000,000 x 96" in text and "not measured" in text
    pages = tmp_path / "pages.md"
    pages.write_text(f"before\n{scale_doc.START}\nold\n{scale_doc.END}\nafter\n")
    page = readme.ROOT / "README.md"
    copy = tmp_path / "README.md"
    copy.write_text(page.read_text())
    options = ["--results", str(out), "--readme", str(copy), "--scale", str(pages)]
    assert main(["readme", *options, "--check"]) == 1
    assert main(["readme", *options]) == 0 and main(["readme", *options, "--check"]) == 0
    assert pages.read_text() == f"before\n{scale_doc.START}\n{text}\n{scale_doc.END}\nafter\n"


def test_a_job_that_is_killed_at_random_points_ends_with_the_same_bytes(tmp_path):
    out = tmp_path / "out"
    options = ("--parts", "kill", "--kill-rows", "4000", "--kills", "3")
    assert main(["jobs", *options, "--out", str(out)]) == 0
    (line,) = records.read(out / "jobs-kill.jsonl")
    assert line["equal"] is True and line["differ"] == [] and line["n_files"] >= 4
    assert 1 <= line["n_kills"] <= 3 and len(line["kills"]) == line["n_kills"]
    points = [kill["point_s"] for kill in line["kills"]]
    assert points == sorted(points) and line["broken_seconds"] > 0
    assert all(kill["stage"] for kill in line["kills"])


def test_files_that_differ_are_named(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "shard").mkdir(parents=True)
        (tmp_path / name / "writer.lock").write_text(name)
        (tmp_path / name / "shard" / "catalog.mdb-lock").write_text(name)
        (tmp_path / name / "shard" / "rows.bin").write_bytes(b"same")
    assert job_kill.differing(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "one" / "shard" / "rows.bin").write_bytes(b"sane")
    (tmp_path / "other" / "more").write_bytes(b"")
    assert job_kill.differing(tmp_path / "one", tmp_path / "other") == ["more", "shard/rows.bin"]


def test_what_a_job_is_making_is_no_temporary_file(tmp_path):
    for name in ("read/a", "out/postings.bin", "shard-0000/out/rows.bin", "shard-0000/tree/vecs"):
        path = tmp_path / ".build-x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 8192)
    assert job_process.temporary_bytes(tmp_path / ".build-x") == 2 * 8192
    assert job_process.temporary_bytes(tmp_path / "none") == 0


HUNGRY = """
import sys
from bench import cgroup
cgroup.join(sys.argv[1])
held = [bytearray(1 << 20) for _ in range(int(sys.argv[2]))]
"""


def test_the_kernel_kills_what_takes_more_than_the_cap():
    with cgroup.MemoryGroup(100 << 20) as group:
        if group.path is None:
            pytest.skip(group.why)
        path = str(group.path)
        run = [subprocess.run([sys.executable, "-c", HUNGRY, path, n], check=False).returncode for n in ("20", "200")]
        facts = group.facts()
    assert run == [0, -signal.SIGKILL]
    assert facts["cap_kills"] >= 1 and 20 << 20 < facts["cap_most"] <= 100 << 20
    assert not os.path.exists(path)


def test_a_job_that_the_cap_kills_is_told_and_not_taken_for_a_success(tmp_path):
    given = conditions(tmp_path / "work", cap=60 << 20)
    with cgroup.MemoryGroup(1 << 30) as group:
        if group.path is None:
            pytest.skip(group.why)
    lines = job_size.measure(2_000, given)
    assert lines[0]["killed"] is True and "recall" not in lines[0] and lines[0]["cap_kills"] >= 1
    assert lines[1]["killed"] is False and job_size.compared(lines) is None


def test_processes_below_another_are_found():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process.pid in job_ray.below(os.getpid())
        assert b"input()" in job_ray.command_line(process.pid)
        process.communicate(b"\n")
    assert job_ray.command_line(process.pid) == b""


def job_line(rows, us, least, **more):
    stages = {name: us * rows / 1e6 for name in ("group", "assign")}
    return {"rows": rows, "stages": stages, "planned": {"least_memory": least}, **more}


def test_the_plan_is_the_arithmetic_that_the_page_tells():
    lines = [job_line(1_000_000, 10.0, 400e6), job_line(10_000_000, 20.0, 940e6)]
    assert scale_plan.cells_line(lines) == pytest.approx((340e6, 60.0))
    assert scale_plan.shard_rows(lines, 8e9) == 66_666_666 and scale_plan.n_shards(lines, 8e9) == 16
    group, split, assign = scale_plan.stages(lines, 5.0)
    assert (group.name, split.name, assign.name) == ("group", "split", "assign")
    assert group.exponent == pytest.approx(np.log10(2)) and group.planned_us == pytest.approx(80.0)
    assert assign.planned_rows == 62_500_000 and assign.planned_us == pytest.approx(20 * 6.25 ** np.log10(2))
    assert split.planned_us == 5.0 and split.planned_s == 5_000
    spent = scale_plan.times([group, split, assign], cores=2, efficiency=0.8, shards=16)
    assert spent.two_cores == pytest.approx(1_000 * (80 + 5 + assign.planned_us))
    assert spent.leading == 0 and spent.blocks == pytest.approx(85_000 * 2 / (256 * 0.8))
    assert spent.shards == pytest.approx(1_000 * assign.planned_us * 2 / 16 / 0.8)


def test_small_stages_are_drawn_as_one():
    bar = {"stages": {"read": 1.0, "ids": 0.001, "group": 0.5}}
    assert plot_jobs.shown([bar]) == ["read", "group"]


def test_sizes_are_parsed_and_unknown_parts_refused():
    assert [jobs.size(text) for text in ("400MB", "1.5gb")] == [400_000_000, 1_500_000_000]
    with pytest.raises(Exception, match="no size"):
        jobs.size("much")
    with pytest.raises(ValueError, match="known are size, kill, ray"):
        main(["jobs", "--parts", "sizes"])


@pytest.mark.slow
def test_shards_on_ray_are_measured_and_survive_lost_workers(tmp_path):
    if why := job_ray.missing():
        pytest.skip(why)
    lines = job_ray.measure(4_000, conditions(tmp_path / "work"))
    one, two, lost, recall = json.loads(json.dumps(lines))
    assert (one["workers"], two["workers"]) == (1, 2) and two["equal"] is True
    assert two["both_ratio"] == pytest.approx(one["both_s"] / two["both_s"]) and one["both_s"] > 0
    assert lost["equal"] is True and [kill["stage"] for kill in lost["kills"]] == ["split", "shards"]
    assert recall["recall_shards"] > 0.9 and recall["recall_single"] > 0.9
    assert recall["points"] == pytest.approx(100 * (recall["recall_single"] - recall["recall_shards"]))
