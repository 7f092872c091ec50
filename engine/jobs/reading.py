"""Stage *read*: records of the inputs, checked, as files of blocks. What is not taken is counted, with file and row."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ramet.engine.jobs.errors import RejectedRecordError
from ramet.engine.jobs.inputs.blocks import Block, InputFile, Rejected, failed
from ramet.engine.jobs.inputs.checking import checked
from ramet.engine.jobs.place import Place
from ramet.engine.jobs.plan import refuse_too_many
from ramet.engine.jobs.record_files import packed, put_bare
from ramet.engine.jobs.row_bytes import bytes_beside_vectors
from ramet.engine.jobs.stages import Stage, Stopped
from ramet.engine.jobs.texts import Texts
from ramet.engine.jobs.work import Work

NAMED_REJECTS = 1000
"""Rejected records of a block that are named; all of them are counted."""


class ReadStage(Stage):
    """Units are files; what is checkpointed within one is its blocks.

    Parameters
    ----------
    work : Work
    files : sequence of InputFile
    skips : bool
        Go on after a record that cannot be taken; False: it ends the job.
    texts : Texts
        Makes vectors of texts.
    """

    name = "read"

    def __init__(self, work: Work, files: Sequence[InputFile], skips: bool, texts: Texts) -> None:
        self._work = work
        self._files = files
        self._skips = skips
        self._texts = texts
        self.heard: Callable[[int, int | None], None] = lambda _unit, _rows: None
        """Told of a unit and how many of its rows are behind it."""
        self.stopped = threading.Event()
        """Set when the job is to stop: a file is left after the block that is being read."""

    @cached_property
    def block_rows(self) -> int:
        """Rows of a block; the same when the job goes on with other memory or workers."""
        place = self._work.place
        if not place.has("kept/read"):
            only_texts = any("texts" in file.has and "vectors" not in file.has for file in self._files)
            place.put_json("kept/read", self._work.plan.read_rows(only_texts, bytes_beside_vectors(self._files)))
        return int(place.get_json("kept/read"))

    def prepare(self) -> None:
        """Fit what turns tokens into codes on the first texts there are, whichever file is read first."""
        _ = self.block_rows
        self._texts.fit(self._files, self._work.place)

    def n_units(self) -> int:
        """Files."""
        return len(self._files)

    def is_done(self, unit: int) -> bool:
        """Whether a file is read to its end."""
        return self._work.place.has(f"read/{unit:05d}.end")

    def weight(self, unit: int) -> int:
        """Rows of a file, as far as it says."""
        return self._files[unit].n_rows or 0

    def run(self, unit: int) -> None:
        """Read a file from where it was left."""
        place, file = self._work.place, self._files[unit]
        number, n_rows = 0, 0
        while place.has(f"read/{_name(unit, number)}.json"):
            n_rows = place.get_json(f"read/{_name(unit, number)}.json")["end"]
            number += 1
        for block in _blocks(file, self.block_rows, number):
            taken = self._checked(block)
            if taken.rejected and not self._skips:
                raise RejectedRecordError(taken.rejected[0], place.path)
            n_rows = max([n_rows, block.first, *(int(row) + 1 for row in taken.rows[-1:])])
            n_rows = max([n_rows, *(one.row + one.n_rows for one in taken.rejected if one.file == file.path)])
            write_block(place, _name(unit, number), taken, n_rows)
            number += 1
            self.heard(unit, n_rows)
            if self.stopped.is_set():
                raise Stopped
        total = n_rows if file.n_rows is None else file.n_rows
        place.put_json(f"read/{unit:05d}.end", {"blocks": number, "rows": total})

    def _checked(self, block: Block) -> Block:
        settings, made = self._work.plan.settings, self._texts.made(block)
        if made.vectors is None:  # nothing in the file can be read
            made = replace(made, vectors=np.empty((len(made), settings.dim), settings.dtype))
        return checked(made, settings.dim, settings.metric_name, settings.dtype_name)

    def finish(self) -> None:
        """Put together what all files said."""
        place, blocks, position = self._work.place, list[dict[str, Any]](), 0
        names, reasons, longest = dict[str, int](), Counter[str](), 1
        rejected, n_bare, has_contents = list[Any](), 0, False
        for unit in range(len(self._files)):
            end = place.get_json(f"read/{unit:05d}.end")
            for number in range(end["blocks"]):
                facts = place.get_json(f"read/{_name(unit, number)}.json")
                for name in facts["tenants"]:
                    names.setdefault(name, len(names))
                reasons.update(facts["reasons"])
                rejected += facts["rejected"][: max(0, NAMED_REJECTS - len(rejected))]
                longest = max(longest, facts["longest_id"])
                has_contents |= facts["has_contents"]
                n_bare += facts["n_bare"]
                blocks.append({
                    "name": _name(unit, number),
                    "n": facts["n"],
                    "has_ids": facts["has_ids"],
                    "has_positions": facts["has_positions"],
                    "n_bare": facts["n_bare"],
                    "file_position": position,
                    "first_position": position + facts["first"],
                })  # fmt: skip
            position += end["rows"]
        refuse_too_many(sum(one["n"] for one in blocks) + n_bare, self._work.job["shards"])
        if any(not one["has_ids"] for one in blocks):
            longest = max(longest, len(str(position)))
        found = {
            "blocks": blocks, "n": sum(one["n"] for one in blocks), "tenants": list(names) or [self._work.plan.tenant],
            "has_tenants": bool(names),
            "reasons": reasons, "rejected": rejected, "longest_id": longest, "has_contents": has_contents,
            "n_bare": n_bare, "n_input": position,
        }  # fmt: skip
        place.put_json("read.json", found)


def _blocks(file: InputFile, most: int, first: int) -> Iterator[Block]:
    """Blocks of an input.

    Raises
    ------
    ArgumentError
        The file cannot be read any more.
    """
    try:
        yield from file.blocks(most, first)
    except OSError as error:
        raise failed(file.path, f"cannot be read: {error.strerror or error}") from error


def _name(unit: int, number: int) -> str:
    return f"{unit:05d}-{number:06d}"


def write_block(place: Place, name: str, block: Block, end: int) -> None:
    """Write the records of a block; its JSON comes last.

    Parameters
    ----------
    place : Place
    name : str
    block : Block
        Checked.
    end : int
        Rows of the file that are behind us.
    """
    kept = np.ones(len(block), bool) if block.bare is None else ~block.bare
    which = np.flatnonzero(kept)
    assert block.vectors is not None, "texts have been embedded"
    place.put_array(f"read/{name}.vecs", block.vectors if kept.all() else block.vectors[which])
    chosen = which.tolist()
    ids = None if block.ids is None else [block.ids[i].encode() for i in chosen]
    in_order = bool((block.rows[which] == block.first + np.arange(len(which))).all())
    if ids is not None:
        place.put_bytes(f"read/{name}.ids", b"".join(ids))
        place.put_array(f"read/{name}.idx", np.cumsum([len(one) for one in ids], dtype=np.int64))
    if not in_order:
        place.put_array(f"read/{name}.pos", block.rows[which].astype(np.int64))
    names = list[str]()
    if block.tenants is not None:
        numbers = {tenant: number for number, tenant in enumerate(dict.fromkeys(block.tenants))}
        names = list(numbers)
        place.put_array(f"read/{name}.tenants", np.array([numbers[block.tenants[i]] for i in chosen], np.uint32))
    has_contents = any(column is not None for column in (block.texts, block.metadata, block.tokens))
    if has_contents:
        _write_contents(place, name, block, chosen)
    if not kept.all():
        bare = [_record(block, i) for i in np.flatnonzero(~kept).tolist()]
        put_bare(place, name, bare)
    place.put_json(f"read/{name}.json", {
        "n": len(which), "n_bare": int((~kept).sum()), "first": block.first, "end": end, "has_ids": ids is not None,
        "has_positions": not in_order, "tenants": names, "has_contents": has_contents,
        "longest_id": max(map(len, ids), default=1) if ids else 1,
        "reasons": _counted(block.rejected),
        "rejected": [_said(one) for one in block.rejected[:NAMED_REJECTS]],
    })  # fmt: skip


def _counted(rejected: Sequence[Rejected]) -> dict[str, int]:
    """Rows rejected for each reason."""
    reasons = Counter[str]()
    for one in rejected:
        reasons[one.reason] += one.n_rows
    return dict(reasons)


def _said(one: Rejected) -> dict[str, Any]:
    return {"file": str(one.file), "row": one.row, "reason": one.reason, "detail": one.detail}


def _record(block: Block, i: int) -> dict[str, Any]:
    columns = {"id": block.ids, "text": block.texts, "metadata": block.metadata, "tenant": block.tenants}
    found = {name: None if column is None else column[i] for name, column in columns.items()}
    return {**found, "row": int(block.rows[i])}


def _write_contents(place: Place, name: str, block: Block, chosen: list[int]) -> None:
    """Documents, metadata and token codes, a record behind the other."""
    nothing = [None] * len(block)
    texts, metadata, tokens = block.texts or nothing, block.metadata or nothing, block.tokens or nothing
    parts = [packed(texts[i], metadata[i], tokens[i]) for i in chosen]
    place.put_bytes(f"read/{name}.contents", b"".join(parts))
    place.put_array(f"read/{name}.content_ends", np.cumsum([len(one) for one in parts], dtype=np.int64))
