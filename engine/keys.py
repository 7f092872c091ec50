"""API keys: who may ask a server for what. They are kept beside the collections of a database directory.

A key is ``ramet_<id>_<secret>``. The id is public: lists, logs and `revoke` name a key by it. The secret is 256 random
bits, of which only the SHA-256 is kept: nothing slower is needed where there is nothing to guess. ``docs/keys.md``
says what a key can and cannot do.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ramet.engine import checks
from ramet.engine.errors import ArgumentError
from ramet.engine.forking import tell_after_fork
from ramet.storage.errors import CorruptionError, MissingError
from ramet.storage.format import CATALOG
from ramet.storage.keyring import Contents, Keyring

RIGHTS = ("read", "write", "admin")
MAX_TENANTS = 1_000
MAX_LABEL_BYTES = 200
MAX_PER_MINUTE = 10**12

_SCHEME = "ramet"
_ID_BYTES, _SECRET_BYTES = 6, 32

# Longest text that is looked at; a key has 83 characters.
_LONGEST = 200


class AllTenants(enum.Enum):
    """The type of `ALL`."""

    ALL = "all tenants"

    def __repr__(self) -> str:
        return "ALL"


ALL: Final = AllTenants.ALL
"""In place of a set of tenants: every tenant that there is or will be."""

Tenants = frozenset[str] | AllTenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of a key; never its secret."""

    id: str
    """Public name, 12 hexadecimal digits."""
    name: str
    """What people call it; may be empty."""
    tenants: Tenants
    """Whose records it reaches, or `ALL`."""
    rights: frozenset[str]
    """Some of "read", "write" and "admin"; none of them implies another."""
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    requests_per_minute: int | None = None
    """How many requests a server takes from it; None: as many as from every other key."""
    tokens_per_minute: int | None = None
    """How many tokens of language models and embedders it may use; None: as every other key."""

    def reaches(self, tenant: str) -> bool:
        """Tell whether the key is good for a tenant."""
        return self.tenants is ALL or tenant in self.tenants

    def status(self, now: datetime | None = None) -> str:
        """Return "active", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "active" if self.expires is None or (now or datetime.now(UTC)) < self.expires else "expired"


@dataclass(frozen=True, slots=True)
class _Row:
    """A key, and what decides whether a text is it."""

    key: Key | None
    digest: bytes = field(repr=False)
    until: float


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The keys of one state of the keyring, decoded."""

    contents: Contents | None
    rows: Mapping[str, _Row] = field(repr=False)


