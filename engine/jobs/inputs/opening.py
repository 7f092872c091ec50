"""Files by their names: patterns, folders, and which reader reads which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ramet.engine.jobs.inputs.blocks import InputFile, InputOptions


def open_inputs(paths: Sequence[str | Path], options: InputOptions | None = None) -> list[InputFile]:
    """The files that ``paths`` name, sorted: files, folders, and patterns such as ``"data/*.parquet"``.

    Raises
    ------
    ArgumentError
        Nothing of that name, an unknown format, a damaged header, or files that do not go together.
    MissingPackageError
        A format needs a package that is not installed.
    """
    raise NotImplementedError
