"""Language models by name, as the command line has them."""

from __future__ import annotations

from pathlib import Path

from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ArgumentError
from ramet.engine.rag.llm.extractive import Extractive
from ramet.engine.rag.llm.protocol import Llm

FORMS = "extractive, openai:MODEL, openai:MODEL@URL, gguf:PATH"


def llm_of(value: object, embedder: TextEmbedder | None = None, language: str = "en") -> Llm:
    """The language model of a name, or the one that was given.

    Parameters
    ----------
    value : str, Llm or None
        ``"extractive"`` or None; ``"openai:MODEL@URL"`` with the URL of an OpenAI-compatible server, or without it
        what OPENAI_BASE_URL says; ``"gguf:PATH"`` of a model file.
    embedder : TextEmbedder, optional
        For `Extractive`.
    language : str
        For `Extractive`.

    Raises
    ------
    ArgumentError, MissingPackageError
    """
    if value is None or value == "extractive":
        return Extractive(embedder, language=language)
    if not isinstance(value, str):
        if isinstance(value, Llm):
            return value
        raise ArgumentError("llm", f"is a {type(value).__name__} without the methods of ramet.Llm; pass one of {FORMS}")
    kind, _, rest = value.partition(":")
    if kind == "openai" and rest:
        from ramet.engine.rag.llm.openai import OpenAiLlm

        model, _, url = rest.rpartition("@") if "@http" in rest else (rest, "", "")
        return OpenAiLlm(model, url or None)
    if kind == "gguf" and rest:
        from ramet.engine.rag.llm.gguf import GgufLlm

        return GgufLlm(Path(rest))
    raise ArgumentError("llm", f"{value!r} is not known; use one of {FORMS}")
