"""Stage *ids*: records whose id an earlier one has are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ramet.engine.jobs.duplicates import Bare, find_duplicates
from ramet.engine.jobs.errors import RejectedRecordError
from ramet.engine.jobs.ids import Ids
from ramet.engine.jobs.inputs.blocks import Rejected
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import Work


class DropStage(Stage):
    """One unit.

    Parameters
    ----------
    work : Work
    skips : bool
        Leave such records out; False: the first one ends the job.
    """

    name = "ids"
    in_order = True

    def __init__(self, work: Work, skips: bool) -> None:
        self._work = work
        self._skips = skips

    def n_units(self) -> int:
        """All ids at once."""
        return 1

    def is_done(self, unit: int) -> bool:
        """Whether they have been compared."""
        return self._work.place.has("read/dropped")

    def weight(self, unit: int) -> int:
        """Records compared."""
        return self._work.n_read

    def run(self, unit: int) -> None:
        """Find ids that come twice."""
        pairs, bare = find_duplicates(self._work)
        named = [rejected_twin(self._work, *pair) for pair in pairs[:1000]]
        named += [rejected_bare(self._work, one) for one in bare[: 1000 - len(named)]]
        if named and not self._skips:
            raise RejectedRecordError(named[0], self._work.place.path)
        self._work.place.put_json("read/dropped_bare", [[one.block, one.at] for one in bare])
        self._work.place.put_json(
            "read/twins.json",
            [{"file": str(one.file), "row": one.row, "reason": one.reason, "detail": one.detail} for one in named],
        )
        self._work.place.put_array("read/dropped", np.array([row for _, row in pairs], np.int64))


def rejected_twin(work: Work, first: int, row: int) -> Rejected:
    """What is said of a record whose id another one has."""
    name = Ids(work).of(np.array([row])).encoded[0].decode()
    file, place = _place_of(work, row)
    other, there = _place_of(work, first)
    return Rejected(file, place, "duplicate_id", f"id {name!r} is that of row {there} of {other}")


def rejected_bare(work: Work, one: Bare) -> Rejected:
    """What is said of a record without a vector whose id another one has."""
    file = Path(work.job["inputs"][int(one.block[:5])]["path"])
    return Rejected(file, one.record["row"], "duplicate_id", f"id {one.record['id']!r} is that of another record")


def _place_of(work: Work, row: int) -> tuple[Path, int]:
    """File and row in it of a record."""
    number = int(np.searchsorted([block.first_row for block in work.blocks], row, side="right")) - 1
    block, facts = work.blocks[number], work.read["blocks"][number]
    local = row - block.first_row
    file = Path(work.job["inputs"][int(block.name[:5])]["path"])
    if facts["has_positions"]:
        return file, int(work.place.get_array(f"read/{block.name}.pos", np.int64)[local])
    return file, local + facts["first_position"] - facts["file_position"]
