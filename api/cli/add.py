"""`ramet add`: texts, cut into chunks, embedded and stored."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.lines import Piece, is_lines, pieces
from ramet.api.cli.models import Light, embedder_of
from ramet.api.cli.output import AsJson, console, counted, plain, print_json
from ramet.api.cli.place import CollectionPath, opened
from ramet.api.cli.progress import text_counter
from ramet.api.cli.upsert import OnConflict, Tenant, refuse_repeats

if TYPE_CHECKING:
    from ramet import TextEmbedder

FIELDS = ("id", "text", "metadata", "document")
ALL = 1 << 62


def add(
    collection: CollectionPath,
    source: Annotated[Path, typer.Argument(metavar="TEXTS", help="A .jsonl or .jsonl.gz file.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|DIR", help="Embedding model of sentence-transformers: a name or a folder.", show_default=False
        ),
    ],
    light: Light = False,
    chunk_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a chunk.", show_default="what the model reads")
    ] = None,
    overlap: Annotated[int, typer.Option(help="Tokens that a chunk repeats of the one before.")] = 0,
    tenant: Tenant = "default",
    on_conflict: OnConflict = "replace",
    as_json: AsJson = False,
) -> None:
    """Store texts: cut into chunks, made into vectors by a model, and found by both vectors and words.

    A line of the file is {"id": "a", "text": "...", "metadata": {"lang": "en"}}. A text of several chunks becomes the
    records a#0, a#1, ... All lines are checked before anything is stored. Some thousand chunks are stored together: if
    the command is interrupted, what was stored before stays, and --on-conflict skip goes on from there.
    """
    texts = read_texts(source, tenant)
    started = perf_counter()

    with text_counter(not as_json) as progress:

        def load() -> TextEmbedder:
            return embedder_of(model, light, progress)

        with opened(collection, load) as docs, shown_as(ids=str(source), texts=str(source), metadata=str(source)):
            report = docs.add_texts(
                texts.column("text") or [],
                [record["id"] for record in texts.records],
                metadata=texts.column("metadata"),
                tenant=tenant,
                chunk_tokens=chunk_tokens,
                overlap=overlap,
                on_conflict=on_conflict,
            )
    seconds = perf_counter() - started
    if as_json:
        counts = {name: count for name, count in plain(report).items() if name != "ids"}  # those of the file
        print_json({"collection": str(collection), "tenant": tenant, "report": counts, "seconds": seconds})
        return
    stored = f"{counted(report.n_documents, 'text')} in {counted(report.n_chunks, 'record')}"
    console().print(
        f"{collection}, tenant {tenant!r}: {stored}, {report.n_skipped:,} skipped, in {seconds:.1f} s.", markup=False
    )


def read_texts(source: Path, tenant: str) -> Piece:
    """Read and check a file of texts.

    Raises
    ------
    InputError
        A line cannot be used.
    """
    if not is_lines(source):
        raise InputError(f"{source}: texts come from a .jsonl or .jsonl.gz file")
    found = next(pieces(source, ALL, FIELDS), None)
    if found is None:
        raise InputError(f"{source}: holds no text")
    for i, record in enumerate(found.records):
        if record.get("text") is None:
            raise found.error(i, "has no text")
    refuse_repeats(found, {}, tenant)
    found.check(check)
    return found


def check(piece: Piece) -> None:
    """Refuse texts that cannot be stored.

    Raises
    ------
    ArgumentError
    """
    from ramet.engine.adding import checked

    checked(piece.column("text"), [record["id"] for record in piece.records], piece.column("metadata"), "default")
