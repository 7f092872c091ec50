"""Errors as people see them: one line, in the words of the command line and not of Python."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from ramet._error import RametError
from ramet.api.cli.inputs import InputError

# What an argument of the Python functions is called on the command line. Where that depends on the command or on the
# option that was given, the command says so with `shown_as`.
OPTIONS: Mapping[str, str] = {
    "alpha": "--alpha",
    "chunk_tokens": "--chunk-tokens",
    "clusters": "--clusters",
    "codes": "--codes",
    "cursor": "--cursor",
    "dim": "--dim",
    "dtype": "--dtype",
    "format": "--format",
    "id_column": "--id-column",
    "durability": "--durability",
    "embedder": "--model",
    "ids": "--ids",
    "k": "-k",
    "language": "--language",
    "limit": "--limit",
    "list_size": "--list-size",
    "memory": "--memory",
    "metric": "--metric",
    "model": "--model",
    "name": "--out",
    "nprobe": "--nprobe",
    "on_error": "--on-error",
    "out": "--out",
    "overlap": "--overlap",
    "path": "--out",
    "prune": "--prune",
    "ray": "--ray",
    "recall": "--recall",
    "replicas": "--replicas",
    "seed": "--seed",
    "shards": "--shards",
    "tenant": "--tenant",
    "tenant_column": "--tenant-column",
    "text": "--text",
    "text_column": "--text-column",
    "vector_column": "--vector-column",
    "where": "--where",
    "workers": "--workers",
}

# The base of usage errors. BadParameter is public in every version of typer; this one moved from click into typer.
CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


def in_options(argument: str, problem: str, names: Mapping[str, str] = OPTIONS) -> str:
    """Write what is wrong with an argument under the name that was typed.

    Examples
    --------
    >>> in_options("workers", "must be an integer from 1 to 1024, got 5000")
    '--workers: must be an integer from 1 to 1024, got 5000'
    >>> in_options("ids[3]", "is an empty string")
    '--ids, line 4: is an empty string'
    >>> in_options("where['year']['$gt']", "has no order")
    "--where['year']['$gt']: has no order"
    """
    indexed = re.fullmatch(r"(\w+)((?:\[.*\])?)", argument, re.DOTALL)
    if indexed is None:
        return f"{names.get(argument, argument)}: {problem}"
    name, place = names.get(indexed[1], indexed[1]), indexed[2]
    if name == "--ids" and place:
        return f"{name}, line {int(place[1:-1]) + 1}: {problem}"
    return f"{name}{place if name == '--where' else ''}: {problem}"


@contextmanager
def shown_as(**names: str) -> Iterator[None]:
    """Name arguments in the errors of the block otherwise than `OPTIONS` does.

    Raises
    ------
    InputError
        In place of an `ArgumentError`.
    """
    from ramet import ArgumentError

    try:
        yield
    except ArgumentError as error:
        raise InputError(in_options(error.argument, error.problem, {**OPTIONS, **names})) from error


def message_of(error: Exception) -> str:
    """Write an error of ours, of the command line's parser or of the operating system for people."""
    if isinstance(error, CLICK_ERROR):
        return _usage(error)
    if isinstance(error, OSError):
        return _system(error)
    argument, problem = getattr(error, "argument", None), getattr(error, "problem", None)
    if isinstance(error, RametError) and argument is not None:
        return in_options(argument, str(problem))
    text = re.sub(r"^embedder:", "--model:", str(error))
    return text.replace('pass on_conflict="replace" or "skip"', "pass --on-conflict replace or skip")


def _usage(error: Exception) -> str:
    """Write a usage error, and where its command is explained."""
    text: str = error.format_message().strip().rstrip(".")  # type: ignore[attr-defined]
    text = text.replace(": Value error, ", ": ")  # how the parser's own checks begin
    text = text[:1].lower() + text[1:]
    context = getattr(error, "ctx", None)
    return text if context is None else f"{text}; see {context.command_path} --help"


def _system(error: OSError) -> str:
    """Write an error of the operating system; without a file it can only have been the output."""
    reason = error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "unknown error")
    return f"cannot write the output: {reason}" if error.filename is None else f"{error.filename}: {reason}"
