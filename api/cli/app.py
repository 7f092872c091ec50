"""The `ramet` command: one sub-command per file of this folder."""

import sys
from collections.abc import Sequence

import typer

from ramet._error import RametError
from ramet.api.cli.backup import backup
from ramet.api.cli.build import build
from ramet.api.cli.demo import demo
from ramet.api.cli.query import query
from ramet.api.cli.stats import stats
from ramet.api.cli.verify import verify

# Exit codes: 0 done, 1 `verify` found damage, 2 wrong arguments or an error of ours, 130 interrupted.
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="ramet",
    help="Build, query and look after collections of vectors on disk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (build, query, stats, verify, backup, demo):
    app.command()(_command)


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
    """Build, query and look after collections of vectors on disk."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; errors meant for people become one line on stderr.

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
        app(args=None if argv is None else list(argv), standalone_mode=True)
    except SystemExit as stop:  # how typer ends, also after success
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except RametError as error:
        return _fail(str(error))
    except OSError as error:  # a full disk, a directory without permission: the path is in the message
        return _fail(str(error))
    except KeyboardInterrupt:
        print("ramet: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _fail(message: str) -> int:
    """Print the message as one line, whatever it holds."""
    print("ramet: " + " ".join(message.split()), file=sys.stderr)
    return EXIT_ERROR
