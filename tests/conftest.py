"""What every test shares: import names, the Hypothesis profile, a cache of compiled kernels."""

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Numba notices a change of a kernel's own file, not of the functions it calls in other files: tests would run old code
# after an edit. So the cache is one of exactly these sources. Set before Numba is imported; child processes inherit it.
_sources = b"".join(path.read_bytes() for path in sorted((ROOT / "index" / "kernels").glob("*.py")))
os.environ["NUMBA_CACHE_DIR"] = str(
    Path(tempfile.gettempdir()) / f"ramet-kernels-{os.getuid()}-{hashlib.sha256(_sources).hexdigest()[:16]}"
)


def expose(name: str) -> None:
    """Make one top-level folder importable without putting the repository root on sys.path.

    With the root on the path, `import index` would load a second copy of `ramet.index`.
    """
    folder = ROOT / name
    if not folder.is_dir():
        return
    init = folder / "__init__.py"
    if init.exists():
        spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)])
    else:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if spec.loader is not None:
        spec.loader.exec_module(module)


for _name in ("tests", "bench"):
    if _name not in sys.modules:
        expose(_name)

# No deadline: the first example of a test may compile a kernel.
settings.register_profile("ramet", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ramet")


@pytest.fixture
def run(capsys):
    """Run one command line; returns (exit code, stdout, stderr)."""
    from ramet.api.cli.app import main

    def call(*argv):
        capsys.readouterr()
        code = main([str(part) for part in argv])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def only_json(run):
    """Run with --json: stdout must be one document; of a build, events, of which the last one says what was built."""

    def call(*argv):
        code, out, err = run(*argv, "--json")
        assert code == 0, err
        if argv[0] != "build":
            return json.loads(out)
        *stages, built = map(json.loads, out.splitlines())
        assert stages and {one["event"] for one in stages} == {"stage"}
        assert built.pop("event") == "built"
        return built

    return call
