"""Backups: copies of collections, below one directory of the server."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

from ramet import ArgumentError, RametError, connect
from ramet.api.rest.auth import Asking, whole
from ramet.api.rest.models import texts
from ramet.api.rest.models.fields import NAME_PATTERN, CollectionName
from ramet.api.rest.problems import declared
from ramet.api.rest.routes.shared import Serving, answer, opened

router = APIRouter(prefix="/v1", tags=["backups"])

_NAME = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))


@router.post(
    "/collections/{name}/backups", operation_id="createBackup", status_code=201, response_model=texts.Backup,
    responses=declared("unknown_collection", "collection_quarantined", "exists", "storage_full"),
)  # fmt: skip
async def create_backup(server: Serving, principal: Asking, name: CollectionName, body: texts.NewBackup) -> Response:
    """Copy a collection as it is at this moment, while others read and write."""
    whole(principal, "admin")
    collection = await opened(server, name)
    target = place(server.settings.backups, body.name, collection.name)
    await server.slowly(collection.backup, target)
    return answer(await server.run(_described, target), 201)


@router.get("/backups", operation_id="listBackups", response_model=texts.Backups)
async def list_backups(server: Serving, principal: Asking) -> Response:
    """List all backups."""
    whole(principal, "admin")
    return answer({"backups": await server.run(_all, server.settings.backups)})


def place(root: Path, backup: str, collection: str) -> Path:
    """Where a backup goes: always below the root, also when somebody has put links there.

    Raises
    ------
    ArgumentError
    """
    for argument, value in (("name", backup), ("collection", collection)):
        if not _NAME.fullmatch(value):
            raise ArgumentError(argument, f"{value!r} is no name: 1 to 128 of A-Z a-z 0-9 . _ -, first none of . _ -")
    target = root / backup / collection
    if not target.resolve().is_relative_to(root.resolve()):
        raise ArgumentError("name", f"{backup!r} leads out of the directory of backups; choose another one")
    return target


def _described(target: Path) -> dict[str, Any]:
    files = [file.stat() for file in target.iterdir() if file.is_file()]
    created = max((stat.st_mtime for stat in files), default=target.stat().st_mtime)
    return {
        "name": target.parent.name,
        "collection": target.name,
        "bytes": sum(stat.st_size for stat in files),
        "created": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _all(root: Path) -> list[dict[str, Any]]:
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.is_symlink() or not _NAME.fullmatch(folder.name):
            continue
        try:
            names = connect(folder, create=False).collections()
        except (RametError, OSError):
            continue  # somebody else's, or taken away meanwhile
        for name in names:
            with suppress(OSError):
                found.append(_described(folder / name))
    return found
