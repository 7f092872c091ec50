"""Damaged files are noticed, named, and never crash the process."""

import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

import ramet
from tests.engine.world import vectors

READ = """
import sys, numpy as np, ramet
try:
    docs = ramet.connect(sys.argv[1], create=False).collection("c")
    report = docs.verify()
    print("ok" if report.ok else "found")
    docs.query(np.load(sys.argv[2]), 10, nprobe=40)
    docs.query(np.load(sys.argv[2]), 10, exact=True)
    docs.get([str(i) for i in range(50)])
except ramet.RametError as error:
    print("refused", type(error).__name__)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound")
    data = vectors(3000, 16)
    with ramet.connect(path / "db") as db:
        db.create_collection("c", 16, "l2").build(data)
    np.save(path / "q.npy", data[:30])
    return path


def copy_of(sound, target):
    shutil.copytree(sound / "db", target / "db")
    return target / "db" / "c"


@pytest.mark.parametrize("file", ["postings.bin", "vectors.bin", "rows.bin"])
def test_flipped_bits_are_found_and_never_crash(sound, tmp_path, file):
    folder = copy_of(sound, tmp_path)
    rng = random.Random(file)
    blob = bytearray((folder / file).read_bytes())
    for _ in range(40):
        at = rng.randrange(4096, len(blob))
        blob[at] ^= 1 << rng.randrange(8)
    (folder / file).write_bytes(blob)
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "db", sound / "q.npy"], capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"found" in done.stdout


@pytest.mark.parametrize("file", ["postings.bin", "vectors.bin", "rows.bin", "catalog.mdb"])
def test_a_truncated_file_is_refused_by_name(sound, tmp_path, file):
    folder = copy_of(sound, tmp_path)
    size = (folder / file).stat().st_size
    with open(folder / file, "r+b") as opened:
        opened.truncate(size // 2)
    with ramet.connect(tmp_path / "db") as db, pytest.raises(ramet.RametError, match=file):
        db.collection("c").query(vectors(1, 16)[0])


def test_verify_names_file_and_list(sound, tmp_path):
    folder = copy_of(sound, tmp_path)
    with open(folder / "postings.bin", "r+b") as opened:
        opened.seek(3 * 4096 + 4)
        byte = opened.read(1)[0]
        opened.seek(-1, 1)
        opened.write(bytes([byte ^ 255]))
    with ramet.connect(tmp_path / "db") as db:
        report = db.collection("c").verify()
        assert not report.ok
        text = " ".join(f"{p.file} {p.where} {p.what}" for p in report.problems)
        assert "postings.bin" in text
        assert "cell" in text


def test_a_checked_query_refuses_a_damaged_list(sound, tmp_path):
    folder = copy_of(sound, tmp_path)
    blob = bytearray((folder / "postings.bin").read_bytes())
    for page in range(1, len(blob) // 4096):
        blob[4096 * page + 5] ^= 1
    (folder / "postings.bin").write_bytes(blob)
    with ramet.connect(tmp_path / "db") as db, pytest.raises(ramet.RametError, match=r"postings\.bin"):
        db.collection("c").query(vectors(1, 16)[0], check=True)
