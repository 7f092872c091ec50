"""Chroma in an environment of its own: made on demand, then driven by lines of JSON.

`bench/chroma_worker.py` has the embedded collection, `bench/chroma_client.py` the client of a server.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.child import ROOT, Beside
from bench.datasets import cache_dir

VERSION = "1.5.9"
_DONE = "installed"


def python() -> Path:
    """Return the interpreter of the environment, which is made when it is missing: some 400 MB.

    Raises
    ------
    RuntimeError
        When it cannot be made; the message has the end of what pip said.
    """
    folder = cache_dir() / "environments" / f"chromadb-{VERSION}"
    if not (folder / _DONE).exists():
        print(f"  making an environment for chromadb {VERSION} in {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"chromadb=={VERSION}"])
        (folder / _DONE).touch()
    return folder / "bin" / "python"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-800:]}")


def beside(folder: Path) -> Beside:
    """Start a process with the collection in `folder`. A context manager; `Beside.ask` gives it work."""
    folder.mkdir(parents=True, exist_ok=True)
    return _worker("chroma_worker.py", str(folder))


def client(port: int) -> Beside:
    """Start a process with a client of the server at a port of this machine (`bench/chroma_client.py`)."""
    return _worker("chroma_client.py", str(port))


def _worker(script: str, argument: str) -> Beside:
    return Beside(command=[str(python()), "-I", str(ROOT / "bench" / script), argument])
