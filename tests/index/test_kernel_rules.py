"""Rules that every kernel keeps: where it stands, how it is compiled, and that a naive twin stands beside it.

That no file exceeds its budget and who may import numba is held by tests/test_rooms.py.
"""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

import ramet.index.kernels
from ramet.index.kernels import simd
from tests.oracle import building, filtered, kernels

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "index").rglob("*.py"))
MODULES = {
    info.name: importlib.import_module(f"ramet.index.kernels.{info.name}")
    for info in pkgutil.iter_modules(ramet.index.kernels.__path__)
}

WITHOUT_TWIN = {"prefetch": "has no result"}
TWINS_ELSEWHERE = {"mixture": "tests/oracle/ppp.py"}


def tree_of(path):
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def compiled(module):
    """Kernels that a module defines, by name."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, Dispatcher) and thing.py_func.__module__ == module.__name__
    }


KERNELS = {f"{name}.{k}": kernel for name, module in MODULES.items() for k, kernel in compiled(module).items()}


def test_there_are_kernels_to_look_at():
    assert {"topk.pack", "scan.scan_sq8", "search.search_many", "cluster.nearest_centre"} <= set(KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_cached_release_the_lock_and_say_what_they_do(name):
    kernel = KERNELS[name]
    assert kernel.targetoptions.get("nogil") is True, "other threads must run meanwhile"
    assert type(kernel._cache).__name__ != "NullCache", "compiling takes seconds"
    assert kernel.py_func.__doc__


@pytest.mark.parametrize("name", KERNELS)
def test_no_kernel_takes_fast_mathematics_or_threads_of_its_own(name):
    """Under fastmath=True a NaN is undefined behaviour; threads are the caller's, who knows how many it was given."""
    options = KERNELS[name].targetoptions
    assert not options.get("fastmath", False)
    assert not options.get("parallel", False)


def test_nowhere_in_the_room_is_fast_mathematics_or_a_parallel_loop_asked_for():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.keyword) and node.arg == "parallel")
        or (isinstance(node, ast.keyword) and node.arg == "fastmath" and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Name | ast.Attribute) and "prange" in ast.unparse(node))
        or (isinstance(node, ast.alias) and node.name == "prange")
    ]
    assert not found, found


def test_the_flags_of_float_sums_keep_the_meaning_of_not_a_number_and_infinity():
    assert set(simd.FLOAT_FLAGS).isdisjoint({"fast", "nnan", "ninf", "arcp", "afn"})


def test_kernels_stand_at_the_top_of_their_module_and_classes_do_not_stand_there():
    """A kernel that is compiled inside a function cannot be cached, tested or measured alone."""
    found = []
    for path in FILES:
        top = tree_of(path).body
        inner = [node for statement in top for child in ast.iter_child_nodes(statement) for node in ast.walk(child)]
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in inner
            if isinstance(node, ast.FunctionDef) and any("njit" in ast.unparse(d) for d in node.decorator_list)
        ]
        if path.parent.name == "kernels":
            found += [f"{path.relative_to(ROOT)}:{node.lineno}" for node in top if isinstance(node, ast.ClassDef)]
    assert not found, found


def test_no_kernel_draws_random_numbers_of_its_own():
    """Seeds and states are arguments."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        if path.parent.name == "kernels"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("np.random", "numpy.random"))
    ]
    assert not found, found


def test_every_public_kernel_has_a_naive_twin():
    public = {name for module in MODULES if module not in TWINS_ELSEWHERE for name in compiled(MODULES[module])}
    public |= {name for name, thing in vars(simd).items() if isinstance(thing, _Intrinsic)}
    public = {name for name in public if not name.startswith("_")}
    twins = {
        name for oracle in (kernels, building, filtered) for name, thing in vars(oracle).items() if callable(thing)
    }
    assert public - twins == set(WITHOUT_TWIN)
    assert public >= set(WITHOUT_TWIN)
    assert set(TWINS_ELSEWHERE) <= set(MODULES)


def test_a_query_does_not_fail_because_compiled_code_cannot_be_kept(tmp_path):
    """The disk of Numba's cache is full, which a limit on the size of files stands for."""
    code = (
        "import resource, warnings, numpy as np\n"
        "from ramet.index.kernels.check import first_bad_row\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    print(first_bad_row(np.array([[1.0, np.nan]], np.float32), False))\n"
        "print(any('first_bad_row cannot be kept' in str(one.message) for one in caught))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["0", "True"], done.stderr[-2000:]