class Keys:
    """The API keys of a database directory. Many threads and processes may use them at once.

    Parameters
    ----------
    directory : str or Path
        The database directory. Nothing is written there before the first key is created.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).expanduser().absolute()
        self._keyring = Keyring(self._directory)
        self._table = _Table(None, {})
        self._guarded = False
        self._lock = threading.Lock()
        # What an unknown id is compared with, so that it takes as long as a known one.
        self._nobody = _Row(None, secrets.token_bytes(32), float("-inf"))
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Have a lock of its own in a forked child."""
        self._lock = threading.Lock()

    def create(
        self,
        tenants: Iterable[str] | str | AllTenants,
        rights: Iterable[str] | str,
        *,
        name: str = "",
        expires: datetime | timedelta | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> str:
        """Make a key; it is on the disk when this returns.

        Parameters
        ----------
        tenants : str, iterable of str or `ALL`
            Whose records it shall reach.
        rights : str or iterable of str
            "read", "write", "admin"; none of them implies another.
        name : str
            What people call it, at most 200 bytes; need not be unique.
        expires : datetime or timedelta, optional
            When it ends by itself; a datetime without a time zone is UTC.
        requests_per_minute, tokens_per_minute : int, optional
            Limits of this key, in place of those in the server's settings.

        Returns
        -------
        str
            ``ramet_<id>_<secret>``. Nobody can show it again.

        Raises
        ------
        ArgumentError
            A wrong name or right, a moment that is past, no database directory.
        StorageError
            The keyring is damaged or may not be written.
        """
        now = datetime.now(UTC)
        entry = {
            "name": _label(name),
            "tenants": _tenants(tenants),
            "rights": _rights(rights),
            "created": _micros(now),
            "expires": _expiry(expires, now),
            "revoked": None,
            "requests_per_minute": _per_minute(requests_per_minute, "requests_per_minute"),
            "tokens_per_minute": _per_minute(tokens_per_minute, "tokens_per_minute"),
        }
        self._check_directory()
        key, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
        self._keyring.insert(key, {**entry, "sha256": hashlib.sha256(secret.encode()).hexdigest()})
        return f"{_SCHEME}_{key}_{secret}"

    def list(self) -> Sequence[Key]:
        """All keys that were ever created, also those expired or revoked; the oldest first.

        Raises
        ------
        StorageError
            The keyring is damaged or may not be read.
        """
        found = [row.key for row in self._current().rows.values() if row.key is not None]
        return sorted(found, key=lambda key: (key.created, key.id))

    def revoke(self, key: str) -> Key:
        """End a key at once and for ever, in every process; its hash is erased. May be done twice.

        Parameters
        ----------
        key : str
            Its id, or its whole text.

        Raises
        ------
        ArgumentError
            There is no key of that id.
        StorageError
            The keyring is damaged or may not be written.
        """
        found = id_of(key)
        now = _micros(datetime.now(UTC))

        def ended(entry: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**entry, "revoked": now if entry["revoked"] is None else entry["revoked"], "sha256": None}

        try:
            entry = self._keyring.change(found, ended) if found else None
        except MissingError:
            entry = None
        if entry is None:  # without repeating what was given: it may be a secret in the wrong place
            shown = repr(found) if found else "that"
            raise ArgumentError("key", f"there is no key {shown} in {self._directory}; list the keys to see their ids")
        return _key(found, entry)

    def check(self, text: str) -> Key | None:
        """Find the key whose text this is; None when it is none, has expired or was revoked, whichever it is.

        Takes a few microseconds. What another process created or revoked before this call counts. The secret is
        compared in constant time, and an id that does not exist takes as long as one that does.

        Raises
        ------
        StorageError
            The keyring is damaged or may not be read: then nobody may be let in.
        """
        rows = self._current().rows
        if len(text) > _LONGEST:
            return None
        scheme, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        row = rows.get(name, self._nobody)
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        same = hmac.compare_digest(digest, row.digest)
        return row.key if same and scheme == _SCHEME and row.until > time.time() else None

    @property
    def guarded(self) -> bool:
        """Whether requests need a key: one was created once, even if it was revoked since.

        Stays true for as long as this object lives, also when the keyring is deleted: a server never opens by losing
        a file, or its last key.

        Raises
        ------
        StorageError
            The keyring is damaged or may not be read.
        """
        return bool(self._current().rows) or self._guarded

    def _current(self) -> _Table:
        """The keys as they are now."""
        contents = self._keyring.contents()
        table = self._table
        if table.contents is contents:
            return table
        with self._lock:
            table = self._table
            if table.contents is not contents:
                rows = {key: _row(key, entry, self._keyring.path) for key, entry in contents.entries.items()}
                self._guarded = self._guarded or bool(rows)
                table = self._table = _Table(contents, rows)
        return table

    def _check_directory(self) -> None:
        if not self._directory.is_dir():
            raise ArgumentError("path", f"there is no directory {self._directory}; make it, or check the path")
        if (self._directory / CATALOG).is_file():
            raise ArgumentError(
                "path", f"{self._directory} is a collection, not a database; keys belong to {self._directory.parent}"
            )

    def __repr__(self) -> str:
        return f"Keys({str(self._directory)!r})"


def id_of(text: str) -> str:
    """Return the id in the text of a key, or the text itself when it has the form of an id; else ""."""
    name = text.split("_")[1] if text.startswith(f"{_SCHEME}_") and text.count("_") == 2 else text
    return name if len(name) == 2 * _ID_BYTES and set(name) <= set("0123456789abcdef") else ""


def _row(key: str, entry: Mapping[str, Any], path: Path) -> _Row:
    """Decode an entry; a release that wrote something else is not taken for one that allows it."""
    try:
        found = _key(key, entry)
        if found.revoked is not None or entry["sha256"] is None:
            return _Row(found, secrets.token_bytes(32), float("-inf"))
        until = float("inf") if found.expires is None else found.expires.timestamp()
        return _Row(found, bytes.fromhex(entry["sha256"]), until)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CorruptionError(path, f"key {key}", "what this release writes of a key", "something else") from None


def _key(key: str, entry: Mapping[str, Any]) -> Key:
    return Key(
        id=key,
        name=entry["name"],
        tenants=ALL if entry["tenants"] == "*" else frozenset(_checked_list(entry["tenants"])),
        rights=frozenset(_checked_list(entry["rights"])) & frozenset(RIGHTS),
        created=_moment(entry["created"]),
        expires=None if entry["expires"] is None else _moment(entry["expires"]),
        revoked=None if entry["revoked"] is None else _moment(entry["revoked"]),
        requests_per_minute=entry["requests_per_minute"],
        tokens_per_minute=entry["tokens_per_minute"],
    )


def _checked_list(value: Any) -> list[str]:
    """Refuse a string, of which a set would take the letters."""
    if not isinstance(value, list):
        raise TypeError(type(value).__name__)
    return value


def _tenants(tenants: Iterable[str] | str | AllTenants) -> Any:
    """Tenants as they are stored: a list of names, or "*" for all; a tenant may be called "*", but is in a list."""
    if isinstance(tenants, AllTenants):
        return "*"
    names = sorted(checks.tenants(tenants, "tenants"))
    if len(names) > MAX_TENANTS:
        raise ArgumentError("tenants", f"{len(names)} names; at most {MAX_TENANTS:,}, or ALL")
    return names


def _rights(rights: Iterable[str] | str) -> list[str]:
    given = {rights} if isinstance(rights, str) else set(rights)
    if not given or not given <= set(RIGHTS):
        wrong = ", ".join(sorted(repr(right) for right in given - set(RIGHTS))) or "none"
        raise ArgumentError("rights", f"{wrong} given; pass some of {', '.join(RIGHTS)}")
    return [right for right in RIGHTS if right in given]


def _label(name: object) -> str:
    if name == "":
        return ""
    found = checks.name(name, "name")
    if len(found.encode()) > MAX_LABEL_BYTES or not found.isprintable():
        raise ArgumentError("name", f"must be printable and have at most {MAX_LABEL_BYTES} bytes in UTF-8")
    return found


def _expiry(expires: datetime | timedelta | None, now: datetime) -> int | None:
    if expires is None:
        return None
    try:
        moment = now + expires if isinstance(expires, timedelta) else expires
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except (AttributeError, OverflowError) as error:
        raise ArgumentError("expires", f"{expires!r} is no moment; pass a datetime or a timedelta") from error
    if moment <= now:
        raise ArgumentError("expires", f"{moment.isoformat()} is past; pass a later moment")
    return _micros(moment)


def _per_minute(value: object, argument: str) -> int | None:
    return None if value is None else checks.positive(value, argument, MAX_PER_MINUTE)


def _micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
