"""Vectors of texts inside a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine import adding
from ramet.engine.embedding import TextEmbedder
from ramet.engine.jobs.inputs.blocks import Block, InputFile
from ramet.engine.jobs.inputs.checking import checked
from ramet.engine.jobs.inputs.embedding import Chunking, embedded, fitted_projection
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import TEXTS_TOGETHER
from ramet.engine.token_codes import WIDTH, Projection

PROJECTION = "read/projection"


class Texts:
    """Chunks texts and embeds them; leaves blocks that have vectors as they are.

    Parameters
    ----------
    embedder : TextEmbedder, optional
    chunk_tokens : int, optional
    overlap : int
    """

    def __init__(self, embedder: TextEmbedder | None, chunk_tokens: int | None, overlap: int) -> None:
        self.embedder = embedder
        self._chunk_tokens = chunk_tokens
        self._overlap = overlap
        self._chunking = Chunking(chunk_tokens=chunk_tokens, overlap=overlap)
        self._names = dict[Path, str]()

    @property
    def facts(self) -> dict[str, Any]:
        """What the chunks and vectors depend on."""
        if self.embedder is None:
            return {}
        return {"model": self.embedder.identity, "chunk_tokens": self._chunk_tokens, "overlap": self._overlap}

    def check(self) -> None:
        """Refuse chunks that cannot be, before the work begins.

        Raises
        ------
        ArgumentError
        """
        if self.embedder is not None:
            own = self.embedder.max_tokens or adding.CHUNK_TOKENS
            adding.cut([], self.embedder, own if self._chunk_tokens is None else self._chunk_tokens, self._overlap)

    def made(self, block: Block) -> Block:
        """A block with vectors."""
        if block.vectors is not None or block.texts is None or self.embedder is None:
            return block
        block = checked(self._named(block), self.embedder.dim, "l2", "float32")
        return embedded(block, self.embedder, self._chunking)

    def fit(self, files: Sequence[InputFile], place: Place) -> None:
        """Choose one projection for all blocks, fitted on the first texts of the inputs in their order, once."""
        only_texts = [file for file in files if "texts" in file.has and "vectors" not in file.has]
        if self.embedder is None or not only_texts:
            return
        self._names = _short_names([file.path for file in files])
        plain = self._chunking
        if not place.has(PROJECTION):
            texts = _first_texts(only_texts)
            fitted = fitted_projection(texts, self.embedder, plain) if texts else None
            place.put_bytes(PROJECTION, b"" if fitted is None else fitted.content())
        self._chunking = replace(plain, projection=self.stored(place))

    def _named(self, block: Block) -> Block:
        """A block whose documents have ids: those that are given, or the file and the row."""
        if block.ids is None:
            name = self._names[block.file]
            block.ids = [f"{name}:{row}" for row in block.rows.tolist()]
        return block

    @staticmethod
    def stored(place: Place) -> Projection | None:
        """The projection of the job; None where there are no token codes."""
        if not place.has(PROJECTION):
            return None
        content = place.get_array(PROJECTION, np.float32)
        return Projection(content.reshape(-1, WIDTH)) if len(content) else None


def _first_texts(files: Sequence[InputFile]) -> list[str]:
    """Texts of the first block that has any."""
    for file in files:
        for block in file.blocks(TEXTS_TOGETHER):
            texts = [text for text in block.texts or [] if text and not text.isspace()]
            if texts:
                return texts
    return []


def _short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names of files as seen from the innermost folder that all of them are in."""
    folder = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return {path: path.absolute().relative_to(folder).as_posix() for path in paths}
