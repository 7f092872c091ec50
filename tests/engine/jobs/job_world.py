"""Inputs of build jobs, jobs in processes of their own, and what is compared afterwards."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import ramet

ROOT = Path(__file__).resolve().parents[3]

WORDS = [f"w{i}" for i in range(300)]


def write_jsonl(path, records):
    """Records as JSON lines; the path."""
    path.write_text("".join(json.dumps(one) + "\n" for one in records), "utf8")
    return path


def write_parquet(path, columns):
    """Columns as a Parquet file; the path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


def sentence(rng, n=8):
    """Some words."""
    return " ".join(WORDS[i] for i in rng.zipf(1.3, size=n) % len(WORDS))


def records_of(vectors, seed=0):
    """A record with id, text, metadata for each vector."""
    rng = np.random.default_rng(seed)
    return [
        {"id": f"r{i}", "vector": row.tolist(), "text": sentence(rng), "lang": "de" if i % 3 else "en", "n": i % 50}
        for i, row in enumerate(vectors)
    ]


def opened(place):
    """The collection at DATABASE/NAME."""
    return ramet.connect(place.parent, create=False).collection(place.name)


def digests(place):
    """Digest of every file of a collection that is not a lock."""
    return {
        str(file.relative_to(place)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(place.rglob("*"))
        if file.is_file() and "lock" not in file.name
    }


def left_over(place):
    """Names beside a collection and its report."""
    known = {place.name, f"{place.name}.build.json", f"{place.name}.build.html"}
    return sorted({one.name for one in place.parent.iterdir()} - known) if place.parent.exists() else []


CHILD = """
import json, os, signal, sys, threading
import ramet
from ramet.engine.jobs import place, stages
from tests.engine.word_tokens import WordTokens

given = json.loads(sys.argv[1])
kill_at, kind = given.pop("kill_at"), given.pop("kill")
seen, lock = 0, threading.Lock()

def count():
    global seen
    with lock:
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

if kind == "timer":
    threading.Timer(kill_at, os.kill, (os.getpid(), signal.SIGKILL)).start()
elif kind == "write":
    put, drop = place.Place.put_bytes, place.Place.drop
    def put_bytes(self, name, *parts):
        count()
        put(self, name, *parts)
        count()
    place.Place.put_bytes = put_bytes
if given.pop("embeds", False):
    given["embedder"] = WordTokens(width=64)
report = ramet.build_job(given.pop("inputs"), given.pop("out"), **given)
print(seen)
os._exit(0)
"""


def child(inputs, out, *, kill=None, kill_at=0, **options):
    """Run a job in a process that may be killed: after some seconds, or around some file it writes.

    Returns (exit code, files written, what it said).
    """
    given = {"inputs": [str(one) for one in inputs], "out": str(out), "kill": kill, "kill_at": kill_at, **options}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    seen = int(done.stdout or 0) if done.returncode == 0 else -1
    return done.returncode, seen, done.stderr
