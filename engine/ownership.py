"""Which tenants there are, and whose records are whose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import NotOwnerError, UnknownTenantError
from ramet.storage.snapshot import Snapshot
from ramet.storage.writer import Writer


def known(writer: Writer, tenant: str, argument: str) -> int:
    """Number of a tenant; raise `UnknownTenantError` when there is none of that name."""
    number = writer.tenant_number(tenant)
    if number is None:
        raise UnknownTenantError(tenant, argument)
    return number


def refuse_foreign(writer: Writer, owner: int, tenant: str, names: list[str]) -> None:
    """Raise `NotOwnerError` when some of the ids are of records that another tenant granted to this one."""
    rows = writer.rows_of(owner, names)
    there = np.flatnonzero(rows >= 0)
    foreign = there[writer.homes_of(rows[there]).owners != owner]
    if len(foreign):
        raise NotOwnerError(tenant, [names[i] for i in foreign.tolist()])


def refuse_foreign_rows(reader: Snapshot | Writer, owner: int, tenant: str, rows: npt.NDArray[np.int64]) -> None:
    """Raise `NotOwnerError` when some of the rows are of records that another tenant granted to this one."""
    foreign = rows[reader.homes_of(rows).owners != owner]
    if len(foreign):
        raise NotOwnerError(tenant, reader.ids_of(foreign))
