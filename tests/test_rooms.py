"""The rules of the rooms, held over every file: who may import whom, how long things may grow, who may print.

The rules and their reasons are in docs/architecture.md.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("api", "engine", "index", "storage")
# Folders of a room with rules of their own.
INNER_ROOMS = ("index/kernels", "api/rest", "api/client")

# The rooms that a room may import; `face` is `import ramet`, which is for users and therefore for api only.
# Everybody may import ramet._error, the root of the exception tree.
MAY_IMPORT = {
    "storage": {"storage"},
    "index/kernels": {"index/kernels"},
    "index": {"index", "index/kernels"},
    "engine": {"engine", "index", "index/kernels", "storage"},
    "api": {"api", "api/rest", "engine", "face"},
    "api/rest": {"api/rest", "engine", "face"},
    "api/client": {"api/client", "engine", "face"},
    "face": {"api/client", "engine"},
    "bench": {"bench", "face", "index/kernels"},
}

# The face names what users catch and read, also where storage defines it.
FACE_NAMES = {"ramet.storage.errors", "ramet.storage.findings"}

# What a benchmark compares Ramet with has to split texts into the same words; strategies of selection are measured on
# candidates that the benchmark retrieves, exactly and once for all of them, which the public API does not offer.
BENCH_NAMES = {
    "ramet.engine.text.analysis",
    "ramet.engine.token_codes",
    *(
        f"ramet.engine.rag.{name}"
        for name in (
            "agent", "choice", "coverage", "labels", "pool", "prompt", "rag", "retrieval", "strategies",
            "training", "utility",
        )
    ),
}  # fmt: skip

THIRD_PARTY = {
    "storage": {"lmdb", "numpy", "pyroaring", "xxhash"},
    "index/kernels": {"llvmlite", "numba", "numpy"},
    "index": {"numpy"},
    "engine": {"numpy", "pyroaring"},
    "api": {"numpy", "rich", "typer"},
    "api/rest": {"fastapi", "numpy", "orjson", "pydantic", "starlette"},
    "api/client": {"numpy"},
    "face": set(),
}

# Third parties that only one file may know: the file that adapts them.
ONE_FILE: dict[str, str | tuple[str, ...]] = {
    "faiss": "index/navigate_hnsw.py",
    "httpx": "api/client/transports.py",
    "httpx2": "engine/rag/llm/openai.py",
    "justhtml": "engine/jobs/inputs/documents.py",
    "pypdf": "engine/jobs/inputs/documents.py",
    "httptools": "api/rest/serve.py",
    "matplotlib": "api/cli/demo_plot.py",
    "model2vec": "engine/embedding_static.py",
    "openai": "engine/rag/llm/openai.py",
    "opentelemetry": "api/rest/tracing.py",
    "prometheus_client": "api/rest/metrics.py",
    "pyarrow": ("api/cli/demo_words.py", "api/rest/arrow.py", "engine/jobs/inputs/tables.py"),
    "pydantic_settings": "api/rest/settings.py",
    "ray": ("engine/sharded/actors.py", "engine/jobs/ray_units.py"),
    "semchunk": "engine/chunking.py",
    "structlog": "api/rest/logs.py",
    "sentence_transformers": "engine/embedding.py",
    "torch": "engine/embedding.py",
    "transformers": "engine/embedding.py",
    "Stemmer": "engine/text/analysis.py",
    "uvicorn": "api/rest/serve.py",
    "uvloop": "api/rest/serve.py",
    "xllamacpp": "engine/rag/llm/gguf.py",
}
# Where one file adapts a third party that its room's other files must not import.
EXTRA = {
    "engine/builder.py": {"threadpoolctl"},
    "engine/model_identity.py": {"xxhash"},
}

FILE_LINES = 400
FUNCTION_LINES = 40
KERNEL_LINES = 80
PARAMETERS = 7

# Each exception is a decision: "file" or "file::function" -> why.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {
    "engine/jobs/building.py::build_job": "two thirds are the signature and what it passes on",
    "engine/rag/rag.py::Rag.select": "a third is the signature; every line is one step of docs/rag.md",
    "engine/collection_search.py::CollectionSearch.query": "a third is the signature, the rest one check an argument",
    "api/cli/add.py::add": "typer reads a command's options from its signature",
    "api/cli/answer.py::answer": "typer reads a command's options from its signature",
    "api/cli/build.py::build": "typer reads a command's options from its signature",
    "api/cli/create.py::create": "typer reads a command's options from its signature",
    "api/cli/keys.py::create": "typer reads a command's options from its signature",
    "api/cli/query.py::query": "typer reads a command's options from its signature",
}
MORE_PARAMETERS: dict[str, str] = {}

BANNED_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


def sources(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "build" not in path.relative_to(ROOT).parts[:1])


ALL = sources(*ROOMS)
WITH_BENCH = sources(*ROOMS, "bench")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of_file(path: Path) -> str:
    name = name_of(path)
    if name.startswith("api/python/"):
        return "face"
    return next((room for room in INNER_ROOMS if name.startswith(f"{room}/")), name.split("/")[0])


def room_of_module(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1 or parts[1] not in ROOMS:
        return "face"
    inner = "/".join(parts[1:3])
    return inner if inner in INNER_ROOMS else parts[1]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module as (line, dotted name); relative imports come with their leading dots."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module in {"ramet", "ramet.index"}:  # `from ramet.index import kernels` names a module of another room
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def fault(path: Path, module: str) -> str | None:
    """Say what is wrong with one import, or None."""
    top, here = module.split(".")[0], room_of_file(path)
    if module.startswith("."):
        return "relative import"
    if top in ROOMS:
        return "bare room name: a second copy of the module"
    if top == "tests" or (top == "bench" and here != "bench"):
        return "nothing imports tests or bench"
    if module.startswith("ramet.api.python"):
        return "exists in editable installs only"
    if top == "ramet":
        allowed = (
            module.startswith("ramet._error")
            or room_of_module(module) in MAY_IMPORT[here]
            or (here == "face" and module in FACE_NAMES)
            or (here == "bench" and module in BENCH_NAMES)
        )
        return None if allowed else f"{here} must not import {room_of_module(module)}"
    if top in sys.stdlib_module_names or here == "bench":
        return None
    if top in ONE_FILE:
        files = (only,) if isinstance(only := ONE_FILE[top], str) else only
        return None if name_of(path) in files else f"only {' and '.join(files)} may import {top}"
    allowed = top in THIRD_PARTY[here] | EXTRA.get(name_of(path), set())
    return None if allowed else f"third party {top} is not for {here}"


def test_every_import_obeys_the_direction_table():
    faults = [
        f"{name_of(path)}:{line}: {module}: {what}"
        for path in WITH_BENCH
        for line, module in imports(path)
        if (what := fault(path, module))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("storage/store.py", "ramet.index.metrics"),
        ("storage/store.py", "numba"),
        ("index/assign.py", "ramet.storage.store"),
        ("index/assign.py", "ramet.engine.errors"),
        ("index/assign.py", "faiss"),
        ("index/kernels/scan.py", "ramet.index.metrics"),
        ("engine/collection.py", "ramet.api.cli.app"),
        ("engine/collection.py", "ramet.connect"),
        ("engine/collection.py", "fastapi"),
        ("engine/embedding_static.py", "torch"),
        ("engine/collection.py", "index"),
        ("engine/collection.py", ".errors"),
        ("api/cli/query.py", "ramet.storage.store"),
        ("api/cli/query.py", "ramet.index.kernels.scan"),
        ("api/cli/query.py", "pyarrow.parquet"),
        ("api/cli/query.py", "fastapi"),
        ("api/rest/app.py", "ramet.storage.store"),
        ("api/rest/app.py", "ramet.api.cli.app"),
        ("api/rest/app.py", "uvicorn"),
        ("api/client/sync.py", "fastapi"),
        ("api/python/__init__.py", "ramet.storage"),
        ("api/python/__init__.py", "numpy"),
        ("bench/report.py", "ramet.engine.collection"),
        ("engine/collection.py", "bench.datasets"),
        ("bench/report.py", "tests.oracle"),
    ],
)
def test_the_check_above_sees_each_kind_of_fault(file, module):
    assert fault(ROOT / file, module)


def test_only_the_room_that_speaks_prints():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in ALL
        if not name_of(path).startswith("api/cli/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not found, found


def test_no_file_is_named_after_nothing():
    assert not [name_of(path) for path in WITH_BENCH if BANNED_NAMES & set(path.stem.strip("_").split("_"))]
    folders = {part for path in WITH_BENCH for part in path.relative_to(ROOT).parent.parts}
    assert not folders & BANNED_NAMES


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a file with its qualified name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(tree_of(path), f"{name_of(path)}::")


def n_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        total -= docstring.end_lineno - docstring.lineno + 1
    return total


def test_files_and_functions_stay_within_their_budgets():
    long_files = {
        name: lines
        for path in WITH_BENCH
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES
        and (name := name_of(path)) not in LONGER_FILES
    }
    long_functions = {
        name: lines
        for path in WITH_BENCH
        for name, function in functions(path)
        if (lines := n_lines(function)) > (KERNEL_LINES if room_of_file(path) == "index/kernels" else FUNCTION_LINES)
        and name not in LONGER_FUNCTIONS
    }
    assert not long_files, long_files
    assert not long_functions, long_functions


def test_constructors_take_few_parameters():
    found = {
        name: count
        for path in WITH_BENCH
        for name, function in functions(path)
        if function.name == "__init__"
        and name not in MORE_PARAMETERS
        # self is not counted
        and (count := len(function.args.args) + len(function.args.kwonlyargs) - 1) > PARAMETERS
    }
    assert not found, found


def test_listed_exceptions_are_still_needed():
    names = {name for path in WITH_BENCH for name, _ in functions(path)} | {name_of(path) for path in WITH_BENCH}
    assert {*LONGER_FILES, *LONGER_FUNCTIONS, *MORE_PARAMETERS} <= names


def test_no_kernel_takes_every_fastmath_flag():
    """`fastmath=True` includes nnan and ninf, under which a NaN in the data is undefined behaviour."""
    found = [
        f"{name_of(path)}:{node.value.lineno}"
        for path in ALL
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.keyword)
        and node.arg == "fastmath"
        and isinstance(node.value, ast.Constant)
        and node.value.value is True
    ]
    assert not found, found


def test_every_room_says_what_it_is_for():
    missing = [room for room in ROOMS if not (ROOT / room / "README.md").is_file()]
    assert not missing, missing
