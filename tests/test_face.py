"""`import ramet`: what it offers and what it must not load."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ramet

FACE = Path(ramet.__file__)

HEAVY = {"numpy", "numba", "llvmlite", "lmdb", "faiss", "xxhash", "typer", "rich", "threadpoolctl"}


def modules_after(code: str) -> set[str]:
    """Names of top-level modules and of Ramet's own that a fresh interpreter has loaded after `code`."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    names = json.loads(done.stdout)
    return {name if name.startswith("ramet") else name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", ramet.__all__)
def test_every_name_of_the_face_resolves(name):
    assert getattr(ramet, name) is not None
    assert name in dir(ramet)


def test_all_is_sorted_and_without_repeats():
    assert ramet.__all__ == sorted(set(ramet.__all__))
    assert set(ramet.__all__) == {*ramet._HOME, "RametError", "__version__"}


def test_type_checkers_see_the_same_names_from_the_same_modules():
    (block,) = (node for node in ast.parse(FACE.read_text("utf-8")).body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == ramet._HOME


def test_every_public_name_of_the_face_is_in_all():
    public = {name for name in vars(ramet) if not name.startswith("_")}
    # Rooms become attributes once something imports them; Any and TYPE_CHECKING serve the file itself.
    rooms = {"api", "engine", "index", "storage"}
    assert public - rooms - {"Any", "TYPE_CHECKING"} <= set(ramet.__all__)


def test_an_unknown_name_is_an_attribute_error_that_says_it():
    with pytest.raises(AttributeError, match="no attribute 'colection'"):
        _ = ramet.colection


def test_import_loads_no_third_party_and_no_room():
    loaded = modules_after("import ramet")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("ramet.")} == {"ramet._error"}


def test_command_line_starts_without_the_numeric_libraries():
    loaded = modules_after("import ramet.api.cli.app")
    assert not loaded & (HEAVY - {"typer", "rich"})
    assert not {name for name in loaded if name.startswith(("ramet.engine", "ramet.index", "ramet.storage"))}


def test_every_error_of_the_face_derives_from_the_root():
    errors = [getattr(ramet, name) for name in ramet.__all__ if name.endswith("Error")]
    assert errors
    assert all(issubclass(error, ramet.RametError) for error in errors)
