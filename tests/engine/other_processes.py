"""Other processes of a live world, spoken to in JSON lines.

A reader keeps its collection open while others write; a nursery forks writers which die in the middle.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ramet
from ramet.storage.datafile import DataFile
from ramet.storage.writer import Writer
from tests.engine.content_world import dumps, loads
from tests.engine.dict_model import DIM, points
from tests.engine.live_world import KINDS, ask, perform, shrunk

# The tests' import names come from conftest.py, which a program has to load by its path.
PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
from tests.engine.other_processes import main
main(sys.argv[2])
"""
CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"


class Other:
    """A child that answers questions, or forks writers."""

    def __init__(self, role):
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(CONFTEST), role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, **words):
        self._process.stdin.write(dumps(words) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the child ended with {self._process.wait(10)}")
        return loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


def _die_at(point):
    """Let this process end before the call of that number to write, sync or commit."""
    left = point

    def dying(function):
        def wrapped(*arguments):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*arguments)

        return wrapped

    DataFile.write = dying(DataFile.write)
    DataFile.sync = dying(DataFile.sync)
    Writer.commit = dying(Writer.commit)


def _bear(words):
    """Fork a writer that performs an operation and is killed on the way; says how it ended."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            if "point" in words:
                _die_at(words["point"])
            path = Path(words["path"])
            perform(ramet.connect(path.parent).collection(path.name), words["operation"])
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    if "after_s" in words:
        time.sleep(words["after_s"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"killed": os.WIFSIGNALED(status), "code": -1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}


def _read(opened, words):
    if "open" in words:
        path = Path(words["open"])
        if opened:
            opened.pop().close()
        opened.append(ramet.connect(path.parent, create=False).collection(path.name))
        return True
    return ask(opened[0], words)


def main(role):
    """Answer until there are no more questions."""
    opened = []
    with shrunk():
        if role == "nursery":
            _warm_up()
        for line in sys.stdin:
            words = loads(line)
            print(dumps(_bear(words) if role == "nursery" else _read(opened, words)), flush=True)


def _warm_up():
    """Load the kernels before the first fork."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (dtype, codes, metric) in KINDS.items():
            collection = ramet.connect(folder).create_collection(name, DIM, metric, dtype, codes)
            names = [str(i) for i in range(600)]
            collection.upsert(names, points(1, 600, 0.3, dtype))
            collection.query(points(1, 3, 0.3, dtype))
            collection.close()
