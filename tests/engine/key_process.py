"""Another process that uses the keys of a directory, spoken to in JSON lines."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from ramet.engine.keys import Keys
keys = Keys(sys.argv[1])
for line in sys.stdin:
    kind, *words = json.loads(line)
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
    print(json.dumps(answer), flush=True)
"""


class Other:
    """The process; a context manager."""

    def __init__(self, directory):
        command = [sys.executable, "-c", PROGRAM, str(directory)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def __call__(self, *words):
        self.say(*words)
        return self.hear()

    def kill(self):
        self.process.kill()
        rest = self.process.stdout.read().splitlines(keepends=True)
        self.process.wait(20)
        return [json.loads(line) for line in rest if line.endswith("\n")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(20)
        self.process.stdout.close()
        if not self.process.stdin.closed:
            self.process.stdin.close()
