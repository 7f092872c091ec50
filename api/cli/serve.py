"""`ramet serve`: answer requests over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ramet.api.cli.errors import shown_as

Text = str | None

# What settings are called here; the others have no option, but a variable and a place in the file.
NAMES = {
    "backup_dir": "--backup-dir", "config": "--config", "data_dir": "DIR", "embedder": "--embedder", "host": "--host",
    "llm": "--llm", "log_format": "--log-format", "log_level": "--log-level", "path": "DIR", "port": "--port",
    "threads": "--threads", "workers": "--workers",
}  # fmt: skip


def serve(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The database directory.", show_default="RAMET_DATA_DIR")
    ] = None,
    host: Annotated[Text, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8000")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.", show_default="1")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each process.", show_default="all cores")] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings in TOML.", show_default="RAMET_CONFIG"),
    ] = None,
    embedder: Annotated[
        Text, typer.Option(metavar="MODEL", help="Makes vectors of texts: NAME, a folder, or static:NAME.")
    ] = None,
    llm: Annotated[
        Text, typer.Option(metavar="MODEL", help="Who answers: extractive, openai:MODEL@URL or gguf:PATH.")
    ] = None,
    backup_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where backups go.")] = None,
    log_level: Annotated[Text, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
    log_format: Annotated[Text, typer.Option(help="json or console.", show_default="json")] = None,
    allow_unauthenticated: Annotated[
        bool, typer.Option("--allow-unauthenticated", help="Listen beyond loopback although there is no API key.")
    ] = False,
) -> None:
    """Answer requests over HTTP; without an API key (`ramet keys create`) on loopback only."""
    options: dict[str, Any] = {
        "data_dir": directory, "host": host, "port": port, "workers": workers, "threads": threads, "config": config,
        "embedder": embedder, "llm": llm, "backup_dir": backup_dir, "log_level": log_level, "log_format": log_format,
        "allow_unauthenticated": allow_unauthenticated or None,
    }  # fmt: skip
    with shown_as(**NAMES):
        _serve(options)


def _serve(options: dict[str, Any]) -> None:
    """Load what a server needs, which not everybody has, and run it."""
    from ramet import MissingPackageError

    try:
        from ramet.api.rest.serve import run
        from ramet.api.rest.settings import load
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] == "ramet":
            raise
        raise MissingPackageError(error.name.split(".")[0], "server") from error
    run(load(options))
