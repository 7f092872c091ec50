"""What is kept of records beside vectors and ids: JSON, and the codes of tokens as they are.

The files stand in a directory that other programs can reach, so that nothing in them is ever run.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ramet.engine.jobs.inputs.blocks import I8
from ramet.engine.jobs.place import Place
from ramet.engine.metadata import Metadata, decode, encode
from ramet.engine.token_codes import WIDTH

RecordContent = tuple[str | None, Metadata | None, I8 | None]
"""Document, metadata and token codes (int8, shape (t, 64)) of a record."""

_HEAD_BYTES = 4


def packed(text: str | None, metadata: Metadata | None, tokens: I8 | None) -> bytes:
    """A record's content: the length of its JSON as 4 bytes, the JSON, and the codes of its tokens.

    Parameters
    ----------
    text : str, optional
    metadata : dict, optional
        Checked.
    tokens : int8 array (t, 64), optional
    """
    facts = [text, _said(metadata), None if tokens is None else len(tokens)]
    head = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
    codes = b"" if tokens is None else np.ascontiguousarray(tokens, np.int8).tobytes()
    return len(head).to_bytes(_HEAD_BYTES, "little") + head + codes


def unpacked(content: bytes) -> RecordContent:
    """What `packed` was given; datetimes in UTC."""
    end = _HEAD_BYTES + int.from_bytes(content[:_HEAD_BYTES], "little")
    text, metadata, n_tokens = json.loads(content[_HEAD_BYTES:end])
    tokens = None
    if n_tokens is not None:
        tokens = np.frombuffer(content, np.int8, n_tokens * WIDTH, end).reshape(-1, WIDTH)
    return text, _read(metadata), tokens


def put_bare(place: Place, name: str, records: list[dict[str, Any]]) -> None:
    """Write the records of a block that have no vector: dicts of id, text, metadata, tenant and row."""
    place.put_json(f"read/{name}.bare", [{**one, "metadata": _said(one["metadata"])} for one in records])


def get_bare(place: Place, name: str) -> list[dict[str, Any]]:
    """The records that `put_bare` wrote; none where there is no such file."""
    if not place.has(f"read/{name}.bare"):
        return []
    return [{**one, "metadata": _read(one["metadata"])} for one in place.get_json(f"read/{name}.bare")]


def _said(metadata: Metadata | None) -> str | None:
    return None if metadata is None else encode(metadata).decode()


def _read(metadata: str | None) -> Metadata | None:
    return None if metadata is None else decode(metadata.encode())
