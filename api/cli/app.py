"""The `ramet` command: one sub-command per file of this folder."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from ramet._error import RametError
from ramet.api.cli.add import add
from ramet.api.cli.answer import answer, select
from ramet.api.cli.backup import backup
from ramet.api.cli.build import build
from ramet.api.cli.compact import compact
from ramet.api.cli.create import create
from ramet.api.cli.delete import delete
from ramet.api.cli.demo import demo
from ramet.api.cli.errors import CLICK_ERROR, message_of
from ramet.api.cli.get import get
from ramet.api.cli.keys import keys
from ramet.api.cli.query import query
from ramet.api.cli.rag import rag
from ramet.api.cli.serve import serve
from ramet.api.cli.shards import shards
from ramet.api.cli.stats import stats
from ramet.api.cli.tenants import tenants
from ramet.api.cli.upsert import upsert
from ramet.api.cli.verify import verify

# Exit codes: 0 done, 1 `verify` found damage, 2 wrong arguments or an error of ours, 130 interrupted.
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="ramet",
    help="Build, query and look after collections of vectors, texts and metadata on disk.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (
    create, build, upsert, add, delete, query, get, select, answer, tenants, stats, verify, compact, backup, demo,
    serve,
):  # fmt: skip
    app.command()(_command)
app.add_typer(rag, name="rag")
app.add_typer(keys, name="keys")
app.add_typer(shards, name="shards")


def _show_version(wanted: bool) -> None:
    if wanted:
        import ramet

        print(f"ramet {ramet.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Build, query and look after collections of vectors, texts and metadata on disk."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; an error becomes one line on stderr. Without arguments, print the help.

    Parameters
    ----------
    argv
        Arguments without the program's name; `sys.argv[1:]` when None.

    Returns
    -------
    int
        The process's exit code.
    """
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv) or ["--help"])
    except (KeyboardInterrupt, typer.Abort):  # versions of typer differ in what becomes of Ctrl-C
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        _discard_output()
        return EXIT_ERROR
    except (RametError, OSError, CLICK_ERROR) as error:
        if isinstance(error, OSError) and error.filename is None:
            _discard_output()
        print("ramet: " + " ".join(message_of(error).split()), file=sys.stderr)
        return EXIT_ERROR
    if code == EXIT_INTERRUPTED:
        print("ramet: interrupted", file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    """Run the command and write out what it printed; returns its exit code."""
    try:
        code = app(args=arguments, prog_name="ramet", standalone_mode=False)
    except SystemExit as stop:  # shell completion, or typer or rich on a pipe without a reader: 1 is for `verify`
        return EXIT_ERROR if stop.code else 0
    if sys.stdout is not None:  # as it is when the process was started with stdout closed
        sys.stdout.flush()  # at the end of the process an error would no longer be ours to report
    return code if isinstance(code, int) else 0


def _discard_output() -> None:
    """Send what is still buffered for stdout nowhere, so that the end of the process does not fail on it again."""
    with suppress(OSError, AttributeError):  # not a file where a test replaced it, None where it was closed
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
