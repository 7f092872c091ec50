"""Tenants in the catalog: names and numbers, how much each has, and which of its lists a transaction changed.

A reader that knows a tenant's directory as of one transaction asks for the cells changed since then, so that what a
commit costs it depends on the commit and not on the collection.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog

U32 = npt.NDArray[np.uint32]

# Transactions that a tenant's log remembers at most; it is cut to half of them. A reader further behind reads the
# whole directory again.
LOG_TRANSACTIONS = 64

# Tenants with fewer changed lists than this in a commit, and no longer log, keep none: reading a directory of so few
# lists costs as much as reading a log.
LOG_FROM_LISTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the catalog keeps of one tenant."""

    number: int
    name: str
    n_records: int
    """Records that it sees: its own, and those granted to it."""
    changed: int
    """Transaction that changed its lists or records last."""
    logged: int
    """The log holds every change after this transaction."""
    n_log: int
    """Transactions in the log."""


def encode_member(member: Member) -> bytes:
    """Return the value of a MEMBERS entry, without its checksum."""
    head = catalog.MEMBER_HEAD.pack(member.n_records, member.changed, member.logged, member.n_log)
    return head + member.name.encode()


def decode_member(number: int, content: bytes) -> Member:
    """Return the member from a value without its checksum; struct.error or UnicodeDecodeError means damage."""
    n_records, changed, logged, n_log = catalog.MEMBER_HEAD.unpack_from(content)
    name = content[catalog.MEMBER_HEAD.size :].decode()
    if not name:
        raise struct.error("a tenant without a name")
    return Member(number=number, name=name, n_records=n_records, changed=changed, logged=logged, n_log=n_log)


def logged_cells(txn: Any, member: Member, since: int) -> U32 | None:
    """Return the cells whose lists changed after transaction `since`, rising; None when the log does not reach back."""
    if since < member.logged:
        return None
    first = catalog.LOG + catalog.LOG_KEY.pack(member.number, since + 1)
    last = catalog.LOG + catalog.LOG_KEY.pack(member.number, 0xFFFFFFFFFFFFFFFF)
    parts = [np.frombuffer(value, dtype="<u4") for _, value in catalog.scan_between(txn, first, last)]
    return np.unique(np.concatenate(parts)).astype(np.uint32) if parts else np.empty(0, np.uint32)


def write_log(txn: Any, member: Member, cells: list[int], now: int) -> Member:
    """Log the lists that a transaction changed, and cut the log; return the member as it has to be stored."""
    n_log, logged = member.n_log, member.logged
    prefix = catalog.LOG + catalog.U32_KEY.pack(member.number)
    if member.logged >= now or (len(cells) < LOG_FROM_LISTS and not n_log):
        return Member(
            number=member.number, name=member.name, n_records=member.n_records, changed=now, logged=now, n_log=0
        )
    txn.put(catalog.LOG + catalog.LOG_KEY.pack(member.number, now), np.array(sorted(cells), "<u4").tobytes())
    n_log += 1
    if n_log > LOG_TRANSACTIONS:
        old = [key for key, _ in catalog.scan(txn, prefix)][: n_log - LOG_TRANSACTIONS // 2]
        for key in old:
            txn.delete(key)
        n_log -= len(old)
        logged = catalog.LOG_KEY.unpack(old[-1][1:])[1]
    return Member(
        number=member.number, name=member.name, n_records=member.n_records, changed=now, logged=logged, n_log=n_log
    )
