"""Write the collection of a format version that every later release has to open: ``python make.py``.

Run once per format version, with the release that introduced it, and never again for the same one.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import world

from ramet.storage.backup import backup
from ramet.storage.format import FORMAT_VERSION

N_BATCHES, N_ROWS = 2, 12


def main():
    """Make the collection and copy it, which drops free pages and the lock file of LMDB."""
    target = Path(__file__).resolve().parent / f"v{FORMAT_VERSION}"
    if target.exists():
        sys.exit(f"{target} exists: a golden collection is never written again")
    with tempfile.TemporaryDirectory() as directory:
        store, _ = world.make(Path(directory) / "c", N_BATCHES, N_ROWS)
        with store:
            backup(store, target)
    (target / "catalog.mdb-lock").unlink(missing_ok=True)
    (target / "writer.lock").unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size} bytes")


if __name__ == "__main__":
    main()
