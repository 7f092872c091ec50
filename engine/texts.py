"""Texts that come from a caller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ramet.engine.errors import ArgumentError


def checked_texts(texts: object, argument: str) -> list[str]:
    """Texts as a list.

    Raises
    ------
    ArgumentError
        Not a list of strings, or one that is not valid Unicode (half of a surrogate pair).
    """
    if isinstance(texts, (str, bytes)):
        raise ArgumentError(argument, "is a single string; pass a list of strings")
    if not isinstance(texts, (Sequence, np.ndarray)):
        raise ArgumentError(argument, f"is a {type(texts).__name__}; pass a list of strings")
    found = list(texts.tolist() if isinstance(texts, np.ndarray) else texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise ArgumentError(f"{argument}[{i}]", f"must be str, got {type(text).__name__} ({text!r})")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ArgumentError(f"{argument}[{i}]", f"is not valid Unicode text: {error.reason}") from error
    return found
