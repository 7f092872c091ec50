"""Ids from a file beside the input, one per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ramet.engine.errors import ArgumentError
from ramet.engine.jobs.inputs.blocks import Block, InputFile


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """An input whose rows have their ids in another file; attributes are those of `InputFile`."""

    file: InputFile
    ids: Path

    @property
    def path(self) -> Path:
        """Of the input."""
        return self.file.path

    @property
    def format(self) -> str:
        """Of the input."""
        return self.file.format

    @property
    def n_rows(self) -> int | None:
        """Of the input."""
        return self.file.n_rows

    @property
    def dim(self) -> int | None:
        """Of the input."""
        return self.file.dim

    @property
    def dtype(self) -> str | None:
        """Of the input."""
        return self.file.dtype

    @property
    def n_bytes(self) -> int:
        """Of both files."""
        return self.file.n_bytes + self.ids.stat().st_size

    @property
    def has(self) -> frozenset[str]:
        """What the input has, and ids."""
        return self.file.has | {"ids"}

    def blocks(self, max_rows: int, first_block: int = 0) -> Iterator[Block]:
        """Blocks of the input; an id that is empty or no text is left to `checked`, which rejects it."""
        with open(self.ids, "rb") as file:
            lines = islice(file, first_block * max_rows, None)
            for block in self.file.blocks(max_rows, first_block):
                names = list(islice(lines, max_rows))
                yield _named(block, names)


def _named(block: Block, lines: Sequence[bytes]) -> Block:
    block.ids = []
    for row in block.rows.tolist():
        at = row - block.first
        try:
            block.ids.append(lines[at].decode().rstrip("\r\n") if at < len(lines) else "")
        except UnicodeDecodeError:
            block.ids.append("")
    return block


def with_ids(files: Sequence[InputFile], ids: Path) -> NamedFile:
    """The one input with the ids of a file.

    Raises
    ------
    ArgumentError
        There are several inputs, the input has ids, the file cannot be read, or has not as many lines as there are
        rows.
    """
    if len(files) != 1 or "ids" in files[0].has:
        raise ArgumentError("ids", "go with one input that has no ids of its own; leave them out, or name a column")
    try:
        with open(ids, "rb") as file:
            n_lines = sum(1 for _ in file)
    except OSError as error:
        raise ArgumentError("ids", f"{ids} cannot be read: {error.strerror}") from error
    n_rows = files[0].n_rows
    if n_rows is not None and n_lines != n_rows:
        raise ArgumentError(
            "ids", f"{ids} has {n_lines:,} ids for {n_rows:,} vectors of {files[0].path}; give one line to each"
        )
    return NamedFile(file=files[0], ids=ids)
