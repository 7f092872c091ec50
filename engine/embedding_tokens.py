"""Vectors of texts together with those of their tokens, from one pass of a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@runtime_checkable
class TokenEmbedder(Protocol):
    """A `TextEmbedder` that can say what each token of a text means in it.

    Attributes
    ----------
    gives_tokens : bool
        False: it cannot, after all (a model of another kind), and the methods are not called.
    """

    @property
    def gives_tokens(self) -> bool:
        """Whether the methods below work."""
        ...

    def embed_documents_with_tokens(self, texts: list[str]) -> tuple[Floats, list[Floats]]:
        """Vectors of documents, float32 of shape (n, dim), and of the tokens of each, float32 of shape (t, d)."""
        ...

    def embed_question_with_tokens(self, text: str) -> tuple[Floats, Floats, list[str]]:
        """Vector of a question, (dim,), vectors of its tokens, (t, d), and the tokens."""
        ...


@dataclass(slots=True)
class Read:
    """What a model makes of texts."""

    vectors: Floats
    """Shape (n, dim)."""
    tokens: list[Floats]
    """Shape (t, d) for each text; special tokens and the prefix are left out."""
    numbers: list[list[int]]
    """Of these tokens in the vocabulary."""


def read(model: Any, encode: Callable[..., Any], texts: list[str], prefix: str, normalize: bool) -> Read:
    """One pass over a batch of texts; ``encode`` is the model's method for their kind."""
    found = encode(texts, prompt=prefix, batch_size=len(texts), show_progress_bar=False, output_value=None)
    special = set(model.tokenizer.all_special_ids)
    n_prefix = len(model.tokenizer(prefix, add_special_tokens=False)["input_ids"]) if prefix else 0
    result = Read(np.stack([_array(one["sentence_embedding"]) for one in found]), [], [])
    if normalize:
        result.vectors /= np.maximum(np.linalg.norm(result.vectors, axis=1, keepdims=True), 1e-12)
    for one in found:
        numbers, mask = one["input_ids"].tolist(), one["attention_mask"].tolist()
        kept = [i for i, number in enumerate(numbers) if mask[i] and number not in special][n_prefix:]
        result.tokens.append(_array(one["token_embeddings"])[kept])
        result.numbers.append([numbers[i] for i in kept])
    return result


def can_read(model: Any) -> bool:
    """Whether a model has vectors of tokens: transformers do, tables of static vectors do not."""
    return getattr(model, "transformers_model", None) is not None and hasattr(model.tokenizer, "all_special_ids")


def _array(tensor: Any) -> Floats:
    values: Floats = tensor.detach().cpu().float().numpy()
    return values
