"""Verification of the posting file: extents, contents of the lists, and the homes of the rows."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.evidence import Evidence
from ramet.storage.format import CATALOG, NO_LIST, PAGE_BYTES, POSTINGS, ROW_MASK, checksum, concatenated
from ramet.storage.reader import I64, LIST_DTYPE, U8, U32, U64, check_directory

# Bytes of the posting file read at a time.
WINDOW_BYTES = 32 << 20

_HEAD_BYTES = catalog.HOME_HEAD.size


def check_lists(evidence: Evidence, tenants: dict[int, int]) -> tuple[U32, U64]:
    """Check every posting list and the homes of every row.

    Returns
    -------
    owners : uint32 array (n_rows,)
        Owner of each row, 0xFFFFFFFF for unknown.
    viewers : uint64 array, rising
        row << 32 | tenant for every tenant that has the row in a list.
    """
    names, entries = _directory(evidence)
    _check_tenants_known(evidence, names, tenants)
    sound = ~check_directory(entries, evidence.layout, evidence.header.end_page)
    for i in np.flatnonzero(~sound):
        expected = f"an extent below page {evidence.header.end_page} that holds its rows"
        evidence.findings.add(CATALOG, _list_name(names[i]), f"expected {expected}, found {entries[i]}")
    _check_extents(evidence, names[sound], entries[sound])
    _check_uses(evidence, names)
    held = _contents(evidence, names, entries, np.flatnonzero(sound))
    return _check_homes(evidence, names, held)


def _list_name(name: np.uint64) -> str:
    return f"list (tenant {int(name) >> 32}, cell {int(name) & 0xFFFFFFFF})"


def _directory(evidence: Evidence) -> tuple[U64, npt.NDArray[np.void]]:
    """Return all directory entries: (tenant << 32 | cell) in rising order, and values of `LIST_DTYPE`."""
    items = list(evidence.table(catalog.LISTS, 8))
    evidence.findings.count("lists", len(items))
    for key, value in items:
        if len(value) != LIST_DTYPE.itemsize:
            evidence.findings.add(CATALOG, f"list {key.hex()}", f"expected 24 bytes, found {len(value)}")
    items = [item for item in items if len(item[1]) == LIST_DTYPE.itemsize]
    names = concatenated([key for key, _ in items], 8).view(">u8").ravel().astype(np.uint64)
    return names, concatenated([value for _, value in items], LIST_DTYPE.itemsize).view(LIST_DTYPE).ravel()


def _check_tenants_known(evidence: Evidence, names: U64, tenants: dict[int, int]) -> None:
    for tenant in np.unique(names >> np.uint64(32)).tolist():
        if tenant not in tenants:
            evidence.findings.add(CATALOG, f"lists of tenant {tenant}", "expected a known tenant, found none")


def _check_uses(evidence: Evidence, names: U64) -> None:
    """Compare the numbers of lists in each cell with the directory."""
    said = {
        int.from_bytes(key, "big"): int.from_bytes(value, "little") for key, value in evidence.table(catalog.USES, 4)
    }
    cells, counts = np.unique(names & np.uint64(0xFFFFFFFF), return_counts=True)
    there = dict(zip(cells.tolist(), counts.tolist(), strict=True))
    for cell in sorted(cell for cell in said.keys() | there.keys() if said.get(cell) != there.get(cell)):
        what = f"expected {there.get(cell, 0)} lists, found {said.get(cell, 0)}"
        evidence.findings.add(CATALOG, f"number of lists in cell {cell}", what)


def _check_extents(evidence: Evidence, names: U64, entries: npt.NDArray[np.void]) -> None:
    """Check that lists and free extents cover every page between the header and the end exactly once."""
    findings, end_page = evidence.findings, evidence.header.end_page
    spans = [
        (int(page), int(n), _list_name(name))
        for page, n, name in zip(entries["page"], entries["n_pages"], names, strict=True)
    ]
    for key, value in evidence.table(catalog.FREE, catalog.FREE_KEY.size):
        page, n = catalog.FREE_KEY.unpack(key)[1], int.from_bytes(value[:4], "little")
        findings.count("free_extents", 1)
        if len(value) != 4 or page < 1 or n < 1 or page + n > end_page:
            findings.add(CATALOG, f"free extent at page {page}", f"expected pages below {end_page}, found {n}")
        else:
            spans.append((page, n, f"free extent at page {page}"))
    reached, last = 1, "the header page"
    for page, n, what in sorted(spans):
        if page < reached:
            findings.add(POSTINGS, f"page {page}", f"expected one owner, found {what} and {last}")
        elif page > reached:
            findings.add(POSTINGS, f"pages {reached} to {page - 1}", "expected an owner, found neither list nor free")
        if page + n > reached:
            reached, last = page + n, what
    if reached < end_page:
        findings.add(POSTINGS, f"pages {reached} to {end_page - 1}", "expected an owner, found neither list nor free")


def _windows(entries: npt.NDArray[np.void], chosen: I64) -> Iterator[tuple[I64, int, int]]:
    """Yield (lists, first page, pages): the chosen lists in the order of the file, cut into pieces to read at once."""
    order = chosen[np.argsort(entries["page"][chosen], kind="stable")]
    pages, ends = entries["page"][order], entries["page"][order] + entries["n_pages"][order]
    first = 0
    for i in range(1, len(order) + 1):
        span = 0 if i == len(order) else (int(ends[i]) - int(pages[first])) * PAGE_BYTES
        if i == len(order) or span > WINDOW_BYTES:
            yield order[first:i], int(pages[first]), int(ends[first:i].max() - pages[first])
            first = i


def _contents(evidence: Evidence, names: U64, entries: npt.NDArray[np.void], chosen: I64) -> U64:
    """Check the content of lists; return (list index << 32 | row) of every copy, sorted."""
    findings = evidence.findings
    held: list[U64] = []
    for lists, first_page, n_pages in _windows(entries, chosen):
        window = evidence.read(POSTINGS, first_page * PAGE_BYTES, n_pages * PAGE_BYTES)
        for i in lists.tolist():
            page, n, count, stored = entries[i].tolist()
            start = (page - first_page) * PAGE_BYTES
            rows, found = _list_rows(evidence, window[start : start + n * PAGE_BYTES], n, count)
            findings.count("extent_pages", n)
            if found != stored:
                what = f"expected checksum {stored:016x}, found {'a short file' if found is None else f'{found:016x}'}"
                findings.add(POSTINGS, f"{_list_name(names[i])} at pages {page} to {page + n - 1}", what)
                continue
            held.append(np.uint64(i << 32) | rows.astype(np.uint64))
            if count and int(rows.max()) >= evidence.header.n_rows:
                what = f"expected rows below {evidence.header.n_rows}, found {rows.max()}"
                findings.add(POSTINGS, _list_name(names[i]), what)
    copies = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.uint64)
    findings.count("copies", len(copies))
    for twice in np.unique(copies[1:][copies[1:] == copies[:-1]]).tolist():
        findings.add(POSTINGS, _list_name(names[twice >> 32]), f"row {twice & 0xFFFFFFFF} is in it twice")
    return copies


def _list_rows(evidence: Evidence, extent: U8, n_pages: int, count: int) -> tuple[U32, int | None]:
    """Return the rows of a list and the checksum of its committed part, None when the extent is cut short."""
    layout = evidence.layout
    capacity = layout.capacity_for(n_pages)
    if len(extent) < n_pages * PAGE_BYTES:
        return np.zeros(0, dtype=np.uint32), None
    columns = [extent[4 * capacity * f : 4 * capacity * f + 4 * count] for f in range(1 + layout.n_factors)]
    start = layout.codes_offset(capacity)
    codes = extent[start : start + count * layout.code_bytes]
    return columns[0].view(np.uint32) & np.uint32(ROW_MASK), checksum(*columns, codes)


def _check_homes(evidence: Evidence, names: U64, copies: U64) -> tuple[U32, U64]:
    """Compare the homes of the rows with what the lists hold; return what `check_lists` does."""
    findings, n_rows = evidence.findings, evidence.header.n_rows
    owners = np.full(n_rows, 0xFFFFFFFF, dtype=np.uint32)
    rows, row_owners, home_rows, homes = _decoded_homes(evidence)
    findings.count("homes", len(homes))
    for row in rows[rows >= n_rows].tolist():
        findings.add(CATALOG, f"homes of row {row}", f"expected rows below {n_rows}")
    owners[rows[rows < n_rows]] = row_owners[rows < n_rows]
    listless = homes & np.uint64(0xFFFFFFFF) == np.uint64(NO_LIST)
    places = np.searchsorted(names, homes)
    known = places < len(names)
    known[known] = names[places[known]] == homes[known]
    lost = ~(known | listless)
    for row, home in zip(home_rows[lost].tolist(), homes[lost], strict=True):
        findings.add(CATALOG, f"homes of row {row}", f"expected a list, found {_list_name(home)}, which does not exist")
    viewers = np.unique(home_rows.astype(np.uint64) << np.uint64(32) | homes >> np.uint64(32))
    said = np.sort((places[known].astype(np.uint64) << np.uint64(32)) | home_rows[known].astype(np.uint64))
    if np.array_equal(said, copies):
        return owners, viewers
    for copy in np.setdiff1d(said, copies).tolist():
        where = f"homes of row {copy & 0xFFFFFFFF}"
        findings.add(CATALOG, where, f"expected the row in {_list_name(names[copy >> 32])}, found it missing there")
    for copy in np.setdiff1d(copies, said).tolist():
        what = f"expected row {copy & 0xFFFFFFFF} to name this list as a home, found that it does not"
        findings.add(POSTINGS, _list_name(names[copy >> 32]), what)
    return owners, viewers


def _decoded_homes(evidence: Evidence) -> tuple[U32, U32, U32, U64]:
    """Return row and owner of each entry, and row and (tenant << 32 | cell) of each home."""
    items = list(evidence.table(catalog.HOMES, 4))
    lengths = np.fromiter((len(value) for _, value in items), dtype=np.int64, count=len(items))
    content = np.frombuffer(b"".join([value for _, value in items]), dtype=np.uint8)
    begins = np.cumsum(lengths) - lengths
    rows = concatenated([key for key, _ in items], 4).view(">u4").ravel().astype(np.uint32)
    counts = np.full(len(items), -1, dtype=np.int64)
    whole = lengths >= _HEAD_BYTES
    counts[whole] = content[begins[whole] + 4] + 256 * content[begins[whole] + 5].astype(np.int64)
    sound = lengths == _HEAD_BYTES + 8 * counts
    for i in np.flatnonzero(~sound).tolist():
        evidence.findings.add(CATALOG, f"homes of row {rows[i]}", f"{counts[i]} homes in {lengths[i]} bytes")
    rows, begins, counts = rows[sound], begins[sound], counts[sound]
    owners = content[begins[:, None] + np.arange(4)].view("<u4").ravel()
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(begins + _HEAD_BYTES, counts) + 8 * within
    words = content[starts[:, None] + np.arange(8)].view("<u4").reshape(-1, 2).astype(np.uint64)
    return rows, owners, np.repeat(rows, counts), (words[:, 0] << np.uint64(32)) | words[:, 1]
