"""What every contender does, so that one loop can measure all of them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a child that measures an import must not get numpy through this file
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One search effort of one contender."""

    name: str
    """What is set, in the contender's own words: ``ef``, ``nprobe``, ``recall``."""
    value: float
    swept: bool = True
    """False for settings beside the sweep (``recall=0.95``): measured and shown, not interpolated."""

    @property
    def label(self) -> str:
        """``ef=64``."""
        return f"{self.name}={self.value:g}"


class Contender(ABC):
    """An index that can be built, saved, opened and searched.

    One object goes through either ``build`` (then ``save``) or ``open``; both leave it searchable.
    """

    name: str
    unit_vectors = True
    """Under cosine: wants vectors of length one, and gets them. Ramet gets what a user has, and normalizes itself."""
    mappable = False
    """Can search its saved file through a memory mapping, so it has a cold mode."""

    @abstractmethod
    def build(self, vectors: "np.ndarray", metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Build from (n, dim) float32; return facts worth keeping. Only this call is timed as the build."""

    def warm_up(self, metric: str) -> None:  # noqa: B027 - nothing to do for libraries compiled in advance
        """Compile what is compiled on first use, before the build is timed."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index into `folder` (nothing when ``build`` has done that)."""

    @abstractmethod
    def open(self, folder: Path, metric: str, dim: int, *, mapped: bool = False) -> None:
        """Open a saved index, through a memory mapping when `mapped`."""

    @abstractmethod
    def settings(self) -> list[Setting]:
        """Search settings in increasing effort, the ones with ``swept=False`` last."""

    @abstractmethod
    def apply(self, setting: Setting, threads: int) -> None:
        """Make `setting` and the thread count hold for the searches that follow; never timed."""

    @abstractmethod
    def search_one(self, query: "np.ndarray", k: int, setting: Setting) -> Any:
        """Search one (dim,) float32 query on one thread, as a user would. Timed: returns the library's own answer."""

    @abstractmethod
    def search_batch(self, queries: "np.ndarray", k: int, setting: Setting, threads: int) -> Any:
        """Search (n, dim) queries on `threads` threads. Timed."""

    @abstractmethod
    def rows(self, answer: Any) -> "np.ndarray":
        """Return the row numbers in an answer, (n, k) int64, -1 where there was nothing."""

    def close(self) -> None:  # noqa: B027 - memory goes with the object unless a contender says otherwise
        """Release files and memory."""


def sweep(name: str, values: "list[int]", largest: int | None = None) -> list[Setting]:
    """Return one setting per value, cut at `largest`, which is then the last of them."""
    if largest is not None and values[-1] > largest:
        values = [*(value for value in values if value < largest), largest]
    return [Setting(name=name, value=value) for value in values]


def disk_bytes(folder: Path) -> int:
    """Return the bytes allocated on disk by the files under `folder` (a sparse file counts what it holds)."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
