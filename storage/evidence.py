"""What a verification reads from: a private copy of the catalog, and the data files through plain reads.

Nothing is mapped, so a file that is too short gives short reads and not a signal.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.findings import Findings
from ramet.storage.format import CATALOG, ListLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One committed state of a collection, to be looked at."""

    path: Path
    """The collection directory."""
    txn: Any
    """LMDB read transaction on a private copy of the catalog."""
    header: catalog.Header
    """Counters of the state."""
    settings: dict[str, Any]
    """Sizes."""
    layout: ListLayout
    """Layout of the posting lists."""
    fds: dict[str, int]
    """The data files that could be opened."""
    findings: Findings
    """Where problems go."""

    def read(self, name: str, offset: int, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Return `n_bytes` bytes of a data file as uint8; fewer where the file ends or cannot be read."""
        fd = self.fds.get(name)
        parts: list[bytes] = []
        while fd is not None and n_bytes > 0:
            try:
                part = os.pread(fd, min(n_bytes, 1 << 28), offset)
            except OSError as error:  # a bad sector
                self.findings.add(name, f"bytes {offset} to {offset + n_bytes - 1}", f"cannot be read: {error}")
                break
            if not part:
                break
            parts.append(part)
            offset, n_bytes = offset + len(part), n_bytes - len(part)
        return np.frombuffer(b"".join(parts), dtype=np.uint8)

    def table(self, table: bytes, key_bytes: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key without the table's byte, value) of a table; entries of wrong length are problems instead."""
        for key, value in catalog.scan(self.txn, table):
            if key_bytes and len(key) != 1 + key_bytes:
                self.findings.add(CATALOG, f"entry {key[1:]!r} of table {key[0]}", "the key has a wrong length")
            else:
                yield key[1:], value
