"""The LMDB file as bytes: what can be learnt about it without handing it to LMDB, which trusts what it maps.

A damaged page can make LMDB read outside its map and so end the process. Opening a collection therefore looks at the
meta pages first, and `verify` looks at everything before LMDB does.
"""

import errno
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import lmdb.verify as walker

from ramet.storage.errors import CorruptionError, FormatError, replaced

_PAGE_HEADER = struct.Struct("<QHHHH")  # page number, pad, flags, lower, upper
_META = struct.Struct("<IIQQ48s48sQQ")  # magic, version, address, map size, free db, main db, last page, txn
TXN_AT = _PAGE_HEADER.size + _META.size - 8
_MAGIC, _VERSION, _P_META = 0xBEEFC0DE, 1, 0x08

# What copy_file_range(2) says between file systems that it cannot serve.
_NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}

# Bytes per copy_file_range call.
_PIECE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaPage:
    """One of the two meta pages at the head of an LMDB file."""

    slot: int
    """Page number, 0 or 1."""
    page_bytes: int
    """Bytes of an LMDB page."""
    last_page: int
    """Highest page number in use."""
    txn: int
    """Transaction that wrote this page."""


def read_metas(fd: int, path: Path) -> list[MetaPage]:
    """Read and check both meta pages of an LMDB file without handing it to LMDB.

    Raises
    ------
    CorruptionError
        Too short for two meta pages.
    FormatError
        No LMDB file, or one of another version.
    """
    metas: list[MetaPage] = []
    page_bytes = 4096
    for slot in (0, 1):
        need = _PAGE_HEADER.size + _META.size
        page = os.pread(fd, need, slot * page_bytes)
        if len(page) < need:
            raise CorruptionError(path, f"LMDB meta page {slot}", f"{need} bytes", f"{len(page)} bytes")
        flags = _PAGE_HEADER.unpack_from(page)[2]
        meta = _META.unpack_from(page, _PAGE_HEADER.size)
        if meta[0] != _MAGIC or meta[1] != _VERSION or not flags & _P_META:
            raise FormatError(path, "an LMDB 0.9 file", f"magic {meta[0]:#x}, version {meta[1]}, flags {flags:#x}")
        (page_bytes,) = struct.unpack_from("<I", meta[4])  # the first word of the free database's record
        if page_bytes < 512 or page_bytes > 65536 or page_bytes & (page_bytes - 1):
            raise CorruptionError(path, f"LMDB meta page {slot}", "a power of two as page size", page_bytes)
        metas.append(MetaPage(slot=slot, page_bytes=page_bytes, last_page=meta[6], txn=meta[7]))
    return metas


def catalog_end(fd: int, path: Path) -> int:
    """Return the bytes that the newest committed state of an LMDB file may use."""
    newest = max(read_metas(fd, path), key=lambda meta: meta.txn)
    return (newest.last_page + 1) * newest.page_bytes


def newest_txn(path: Path) -> int:
    """Return the newest transaction that an LMDB file knows."""
    with open(path, "rb") as file:
        return max(meta.txn for meta in read_metas(file.fileno(), path))


def extend_to_end(fd: int, path: Path) -> None:
    """Lengthen an LMDB file to the end that its meta page states.

    LMDB does not write pages that a transaction took at the end and gave back, so a sound file may be shorter than
    its meta page says. With the length made right after every commit, a short file is a truncated one.

    Parameters
    ----------
    fd : int
        The file, open for reading.
    path : Path
        Where it was opened; whatever else is there by now is left alone.

    Raises
    ------
    MissingError
        Another file is at the path, or none.
    OSError
    """
    end = catalog_end(fd, path)
    if os.fstat(fd).st_size >= end:
        return
    try:
        writable = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise replaced(path.parent) from error
    try:
        if not os.path.samestat(os.fstat(writable), os.fstat(fd)):
            raise replaced(path.parent)
        os.ftruncate(writable, end)
    finally:
        os.close(writable)


