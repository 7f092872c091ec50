"""`--model` and `--light`: the embedder of a command that takes text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ramet.api.cli.inputs import InputError

if TYPE_CHECKING:
    from ramet import TextEmbedder

Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR", help="Embedding model of sentence-transformers: a name or a folder.", show_default=False
    ),
]
Light = Annotated[bool, typer.Option("--light", help="The model is a static one of model2vec, which needs no torch.")]


def refuse_light_alone(model: str | None, light: bool) -> None:
    """Refuse `--light` without a model.

    Raises
    ------
    InputError
    """
    if light and model is None:
        raise InputError("--light says of which kind the model is; name it with --model")


def embedder_of(model: str, light: bool, progress: Callable[[int, int], object] | None = None) -> TextEmbedder:
    """Load the model named on the command line.

    Parameters
    ----------
    model : str
    light : bool
        A static model of model2vec.
    progress : callable, optional
        Called with (texts embedded, texts to embed) after every batch.

    Raises
    ------
    ArgumentError, MissingPackageError
        There is no such model, or the package that reads it is not installed.
    """
    import ramet

    logging.getLogger("model2vec").setLevel(logging.ERROR)  # it warns of the length that we choose
    return ramet.StaticEmbedder(model, progress=progress) if light else ramet.Embedder(model, progress=progress)
