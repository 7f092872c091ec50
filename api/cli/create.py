"""`ramet create`: an empty collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import ramet
from ramet.api.cli.build import new_place, taken
from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.models import Light, Model, embedder_of, refuse_light_alone
from ramet.api.cli.output import AsJson, console, print_json


def create(
    collection: Annotated[
        Path,
        typer.Argument(
            metavar="DIR/NAME", help="The collection to make: database directory, then name.", show_default=False
        ),
    ],
    dim: Annotated[int | None, typer.Option(help="Dimension of the vectors.", show_default="the model's")] = None,
    model: Model = None,
    light: Light = False,
    metric: Annotated[Literal["cosine", "l2", "ip"], typer.Option(help="What is near.")] = "cosine",
    dtype: Annotated[
        Literal["float32", "float16", "int8", "uint8"], typer.Option(help="Element type to store.")
    ] = "float32",
    codes: Annotated[
        Literal["auto", "none", "sq8"],
        typer.Option(help="What posting lists hold: vectors (none) or 8-bit codes with exact rerank (sq8)."),
    ] = "auto",
    language: Annotated[
        str, typer.Option(help="Of the texts, for keyword search: en, de, ...; none takes words as they are.")
    ] = "en",
    durability: Annotated[
        Literal["commit", "batch"],
        typer.Option(help="commit: a command that returned is on disk; batch: about a second later."),
    ] = "commit",
    as_json: AsJson = False,
) -> None:
    """Make an empty collection, to fill with `ramet upsert` or `ramet add`.

    Of the model only the dimension is used here. Which one it is, is stored with the first texts.
    """
    refuse_light_alone(model, light)
    if (dim is None) == (model is None):
        raise InputError("give either --dim or --model, from which the dimension is taken")
    place = new_place(collection, "DIR/NAME")
    settings = {"metric": metric, "dtype": dtype, "codes": codes, "language": language, "durability": durability}
    embedder = None if model is None else embedder_of(model, light)
    with (
        shown_as(name="DIR/NAME", path="DIR/NAME", dim="--dim"),
        ramet.connect(place.database, create=True) as database,
    ):
        try:
            made = database.create_collection(place.name, dim, embedder=embedder, **settings)  # type: ignore[arg-type]
        except ramet.CollectionExistsError as error:  # made since `new_place` looked
            raise InputError(taken(collection, "DIR/NAME")) from error
        facts = {**settings, "dim": made.dim, "codes": made.codes}
    if as_json:
        print_json({"collection": str(collection), **facts})
    else:
        what = f"{facts['dim']} dimensions, {metric}, {dtype}, codes {facts['codes']}, language {language}"
        console().print(f"Made {collection}: {what}.", markup=False)
