"""`ramet upsert`: records from a file, inserted or replaced."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError, read_ids, read_npy
from ramet.api.cli.lines import Piece, is_lines, pieces
from ramet.api.cli.models import Light, Model, embedder_of, refuse_light_alone
from ramet.api.cli.output import AsJson, console, print_json
from ramet.api.cli.place import CollectionPath, opened
from ramet.api.cli.progress import stage_bars, text_counter

if TYPE_CHECKING:
    from ramet import Collection, TextEmbedder, UpsertReport

Tenant = Annotated[str, typer.Option(help="Whose records they are.")]
OnConflict = Annotated[Literal["replace", "skip", "error"], typer.Option(help="What to do about ids that exist.")]

FIELDS = ("id", "vector", "text", "metadata", "tenant", "document")
PIECE = 8192
"""Lines that are read, and written, together."""


def upsert(
    collection: CollectionPath,
    source: Annotated[
        Path, typer.Argument(metavar="RECORDS", help="A .jsonl, .jsonl.gz or .npy file.", show_default=False)
    ],
    ids: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ids of a .npy file, one per line.", show_default=False)
    ] = None,
    model: Model = None,
    light: Light = False,
    tenant: Tenant = "default",
    on_conflict: OnConflict = "replace",
    as_json: AsJson = False,
) -> None:
    """Insert records into a collection, or replace them.

    A .npy file holds a vector in each row. A .jsonl file holds a record in each line:
    {"id": "a", "vector": [0.1, 0.2], "text": "...", "metadata": {"lang": "en"}, "tenant": "acme"}, of which only the id
    is needed; with --model the vectors are made of the texts, as far as the model reads them (`ramet add` cuts long
    ones into chunks). All lines are checked before the first one is written. 8,192 of them are written together: if
    that fails later, as on a full disk, what was written before stays, and the same command can be given again.
    """
    if is_lines(source) and ids is not None:
        raise InputError(f"--ids: {source} has an id in each line; leave the option out")
    if not is_lines(source) and ids is None:
        raise InputError("--ids is missing: a .npy file holds no ids")
    if ids is not None and model is not None:
        raise InputError("--model makes vectors of texts, and a .npy file has no texts")
    refuse_light_alone(model, light)
    started = perf_counter()
    with text_counter(not as_json) as progress:

        def load() -> TextEmbedder | None:
            return None if model is None else embedder_of(model, light, progress)

        with opened(collection, load) as docs:
            if ids is None:
                report = from_lines(docs, source, tenant, on_conflict, shown=not as_json)
            else:
                report = from_npy(docs, source, ids, tenant, on_conflict)
    seconds = perf_counter() - started
    if as_json:
        done = {name: getattr(report, name) for name in ("n_inserted", "n_replaced", "n_skipped")}
        print_json({"collection": str(collection), "tenant": tenant, "report": done, "seconds": seconds})
        return
    counts = f"{report.n_inserted:,} inserted, {report.n_replaced:,} replaced, {report.n_skipped:,} skipped"
    whose = "" if is_lines(source) else f", tenant {tenant!r}"  # each line may name its own
    console().print(f"{collection}{whose}: {counts}, in {seconds:.1f} s.", markup=False)


def from_npy(docs: Collection, source: Path, ids: Path, tenant: str, on_conflict: str) -> UpsertReport:
    """Store the vectors of one file under the ids of another.

    Raises
    ------
    InputError
        A file cannot be used; nothing was written.
    """
    vectors, names = read_npy(source), read_ids(ids)
    if vectors.ndim != 2:
        raise InputError(f"{source}: expected vectors of shape (n, dim), found shape {vectors.shape}")
    with shown_as(vectors=str(source), ids="--ids"):
        return docs.upsert(names, vectors, tenant=tenant, on_conflict=on_conflict)


def from_lines(docs: Collection, source: Path, tenant: str, on_conflict: str, *, shown: bool) -> UpsertReport:
    """Store the records of a file of JSON Lines: all of it is checked, then all of it is written.

    Raises
    ------
    InputError
        A line cannot be used; nothing was written.
    ConflictError
        An id exists, and `on_conflict` is "error"; nothing was written.
    """
    from ramet import UpsertReport

    n_pieces = check_lines(docs, source, tenant, on_conflict)
    report = UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0)
    with stage_bars(shown and n_pieces > 1 and docs.embedder is None) as progress:  # which counts by itself
        for piece in pieces(source, PIECE, FIELDS):
            given = arguments(piece, docs.dim, tenant)
            with shown_as(ids=str(source), vectors=str(source)):
                report += docs.upsert(**given, on_conflict=on_conflict)
            if progress is not None:
                progress("write", piece.read)
    return report


def check_lines(docs: Collection, source: Path, tenant: str, on_conflict: str) -> int:
    """Refuse a file with a line that cannot be written; returns how many pieces it has.

    Raises
    ------
    InputError
        A line that is wrong by itself, or has the id of an earlier one.
    ConflictError
        An id exists, and `on_conflict` is "error".
    """
    from ramet.engine.records import checked
    from ramet.engine.settings import Settings

    settings = Settings.checked(docs.dim, docs.metric, docs.dtype, docs.codes)

    def check(piece: Piece) -> None:
        if docs.embedder is not None:
            refuse_vectors(piece)
        given = arguments(piece, docs.dim, tenant)
        checked(given["ids"], given["vectors"], given["documents"], given["metadata"], given["tenant"], settings)

    lines: dict[tuple[str, str], int] = {}
    n_pieces = 0
    for piece in pieces(source, PIECE, FIELDS):
        refuse_repeats(piece, lines, tenant)  # first, for the engine cannot say in which lines
        piece.check(check)
        if on_conflict == "error":
            refuse_known(docs, piece, tenant)
        n_pieces += 1
    return n_pieces


def refuse_vectors(piece: Piece) -> None:
    """Refuse lines with vectors where a model makes them.

    Raises
    ------
    InputError
    """
    for i, record in enumerate(piece.records):
        if record.get("vector") is not None:
            raise piece.error(i, "vector: --model makes the vectors, so a line may not have one of its own")


def refuse_repeats(piece: Piece, lines: dict[tuple[str, str], int], tenant: str) -> None:
    """Refuse an id that an earlier line has for the same tenant; `lines` remembers them.

    Raises
    ------
    InputError
    """
    for i, record in enumerate(piece.records):
        key = (str(record.get("tenant") or tenant), str(record["id"]))
        first = lines.setdefault(key, piece.numbers[i])
        if first != piece.numbers[i]:
            raise piece.error(i, f"the id {key[1]!r} is that of line {first}; give every id once")


def refuse_known(docs: Collection, piece: Piece, tenant: str) -> None:
    """Refuse ids that are in the collection.

    Raises
    ------
    ConflictError
    """
    from ramet import ConflictError

    names: dict[str, list[str]] = {}
    for record in piece.records:
        names.setdefault(record.get("tenant") or tenant, []).append(record["id"])
    for owner, ids in names.items():
        known = [record.id for record in docs.get(ids, tenant=owner, include=[])]
        if known:
            raise ConflictError(owner, known, "pass --on-conflict replace or skip, or use other ids")


def arguments(piece: Piece, dim: int, tenant: str) -> dict[str, Any]:
    """Turn lines into what `Collection.upsert` takes.

    Raises
    ------
    InputError
        A vector is no list of numbers, or of another dimension.
    """
    owners = piece.column("tenant")
    vectors = piece.column("vector")
    return {
        "ids": [record["id"] for record in piece.records],
        "vectors": None if vectors is None else [vector_of(piece, i, dim) for i in range(len(piece))],
        "documents": piece.column("text"),
        "metadata": piece.column("metadata"),
        "tenant": tenant if owners is None else [tenant if owner is None else owner for owner in owners],
    }


def vector_of(piece: Piece, i: int, dim: int) -> Any:
    """Return the vector of a line as an array, or None.

    Raises
    ------
    InputError
    """
    import numpy as np

    given = piece.records[i].get("vector")
    if given is None:
        return None
    try:
        found = np.array(given)
    except (ValueError, OverflowError) as error:
        raise piece.error(i, f"vector: not a list of numbers ({error})") from error
    if not isinstance(given, list) or found.dtype.kind not in "fiu" or found.ndim != 1:
        raise piece.error(i, "vector: not a list of numbers")
    if len(found) != dim:
        raise piece.error(i, f"vector: has {len(found)} numbers, the collection's dimension is {dim}")
    return found
