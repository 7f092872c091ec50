"""`build_job`: the arguments of a build job."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from ramet.engine import arguments
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.jobs.estimate import JobPlan, estimated, refuse_small_disk
from ramet.engine.jobs.inputs.blocks import InputFile, InputOptions
from ramet.engine.jobs.inputs.naming import with_ids
from ramet.engine.jobs.inputs.opening import open_inputs
from ramet.engine.jobs.job import Task, run_job
from ramet.engine.jobs.plan import Plan
from ramet.engine.jobs.report import JobReport
from ramet.engine.jobs.stages import JobEvent
from ramet.engine.jobs.texts import Texts
from ramet.engine.settings import Settings
from ramet.engine.threads import n_cores
from ramet.index import defaults
from ramet.index.assign import ClosureConfig
from ramet.index.clustering import ClusterConfig

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")

DEFAULT_MEMORY = "2GB"

MOST_LIST_SIZE, MOST_REPLICAS, MOST_SHARDS = 100_000, 16, 10_000


def build_job(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    metric: str = "cosine",
    dtype: str | None = None,
    codes: str = "auto",
    language: str = "en",
    ids: str | Path | None = None,
    tenant: str = arguments.DEFAULT_TENANT,
    format: str | None = None,
    id_column: str | None = None,
    vector_column: str | None = None,
    text_column: str | None = None,
    tenant_column: str | None = None,
    metadata_columns: Sequence[str] | None = None,
    embedder: TextEmbedder | None = None,
    chunk_tokens: int | None = None,
    overlap: int = 0,
    clusters: int | str | None = None,
    list_size: int | None = None,
    replicas: int | None = None,
    seed: int = 0,
    memory: int | str = DEFAULT_MEMORY,
    workers: int | None = None,
    on_error: str = "fail",
    shards: int | None = None,
    ray: str | None = None,
    resume: bool = False,
    progress: Callable[[JobEvent], object] | None = None,
) -> JobReport:
    """Build a collection of files that need not fit into memory.

    The work is done in stages, in a directory ``.build-NAME`` beside the collection; the collection appears when it is
    complete. A job that was stopped, by a signal or by a crash of the machine, goes on with ``resume=True`` where it
    was, and ends with the same bytes as one that was not stopped. See ``docs/build.md``.

    Parameters
    ----------
    inputs : path or sequence of paths
        Files, folders and patterns; ``docs/inputs.md`` says which formats.
    out : path
        The collection to make, ``DATABASE/NAME``.
    metric, dtype, codes, language : str
        As for `Database.create_collection`; the dtype is that of the input when left out.
    ids : path, optional
        A file with the ids, one per line, in the order of the rows of the one input, which has none itself.
    tenant : str
        Owner of the records, unless a column says it.
    format, id_column, vector_column, text_column, tenant_column, metadata_columns : str, optional
        As for `InputOptions`. Without ids the position in the input is the id.
    embedder : TextEmbedder, optional
        Makes vectors of texts; for inputs that have none.
    chunk_tokens, overlap : int, optional
        As for `Collection.add_texts`.
    clusters, list_size, replicas, seed
        As for `Collection.build`.
    memory : int or str
        What the process may take, in bytes or as "2GB". More is not faster, as long as it is enough; the bytes of the
        result do not depend on it. Where it is too little for a shard for each worker, fewer are built side by side.
        With ``ray`` it is for each process, that which leads the job and every worker.
    workers : int, optional
        Threads; all cores when left out. The result does not depend on it.
    on_error : {"fail", "skip"}
        What to do with a record that cannot be taken.
    shards : int, optional
        Make a sharded collection (``docs/shards.md``) of so many shards; a single collection when left out, or as many
        shards as workers with ``ray``.
    ray : str, optional
        "auto", or the address of a Ray cluster: the work is done by tasks there, ``workers`` at a time. Every machine
        must reach inputs and output by the same paths.
    resume : bool
        Go on with a job that was begun with the same arguments. (True without such a job begins one.)
    progress : callable, optional
        Called with a `JobEvent`.

    Returns
    -------
    JobReport
        Also written beside the collection, as ``NAME.build.json`` and ``NAME.build.html``.

    Raises
    ------
    ArgumentError
        An argument is wrong, or the inputs do not fit together.
    CollectionExistsError
        There is something at ``out``.
    JobExistsError, JobMismatchError, JobRunningError, RejectedRecordError
        See their texts.
    MissingPackageError
        A format needs a package that is not installed.
    StorageError
        The disk is full or may not be written; what was done stays, and can be resumed.
    """
    task = _task(
        inputs, out, embedder,
        {"metric": metric, "dtype": dtype, "codes": codes, "language": language},
        {
            "format": format, "id_column": id_column, "vector_column": vector_column, "text_column": text_column,
            "tenant_column": tenant_column, "metadata_columns": metadata_columns,
        },
        {
            "ids": ids, "tenant": tenant, "chunk_tokens": chunk_tokens, "overlap": overlap, "clusters": clusters,
            "list_size": list_size, "replicas": replicas, "seed": seed, "memory": memory, "workers": workers,
            "on_error": on_error, "shards": shards, "ray": ray,
        },
    )  # fmt: skip
    if not isinstance(resume, bool):
        raise ArgumentError("resume", f"is {resume!r}; pass True or False")
    if progress is not None and not callable(progress):
        raise ArgumentError("progress", f"is {progress!r}; pass a function that takes a JobEvent")
    if not resume:
        refuse_small_disk(task)
    return run_job(task, resume=resume, told=progress or (lambda _: None))


def plan_job(inputs: str | Path | Sequence[str | Path], out: str | Path, **options: Any) -> JobPlan:
    """What `build_job` would do with these arguments, and what it would take; nothing is written.

    Raises
    ------
    ArgumentError, MissingPackageError
        As `build_job`.
    """
    given = {name: parameter.default for name, parameter in signature(build_job).parameters.items()} | options
    unknown = set(options) - set(signature(build_job).parameters)
    if unknown:
        raise ArgumentError(sorted(unknown)[0], "is no argument of build_job")
    task = _task(
        inputs, out, given["embedder"],
        {name: given[name] for name in ("metric", "dtype", "codes", "language")},
        {name: given[name] for name in (*COLUMNS, "format", "metadata_columns")},
        {name: given[name] for name in CHOICES},
    )  # fmt: skip
    return estimated(task)


COLUMNS = ("id_column", "vector_column", "text_column", "tenant_column")
CHOICES = (
    "ids", "tenant", "chunk_tokens", "overlap", "clusters", "list_size", "replicas", "seed", "memory", "workers",
    "on_error", "shards", "ray",
)  # fmt: skip


def _task(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    embedder: TextEmbedder | None,
    stored: dict[str, Any],
    columns: dict[str, Any],
    chosen: dict[str, Any],
) -> Task:
    """Check the arguments."""
    texts = _texts(embedder, chosen["chunk_tokens"], chosen["overlap"])
    named = columns["metadata_columns"]
    options = InputOptions(**{**columns, "metadata_columns": None if named is None else tuple(named)})
    files = open_inputs([inputs] if isinstance(inputs, str | Path) else list(inputs), options)
    if chosen["ids"] is not None:
        files = [with_ids(files, Path(chosen["ids"]))]
    plan = Plan(
        settings=_settings(files, embedder, **stored),
        cluster=_clustering(chosen["clusters"], chosen["list_size"], chosen["seed"]),
        closure=_closure(chosen["replicas"]),
        tenant=arguments.name(chosen["tenant"], "tenant"),
        memory=size_of(chosen["memory"], "memory"),
        workers=arguments.given(chosen["workers"], n_cores(), "workers", 1024),
    )
    task = Task(
        files=files,
        columns=options,
        out=_place(out),
        plan=plan,
        on_error=one_of(chosen["on_error"], "on_error", ("fail", "skip")),
        texts=texts,
        shards=_shards(chosen["shards"], chosen["ray"], plan.workers),
        ray=chosen["ray"],
    )
    n_rows = sum(file.n_rows or 0 for file in task.files) or 1
    task.plan.block_rows(n_rows)  # a bound that is known to be too small is refused here; a shard alone needs less
    return task


def size_of(size: int | str, argument: str) -> int:
    """Bytes, given as a number or as text such as "2GB" or "1.5 GiB".

    Raises
    ------
    ArgumentError
    """
    if isinstance(size, int) and not isinstance(size, bool):
        found = size
    else:
        match = _SIZE.fullmatch(size) if isinstance(size, str) else None
        if match is None or match[2].upper() not in _UNITS:
            raise ArgumentError(argument, f"is {size!r}; pass bytes, or a size such as '2GB' or '512MiB'")
        found = int(float(match[1]) * _UNITS[match[2].upper()])
    if found < 1:
        raise ArgumentError(argument, f"is {size!r}; it must be positive")
    return found


def _settings(
    files: Sequence[InputFile], embedder: TextEmbedder | None, metric: str, dtype: str | None, codes: str, language: str
) -> Settings:
    """Settings of the collection, from the inputs where the caller leaves them open."""
    with_vectors = next((file for file in files if "vectors" in file.has), None)
    if not any(file.has for file in files):
        raise ArgumentError("inputs", f"have no record that can be read; {files[0].path} is one of them")
    if with_vectors is None and embedder is None:
        raise ArgumentError("embedder", f"is needed, as {files[0].path} has texts and no vectors; pass a TextEmbedder")
    if with_vectors is None:
        assert embedder is not None
        return Settings.checked(embedder.dim, metric, dtype or "float32", codes, "commit", language)
    if embedder is not None and embedder.dim != with_vectors.dim:
        raise ArgumentError(
            "embedder", f"makes {embedder.dim} dimensions, and {with_vectors.path} has {with_vectors.dim}"
        )
    return Settings.checked(with_vectors.dim, metric, dtype or with_vectors.dtype, codes, "commit", language)


def _clustering(clusters: int | str | None, list_size: int | None, seed: int) -> ClusterConfig:
    return ClusterConfig(
        list_size=arguments.given(list_size, defaults.LIST_SIZE, "list_size", MOST_LIST_SIZE),
        fan_out=clusters
        if clusters is None or (isinstance(clusters, str) and clusters == "auto")
        else arguments.positive(clusters, "clusters", 1_000_000),
        seed=arguments.whole(seed, "seed"),
    )


def _closure(replicas: int | None) -> ClosureConfig:
    return ClosureConfig(replicas=arguments.given(replicas, defaults.REPLICAS, "replicas", MOST_REPLICAS))


def _texts(embedder: TextEmbedder | None, chunk_tokens: int | None, overlap: int) -> Texts:
    if embedder is not None and not isinstance(embedder, TextEmbedder):
        raise ArgumentError("embedder", f"is {embedder!r}; pass a TextEmbedder, such as ramet.Embedder(...)")
    texts = Texts(embedder, chunk_tokens, overlap)
    texts.check()
    return texts


def _shards(shards: int | None, ray: str | None, workers: int) -> int | None:
    """Shards to make; None for a collection in one piece."""
    if shards is None:
        return None if ray is None else workers
    return arguments.positive(shards, "shards", MOST_SHARDS)


def _place(out: str | Path) -> Path:
    path = Path(out).expanduser().absolute()
    if not arguments.COLLECTION_NAME.fullmatch(path.name):
        raise ArgumentError(
            "out", f"{path.name!r} is no name of a collection: letters, digits, '.', '_' and '-', 128 at most"
        )
    return path
