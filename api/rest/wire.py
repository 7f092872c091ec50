"""Vectors as bytes: an .npy file with JSON behind it, in requests and in responses.

The header of a foreign .npy file is text in Python's syntax, and what it says is not to be believed: only plain numbers
are taken, never objects (which would be pickles), and nothing is allocated before the bytes are known to be there.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet import ArgumentError

NPY = "application/x-npy"
"""Media type of an .npy file with JSON behind it."""

ARROW = "application/vnd.apache.arrow.stream"
"""Media type of an Arrow IPC stream."""

MAX_DIM = 16_384
"""Numbers of a vector, as the engine has it."""

MAX_HEADER_BYTES = 1_024
"""Of an .npy file; one of plain numbers has 128 with its padding."""

_MAGIC = b"\x93NUMPY"
_NUMBERS = re.compile(r"<[fiu][248]|\|[iu]1")
_ALIGNMENT = 64

Vectors = npt.NDArray[Any]


def read_npy(body: bytes, most: int, argument: str = "body") -> tuple[Vectors, bytes]:
    """Vectors at the beginning of a body, and what follows them.

    Parameters
    ----------
    body : bytes
    most : int
        Vectors that are taken, at most.
    argument : str
        What errors call the body.

    Returns
    -------
    array (n, dim) or (dim,)
        A copy in C order, of a dtype of plain numbers, little endian.
    bytes
        Behind the vectors; empty when they are all there is.

    Raises
    ------
    ArgumentError
        Not an .npy file of numbers, cut off, or too large.
    """
    if body[:6] != _MAGIC or len(body) < 12:
        raise ArgumentError(argument, f"does not begin with an .npy file, which {NPY} has first; JSON may follow it")
    if body[6] not in (1, 2, 3):
        raise ArgumentError(argument, f"is of .npy version {body[6]}; write version 1.0")
    width = 2 if body[6] == 1 else 4
    begin = 8 + width
    length = int.from_bytes(body[8:begin], "little")
    if length > MAX_HEADER_BYTES:
        raise ArgumentError(argument, f"has an .npy header of {length} bytes; at most {MAX_HEADER_BYTES} are read")
    dtype, shape, by_columns = _header(body[begin : begin + length], length, argument)
    if len(shape) == 2 and shape[0] > most:
        raise ArgumentError(argument, f"has {shape[0]} vectors; at most {most} are taken in one call")
    count = int(np.prod(shape, dtype=object))  # Python's numbers: a product of hostile ones does not wrap around
    first = begin + length
    end = first + count * dtype.itemsize
    if end > len(body):
        raise ArgumentError(argument, f"is cut off: shape {shape} of {dtype} takes {end} bytes, there are {len(body)}")
    if not count:
        return np.empty(shape, dtype), body[end:]
    found = np.frombuffer(body, dtype, count, first).reshape(shape, order="F" if by_columns else "C")
    # A copy, as bytes are read-only, which to compiled code is another type, and may begin anywhere in memory.
    return np.array(found, order="C"), body[end:]


@lru_cache(maxsize=256)
def _header(header: bytes, length: int, argument: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Dtype, shape, and whether columns lie together."""
    if len(header) < length:
        raise ArgumentError(argument, "is cut off in the .npy header")
    try:
        found = ast.literal_eval(header.decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ArgumentError(argument, "has an .npy header that is none") from error
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise ArgumentError(argument, "has an .npy header without descr, fortran_order and shape, or with more")
    descr, shape, by_columns = found["descr"], found["shape"], found["fortran_order"]
    if not isinstance(descr, str) or not _NUMBERS.fullmatch(descr):
        what = "floats of 2, 4 or 8 bytes or integers, little endian, such as '<f4'"
        raise ArgumentError(argument, f"has dtype {descr!r}; send {what}")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) not in (1, 2):
        raise ArgumentError(argument, f"has shape {shape!r}; send (n, dim), or (dim,) for one vector")
    if type(by_columns) is not bool:
        raise ArgumentError(argument, f"has fortran_order {by_columns!r}; write True or False")
    if shape[-1] > MAX_DIM:
        raise ArgumentError(argument, f"has vectors of dimension {shape[-1]}; at most {MAX_DIM} are taken")
    return np.dtype(descr), shape, by_columns


def npy(vectors: Vectors) -> bytes:
    """An .npy file (version 1.0) of an array of numbers, as bytes."""
    array = np.ascontiguousarray(vectors)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    text = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {vectors.shape!r}, }}"
    length = -(-(len(_MAGIC) + 4 + len(text) + 1) // _ALIGNMENT) * _ALIGNMENT - len(_MAGIC) - 4
    header = text.encode("latin-1").ljust(length - 1) + b"\n"
    return b"".join((_MAGIC, b"\x01\x00", length.to_bytes(2, "little"), header, array.tobytes()))


def accepts_npy(accept: str | None) -> bool:
    """Whether a client asks for vectors as bytes: it names the type, with a quality above 0."""
    for part in (accept or "").split(","):
        name, *parameters = part.split(";")
        if name.strip().lower() == NPY:
            return not any(re.fullmatch(r"q=0(\.0*)?", one.strip().lower()) for one in parameters)
    return False


def media_type(content_type: str | None) -> str:
    """The type of a body without its parameters; JSON when nothing is said."""
    return (content_type or "application/json").split(";", 1)[0].strip().lower()
