"""Records against the rules of a collection: bad ones are counted with their reason, the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine import arguments, checks
from ramet.engine import metadata as meta
from ramet.engine.errors import ArgumentError
from ramet.engine.jobs.inputs.blocks import Block, Rejected, Vectors
from ramet.engine.records import check_document
from ramet.engine.settings import Settings
from ramet.index.kernels.check import LARGEST, SMALLEST, first_bad_row

Mask = npt.NDArray[np.bool_]

_TOGETHER = 4096


def checked(block: Block, dim: int, metric: str, dtype: str) -> Block:
    """The records of a block that a collection of that dimension, metric and dtype can hold, vectors in its dtype.

    What it cannot hold is in ``rejected`` of the new block, beside what was there: each record once, with the first
    reason that was found. That an id comes twice is not looked for.

    Raises
    ------
    ArgumentError
        The vectors have another dimension, or the settings are wrong.
    """
    settings = Settings.checked(dim, metric, dtype, "auto")
    bad: dict[int, tuple[str, str]] = {}
    vectors = None if block.vectors is None else _vectors(block, settings, bad)
    for values, reason, check in (
        (block.ids, "bad_id", _name),
        (block.tenants, "bad_tenant", _name),
        (block.texts, "bad_text", _text if block.vectors is None else _document),
    ):
        for i, value in enumerate(values or ()):
            if problem := check(value):
                bad.setdefault(i, (_own(reason, problem), problem))
    metadata = None if block.metadata is None else _metadata(block.metadata, bad)
    return without(replace(block, vectors=vectors, metadata=metadata), bad)


def without(block: Block, bad: dict[int, tuple[str, str]]) -> Block:
    """The block without the records at these positions, which are rejected for a reason and with its detail."""
    if not bad:
        return block
    kept = np.ones(len(block), bool)
    kept[list(bad)] = False
    chosen = np.flatnonzero(kept).tolist()
    rows = block.rows.tolist()
    more = [Rejected(block.file, rows[i], reason, detail) for i, (reason, detail) in sorted(bad.items())]

    def taken(values: list[Any] | None) -> list[Any] | None:
        return None if values is None else [values[i] for i in chosen]

    return Block(
        file=block.file,
        first=block.first,
        rows=block.rows[kept],
        vectors=None if block.vectors is None else block.vectors[kept],
        bare=None if block.bare is None else block.bare[kept],
        ids=taken(block.ids),
        texts=taken(block.texts),
        metadata=taken(block.metadata),
        tenants=taken(block.tenants),
        tokens=taken(block.tokens),
        rejected=sorted([*block.rejected, *more], key=lambda one: one.row),
    )


def _vectors(block: Block, settings: Settings, bad: dict[int, tuple[str, str]]) -> Vectors:
    """Vectors in the stored form; rows that have none are in ``bad``, and zeros."""
    given = block.vectors
    assert given is not None
    if given.ndim != 2 or given.shape[1] != settings.dim:
        shape = given.shape[1:] if given.ndim == 2 else given.shape
        raise ArgumentError("dim", f"is {settings.dim}, and {block.file} has vectors of shape {shape}")
    found = np.empty(given.shape, settings.dtype)
    for first in range(0, len(given), _TOGETHER):
        part = given[first : first + _TOGETHER]
        bare = None if block.bare is None else block.bare[first : first + _TOGETHER]
        for i, reason in _into(part, found[first : first + _TOGETHER], settings, bare).items():
            bad[first + i] = reason
    return found


def _into(given: Vectors, found: Vectors, settings: Settings, bare: Mask | None) -> dict[int, tuple[str, str]]:
    """Convert some vectors; positions of those that cannot be held, with reason and detail."""
    bad: dict[int, tuple[str, str]] = {}
    if found.dtype.kind != "f" and given.dtype != found.dtype:
        bad = _no_integers(given, found.dtype)
        if bad:
            given = given.copy()
            given[list(bad)] = 0
    with np.errstate(over="ignore"):
        found[...] = given
    wide = found.astype(np.float32) if found.dtype == np.float16 else found
    no_zero = settings.metric.unit
    if bare is None and not bad and first_bad_row(wide, no_zero) < 0:
        return bad
    norms = np.square(wide, dtype=np.float64).sum(axis=1)
    wrong = ~(norms <= LARGEST) | (no_zero & (norms < SMALLEST))
    if bare is not None:
        wrong &= ~bare
    for i in np.flatnonzero(wrong).tolist():
        bad.setdefault(i, _why(given[i], found[i]))
    return bad


def _why(given: Vectors, found: Vectors) -> tuple[str, str]:
    """Reason and detail for a vector that is not held."""
    if not np.isfinite(found).all():
        lost = np.isfinite(given).all()
        return ("out_of_range" if lost else "not_finite"), checks.why_bad(found)
    return ("out_of_range" if found.any() else "zero_vector"), checks.why_bad(found)


def _no_integers(given: Vectors, target: np.dtype[Any]) -> dict[int, tuple[str, str]]:
    """Vectors whose values would change as whole numbers of the target dtype."""
    info = np.iinfo(target)
    bad: dict[int, tuple[str, str]] = {}
    finite: Mask = np.asarray(np.isfinite(given).all(axis=1))
    with np.errstate(invalid="ignore"):
        within: Mask = np.asarray(((given >= info.min) & (given <= info.max)).all(axis=1))
        fractions = (given != np.floor(given)).any(axis=1) if given.dtype.kind == "f" else ~finite
    for i in np.flatnonzero(~finite | ~within | fractions).tolist():
        if not finite[i]:
            bad[i] = "not_finite", "has NaN or infinity; remove or replace it"
        elif not within[i]:
            low, high = given[i].min(), given[i].max()
            bad[i] = "out_of_range", f"has values from {low} to {high}; {target.name} holds {info.min} to {info.max}"
        else:
            bad[i] = (
                "fraction",
                f"has fractions, and {target.name} holds whole numbers; scale them or use float32",
            )
    return bad


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except ArgumentError as error:
        return error.problem
    return None


def _name(value: object) -> str | None:
    """What is wrong with an id or a tenant's name."""
    if type(value) is str and 0 < len(value) <= arguments.MAX_NAME_BYTES and value.isascii():
        return None
    return _problem(lambda: arguments.name(value, ""))


def _document(value: object) -> str | None:
    """What is wrong with a text that is stored as it is."""
    if value is None or (isinstance(value, str) and len(value) < 1 << 20 and value.isascii()):
        return None
    return _problem(lambda: check_document(value, ""))


def _text(value: object) -> str | None:
    """What is wrong with a text that is to be cut and embedded."""
    if not isinstance(value, str):
        return f"must be str, got {type(value).__name__}"
    if not value or value.isspace():
        return EMPTY
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"is not valid Unicode text: {error.reason}"
    return None


EMPTY = "is empty or white space: there is nothing to embed"


def _own(reason: str, problem: str) -> str:
    return "empty_text" if problem == EMPTY else reason


def _metadata(metadata: list[dict[str, Any] | None], bad: dict[int, tuple[str, str]]) -> list[dict[str, Any] | None]:
    """Metadata in the form that is stored; None where it cannot be."""
    try:
        return list(meta.checked(metadata, len(metadata)))
    except ArgumentError:
        pass
    found: list[dict[str, Any] | None] = []
    for i, one in enumerate(metadata):
        try:
            found += meta.checked([one], 1)
        except ArgumentError as error:
            bad.setdefault(i, ("bad_metadata", f"{error.argument.removeprefix('metadata[0]')} {error.problem}".strip()))
            found.append(None)
    return found
