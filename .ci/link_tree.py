"""Lay out build/tree/ramet as links to the rooms, for tools that cannot follow the mapped editable install.

usage: python .ci/link_tree.py
"""

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "tree"


def main() -> None:
    """Make one real folder per package, with one link per module, from pyproject.toml's own mapping."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["tool"]["setuptools"]
    shutil.rmtree(TREE, ignore_errors=True)
    for package in setup["packages"]:
        target = TREE.joinpath(*package.split("."))
        target.mkdir(parents=True, exist_ok=True)
        for source in (ROOT / setup["package-dir"][package]).iterdir():
            if source.suffix in {".py", ".pyi", ".npz"} or source.name == "py.typed":
                (target / source.name).symlink_to(source)


if __name__ == "__main__":
    main()
