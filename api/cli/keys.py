"""`ramet keys ...`: who may ask a server for what."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramet.api.cli.errors import shown_as
from ramet.api.cli.inputs import InputError
from ramet.api.cli.output import AsJson, console, print_json, table
from ramet.api.cli.values import iso

if TYPE_CHECKING:
    from ramet.engine.keys import AllTenants, Key

keys = typer.Typer(help="Create, list and revoke the API keys of a server.", no_args_is_help=True)

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="The database directory that is served.", show_default=False)
]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@keys.command()
def create(
    directory: Directory,
    tenant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A tenant that the key reaches; may be repeated.", show_default=False),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="The key reaches every tenant that there is or will be.")
    ] = False,
    rights: Annotated[
        str, typer.Option(metavar="RIGHT,...", help="Some of read, write and admin; none implies another.")
    ] = "read",
    name: Annotated[str, typer.Option(help="What people call the key.")] = "",
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="After 90s, 15m, 12h, 30d or 4w, or at 2030-01-31.", show_default="never"),
    ] = None,
    requests: Annotated[
        int | None, typer.Option("--requests-per-minute", help="A limit of its own.", show_default="the server's")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens-per-minute", help="A limit of its own.", show_default="the server's")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it, this once: only a hash of it is kept."""
    from ramet.engine.keys import Keys, id_of

    whom = whom_of(tenant, all_tenants)
    options = {
        "tenants": "--tenant", "name": "--name", "path": "DIR", "requests_per_minute": "--requests-per-minute",
        "tokens_per_minute": "--tokens-per-minute",
    }  # fmt: skip
    with shown_as(**options, rights="--rights", expires="--expires"):
        ring = Keys(directory)
        text = ring.create(
            whom,
            [right.strip() for right in rights.split(",")],
            name=name,
            expires=None if expires is None else moment_of(expires),
            requests_per_minute=requests,
            tokens_per_minute=tokens,
        )
    made = next(key for key in ring.list() if key.id == id_of(text))
    if as_json:
        print_json({"key": text, **described(made)})
        return
    screen = console()
    screen.print(f"Key {made.id} for {tenants_of(made)}, rights: {rights_of(made)}.", markup=False)
    screen.print("It is not stored and cannot be shown again:\n", markup=False)
    screen.print(text, markup=False)


@keys.command("list")
def list_all(directory: Directory, as_json: AsJson = False) -> None:
    """List all keys, also those that have expired or were revoked."""
    found = ring_of(directory).list()
    if as_json:
        print_json({"directory": str(directory), "keys": [described(key) for key in found]})
        return
    rows = ([key.id, key.name, tenants_of(key), rights_of(key), key.status(), shown(key.expires)] for key in found)
    console().print(table(["id", "name", "tenants", "rights", "status", "expires"], rows))


@keys.command()
def revoke(
    directory: Directory,
    key: Annotated[str, typer.Argument(metavar="ID", help="Which one, by its id.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Revoke a key, at once and for ever: running servers refuse it from the next request on."""
    with shown_as(key="ID", path="DIR"):
        ended = ring_of(directory).revoke(key)
    if as_json:
        print_json(described(ended))
    else:
        console().print(f"Revoked key {ended.id}.", markup=False)


def ring_of(directory: Path) -> Any:
    """Open the keyring of a directory that is there."""
    from ramet.engine.keys import Keys

    if not directory.is_dir():
        raise InputError(f"DIR: there is no directory {directory}")
    return Keys(directory)


def whom_of(tenants: list[str] | None, all_tenants: bool) -> list[str] | AllTenants:
    """Read whose records a key shall reach; that must be said.

    Raises
    ------
    InputError
        Nothing was said, or both.
    """
    from ramet.engine.keys import ALL

    if all_tenants and tenants:
        raise InputError("give either --tenant or --all-tenants")
    if not all_tenants and not tenants:
        raise InputError("say whose records the key shall reach: --tenant NAME (may be repeated), or --all-tenants")
    return ALL if all_tenants else tenants or []


def moment_of(text: str) -> datetime | timedelta:
    """Read a time from now, or a date or datetime as ISO 8601 has it.

    Raises
    ------
    InputError

    Examples
    --------
    >>> moment_of("30d"), moment_of("2030-01-31")
    (datetime.timedelta(days=30), datetime.datetime(2030, 1, 31, 0, 0))
    """
    after = re.fullmatch(r"(\d{1,6})([smhdw])", text, re.ASCII)
    if after is not None:
        return timedelta(**{_UNITS[after[2]]: int(after[1])})
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--expires: {text!r} is neither a time such as 30d or 12h nor a date as 2030-01-31") from None


def described(key: Key) -> dict[str, Any]:
    """Write a key for machines; all tenants are null, since a tenant may have any name."""
    reached = sorted(key.tenants) if isinstance(key.tenants, frozenset) else None
    return {
        "id": key.id,
        "name": key.name,
        "tenants": reached,
        "all_tenants": reached is None,
        "rights": rights_of(key).split(","),
        "status": key.status(),
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
    }


def tenants_of(key: Key) -> str:
    """Write whose records a key reaches, for people."""
    return ", ".join(sorted(key.tenants)) if isinstance(key.tenants, frozenset) else "all tenants"


def rights_of(key: Key) -> str:
    """Write the rights of a key in their usual order."""
    from ramet.engine.keys import RIGHTS

    return ",".join(right for right in RIGHTS if right in key.rights)


def shown(moment: datetime | None) -> str:
    """Write a moment for people, to the second."""
    return "never" if moment is None else iso(moment.replace(microsecond=0))
