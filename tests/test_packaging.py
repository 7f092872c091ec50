"""What an installation contains: every folder of the rooms, and nothing that the core must not need."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUP = PYPROJECT["tool"]["setuptools"]
ROOMS = ("api", "engine", "index", "storage")


def package_folders() -> dict[str, str]:
    """Import name -> folder, for every folder of the rooms that holds Python files."""
    folders = {path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    return {"ramet" if folder == "api/python" else f"ramet.{folder.replace('/', '.')}": folder for folder in folders}


def test_packages_are_the_folders():
    assert sorted(SETUP["packages"]) == sorted(package_folders())
    assert SETUP["package-dir"] == package_folders()


def test_every_package_folder_has_an_init():
    missing = [folder for folder in package_folders().values() if not (ROOT / folder / "__init__.py").is_file()]
    assert not missing, missing


def test_version_is_written_once_and_a_half():
    import ramet

    assert ramet.__version__ == PYPROJECT["project"]["version"]
    assert f"## [{ramet.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[<>=!~;]", requirement)[0] for requirement in requirements}


def test_the_core_is_light():
    core = requirement_names(PYPROJECT["project"]["dependencies"])
    light = {"numpy", "numba", "lmdb", "faiss-cpu", "xxhash", "threadpoolctl", "typer", "rich"}
    assert core == light | {"semchunk", "pystemmer", "pyroaring"}


def test_all_takes_every_other_extra():
    extras = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(everything.removeprefix("ramet[").removesuffix("]").split(",")) == set(extras) - {"all"}


def test_constraints_pin_what_development_and_demo_ask_for():
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    }
    extras = PYPROJECT["project"]["optional-dependencies"]
    named = ("dev", "demo", "bench", "text", "light", "server", "client", "otel", "arrow")
    asked = [*PYPROJECT["project"]["dependencies"], *(one for extra in named for one in extras[extra])]
    assert requirement_names(asked) <= pinned


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a clean copy: a stale build/ or egg-info hides a forgotten folder."""
    clean = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.nbi", "*.nbc")
    for room in ROOMS:
        shutil.copytree(ROOT / room, clean / room, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, clean)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(clean)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("*.whl")
    return zipfile.ZipFile(file)


def test_wheel_carries_every_module(wheel):
    expected = {
        f"{package.replace('.', '/')}/{path.name}"
        for package, folder in package_folders().items()
        for path in (ROOT / folder).glob("*.py")
    }
    carried = {name for name in wheel.namelist() if name.endswith(".py")}
    assert carried == expected


def test_wheel_carries_the_type_marker_the_licence_and_the_command(wheel):
    names = wheel.namelist()
    assert "ramet/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "ramet = ramet.api.cli.app:main" in wheel.read(entry_points).decode()


def test_wheel_works_without_the_repository(wheel, tmp_path):
    """The face and the command line start from the unpacked wheel, not from the editable install."""
    wheel.extractall(tmp_path)
    code = "import ramet, ramet.api.cli.app, ramet.storage, ramet.index.kernels; print(ramet.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert done.stdout.strip() == str(tmp_path / "ramet" / "__init__.py")
