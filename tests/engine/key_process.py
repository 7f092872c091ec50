"""Another process that uses the keys of directories, spoken to in JSON lines."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from ramet.engine.keys import Keys
known = {}
for line in sys.stdin:
    kind, directory, *words = json.loads(line)
    keys = known.setdefault(directory, Keys(directory))
    if kind == "create":
        answer = keys.create(*words)
    elif kind == "revoke":
        answer = keys.revoke(*words).id
    elif kind == "check":
        found = keys.check(*words)
        answer = None if found is None else [found.id, sorted(found.tenants), sorted(found.rights)]
    elif kind == "flood":
        while True:
            print(json.dumps(keys.create("acme", "read")), flush=True)
    elif kind == "forget":
        answer = known.pop(directory) and None
    print(json.dumps(answer), flush=True)
"""


class Other:
    """The process; a context manager."""

    def __init__(self):
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, kind, directory, *words):
        self.process.stdin.write(json.dumps([kind, str(directory), *words]) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line.endswith("\n"), "the other process is gone"
        return json.loads(line)

    def __call__(self, *words):
        self.say(*words)
        return self.hear()

    def kill(self):
        """End it with SIGKILL; returns what it had said until then."""
        self.process.kill()
        rest = self.process.stdout.read().splitlines(keepends=True)
        self.process.wait(20)
        return [json.loads(line) for line in rest if line.endswith("\n")]

    def close(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
