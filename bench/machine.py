"""What the figures were measured on: machine, library versions, commit."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.child import ROOT

PACKAGES = (
    "ramet", "numpy", "numba", "lmdb", "faiss-cpu", "hnswlib", "usearch",
    "fastapi", "uvicorn", "uvloop", "httptools", "orjson", "httpx",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Return CPU, cores, memory (GiB), system, Python and library versions.

    Cores are those this process may run on, not those of the machine.
    """
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def commit() -> str:
    """Return the commit of the working tree, with ``-dirty`` when tracked files differ from it.

    ``bench/results`` and the README are left out of the comparison, since the benchmarks write them.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results", ":!README.md")
    return f"{head}-dirty" if changed else head


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    """Return the CPU's name and its vector extensions, since a virtual machine often hides the model."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    family = re.search(r"cpu family\s*:\s*(\d+)", text)
    flags = set((re.search(r"flags\s*:\s*(.+)", text) or [""])[0].split())
    extensions: list[str] = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if flag in flags]
    parts: list[str] = [name[1].strip() if name else platform.machine()]
    if family:
        parts.append(f"family {family[1]}")
    return ", ".join(parts + extensions)


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def short(description: dict[str, Any]) -> str:
    """Return one line for people: CPU, cores, memory, Python."""
    return (
        f"{description['cpu']}; {description['cores']} cores; {description['memory_gib']} GiB; "
        f"Python {description['python']}"
    )


def origin(heads: Iterable[Mapping[str, Any]]) -> str:
    """Return one sentence with every machine and commit that results come from; `heads`: one line of each run."""
    origins = {f"{short(dict(head['machine']))}; commit {head['commit']}" for head in heads}
    return "Measured on: " + "; and ".join(sorted(origins)) + "."


if __name__ == "__main__":
    print(short(describe()), commit(), file=sys.stderr)
