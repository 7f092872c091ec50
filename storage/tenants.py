"""Tenants in the catalog: names and numbers, how much each has, and which of its lists a transaction changed.

A reader that knows a tenant's directory as of one transaction asks for the cells changed since then, so that what a
commit costs it depends on the commit and not on the collection.
"""

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog

U32 = npt.NDArray[np.uint32]

# Transactions that a tenant's log remembers at most; it is cut to half of them. A reader further behind reads the
# whole directory again.
LOG_TRANSACTIONS = 64

# Tenants with fewer records keep no log: reading their whole directory again costs no more.
LOG_FROM_RECORDS = 2048


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed of a tenant's lists after some transaction."""

    cells: U32
    """Cells whose lists changed, came or went; rising."""
    moved: U32
    """Cells whose payload was replaced; rising."""


def logged_changes(txn: Any, member: Member, since: int) -> Changes | None:
    """Return what changed after transaction `since`; None when the log does not reach back."""
    if since < member.logged:
        return None
    first = catalog.LOG + catalog.LOG_KEY.pack(member.number, since + 1)
    last = catalog.LOG + catalog.LOG_KEY.pack(member.number, 0xFFFFFFFFFFFFFFFF)
    cells, moved = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)]
    for _, value in catalog.scan_between(txn, first, last):
        words = np.frombuffer(value, dtype="<u4")
        moved.append(words[1 : 1 + words[0]])
        cells.append(words[1 + words[0] :])
    return Changes(
        cells=np.unique(np.concatenate(cells)).astype(np.uint32),
        moved=np.unique(np.concatenate(moved)).astype(np.uint32),
    )


def write_log(txn: Any, member: Member, cells: list[int], moved: list[int], now: int) -> Member:
    """Log which lists and payloads a transaction changed, and cut the log; return the member as it is to be stored."""
    if member.logged >= now or member.n_records < LOG_FROM_RECORDS:
        prefix = catalog.LOG + catalog.U32_KEY.pack(member.number)
        for key in [key for key, _ in catalog.scan(txn, prefix)] if member.n_log else []:
            txn.delete(key)
        return replace(member, changed=now, logged=now, n_log=0)
    words = np.array([len(moved), *moved, *cells], "<u4")
    txn.put(catalog.LOG + catalog.LOG_KEY.pack(member.number, now), words.tobytes())
    member = replace(member, changed=now, n_log=member.n_log + 1)
    if member.n_log > LOG_TRANSACTIONS:
        prefix = catalog.LOG + catalog.U32_KEY.pack(member.number)
        old = [key for key, _ in catalog.scan(txn, prefix)][: member.n_log - LOG_TRANSACTIONS // 2]
        for key in old:
            txn.delete(key)
        member = replace(member, n_log=member.n_log - len(old), logged=catalog.LOG_KEY.unpack(old[-1][1:])[1])
    return member
