"""What a model is, told by what it computes with and not by where it lies.

An embedder's identity is stored with a collection, and another one is refused, since vectors of two models cannot be
compared. So it must stay the same when the model is moved, downloaded again, saved in another format or loaded by a
later version of its library, and must change with anything that changes vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

# What a tokenizer makes of these shows case folding, accents, special tokens, words it does not know and the unit it
# cuts words into. The token numbers are integers, so they are the same on every machine, as vectors are not.
PROBES = (
    "",
    "The quick brown Fox jumps over 13 lazy dogs, doesn't it?",
    "Ünïcödé café ÅNGSTRÖM ﬁne ½",
    "быстрая лиса и 素早い茶色の狐 سريع 빠른 여우",
    "def f(x): return x ** 2  # comment\n\ttab",
    "pneumonoultramicroscopicsilicovolcanoconiosis 🦊🏽 zzxqjwvk",
)


def identity_of(
    kind: str,
    dim: int,
    weights: Iterable[npt.NDArray[Any]],
    tokens: Callable[[list[str]], Sequence[Sequence[int]]],
    facts: Mapping[str, object],
    settings: Mapping[str, object],
) -> str:
    """Name a model by its content: ``kind:dim:model:settings``, the last two in hexadecimal.

    Parameters
    ----------
    kind : str
        The sort of embedder.
    dim : int
        Dimension of the vectors.
    weights : iterable of arrays
        In any order and of any float dtype: float16 weights loaded as float32 are the same model.
    tokens : callable
        Token numbers of texts.
    facts : mapping
        What else decides about the vectors and is not in the weights (pooling, number of heads), as JSON values.
    settings : mapping
        What the user chose (prefixes, normalisation). Two identities that differ in the last part only are one model
        with other settings.

    Returns
    -------
    str
        At most 80 ASCII characters.
    """
    digests = sorted(_digest_of(array) for array in weights)
    model = xxhash.xxh3_64(b"".join(digests))
    model.update(_json([[int(token) for token in one] for one in tokens(list(PROBES))]))
    model.update(_json(facts))
    return f"{kind}:{dim}:{model.hexdigest()}:{xxhash.xxh3_64(_json(settings)).hexdigest()[:8]}"


def _digest_of(array: npt.NDArray[Any]) -> bytes:
    """Digest of one array, of its shape and its values as float32."""
    values = np.ascontiguousarray(array, np.float32)
    digest = xxhash.xxh3_128(repr(values.shape).encode())
    digest.update(values.data.cast("B") if values.size else b"")
    return digest.digest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True).encode()
