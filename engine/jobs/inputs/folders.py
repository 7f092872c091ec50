"""Documents in files of their own: text, Markdown, HTML and PDF."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ramet.engine.arguments import positive, whole
from ramet.engine.jobs.inputs.blocks import MOST_ROWS, Block, Rejected
from ramet.engine.jobs.inputs.documents import Unreadable, converted

ENDINGS = (".txt", ".md", ".html", ".htm", ".pdf")

MAX_FILE = 64 << 20
"""Bytes of a document at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFile:
    """An `InputFile` of documents in one folder, or some of them; a row is a document."""

    path: Path
    names: tuple[str, ...]
    """Relative to the folder, with ``/``, sorted."""
    n_bytes: int
    format: str = "folder"
    dim: int | None = None
    dtype: str | None = None

    @property
    def has(self) -> frozenset[str]:
        """Ids are paths in the folder."""
        return frozenset({"ids", "texts", "metadata"})

    @property
    def n_rows(self) -> int:
        """Documents."""
        return len(self.names)

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Blocks of documents; what cannot be read is rejected, under its place in the order."""
        most, number = positive(max_rows, "max_rows", MOST_ROWS), whole(first_block, "first_block")
        for first in range(number * most, len(self.names), most):
            yield self._block(first, self.names[first : first + most])

    def _block(self, first: int, names: tuple[str, ...]) -> Block:
        rows: list[int] = []
        ids: list[str] = []
        texts: list[str | None] = []
        metadata: list[dict[str, Any] | None] = []
        rejected = []
        for row, name in enumerate(names, first):
            try:
                text, title = _read(self.path / name)
            except Unreadable as error:
                rejected.append(Rejected(self.path, row, error.reason, f"{name!r} {error.detail}"))
                continue
            rows.append(row)
            ids.append(name)
            texts.append(text)
            metadata.append({"path": name, "title": title or PurePosixPath(name).stem})
        return Block(
            file=self.path, first=first, rows=np.array(rows, np.int64), ids=ids, texts=texts, metadata=metadata,
            rejected=rejected,
        )  # fmt: skip


def _read(path: Path) -> tuple[str, str]:
    """Text and title of a document."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unreadable("unreadable", f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise Unreadable("too_long", f"has more than {MAX_FILE} bytes; divide it")
    text, title = converted(content, path.suffix.lower())
    if not text or text.isspace():
        raise Unreadable("empty_text", "has no text")
    return text, title


def documents_in(root: Path) -> list[str]:
    """Documents in a folder and the folders in it, sorted; what is hidden (``.git``) is passed over."""
    return [name for name in files_in(root) if PurePosixPath(name).suffix.lower() in ENDINGS]


def files_in(root: Path) -> list[str]:
    """Files in a folder and the folders in it, relative to it, sorted."""
    found = []
    for folder, inner, names in os.walk(root):
        inner[:] = [one for one in inner if not one.startswith(".")]
        for name in names:
            if not name.startswith("."):
                found.append((Path(folder) / name).relative_to(root).as_posix())
    return sorted(found)


def open_folder(root: Path, names: list[str]) -> FolderFile:
    """Documents of a folder."""
    sizes = (os.stat(root / name).st_size for name in names if (root / name).exists())
    return FolderFile(path=root, names=tuple(names), n_bytes=sum(sizes))
