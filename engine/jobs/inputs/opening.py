"""Files by their names: patterns, folders, and which reader reads which."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.jobs.inputs.arrays import open_array
from ramet.engine.jobs.inputs.blocks import FORMATS, InputFile, InputOptions, failed
from ramet.engine.jobs.inputs.documents import needed
from ramet.engine.jobs.inputs.folders import ENDINGS, files_in, open_folder
from ramet.engine.jobs.inputs.lines import open_lines
from ramet.engine.jobs.inputs.tables import open_table

_BY_ENDING = {f".{name}": name for name in FORMATS if name != "folder"} | {
    ".pq": "parquet", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow", ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl", ".ndjson.gz": "jsonl",
}  # fmt: skip


def open_inputs(paths: Sequence[str | Path], options: InputOptions | None = None) -> list[InputFile]:
    """The files that ``paths`` name: files, folders, and patterns such as ``"data/*.parquet"``.

    Patterns and folders are in sorted order, each file once. A folder is read with the folders in it: it holds either
    files of vectors and tables, or documents, which are one input together.

    Raises
    ------
    ArgumentError
        Nothing of that name, an unknown format, a damaged header, or files that do not go together.
    MissingPackageError
        A format needs a package that is not installed.
    """
    chosen = options or InputOptions()
    if chosen.format is not None:
        one_of(chosen.format, "format", FORMATS)
    if isinstance(paths, str | Path) or not paths:
        raise ArgumentError("inputs", f"is {paths!r}; pass a list with at least one file, folder or pattern")
    found: dict[Path, InputFile] = {}
    documents: dict[Path, list[str]] = {}
    for given in paths:
        for root, name in _named(given, chosen.format):
            path = root / name
            kind = _format(path, chosen.format)
            if kind == "folder":
                documents.setdefault(root, []).append(name)
            elif path.absolute() not in found:
                found[path.absolute()] = _opened(path, kind, chosen)
    for root in documents:
        _refuse_columns(root, chosen)
    needed({PurePosixPath(name).suffix.lower() for names in documents.values() for name in names})
    files = [*found.values(), *(open_folder(root, sorted(set(names))) for root, names in documents.items())]
    _refuse_mixed(files)
    return files


def _named(given: str | Path, format: str | None) -> list[tuple[Path, str]]:
    """(folder, file in it) of everything that a path names."""
    path, text = Path(given), str(given)
    if path.is_dir():
        names = [name for name in files_in(path) if _taken(name, format)]
        if not names:
            known = ", ".join([*_BY_ENDING, *ENDINGS])
            raise failed(path, f"is a folder without files that are read; their names end in {known}, or give format")
        return [(path, name) for name in names]
    if path.exists():
        return [(path.parent, path.name)]
    if not glob.has_magic(text):
        raise failed(path, "does not exist; give a file, a folder, or a pattern in quotes")
    root = _root(path)
    names = sorted(
        Path(one).relative_to(root).as_posix() for one in glob.iglob(text, recursive=True) if Path(one).is_file()
    )
    if not names:
        raise failed(path, "matches no file")
    return [(root, name) for name in names]


def _root(pattern: Path) -> Path:
    """The folder before the first part that is a pattern."""
    root = Path(pattern.anchor)
    for part in pattern.parts[len(root.parts) : -1]:
        if glob.has_magic(part):
            break
        root /= part
    return root


def _taken(name: str, format: str | None) -> bool:
    kind = _by_ending(name)
    return kind is not None and (format is None or kind == format)


def _by_ending(name: str) -> str | None:
    lower = PurePosixPath(name.lower())
    if lower.suffix in ENDINGS:
        return "folder"
    return _BY_ENDING.get("".join(lower.suffixes[-2:])) or _BY_ENDING.get(lower.suffix)


def _format(path: Path, format: str | None) -> str:
    kind = format or _by_ending(path.name)
    if kind is None:
        raise failed(path, f"has an unknown ending; give format, one of {', '.join(FORMATS)}")
    return kind


def _opened(path: Path, kind: str, options: InputOptions) -> InputFile:
    try:
        if kind == "jsonl":
            return open_lines(path, options)
        if kind in ("parquet", "arrow"):
            return open_table(path, kind, options)
        _refuse_columns(path, options)
        return open_array(path, kind)
    except OSError as error:
        raise failed(path, f"cannot be read: {error.strerror or error}") from error


def _refuse_columns(path: Path, options: InputOptions) -> None:
    """Refuse columns for a file that has none: nobody is to find out afterwards that they were passed over."""
    for name in ("id_column", "vector_column", "text_column", "tenant_column", "metadata_columns"):
        if getattr(options, name) is not None:
            raise ArgumentError(name, f"is given, and {path} has no columns; leave it out, or build from a table")


def _refuse_mixed(files: list[InputFile]) -> None:
    """Refuse vectors beside texts, several dimensions, and ids or tenants in some of the files only."""
    first: dict[str, tuple[object, InputFile]] = {}
    for file in files:
        if not file.has:
            continue  # nothing in it but bad lines, which are counted
        facts: dict[str, object] = {"vectors": "vectors" in file.has, "ids": "ids" in file.has}
        facts |= {"dim": file.dim, "tenants": "tenants" in file.has}
        for what, value in facts.items():
            if what == "dim" and value is None:
                continue
            known, other = first.setdefault(what, (value, file))
            if known != value:
                raise failed(file.path, _difference(what, value, known, other.path))


def _difference(what: str, value: object, known: object, other: Path) -> str:
    if what == "dim":
        return f"has vectors of {value} values, {other} of {known}; build a collection of each"
    has, lacks = f"has {what}", f"has no {what}"
    mine, theirs = (has, lacks) if value else (lacks, has)
    return f"{mine}, and {other} {theirs}; build a collection of each, or give all of them {what}"
