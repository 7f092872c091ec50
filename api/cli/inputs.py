"""What the commands read: vectors from .npy files or text, ids from text files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramet._error import RametError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class InputError(RametError):
    """A file or a value given on the command line cannot be used; the message names it."""


def read_npy(path: Path) -> NDArray[Any]:
    """Map a .npy file into memory, read only.

    Parameters
    ----------
    path
        File as `numpy.save` writes it, holding numbers.

    Returns
    -------
    ndarray of shape (dim,) or (n, dim)
        Backed by the file, so that a large one costs no memory until it is read.

    Raises
    ------
    InputError
        No such file, not an array of numbers, or neither one nor two dimensions.
    """
    import numpy as np

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        # Pickles are refused: loading one runs whatever code it holds.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        # NumPy takes anything it does not know for a pickle, and then advises to load it: not advice to pass on.
        reason = "" if "pickle" in str(error) else f" ({error})"
        raise InputError(f"{path}: not a .npy file of numbers{reason}") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: an .npz archive; save the one array with numpy.save")
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected numbers of shape (n, dim), found {array.dtype} of shape {array.shape}")
    return array


def read_ids(path: Path) -> list[str]:
    """Read ids from a UTF-8 text file, one per line; a byte order mark is not part of the first.

    Raises
    ------
    InputError
        No such file, or not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from error
    # Not splitlines(): an id may hold a form feed or U+2028, which that takes for ends of lines.
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def refuse_unwritable(out: Path, option: str = "--out") -> None:
    """Refuse a place for a file before the work that makes it, and not after.

    Raises
    ------
    InputError
        It is a directory, or its directory is not there or cannot be written to.
    """
    if out.is_dir():
        raise InputError(f"{option}: {out} is a directory; name a file")
    if not out.parent.is_dir():
        raise InputError(f"{option}: there is no directory {out.parent}; make it first")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise InputError(f"{option}: {out} cannot be written; choose another {option}")


def parse_vector(text: str) -> NDArray[np.float32]:
    """Read a vector written as numbers between commas or spaces, in square brackets or without.

    Raises
    ------
    InputError
        Something in it is not a number, or there is none.

    Examples
    --------
    >>> parse_vector("0.5, -1 2").tolist() == parse_vector("[0.5, -1, 2]").tolist() == [0.5, -1.0, 2.0]
    True
    """
    import numpy as np

    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    try:
        numbers = [float(part) for part in inner.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"--text-vector: {error}") from error
    if not numbers:
        raise InputError('--text-vector: holds no number; write numbers such as "0.1,0.2"')
    return np.array(numbers, np.float32)