def set_newest_txn(path: Path, txn: int) -> None:
    """Give the newest state of an LMDB file that nobody has open another transaction number, and sync the file.

    Raises
    ------
    ValueError
        The number is smaller than the present one, or would belong into the other meta page.
    """
    with open(path, "rb+") as file:
        newest = max(read_metas(file.fileno(), path), key=lambda meta: meta.txn)
        if txn < newest.txn or txn % 2 != newest.slot:
            raise ValueError(f"transaction {newest.txn} in meta page {newest.slot} cannot become {txn}")
        os.pwrite(file.fileno(), txn.to_bytes(8, "little"), newest.slot * newest.page_bytes + TXN_AT)
        os.fsync(file.fileno())


def structure_problems(path: Path) -> list[str]:
    """Return what is wrong with the structure of an LMDB file that nobody is writing to; LMDB itself is not asked."""
    try:
        return [str(problem) for problem in walker.verify(str(path), subdir=False)]  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever damage makes the walker stumble is a finding
        return [f"{type(error).__name__}: {error}"]


def copy_pinned(path: Path, target: Path, txn: int | None) -> int | None:
    """Copy a live LMDB file as it was at one transaction, byte for byte, without asking LMDB.

    LMDB never overwrites a page that a live snapshot can reach, except the two meta pages. So while a snapshot of
    `txn` is open, all that it needs is in the file. The meta page that refers to it goes into the copy twice, once as
    the transaction before, since the other one may refer to pages that came later.

    Parameters
    ----------
    path, target : Path
        The LMDB file, and the file to make.
    txn : int or None
        Transaction of an open snapshot; None for the newest one of a file that nobody writes to.

    Returns
    -------
    int or None
        The transaction copied; None when later commits have overwritten its meta page already: take a new snapshot
        and try again.

    Raises
    ------
    CorruptionError, FormatError
        The meta pages make no sense.
    """
    with open(path, "rb") as source, open(target, "wb") as copy:
        fd = source.fileno()
        metas = read_metas(fd, path)
        found = [meta for meta in metas if txn is None or meta.txn == txn]
        if not found:
            return None
        meta = max(found, key=lambda meta: meta.txn)
        page = bytearray(os.pread(fd, meta.page_bytes, meta.slot * meta.page_bytes))
        if read_metas(fd, path)[meta.slot] != meta:
            return None  # overwritten between the two reads
        copy_range(fd, copy.fileno(), (meta.last_page + 1) * meta.page_bytes)
        write_metas(copy.fileno(), page, meta.txn)
    return meta.txn


def write_metas(fd: int, page: bytes | bytearray, txn: int) -> None:
    """Write a meta page into its slot, and into the other slot as that of the transaction before."""
    written, slot = bytearray(page), int.from_bytes(page[:8], "little")  # a page begins with its own number
    for number, of in ((slot, txn), (1 - slot, max(txn - 1, 0))):
        written[:8] = number.to_bytes(8, "little")
        written[TXN_AT : TXN_AT + 8] = of.to_bytes(8, "little")
        os.pwrite(fd, written, number * len(page))


def meta_page(fd: int, path: Path, txn: int) -> bytes:
    """Return the meta page of a transaction; raise `CorruptionError` when there is none."""
    metas = read_metas(fd, path)
    for meta in metas:
        if meta.txn == txn:
            return os.pread(fd, meta.page_bytes, meta.slot * meta.page_bytes)
    raise CorruptionError(path, "LMDB meta pages", f"transaction {txn}", [meta.txn for meta in metas])


def is_newest(fd: int, path: Path, txn: int, page: bytes) -> bool:
    """Tell whether a meta page is in its slot, and no newer one in the other."""
    newest = max(read_metas(fd, path), key=lambda meta: meta.txn)
    used = _PAGE_HEADER.size + _META.size
    return newest.txn == txn and os.pread(fd, used, newest.slot * newest.page_bytes) == page[:used]


def copy_range(source: int, target: int, n_bytes: int) -> int:
    """Copy the first `n_bytes` bytes of one open file to another, in the kernel where it can; return how many."""
    done = 0
    while done < n_bytes:
        wanted = min(n_bytes - done, _PIECE_BYTES)
        try:
            n = os.copy_file_range(source, target, wanted, done, done)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            n = os.pwrite(target, os.pread(source, min(wanted, 1 << 22), done), done)
        if n == 0:
            break  # the source ends here
        done += n
    return done
