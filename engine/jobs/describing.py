"""What a job remembers of its inputs and options: it goes on with the same ones only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramet.engine.jobs.errors import JobMismatchError
from ramet.engine.jobs.inputs.blocks import InputFile
from ramet.engine.jobs.inputs.folders import FolderFile
from ramet.engine.jobs.inputs.naming import NamedFile
from ramet.engine.jobs.place import Place
from ramet.storage.format import checksum

if TYPE_CHECKING:
    from ramet.engine.jobs.job import Task

FREE = ("memory", "workers")
"""Entries of a plan that may be others when a job goes on."""


def described(task: Task) -> dict[str, Any]:
    """The job as its directory remembers it."""
    decided = {name: entry for name, entry in task.plan.to_json().items() if name not in FREE}
    decided |= _columns(task)
    inputs = described_inputs(task.files)
    named = repr(([(Path(one["path"]).name, one["bytes"]) for one in inputs], decided, task.texts.facts)).encode()
    return {
        "inputs": inputs, "decided": decided, "plan": task.plan.to_json(), "on_error": task.on_error,
        "texts": task.texts.facts, "shards": task.shards, "created_with": _release(),
        "changed": [_changed(file) for file in task.files],
        "ids": [_ids(file) for file in task.files],
        "collection": f"{checksum(named):016x}{checksum(b'2', named):016x}",
    }  # fmt: skip


def _columns(task: Task) -> dict[str, Any]:
    """How the files are read: other columns are other records, and may be other tenants."""
    named = task.columns.metadata_columns
    return {**asdict(task.columns), "metadata_columns": None if named is None else list(named)}


def described_inputs(files: Sequence[InputFile]) -> list[dict[str, Any]]:
    """Path, format, bytes and rows of every file."""
    return [
        {"path": str(file.path.absolute()), "format": file.format, "bytes": file.n_bytes, "rows": file.n_rows}
        for file in files
    ]


def _changed(file: InputFile) -> int | str:
    """When a file was last written; of a folder, a checksum over names, sizes and times of its documents."""
    if not isinstance(file, FolderFile):
        return file.path.stat().st_mtime_ns
    return f"{checksum(repr([(name, *_size_and_time(file.path / name)) for name in file.names]).encode()):016x}"


def _size_and_time(path: Path) -> tuple[int, int]:
    """Of a document that is gone (-1, 0): it is rejected when it is read."""
    try:
        found = path.stat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns


def _ids(file: InputFile) -> dict[str, Any] | None:
    """Path, bytes and time of the file with the ids of an input."""
    if not isinstance(file, NamedFile):
        return None
    n_bytes, changed = _size_and_time(file.ids)
    return {"path": str(file.ids.absolute()), "bytes": n_bytes, "changed": changed}


def _release() -> str:
    try:
        return version("ramet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def going_on(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    """What a job that goes on remembers: as it was begun, with the memory and workers that it may have now.

    One that stopped at a record which cannot be taken may go on by leaving such records out.

    Raises
    ------
    JobMismatchError
        It was begun with something else.
    """
    known: dict[str, Any] = place.get_json("job.json")
    _compare_inputs(place.path, known, asked)
    for name in sorted({*known["decided"], *asked["decided"]}):
        one, other = known["decided"].get(name), asked["decided"].get(name)
        if one != other:
            _differ(place.path, name, one, other)
    for name in ("texts", "shards"):
        if known[name] != asked[name]:
            _differ(place.path, name, known[name], asked[name])
    if (known["on_error"], asked["on_error"]) == ("skip", "fail"):
        _differ(place.path, "on_error", "skip", "fail")
    return {**known, "plan": asked["plan"], "on_error": asked["on_error"]}


def _compare_inputs(path: Path, known: dict[str, Any], asked: dict[str, Any]) -> None:
    names, others = ([one["path"] for one in facts["inputs"]] for facts in (known, asked))
    for name in names:
        if name not in others:
            raise JobMismatchError(path, f"the input {name}")
    for name in others:
        if name not in names:
            raise JobMismatchError(path, f"other inputs: {name} is not one of them")
    for one, other in zip(known["ids"], asked["ids"], strict=True):
        _compare_ids(path, one, other)
    pairs = zip(names, known["inputs"], asked["inputs"], known["changed"], asked["changed"], strict=True)
    for name, one, other, then, now in pairs:
        if one != other or then != now:
            raise JobMismatchError(path, f"{name} as it was before it was changed, or in another place of the inputs")


def _compare_ids(path: Path, known: dict[str, Any] | None, asked: dict[str, Any] | None) -> None:
    one, other = (None if facts is None else facts["path"] for facts in (known, asked))
    if one != other:
        _differ(path, "ids", one, other)
    if known != asked:
        raise JobMismatchError(path, f"the ids {one} as they were before they were changed")


def _differ(path: Path, name: str, known: Any, asked: Any) -> None:
    if isinstance(known, dict) and isinstance(asked, dict):
        for key in sorted({*known, *asked}):
            if known.get(key) != asked.get(key):
                _differ(path, key, known.get(key), asked.get(key))
    raise JobMismatchError(path, f"{name}={known!r}, and not {asked!r}")


def nothing_in(read: dict[str, Any]) -> str:
    """Why there is nothing to build."""
    if read["n_bare"]:
        return f"have {read['n_bare']:,} texts, and the embedder knows no word of any of them"
    if not read["rejected"]:
        return "have no records"
    first, reasons = read["rejected"][0], ", ".join(f"{reason} {n:,}" for reason, n in sorted(read["reasons"].items()))
    place = f"{first['file']}, row {first['row']}: {first['reason']}: {first['detail']}"
    return f"have no record that can be taken ({reasons}); the first is {place}"
